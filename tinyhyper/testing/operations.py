"""The operations of random programs: a row each, saying what it is applied to.

A row's `arrange` draws what goes with a first operand of a given shape: the shapes of further operands, and options;
None where the operation does not take such a shape. `domains` say which values each operand may have: those at which
the operation is smooth and its derivatives are of moderate size, so that two libraries agree in nearly all digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from . import arrangements as a
from .arrangements import Arrange, Options

APART = 1e-3  # how far values stay from kinks and ties
LARGEST = 20.0  # the size up to which values are taken as they are


# ---- Domains


class Domain(NamedTuple):
    """Which values an operand may have; what others are led through first, to values that fit."""

    holds: Callable[[np.ndarray], bool]
    guard: tuple[str, ...]


def _within(low: float, high: float, *guard: str) -> Domain:
    return Domain(lambda x: bool(np.all((x > low) & (x < high))), guard)


def _off(*kinks: float) -> Domain:
    return Domain(
        lambda x: bool(np.all(np.abs(x) < LARGEST) and all(np.all(np.abs(x - kink) > APART) for kink in kinks)),
        ("tanh", "cosh"),
    )


def _distinct(x: np.ndarray) -> bool:
    values = np.sort(x, axis=None)
    return bool(np.all(np.abs(x) < LARGEST) and np.all(np.diff(values) > APART))


REAL = _within(-LARGEST, LARGEST, "tanh")
SMALL = _within(-3.0, 3.0, "tanh")
POSITIVE = _within(0.3, LARGEST, "tanh", "cosh")
NONZERO = Domain(lambda x: bool(np.all((np.abs(x) > 0.3) & (np.abs(x) < LARGEST))), ("tanh", "cosh"))
# An exponent of 0 has a mixed derivative that PyTorch leaves out.
EXPONENT = Domain(lambda x: bool(np.all((np.abs(x) < 3.0) & (np.abs(x) > APART))), ("tanh", "cosh"))
BELOW_ONE = _within(-0.9, 0.9, "tanh", "sin")
DISTINCT = Domain(_distinct, ())


# ---- The table


class Operation(NamedTuple):
    """A row: which domains the operands have, the last of them also those that follow, and what goes with them.

    fits: what has to hold for the operands together, and their options.
    """

    domains: tuple[Domain, ...]
    arrange: Arrange = a.alone
    fits: Callable[[Sequence[np.ndarray], Options], bool] = lambda arrays, options: True

    def domain(self, place: int) -> Domain:
        return self.domains[min(place, len(self.domains) - 1)]


def _apart(arrays: Sequence[np.ndarray], options: Options) -> bool:
    return bool(np.all(np.abs(arrays[0] - arrays[1]) > APART))


def _spread_out(arrays: Sequence[np.ndarray], options: Options) -> bool:
    """Whether there is a variance to divide by, or to take the root of."""
    axis, ddof = options.get("axis", tuple(range(arrays[0].ndim - 1))), options.get("ddof", 0)
    count = arrays[0].size // max(np.sum(arrays[0], axis=axis).size, 1)
    return count > 1 + ddof and bool(np.all(np.var(arrays[0], axis=axis) > 0.01))


def _long(arrays: Sequence[np.ndarray], options: Options) -> bool:
    squares = np.sum(np.square(arrays[0]), axis=options.get("axis"))
    return bool(np.all(squares > 0.01))


ELEMENTWISE: Mapping[str, Operation] = {
    **{name: Operation((SMALL,)) for name in ("exp", "expm1", "sinh", "cosh")},
    **{
        name: Operation((REAL,))
        for name in ("positive", "negative", "square", "sin", "cos", "tanh", "arctan", "sigmoid", "softplus", "erf")
    },
    **{name: Operation((POSITIVE,)) for name in ("sqrt", "log")},
    **{name: Operation((BELOW_ONE,)) for name in ("log1p", "arcsin", "arccos", "tan")},
    **{name: Operation((_off(0.0),)) for name in ("abs", "relu")},
    **{name: Operation((REAL,), a.broadcast(1)) for name in ("add", "subtract", "multiply", "logaddexp")},
    "reciprocal": Operation((NONZERO,)),
    "divide": Operation((REAL, NONZERO), a.broadcast(1)),
    "power": Operation((POSITIVE, EXPONENT), a.broadcast(1)),
    "maximum": Operation((REAL,), a.broadcast(1), _apart),
    "minimum": Operation((REAL,), a.broadcast(1), _apart),
    "clip": Operation((_off(-0.7, 0.8),), a.only_options(lambda draw, shape: {"min": -0.7, "max": 0.8})),
    "where": Operation((_off(0.5), REAL), a.broadcast(2)),
}

OPERATIONS: Mapping[str, Operation] = {
    **ELEMENTWISE,
    "sum": Operation((REAL,), a.only_options(a.reduction)),
    "mean": Operation((REAL,), a.only_options(a.reduction)),
    "prod": Operation((SMALL,), a.only_options(a.reduction)),
    "max": Operation((DISTINCT,), a.only_options(a.reduction)),
    "min": Operation((DISTINCT,), a.only_options(a.reduction)),
    "var": Operation((REAL,), a.only_options(a.deviation), _spread_out),
    "std": Operation((REAL,), a.only_options(a.deviation), _spread_out),
    "logsumexp": Operation((REAL,), a.only_options(a.reduction)),
    "norm": Operation((REAL,), a.only_options(a.reduction), _long),
    "cumsum": Operation((REAL,), a.only_options(a.axis_or_none)),
    "reshape": Operation((REAL,), a.only_options(a.reshaped)),
    "ravel": Operation((REAL,)),
    "transpose": Operation((REAL,), a.only_options(a.transposed)),
    "swapaxes": Operation((REAL,), a.only_options(a.two_axes, 1)),
    "moveaxis": Operation((REAL,), a.only_options(a.moves, 1)),
    "expand_dims": Operation((REAL,), a.only_options(lambda draw, shape: {"axis": a.an_axis(draw, shape, 1)})),
    "squeeze": Operation((REAL,), a.squeezed),
    "broadcast_to": Operation((REAL,), a.only_options(a.broadcasts)),
    "sum_to": Operation((REAL,), a.only_options(a.sums_to)),
    "flip": Operation((REAL,), a.only_options(a.flips)),
    "roll": Operation((REAL,), a.only_options(a.rolls)),
    "pad": Operation((REAL,), a.only_options(a.padding, 1)),
    "tile": Operation((REAL,), a.only_options(a.tiles)),
    "repeat": Operation((REAL,), a.only_options(a.repeats)),
    "diagonal": Operation((REAL,), a.only_options(a.diagonals, 2)),
    "trace": Operation((REAL,), a.only_options(a.diagonals, 2)),
    "tril": Operation((REAL,), a.only_options(a.band, 2)),
    "triu": Operation((REAL,), a.only_options(a.band, 2)),
    "concatenate": Operation((REAL,), a.joined),
    "stack": Operation((REAL,), a.stacked),
    "getitem": Operation((REAL,), a.only_options(a.indices)),
    "take": Operation((REAL,), a.only_options(a.taken, 1)),
    "matmul": Operation((REAL,), a.products),
    "dot": Operation((REAL,), a.dots),
    "inner": Operation((REAL,), a.inners),
    "outer": Operation((REAL,), a.outers),
    "tensordot": Operation((REAL,), a.tensordots),
    "einsum": Operation((REAL,), a.einsums),
    "softmax": Operation((REAL,), a.only_options(a.one_axis, 1)),
    "log_softmax": Operation((REAL,), a.only_options(a.one_axis, 1)),
    "cross_entropy": Operation((REAL,), a.labelled),
    "linear": Operation((SMALL,), a.layer),
    "conv2d": Operation((SMALL,), a.images(a.convolution)),
    "avg_pool2d": Operation((REAL,), a.images(a.only_options(a.windows))),
    "max_pool2d": Operation((DISTINCT,), a.images(a.only_options(a.windows))),
    "batch_norm": Operation((REAL,), a.images(a.normalized), _spread_out),
    "lstm": Operation((SMALL,), a.sequence),
}
