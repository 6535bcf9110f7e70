"""Random towers of every rule, and all numbers of a run."""

from contextlib import nullcontext

import numpy as np
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp

RULES = (SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW)
BOUNDED = {"alpha": ("linear", "log", "sqrt"), "eps": ("log",), "weight_decay": ("sqrt", "linear")}
SEEDS = st.integers(0, 2**32 - 1)
WAYS = {"plain": nullcontext, "watched": th.record}


class Sloped(th.optim.Optimizer):
    """A user's own rule, with special functions in it and a state."""

    table = {"alpha": 0.01, "slope": th.optim.Hyperparameter(1.5, th.optim.COORDINATES["log"])}
    state = {"m": 0.0}

    @staticmethod
    def rule(w, g, m, *, alpha, slope):
        m = 0.5 * m + th.tanh(slope * g)
        return w - alpha * th.where(g > 0.0, m, th.expm1(m) * th.sigmoid(slope)), m


@st.composite
def levels(draw):
    """How to make one level: its rule, the values that are tuned, and their coordinates."""
    cls = draw(st.sampled_from((*RULES, Sloped)))
    values = {"alpha": draw(st.floats(1e-6, 1e-2))}
    if "weight_decay" in cls.table and draw(st.booleans()):
        values["weight_decay"] = 0.01
    if cls is SGD:
        values |= {"mu": draw(st.sampled_from([0.0, 0.5])), "nesterov": draw(st.booleans())}
    names = [name for name in cls.table if not cls.table[name].optional or values.get(name)]
    tune = draw(st.one_of(st.none(), st.lists(st.sampled_from(names), unique=True, max_size=len(names))))
    coordinates = {
        name: draw(st.sampled_from(BOUNDED[name])) for name in names if name in BOUNDED and draw(st.booleans())
    }
    return cls, {**values, "tune": tune, "coordinates": coordinates}


@st.composite
def towers(draw):
    """A maker of a random tower of 1 to 6 levels."""
    drawn = draw(st.lists(st.tuples(levels(), st.integers(1, 3)), min_size=1, max_size=6))
    specification = [level for level, times in drawn for _ in range(times)][:6]
    by_name = draw(st.booleans())

    def make():
        optimizer = None
        for height, (cls, kwargs) in reversed(list(enumerate(specification))):
            if height == 0 and by_name:
                kwargs = {**kwargs, "alpha": {"w": kwargs["alpha"], "b": 0.003}}
            optimizer = cls(**kwargs, optimizer=optimizer)
        return optimizer

    return make


def bits(tensor):
    """The bits of a tensor's numbers, every NaN alike; None where there is no tensor."""
    return tensor if tensor is None else np.where(np.isnan(tensor.array), np.nan, tensor.array).tobytes()


def snapshot(optimizer, params):
    """All numbers of a run: weights, gradients, hyperparameters, hypergradients, states, counts."""
    levels = [
        {
            "t": level.t,
            "parameters": {
                key: (bits(p), p.dtype, bits(p.grad), p.is_leaf, p.requires_grad) for key, p in level.parameters.items()
            },
            "states": {
                name: {key: (bits(s), s.dtype) for key, s in kept.items()} for name, kept in level._states.items()
            },
        }
        for level in optimizer.levels
    ]
    return levels, {name: (bits(w), bits(w.grad)) for name, w in params.items()}
