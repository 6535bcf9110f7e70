"""What docstrings of operations leave out: arguments, dtypes and errors, by kind, and from a table for the core."""

from __future__ import annotations

import inspect
import re
import textwrap
from functools import cache
from typing import Any

from ..core import rules
from ..core.operation import OPERATIONS
from ..core.tensor import Tensor, tensor
from . import convolution, index, linalg, linear, nn, normalization, pooling, recurrent, reduce, shape
from .elementwise import BY_NAME, POW, POWER

AXES = "x: of any shape.  axis: an integer, a tuple of them, or None.  keepdims: whether these axes stay, of length 1."
SAME = "The result has the dtype of x."
CORE: dict[Any, str] = {
    Tensor: "array: of NumPy, of any shape; float32, float64, integers or booleans.\n"
    "Raises DtypeError for anything else.",
    Tensor.backward: "The gradient must be of this tensor's dtype, float32 or float64. Raises DtypeError for another, "
    "and for a `.grad`\nthat was set to something else.",
    Tensor.numpy: "The array has the shape and dtype of the tensor.",
    tensor: "array_like: a number, an array, a tensor, or nested lists of these, of any shape.\n"
    "requires_grad: whether `backward()` leaves the gradient in its `grad`.\n"
    "Raises ArgumentError for a dtype that there is not, for lists of several lengths, and for numbers that the dtype "
    "does\nnot hold.",
    rules.sum: f"{AXES}\nFloats keep their dtype; booleans and integers add up in int64, unsigned ones in uint64.",
    rules.mean: f"{AXES}\nIntegers and booleans become float64; float32 stays.",
    rules.swapaxes: f"x: of any shape.  axis1, axis2: integers. {SAME}\nRaises ShapeError for an axis not in x.",
    rules.transpose: f"x: of any shape.  axes: all axes of x, as a sequence. {SAME}\nRaises ShapeError for other axes.",
    rules.reshape: f"x: of any shape.  shape: an integer or a tuple of them. {SAME}",
    rules.broadcast_to: f"x: of any shape.  shape: an integer or a tuple of them. {SAME}",
    rules.sum_to: "x: of any shape.  shape: a tuple. Dtypes are as in `sum`.\n"
    "Raises ShapeError if `shape` does not broadcast to the shape of x.",
    rules.astype: "x: of any shape, which the result has.\n"
    "dtype: float32, float64, an integer type or bool, as NumPy takes it. Raises ArgumentError if NumPy does not.",
    rules.matmul: "x, y: of shapes (..., n, k) and (..., k, m), or (k,). Their dtypes are promoted as in NumPy.",
}
OPERANDS = re.compile(r"^ *(xs?|logits|operands)(, \w+)*: ", re.MULTILINE)
OTHERS = "Raises DtypeError for operands of other dtypes than float32, float64, integers and booleans"
OPTIONS = ", ArgumentError for\nanother argument of a wrong type"
MODULES = convolution, index, linalg, linear, nn, normalization, pooling, recurrent, reduce, rules, shape
POWERS = "Raises ArgumentError for integers to the power of negative integers."
FLOATS = "Integers and booleans become float64; float32 stays, beside Python numbers too."
PROMOTED = "Dtypes are promoted as in NumPy; a Python number takes on the dtype that it meets."


def register() -> None:
    """Complete docstrings: of elementwise operations by their signatures, of the core's from the table, and of all
    others that say what their operands are by the error for those that are none.
    """
    kinds = {op: "f" if op.gives_floats else op(*[1] * len(op.inputs)).dtype.kind for op in BY_NAME.values()}
    elementwise: dict[Any, str] = {op: _elementwise(op.inputs, kind) for op, kind in kinds.items()}
    elementwise[POW] = elementwise[POWER] = elementwise[rules.power] = f"{elementwise[rules.power]}\n{POWERS}"
    for function, text in (CORE | elementwise).items():
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or function.__name__)}\n\n{text}"
    for module in MODULES:
        for name, function in vars(module).items():
            told = getattr(function, "__doc__", None) or ""
            own = getattr(function, "__module__", "") == module.__name__
            if own and function not in elementwise and OPERANDS.search(told):
                options = OPTIONS if getattr(OPERATIONS.get(name), "defaults", None) else ""
                function.__doc__ = f"{inspect.cleandoc(told)}\n{OTHERS}{options}."


@cache
def _elementwise(inputs: tuple[str, ...], integers: str) -> str:
    """Of operations with these inputs. integers: of what kind the result is where they are given integers."""
    several = len(inputs) > 1
    takes = "tensors, arrays or numbers, of shapes that broadcast" if several else "a tensor or array of any shape"
    dtypes = {"b": "", "f": FLOATS, "i": PROMOTED if several else "Floats and integers keep their dtype."}[integers]
    errors = ["DtypeError for anything but float32, float64, integers and booleans"]
    if integers == "i":
        errors[0] += ", and for those of them that NumPy refuses"
    if several:
        errors.append("ShapeError for shapes that do not broadcast")
    if several and integers == "i":
        errors.append("ArgumentError for a Python integer that the dtype does not hold")
    sentences = f"{', '.join(inputs)}: {takes}. {dtypes}", f"Raises {', '.join(errors)}."
    return "\n".join(textwrap.fill(sentence, 116) for sentence in sentences)
