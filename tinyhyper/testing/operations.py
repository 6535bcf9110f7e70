"""The table of operations, a row each: what random programs and the tests of all operations apply them to.

A row's `arrange` draws what goes with a first operand of a given shape: the shapes of further operands, and options;
None where the operation does not take such a shape. `domains` say which values each operand may have: those at which
the operation is smooth and its derivatives are of moderate size, so that two libraries agree in nearly all digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from . import arrangements as a
from . import products as p
from .arrangements import Arrange, Options
from .numbers import numbers_off

APART = 1e-3  # how far values stay from kinks and ties
LARGEST = 20.0  # the size up to which values are taken as they are
Values = Callable[..., np.ndarray]  # of a generator, a shape, and a place


# ---- Domains


def between(low: float, high: float, kinks: Sequence[float] = (0.0,)) -> Values:
    """Draws values that keep a distance from kinks, from each other, and from those of another place, 0, 1 or 2."""
    return partial(_between, low, high, kinks)


def _between(
    low: float, high: float, kinks: Sequence[float], rng: np.random.Generator, shape: tuple[int, ...], place: int = 0
) -> np.ndarray:
    return numbers_off(rng, shape, low, high, kinks, place)


class Domain(NamedTuple):
    """Which values an operand may have.

    holds: whether these are such.  guard: the operations that lead others to such.  draw: such values, moderate ones.
    """

    holds: Callable[[np.ndarray], bool]
    guard: tuple[str, ...]
    draw: Values


def _within(low: float, high: float, *guard: str) -> Domain:
    return Domain(lambda x: bool(np.all((x > low) & (x < high))), guard, between(max(low, -2), min(high, 2)))


def _off(*kinks: float) -> Domain:
    return Domain(
        lambda x: bool(np.all(np.abs(x) < LARGEST) and all(np.all(np.abs(x - kink) > APART) for kink in kinks)),
        ("tanh", "cosh"),
        between(-2, 2, kinks),
    )


def _distinct(x: np.ndarray) -> bool:
    values = np.sort(x, axis=None)
    return bool(np.all(np.abs(x) < LARGEST) and np.all(np.diff(values) > APART))


def _either_sign(rng: np.random.Generator, shape: tuple[int, ...], place: int = 0) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape) * POSITIVE.draw(rng, shape, place)


REAL = _within(-LARGEST, LARGEST, "tanh")
SMALL = _within(-3.0, 3.0, "tanh")
POSITIVE = _within(0.3, LARGEST, "tanh", "cosh")
NONZERO = Domain(lambda x: bool(np.all((np.abs(x) > 0.3) & (np.abs(x) < LARGEST))), ("tanh", "cosh"), _either_sign)
# An exponent of 0 has a mixed derivative that PyTorch leaves out.
EXPONENT = _off(0.0)._replace(holds=lambda x: bool(np.all((np.abs(x) < 3.0) & (np.abs(x) > APART))))
BELOW_ONE = _within(-0.9, 0.9, "tanh", "sin")
DISTINCT = Domain(_distinct, (), between(-2, 2, ()))


# ---- The table


class Operation(NamedTuple):
    """A row of the table.

    domains: of the operands; the last also of those that follow.  arrange: what goes with the first operand.
    fits: what has to hold for the operands together, and their options.
    spelled: the same in the functions of a library that has none of this name; the library is the first argument.
    integers: whether NumPy has the same for integers.
    torch, jax: the name below `torch` and below `jax`, where it is neither the same nor, of JAX, below `jax.numpy`.
    call: how a library is called, if not by library.name(*operands, **options).  shown: that call of th, as Python.
    """

    domains: tuple[Domain, ...]
    arrange: Arrange = a.single
    fits: Callable[[Sequence[np.ndarray], Options], bool] = lambda arrays, options: True
    spelled: Callable[..., Any] | None = None
    integers: bool = True
    torch: str = ""
    jax: str = ""
    call: Callable[..., Any] | None = None
    shown: str = ""

    def domain(self, place: int) -> Domain:
        return self.domains[min(place, len(self.domains) - 1)]

    def of(self, library: Any, name: str, path: str = "") -> Callable[..., Any]:
        """The operation in a library: at a path, by its name, or made of what the library has."""
        if path:
            return attrgetter(path)(library)
        if self.call:
            return partial(self.call, library)
        if self.spelled and not hasattr(library, name):
            return partial(self.spelled, library)
        return getattr(library, name)


def _apart(arrays: Sequence[np.ndarray], options: Options) -> bool:
    return bool(np.all(np.abs(arrays[0] - arrays[1]) > APART))


def _terms(array: np.ndarray, axis: Any) -> int:
    """How many elements each result of a reduction is made of."""
    axes = range(array.ndim) if axis is None else normalize_axis_tuple(axis, array.ndim)
    return math.prod([array.shape[n] for n in axes])


def _some(arrays: Sequence[np.ndarray], options: Options) -> bool:
    return _terms(arrays[0], options["axis"]) > 0


def _spread_out(arrays: Sequence[np.ndarray], options: Options) -> bool:
    """Whether there is a variance to divide by, or to take the root of."""
    axis = options.get("axis", tuple(range(arrays[0].ndim - 1)))
    enough = _terms(arrays[0], axis) > 1 + options.get("ddof", 0)
    return enough and bool(np.all(np.var(arrays[0], axis=axis) > 0.01))


def _long(arrays: Sequence[np.ndarray], options: Options) -> bool:
    squares = np.sum(np.square(arrays[0]), axis=options.get("axis"))
    return bool(np.all(squares > 0.01))


# ---- What not every library has, from what it has


def _erf(library: Any, x: Any) -> np.ndarray:
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x), np.result_type(x, np.float32))


def _logsumexp(library: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return library.log(library.sum(library.exp(x), axis=axis, keepdims=keepdims))


def _log_softmax(library: Any, x: Any, axis: Any = -1) -> Any:
    return x - _logsumexp(library, x, axis, True)


def _softmax(library: Any, x: Any, axis: Any) -> Any:
    return library.exp(_log_softmax(library, x, axis))


def _norm(library: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return library.sqrt(library.sum(library.square(x), axis=axis, keepdims=keepdims))


def _sum_to(library: Any, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    padded = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple([n for n, length in enumerate(padded) if length == 1 and x.shape[n] != 1])
    return np.asarray(np.sum(x, axis=axes, keepdims=True).reshape(shape))


# ---- The rows

ELEMENTWISE: Mapping[str, Operation] = {
    **{name: Operation((SMALL,)) for name in ("exp", "expm1", "sinh", "cosh")},
    **{name: Operation((REAL,)) for name in ("positive", "negative", "square", "sin", "cos", "tanh", "arctan")},
    "sigmoid": Operation(
        (REAL,), spelled=lambda library, x: 1 / (1 + library.exp(-x)), integers=False, jax="nn.sigmoid"
    ),
    "softplus": Operation(
        (REAL,),
        spelled=lambda library, x: library.logaddexp(x, 0.0),
        integers=False,
        torch="nn.functional.softplus",
        jax="nn.softplus",
    ),
    "erf": Operation((REAL,), spelled=_erf, integers=False, jax="scipy.special.erf"),
    **{name: Operation((POSITIVE,)) for name in ("sqrt", "log")},
    **{name: Operation((BELOW_ONE,)) for name in ("log1p", "arcsin", "arccos", "tan")},
    "abs": Operation((_off(0.0),)),
    "relu": Operation((_off(0.0),), spelled=lambda library, x: library.maximum(x, 0), jax="nn.relu"),
    **{name: Operation((REAL,), a.broadcast(1)) for name in ("add", "subtract", "multiply", "logaddexp")},
    "reciprocal": Operation((NONZERO,), integers=False),  # NumPy's is whole for integers
    "divide": Operation((REAL, NONZERO), a.broadcast(1)),
    "power": Operation((POSITIVE, EXPONENT), a.broadcast(1), torch="pow"),
    "maximum": Operation((REAL,), a.broadcast(1), _apart),
    "minimum": Operation((REAL,), a.broadcast(1), _apart),
    "clip": Operation(
        (_off(-1.0, -0.7, 0.8, 1.0),),
        a.clipped,
        call=lambda library, x, min, max: library.clip(x, min, max),  # NumPy 2.0 calls the bounds otherwise
        integers=False,
    ),
    "where": Operation(
        (_off(0.5), REAL),
        a.broadcast(2),
        call=lambda library, x, y, z: library.where(x < 0.5, x * y, z),  # a condition alone has no gradient
        shown="th.where({0} < 0.5, {0} * {1}, {2})",
    ),
}

OPERATIONS: Mapping[str, Operation] = {
    **ELEMENTWISE,
    "sum": Operation((REAL,), a.only_options(a.reduction)),
    "mean": Operation((REAL,), a.only_options(a.reduction), _some),
    "prod": Operation((SMALL,), a.only_options(a.reduction)),
    "max": Operation((DISTINCT,), a.only_options(a.reduction), _some),
    "min": Operation((DISTINCT,), a.only_options(a.reduction), _some),
    "var": Operation((DISTINCT,), a.only_options(a.deviation), _spread_out),
    "std": Operation((DISTINCT,), a.only_options(a.deviation), _spread_out),
    "logsumexp": Operation(
        (REAL,), a.only_options(a.reduction), _some, _logsumexp, False, jax="scipy.special.logsumexp"
    ),
    "norm": Operation(
        (REAL,),
        a.only_options(a.reduction),
        _long,
        _norm,
        integers=False,
        torch="linalg.vector_norm",
        jax="numpy.linalg.norm",
    ),
    "cumsum": Operation((REAL,), a.only_options(a.axis_or_none)),
    "reshape": Operation((REAL,), a.only_options(a.reshaped), call=lambda library, x, shape: library.reshape(x, shape)),
    "ravel": Operation((REAL,)),
    "transpose": Operation(
        (REAL,), a.only_options(a.transposed), call=lambda library, x, axes: library.transpose(x, axes)
    ),
    "swapaxes": Operation((REAL,), a.only_options(a.two_axes, 1)),
    "moveaxis": Operation((REAL,), a.only_options(a.moves, 1)),
    "expand_dims": Operation((REAL,), a.only_options(a.inserted)),
    "squeeze": Operation((REAL,), a.only_options(a.squeezed)),
    "broadcast_to": Operation((REAL,), a.only_options(a.broadcasts)),
    "sum_to": Operation((REAL,), a.only_options(a.sums_to), spelled=_sum_to),
    "flip": Operation((REAL,), a.only_options(a.flips)),
    "roll": Operation((REAL,), a.only_options(a.rolls)),
    "pad": Operation((REAL,), a.only_options(a.padding)),
    "tile": Operation((REAL,), a.only_options(a.tiles)),
    "repeat": Operation((REAL,), a.only_options(a.repeats)),
    "diagonal": Operation((REAL,), a.only_options(a.diagonals, 2)),
    "trace": Operation((REAL,), a.only_options(a.diagonals, 2)),
    "tril": Operation((REAL,), a.only_options(a.band, 2)),
    "triu": Operation((REAL,), a.only_options(a.band, 2)),
    "concatenate": Operation(
        (REAL,),
        a.joined,
        call=lambda library, *xs, axis: library.concatenate(xs, axis),
        shown="th.concatenate([{operands}], {axis})",
    ),
    "stack": Operation(
        (REAL,),
        a.stacked,
        call=lambda library, *xs, axis: library.stack(xs, axis),
        shown="th.stack([{operands}], {axis})",
    ),
    "split": Operation(
        (REAL,),
        a.only_options(a.cuts, 1),
        call=lambda library, x, indices_or_sections, axis, piece: library.split(x, indices_or_sections, axis)[piece],
        shown="th.split({0}, {indices_or_sections}, {axis})[{piece}]",
    ),
    "getitem": Operation(
        (REAL,), a.only_options(a.indices), call=lambda library, x, index: x[index], shown="{0}[{index}]"
    ),
    "take": Operation((REAL,), a.taken),
    "matmul": Operation((REAL,), p.products),
    "dot": Operation((REAL,), p.dots),
    "inner": Operation((REAL,), p.inners),
    "outer": Operation((REAL,), p.outers),
    "tensordot": Operation((REAL,), p.tensordots),
    "einsum": Operation(
        (REAL,),
        p.einsums,
        call=lambda library, *xs, subscripts: library.einsum(subscripts, *xs),
        shown="th.einsum({subscripts}, {operands})",
    ),
    "softmax": Operation((REAL,), a.only_options(a.one_axis, 1), _some, _softmax, False, jax="nn.softmax"),
    "log_softmax": Operation((REAL,), a.only_options(a.one_axis, 1), _some, _log_softmax, False, jax="nn.log_softmax"),
    "cross_entropy": Operation(
        (REAL,), p.labelled,
        spelled=lambda library, x, labels: -library.mean(_log_softmax(library, x)[np.arange(len(x)), labels]),
        integers=False,
    ),
    "linear": Operation((SMALL,), p.layer),
    "conv2d": Operation((SMALL,), p.images(p.convolution)),
    "avg_pool2d": Operation((REAL,), p.images(a.only_options(p.windows))),
    "max_pool2d": Operation((DISTINCT,), p.images(a.only_options(p.windows))),
    "batch_norm": Operation((REAL,), p.images(p.normalized), _spread_out),
    "lstm": Operation(
        (SMALL,), p.sequence, call=lambda library, *xs: library.lstm(*xs)[0], shown="th.lstm({operands})[0]"
    ),
}
