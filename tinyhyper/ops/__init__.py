"""The operations, by kind. `attach` gives tensors their operators, methods and NumPy functions.

| file | operations |
| --- | --- |
| `elementwise` | arithmetic, comparisons, selection, exponentials, trigonometry |
| `reduce` | sum, mean, prod, max, min, var, std, cumsum, norm; argmax, argmin, any, all |
| `shape` | reshape, transpose, broadcast_to, concatenate, stack, split, tile, pad, diagonal, triu and the like |
| `index` | x[index], take |
| `linalg` | matmul, dot, inner, outer, tensordot, einsum |
| `linear` | a layer: the product, and a fusion of bias and activation |
| `convolution` | conv2d, and its two transposes |
| `normalization` | batch_norm |
| `pooling` | max_pool2d, avg_pool2d |
| `recurrent` | lstm: a layer over a whole sequence |
| `nn` | softmax, log_softmax, logsumexp, cross_entropy |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..core import rules
from ..core.operation import attach as attach_to
from ..core.rules import foreign
from ..core.tensor import Tensor
from ..errors import CallError, DtypeError, UnsupportedError
from ..fusion.symbols import Symbol
from ..interop import NUMPY_FUNCTIONS, UNMASKED
from . import elementwise, explain, index, linalg, methods, reduce, shape  # noqa: F401  methods registers
from .elementwise import BY_NAME, NUMPY_ALIASES

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(module, name)
    for module, names in (
        (rules, "sum mean swapaxes"),
        (reduce, "max min prod var std cumsum argmax argmin any all"),
        (shape, "ravel squeeze repeat diagonal trace"),
        (index, "take"),
        (linalg, "dot"),
        (elementwise, "clip"),
    )
    for name in names.split()
} | {"flatten": shape.ravel}


def _clip(x: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Tensor:
    return elementwise.clip(x, min if a_min is None else a_min, max if a_max is None else a_max)


# NumPy's functions that an operation stands for: the operation, and NumPy's own parameters in their order.
FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "sum": (rules.sum, "a axis dtype out keepdims initial where"),
    "mean": (rules.mean, "a axis dtype out keepdims where"),
    "prod": (reduce.prod, "a axis dtype out keepdims initial where"),
    "max": (reduce.max, "a axis out keepdims initial where"),
    "amax": (reduce.max, "a axis out keepdims initial where"),
    "min": (reduce.min, "a axis out keepdims initial where"),
    "amin": (reduce.min, "a axis out keepdims initial where"),
    "var": (reduce.var, "a axis dtype out ddof keepdims where mean correction"),
    "std": (reduce.std, "a axis dtype out ddof keepdims where mean correction"),
    "cumsum": (reduce.cumsum, "a axis dtype out"),
    "linalg.norm": (reduce.norm, "x ord axis keepdims"),
    "linalg.trace": (partial(shape.trace, axis1=-2, axis2=-1), "x offset"),
    "linalg.diagonal": (partial(shape.diagonal, axis1=-2, axis2=-1), "x offset"),
    "linalg.matmul": (rules.matmul, "x1 x2"),
    "linalg.tensordot": (linalg.tensordot, "x1 x2 axes"),
    "argmax": (reduce.argmax, "a axis out keepdims"),
    "argmin": (reduce.argmin, "a axis out keepdims"),
    "any": (reduce.any, "a axis out keepdims where"),
    "all": (reduce.all, "a axis out keepdims where"),
    "reshape": (rules.reshape, "a shape order copy"),
    "ravel": (shape.ravel, "a order"),
    "transpose": (rules.transpose, "a axes"),
    "permute_dims": (rules.transpose, "a axes"),
    "swapaxes": (rules.swapaxes, "a axis1 axis2"),
    "moveaxis": (shape.moveaxis, "a source destination"),
    "expand_dims": (shape.expand_dims, "a axis"),
    "squeeze": (shape.squeeze, "a axis"),
    "broadcast_to": (rules.broadcast_to, "array shape subok"),
    "concatenate": (shape.concatenate, "arrays axis out dtype casting"),
    "concat": (shape.concatenate, "arrays axis out dtype casting"),
    "stack": (shape.stack, "arrays axis out dtype casting"),
    "split": (shape.split, "ary indices_or_sections axis"),
    "tile": (shape.tile, "A reps"),
    "repeat": (shape.repeat, "a repeats axis"),
    "flip": (shape.flip, "m axis"),
    "roll": (shape.roll, "a shift axis"),
    "pad": (shape.pad, "array pad_width mode"),
    "diagonal": (shape.diagonal, "a offset axis1 axis2"),
    "trace": (shape.trace, "a offset axis1 axis2 dtype out"),
    "triu": (shape.triu, "m k"),
    "tril": (shape.tril, "m k"),
    "astype": (rules.astype, "x dtype copy device"),
    "take": (index.take, "a indices axis out mode"),
    "matmul": (rules.matmul, "x1 x2 out"),
    "dot": (linalg.dot, "a b out"),
    "inner": (linalg.inner, "a b"),
    "outer": (linalg.outer, "a b out"),
    "tensordot": (linalg.tensordot, "a b axes"),
    "where": (rules.where, "condition x y"),
    "clip": (_clip, "a a_min a_max out min max"),
    "pow": (rules.pow, "x y out"),
    "power": (rules.pow, "x y out"),
    "reciprocal": (rules.reciprocal, "x out"),
    "logaddexp": (elementwise.logaddexp, "x y out"),
    "add.reduce": (rules.sum, "array axis dtype out keepdims initial where"),
    "multiply.reduce": (reduce.prod, "array axis dtype out keepdims initial where"),
    "maximum.reduce": (reduce.max, "array axis dtype out keepdims initial where"),
    "minimum.reduce": (reduce.min, "array axis dtype out keepdims initial where"),
    "add.accumulate": (reduce.cumsum, "array axis dtype out"),
}

# Of these only the values count, so they give what NumPy gives.
OF_VALUES = "shape ndim size allclose array_equal isclose isfinite isinf logical_not logical_and logical_or"
IGNORED = {"order": "C", "casting": "same_kind", "mode": "raise", "copy": True, "subok": False}


# Python's operators that are no operations here: how they are written, and what says the same.
REFUSED = {
    "floordiv": ("//", "th.floor(x / y)"),
    "mod": ("%", "x - y * th.floor(x / y)"),
    "divmod": ("divmod", "th.floor(x / y) and x - y * th.floor(x / y)"),
    "and": ("&", "np.logical_and(x, y)"),
    "or": ("|", "np.logical_or(x, y)"),
    "xor": ("^", "x != y"),
    "invert": ("~", "np.logical_not(x)"),
    "round": ("round", "th.floor(x + 0.5), or round(x.item()) to cut the graph"),
}


def attach() -> None:
    """Give Tensor its operators and methods, and NumPy's functions their operations."""
    members: dict[str, Any] = {"reshape": _reshape, "transpose": _transpose}
    refused = {f"__{side}{name}__": _refused(*told) for name, told in REFUSED.items() for side in ("", "r")}
    attach_to(Tensor, METHODS | members | refused)
    names = ("__array_ufunc__", "__array_function__", *refused)
    attach_to(Symbol, {name: getattr(Tensor, name) for name in names})  # which tell a fused function what it cannot do
    for name, op in (BY_NAME | NUMPY_ALIASES).items():
        NUMPY_FUNCTIONS[name] = _numpy(name, op, " ".join([*inspect.signature(op).parameters, "out"]))
    for name, (function, parameters) in FUNCTIONS.items():
        NUMPY_FUNCTIONS[name] = _numpy(name, function, parameters)
    for name in OF_VALUES.split():
        NUMPY_FUNCTIONS[name] = _of_values(getattr(np, name))
    NUMPY_FUNCTIONS["einsum"] = linalg.einsum


def _reshape(self: Tensor, *lengths: Any) -> Tensor:
    """The tensor in another shape. lengths: integers, or one tuple of them; one may be -1.

    The result has the dtype of the tensor. Raises ShapeError if the sizes differ, ArgumentError for what is no integer.
    """
    return rules.reshape(self, _one_tuple(lengths))


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    """The tensor with its axes in another order. axes: integers, or one sequence of them; reversed without any.

    The result has the dtype of the tensor.
    Raises ShapeError unless each axis of the tensor is there once, ArgumentError for what is no integer.
    """
    return rules.transpose(self, _one_tuple(axes) if axes else None)


def _one_tuple(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _refused(written: str, instead: str) -> Callable[..., Any]:
    def refuse(*operands: Any) -> Any:
        if any(map(foreign, map(type, operands))):
            return NotImplemented
        raise UnsupportedError(f"{written} is not supported for a Tensor; write {instead}")

    return refuse


def _numpy(name: str, function: Callable[..., Any], parameters: str) -> Callable[..., Any]:
    """An operation, called as NumPy calls the function; raises UnsupportedError for an unknown argument."""
    names = parameters.split()
    known = inspect.signature(function).parameters
    options = [p.name for p in known.values() if p.name in names and p.kind is not p.POSITIONAL_ONLY]
    inputs = names[: next(n for n, p in enumerate([*known, None]) if p in (*options, None))]
    reduces = name.endswith((".reduce", ".accumulate"))

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args)) | kwargs
        if len(args) > len(names):
            raise CallError(f"numpy.{name} takes at most {len(names)} arguments, not {len(args)}")
        if reduces:
            given.setdefault("axis", 0)
        for key in [key for key in given if key not in inputs and key not in known]:
            value = given.pop(key)
            if value is not None and not (key in IGNORED and value == IGNORED[key]):
                raise UnsupportedError(f"numpy.{name}: {key}={value!r} is not supported for a Tensor")
        missing = [key for key in inputs if key not in given]
        if missing:
            raise UnsupportedError(f"numpy.{name} of a Tensor needs {', '.join(missing)}")
        return function(*[given.pop(key) for key in inputs], **given)

    return call


def _of_values(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, np.ma.MaskedArray) for a in (*args, *kwargs.values())):
            raise DtypeError(f"numpy.{function.__name__}: {UNMASKED}")
        result = function(*[a.array if isinstance(a, Tensor) else a for a in args], **kwargs)
        return Tensor(result) if isinstance(result, np.ndarray) else result

    return call


attach()
explain.register()
