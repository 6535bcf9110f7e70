"""What an optimizer says of itself: `help(th.optim.Adam)` of each argument, from its table; `str()` of its values."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from ..core.coordinates import Coordinate, Hyperparameter
from ..core.operation import attach
from ..core.optimizers import SGD
from ..core.tower import KEYWORDS, Optimizer
from .ranges import ends

MEANING = {
    "alpha": "the step size. A dict gives each parameter a rate by its name; a name without a rate stays put.",
    "mu": "the momentum, the share of the last step that the next one keeps; 0 for none.",
    "weight_decay": "pulls each weight towards 0, by this share of it; 0 for none.",
    "nesterov": "whether the gradient is taken as if the momentum had already moved the weight.",
    "eps": "keeps a divisor away from 0.",
    "rho": "the share of the running means of squares that the next step keeps.",
    "gamma": "the share of the running mean of squared gradients that the next step keeps.",
    "beta1": "the share of the running mean of gradients that the next step keeps.",
    "beta2": "the share of the running mean of squared gradients that the next step keeps.",
    "optimizer": "the level above, which tunes the hyperparameters of this one. None: nothing tunes them.",
    "tune": "a tuple of the hyperparameters that the level above tunes. None: all in use except eps.",
    "coordinates": 'a dict from a hyperparameter to "linear", "log", "sqrt" or "unit", in which it is tuned.',
    "outside": "a dict of numbers that the loss reads, from `optimizer.outside`, and that are tuned too, each in its "
    "coordinate. At the bottom level, with a horizon of 2 or more.",
    "horizon": "how many steps lie between two cuts; the hyperparameters move only at a cut. None: nothing is ever "
    "cut, and no level above is needed. At the bottom level only.",
    "objective": 'the loss that hypergradients differentiate: the "last" one of a window, or the "sum" of all its '
    "losses. At the bottom level only.",
    "clip_value": "the largest size of an element in a gradient that this level reads. None: no limit.",
    "clip_norm": "the largest norm of all these gradients together; elements are clipped first. None: no limit. "
    "Hypergradients are those of the clipped step.",
    "on_nonfinite": "what happens to a step in which a gradient, a new value or a new state is not finite. None: it is "
    'made as any other. "raise": AnomalyError. "skip": nothing moves at any level, as if there had been no batch; '
    "`skipped` counts these steps. At the bottom level only.",
}

RAISES = (
    "Raises CallError for an unknown keyword, ArgumentError for a value outside its range,\n"
    "DtypeError for an optimizer that is none."
)
CORE: dict[Any, str] = {
    SGD: "Sources: Polyak, 1964 (momentum); Nesterov, 1983, as Sutskever et al., 2013, write it.",
    Optimizer: "Raises DtypeError for an `optimizer` that is none.",
    Optimizer.step: "The weights may have any shape; float32 or float64, which each keeps.\n"
    "Raises ArgumentError for names that do not fit, DtypeError for params that are no dict of tensors with a gradient "
    "and\nfor gradients of another dtype, ShapeError for those of another shape, GraphError where no gradient has "
    "come,\nUnsupportedError for a rule that differs at each run, AnomalyError as `on_nonfinite` says.",
    Optimizer.meaning: "internal: a float, in the hyperparameter's coordinate.",
    Coordinate: "name: a string.  value, internal: functions of a float; value, of a tensor too.  low, high: floats.\n"
    '"linear" is value(u) = u, "log" exp(u), "sqrt" u * u and "unit" (1 + tanh(u)) / 2.',
    Coordinate.locate: "value: a float.  tuned: whether the level above moves it.",
    Hyperparameter: "default: a float.  coordinate: a Coordinate.  tuned, optional: bools.  range: a pair of floats.",
}


def register() -> None:
    """Add its arguments to the docstring of each optimizer, and show levels with their values."""
    attach(Optimizer, {"__str__": _shown, "__repr__": _shown})
    arguments = {cls: _arguments(cls) for cls in Optimizer.__subclasses__()}
    for told, text in (*arguments.items(), *CORE.items()):
        told.__doc__ = f"{inspect.cleandoc(told.__doc__ or told.__name__)}\n\n{text}"


def _arguments(optimizer: type[Optimizer]) -> str:
    lines = []
    for name, parameter in inspect.signature(optimizer).parameters.items():
        coordinate = optimizer.table[name].coordinate.name if name in optimizer.table else "linear"
        span = f", from {ends(optimizer.table[name].range)}" if name in optimizer.table else ""
        where = "" if coordinate == "linear" else f", tuned in {coordinate} coordinates"
        shown = name if name in KEYWORDS else f"{name} ({parameter.default!r}{span}{where})"
        lines += textwrap.wrap(f"{shown}: {MEANING[name]}", 116, subsequent_indent="  ")
    return "\n".join([*lines, RAISES])


def _shown(optimizer: Optimizer) -> str:
    return " / ".join(map(_level, optimizer.levels))


def _level(level: Optimizer) -> str:
    values, tuned = level.hyperparameters, level._tuned
    rows = [(key, level.table[row]) for key, row in level._rows.items() if row in level._in_use]
    shown = [f"{key}={values[key]:.6g}" for key, row in rows if row.tuned or key in tuned]
    shown += [f"{key}={value}" for key, value in level._options if value]
    return f"{type(level).__name__}({', '.join([*shown, *filter(None, map(str, level.hooks.values()))])})"
