"""A tower in PyTorch, written from the paper's equations: the second opinion on every optimizer and horizon.

The update rules are those of equations.py; nothing of tinyhyper's is called but the names of the
coordinates and the values at which a tower starts.
"""

import math

import torch
from equations import RULES

FLOAT = torch.float64


def number(value):
    return torch.tensor(float(value), dtype=FLOAT)


# By coordinates: the value from the number that is tuned, and back.
COORDINATES = {
    "linear": (lambda u: u, lambda value: value),
    "log": (torch.exp, math.log),
    "sqrt": (lambda u: u**2, math.sqrt),
    "unit": (lambda u: (torch.tanh(u) + 1) / 2, lambda value: math.atanh(2 * value - 1)),
}
DEFAULTS = {"alpha": {"RMSProp": "sqrt"}}
UNIT = ("beta1", "beta2", "gamma", "rho")
TUNED = ("alpha", "mu", "weight_decay", *UNIT)


class Level:
    """One level of a tower: hyperparameters in their coordinates, and the state of what it moves."""

    def __init__(self, description):
        self.name, values = description.optimizer.__name__, dict(description.values)
        options = dict(description.options)
        self.rule, self.start = RULES[self.name]
        self.objective, self.horizon = options.pop("objective", "last"), options.pop("horizon", 1)
        chosen, tune = options.pop("coordinates", {}), options.pop("tune", None)
        self.options, self.t, self.state = options, 0, {}
        rates = values.pop("alpha")
        self.rates = rates if isinstance(rates, dict) else None
        rows = {f"{name}_alpha": ("alpha", rate) for name, rate in rates.items()} if self.rates else {}
        rows |= {} if self.rates else {"alpha": ("alpha", rates)}
        rows |= {name: (name, value) for name, value in values.items()}
        used = {key for key, (row, value) in rows.items() if value or row not in ("mu", "weight_decay")}
        self.tuned = [key for key in rows if key in used and rows[key][0] in (TUNED if tune is None else tune)]
        self.coordinates = {
            key: chosen.get(row, "unit" if row in UNIT else DEFAULTS.get(row, {}).get(self.name, "linear"))
            for key, (row, _) in rows.items()
            if key in used
        }
        self.internal = {
            key: number(COORDINATES[self.coordinates[key]][1](value)).requires_grad_(key in self.tuned)
            for key, (_, value) in rows.items()
            if key in used
        }
        self.first = {key: value for key, (_, value) in rows.items()}

    def values(self, target):
        """The hyperparameters for one target; those not in use are 0."""
        found = dict.fromkeys(("alpha", "mu", "weight_decay"), number(0.0))
        for key, u in self.internal.items():
            value = COORDINATES[self.coordinates[key]][0](u)
            if self.rates is not None and key.endswith("_alpha"):
                if key == f"{target}_alpha":
                    found["alpha"] = value
            else:
                found[key] = value
        return found

    def move(self, targets, gradients, cut):
        """The moved targets. cut: whether everything but the hyperparameters is a constant."""
        self.t += 1
        moved = {}
        for name, w in targets.items():
            g = gradients[name]
            s = self.state.get(name) or [
                torch.full_like(w, self.first[start] if isinstance(start, str) else start).detach()
                for start in self.start
            ]
            if cut:
                w, g, s = w.detach(), g.detach(), [x.detach() for x in s]
            new = w
            if self.rates is None or name in self.rates:
                step, self.state[name] = self.rule(w, g, s, self.values(name), self.t, **self.options)
                new = w - step
            moved[name] = new if new.requires_grad else new.requires_grad_()
        return moved


class Tower:
    """A tower over named weights. `run` gives weights and hyperparameters after each step, and all hypergradients."""

    def __init__(self, description):
        self.levels = [Level(level) for level in description.levels]

    def run(self, params, loss, steps):
        params = {name: torch.tensor(w, dtype=FLOAT, requires_grad=True) for name, w in params.items()}
        bottom, losses, trace = self.levels[0], [], []
        for step in range(steps):
            losses.append(loss(params, step, torch))
            found = torch.autograd.grad(losses[-1], list(params.values()), create_graph=True, allow_unused=True)
            gradients = {n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(params.items(), found)}
            cut = step % bottom.horizon == 0
            hypergradients = []
            if cut:
                total = losses[-1] if bottom.objective == "last" else sum(losses)
                hypergradients = self.move_above(total)
                losses = []
            params = bottom.move(params, gradients, cut)
            trace.append(self.record(params, hypergradients))
        return trace

    def move_above(self, total):
        """Move what each level but the bottom tunes, top first, and give the hypergradients, bottom level first."""
        leaves = [[level.internal[key] for key in level.tuned] for level in self.levels[:-1]]
        flat = [u for level in leaves for u in level]
        found = [None] * len(flat)
        if flat and total.requires_grad:
            found = torch.autograd.grad(total, flat, retain_graph=True, allow_unused=True)
        slopes = iter([torch.zeros_like(u) if g is None else g for u, g in zip(flat, found)])
        gradients = [{key: next(slopes) for key in level.tuned} for level in self.levels[:-1]]
        for below, above, slope in reversed(list(zip(self.levels, self.levels[1:], gradients))):
            targets = {key: below.internal[key] for key in below.tuned}
            below.internal.update(above.move(targets, slope, cut=True))
        return [float(g) for level in gradients for g in level.values()]

    def record(self, params, hypergradients):
        values = [COORDINATES[level.coordinates[k]][0](u) for level in self.levels for k, u in level.internal.items()]
        return {
            "weights": {name: w.detach().numpy().copy() for name, w in params.items()},
            "hyperparameters": [value.item() for value in values],
            "hypergradients": hypergradients,
        }
