"""Hypergradients against differences, with what the cut froze held still.

A hypergradient is the derivative of a later loss by a hyperparameter through the steps since the last cut alone. So a
difference of two whole runs is another number. Here the step that cuts is done again, from the weights, gradients and
state that it has read, by the rules themselves, with one hyperparameter a little off; then what is left of the window,
and its loss.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import number, whole
from ..core.tape import no_grad, recording, unwatched
from ..core.tensor import Tensor, leaf, tensor
from ..core.tower import Optimizer
from ..derivatives import gradients as gradients_of
from ..differences import Array, lengths, settled, size_of
from ..errors import ArgumentError, DtypeError, GradientError
from ..optim import saving
from ..optim.boundary import arrays
from ..optim.clipping import Limits
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from ..optim.outside import Outside
from .reports import Difference, entry

__tracebackhide__ = True  # pytest shows the line that called, not those in here

NOISE = 1e-12  # of the loss by the hyperparameter: how much a hypergradient may be off, whatever its size
MOVES = 1e-9  # of the largest weight: how much a weight may be off

Arrays = dict[str, Array]
Loss = Callable[[dict[str, Tensor], int, Mapping[str, Tensor]], Tensor]


def check_hypergradients(
    tower: Optimizer, loss: Callable[..., Tensor], params: Mapping[str, Any], steps: int = 3, rtol: float = 1e-6
) -> None:
    """Run a tower, and compare every hypergradient at every level with differences, at the end of each window.

    tower: goes on from its state, in a copy; neither it nor params is changed.
    loss: loss(params) or loss(params, step), a tensor of one element: the same whenever it is called with the same. It
    takes what the tower has outside by name: loss(params, step, decay), say.
    params: float64 weights by name.  steps: how many follow the first; the last ends a window, finished or not.
    rtol: by how much of itself a hypergradient may be off, a number >= 0.
    The weights and hyperparameters that each window begins with are compared as well, with those of the plain rules.
    Raises GradientError, which names the step, level and hyperparameter; ArgumentError or DtypeError where there is
    nothing to check.
    """
    steps = whole("check_hypergradients: steps", steps)
    rtol = number("check_hypergradients: rtol", rtol, lambda rtol: rtol >= 0, "number >= 0")
    if not isinstance(tower, Optimizer):
        raise DtypeError(f"check_hypergradients: {tower!r} is not an optimizer")
    if not any(level._tuned for level in tower.levels):
        raise ArgumentError(f"check_hypergradients: nothing is tuned in {tower}. Give it optimizer= or horizon=None")
    tower, weights, loss = saving.twin(tower), _leaves(params), _with_step(loss, tower.hooks[Outside].names)
    tower.hooks[Guard] = Guard(tower, None)
    window = tower.hooks[Window]
    frozen: Frozen | None = None
    for step in range(steps + 1):
        last = step == steps
        _checked(loss, weights, step, tower.outside).backward(create_graph=not last and window.horizon != 1)
        if frozen is not None:
            frozen.losses.append(step)
            if window.cuts or last:
                window.gather()  # what recorded sweeps have left, as the next step would
                frozen.compare(loss, weights, step, rtol)
        if last:
            return
        if frozen is None or window.cuts:
            frozen = Frozen(tower, weights)
            tower.step(weights)
            frozen.compare_moves(weights, step)
        else:
            tower.step(weights)


class Operands(NamedTuple):
    """What a level's step reads: targets with gradients and state, by name; which number the step has."""

    targets: Arrays
    gradients: Arrays
    state: dict[str, Arrays]
    t: int


class Frozen:
    """What the cut at a window's beginning holds still, for each level, and the steps whose losses follow in it."""

    def __init__(self, tower: Optimizer, weights: Mapping[str, Tensor]) -> None:
        self.levels = tower.levels if tower.hooks[Window].horizon is not None else (tower,)
        moved = [weights, *[{key: level.parameters[key] for key in level._tuned} for level in self.levels]]
        self.operands = [
            Operands(
                {name: w.numpy() for name, w in targets.items()},
                {name: np.zeros(w.shape) if w.grad is None else w.grad.numpy() for name, w in targets.items()},
                arrays(level._states),
                level.t,
            )
            for level, targets in zip(self.levels, moved)
        ]
        self.losses: list[int] = []

    def compare_moves(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Raise GradientError unless the step that has just been done is what the rules say, at every level."""
        numbers = _numbers(self.levels[-1])
        for height in reversed(range(len(self.levels))):
            moved, _ = _moved(self.levels[height], self.operands[height], numbers)
            tensors = self.levels[height - 1].parameters if height else weights
            for name, wanted in moved.items():
                found = tensors[name].numpy()
                off = np.abs(found - wanted)
                if not (off <= MOVES * max(size_of(wanted), size_of(self.operands[height].targets[name]))).all():
                    place = np.unravel_index(int(np.argmax(off)), off.shape)
                    whose = _level_name(self.levels, height - 1) if height else "weights"
                    lost = not np.isfinite(wanted[place])
                    raise GradientError(
                        f"check_hypergradients, step {step}: {whose}, {entry(name, place)} moved to "
                        f"{found[place]:.9g}, {'and' if lost else 'but'} the rule of "
                        f"{type(self.levels[height]).__name__}, with what the level above has just moved, gives "
                        f"{wanted[place]:.9g}" + (": only a run that stays finite can be checked" if lost else "")
                    )
            if height:
                numbers = {**_numbers(self.levels[height - 1]), **{name: float(w) for name, w in moved.items()}}

    def compare(self, loss: Loss, weights: Mapping[str, Tensor], step: int, rtol: float) -> None:
        """At the window's end, raise GradientError for the first `.grad` that is not the derivative of its loss."""
        for height in range(max(1, len(self.levels) - 1)):
            for key in self.levels[height]._tuned:
                self._compare(loss, height, key, step, rtol)
        self._compare_weights(loss, weights, step)

    def _compare(self, loss: Loss, height: int, key: str, step: int, rtol: float) -> None:
        hyperparameter, numbers = self.levels[height].parameters[key], _numbers(self.levels[height])

        def objective(u: Array) -> Array:
            return np.asarray(self.replay(loss, height, {**numbers, key: float(u)})[0])

        u = np.array(numbers[key])
        length = np.minimum(lengths(u), _room(self.levels[height], key, float(u)))
        wanted = settled(objective, [u], [length])
        slope, error = float(wanted.value / length), float(wanted.error / length)
        found = 0.0 if hyperparameter.grad is None else hyperparameter.grad.item()
        limit = rtol * abs(slope) + NOISE * float(np.abs(objective(u)) / length)
        where = f"check_hypergradients, step {step}: {_level_name(self.levels, height)}, {key}"
        if not abs(found - slope) <= limit + error:
            missing = "\n  No gradient has reached it: did the step use another tensor, or an older value?"
            told = Difference(where, found, slope, limit, f"rtol={rtol:g}").told(
                "in .grad", "by differences, with what was cut held fixed"
            )
            raise GradientError(told + (missing if hyperparameter.grad is None else ""))
        if error > 10 * limit:
            raise GradientError(
                f"{where}: .grad is {found:.9g}, but differences settle to {slope:.9g} ± {error:.1g} only, so the "
                "check cannot decide. Does the loss have a kink, or is it not finite nearby?"
            )

    def _compare_weights(self, loss: Loss, weights: Mapping[str, Tensor], step: int) -> None:
        """The window done again comes to where the run has come."""
        _, replayed = self.replay(loss, 0, _numbers(self.levels[0]))
        for name, wanted in replayed.items():
            found = weights[name].numpy()
            off = size_of(found - wanted)
            if not off <= 1e3 * MOVES * max(size_of(wanted), size_of(self.operands[0].targets[name])):
                raise GradientError(
                    f"check_hypergradients, step {step}: {name!r} is off by {off:.3g} from where the rule of "
                    f"{type(self.levels[0]).__name__} moves it over the window"
                )

    def replay(self, loss: Loss, height: int, numbers: dict[str, float]) -> tuple[float, Arrays]:
        """The window's objective if a level's hyperparameters had these internal values, and the weights at its end."""
        for above in range(height, 0, -1):
            moved, _ = _moved(self.levels[above], self.operands[above], numbers)
            numbers = {**_numbers(self.levels[above - 1]), **{name: float(w) for name, w in moved.items()}}
        bottom, now = self.levels[0], self.operands[0]
        total = 0.0
        for step in self.losses:
            targets, state = _moved(bottom, now, numbers)
            with recording(), unwatched():
                weights = {name: leaf(Tensor(w)) for name, w in targets.items()}
                value = loss(weights, step, _outside(bottom, numbers))
                slopes = gradients_of(value, list(weights.values()))
                if bottom.hooks[Outside].in_use:  # a loss is asked by the weights that the numbers have led to
                    value = loss(weights, step, _outside(bottom, _numbers(bottom)))
            now = Operands(targets, dict(zip(targets, [g.numpy() for g in slopes])), state, now.t + 1)
            total = value.item() + (total if bottom.hooks[Window].objective == "sum" else 0.0)
        return total, now.targets


def _moved(level: Optimizer, operands: Operands, numbers: Mapping[str, float]) -> tuple[Arrays, dict[str, Arrays]]:
    """The level's rule by itself: no fusion, no group, no tape. Where the targets move, and their new state, by name.

    numbers: the internal values of the level's hyperparameters, by name.
    """
    targets, states = {}, {}
    with no_grad(), unwatched():
        gradients = level.hooks[Limits].gradients({name: Tensor(g) for name, g in operands.gradients.items()})
        for name, w in operands.targets.items():
            _, keys = level._update(name)
            inner = {row: Tensor(np.array(numbers[key])) for row, key in keys.items() if row != "t"}
            values = {
                row: level._coordinates[row].value(inner[row]) if row in inner else Tensor(np.array(0.0))
                for row in type(level).table
            }
            own = operands.state.get(name, {})
            before = {key: own[key] if key in own else _start(level, key, w, values) for key in level.state}
            if "t" in inspect.signature(type(level).rule).parameters:
                values["t"] = Tensor(np.array(operands.t + 1.0))
            state = [Tensor(array) for array in before.values()]
            result = type(level).rule(Tensor(w), gradients[name], *state, **values, **dict(level._options))
            moved, *after = [np.array(np.broadcast_to(getattr(r, "array", r), w.shape)) for r in _several(result)]
            targets[name], states[name] = moved, dict(zip(level.state, after))
    return targets, states


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else [result]


def _start(level: Optimizer, key: str, w: Array, values: Mapping[str, Tensor]) -> Array:
    """The state before the first step; where nothing is cut, it moves with a hyperparameter that it starts at."""
    row = level.state[key]
    follows = isinstance(row, str) and level.hooks[Window].horizon is None and row in level._tuned
    return np.full(w.shape, values[str(row)].item() if follows else level._initial[key])


def _leaves(params: Mapping[str, Any]) -> dict[str, Tensor]:
    weights = {name: tensor(w, requires_grad=True) for name, w in params.items()}
    for name, w in weights.items():
        if w.dtype != np.float64:
            raise DtypeError(
                f"check_hypergradients: params[{name!r}] must be float64, since {w.dtype} is too coarse for differences"
            )
    return weights


def _with_step(loss: Callable[..., Tensor], names: Sequence[str]) -> Loss:
    """The loss as a function of weights, step, and what is outside the optimizer."""
    try:
        inspect.signature(loss).bind({}, 0, **dict.fromkeys(names))
    except TypeError:
        return lambda params, step, outside: loss(params, **outside)
    return lambda params, step, outside: loss(params, step, **outside)


def _outside(level: Optimizer, numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """What the loss reads beside weights and step, by the internal values of the level's hyperparameters."""
    names = level.hooks[Outside].names
    return {name: level._coordinates[name].value(Tensor(np.array(numbers[name]))) for name in names}


def _checked(loss: Loss, weights: dict[str, Tensor], step: int, outside: Mapping[str, Tensor]) -> Tensor:
    """The loss, if it is a finite number, and the same at a second call."""
    with recording(), unwatched():
        again = loss(weights, step, outside)
    value = loss(weights, step, outside)
    if not isinstance(value, Tensor) or value.size != 1:
        shape = f" of shape {value.shape}" if isinstance(value, Tensor) else ""
        kind = type(value).__name__
        raise DtypeError(f"check_hypergradients: the loss must be a tensor of one number, not a {kind}{shape}")
    if not np.isfinite(value.item()) or again.item() != value.item():
        raise GradientError(
            f"check_hypergradients, step {step}: the loss is {again.item():.9g}, and {value.item():.9g} at a second "
            "call: differences need a finite number that depends on params and step alone. Draw batches by the step"
        )
    return value


def _numbers(level: Optimizer) -> dict[str, float]:
    """The internal values of a level's hyperparameters."""
    return {key: parameter.item() for key, parameter in level.parameters.items()}


def _room(level: Optimizer, key: str, u: float) -> float:
    """How far a hyperparameter's internal value is from the upper end of its range, where a rule may be singular."""
    row = level._rows[key]
    coordinate, end = level._coordinates[row], level.table[row].range[1]
    return abs(coordinate.internal(end) - u) or math.inf if end < coordinate.high else math.inf


def _level_name(levels: Sequence[Optimizer], height: int) -> str:
    return f"level {height} ({type(levels[height]).__name__})"
