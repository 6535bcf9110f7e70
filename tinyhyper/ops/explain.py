"""What the core's docstrings and the entries of elementwise operations leave out: arguments, dtypes and errors."""

from __future__ import annotations

import inspect
import textwrap
from functools import cache
from typing import Any

from ..core import rules
from ..core.tensor import tensor
from .elementwise import RULES

AXES = "x: of any shape.  axis: an integer, a tuple of them, or None.  keepdims: whether these axes stay, of length 1."
KEPT = "The result has the dtype of x."
CORE: dict[Any, str] = {
    tensor: "array_like: a number, an array, a tensor, or nested lists of these, of any shape.\n"
    "requires_grad: whether `backward()` leaves the gradient in its `grad`.",
    rules.sum: f"{AXES}\nFloats keep their dtype; booleans and integers add up in int64, unsigned ones in uint64.",
    rules.mean: f"{AXES}\nIntegers and booleans become float64; float32 stays.",
    rules.swapaxes: f"x: of any shape.  axis1, axis2: integers. {KEPT}\nRaises ShapeError for an axis not in x.",
    rules.transpose: f"x: of any shape.  axes: all axes of x, as a sequence. {KEPT}\nRaises ShapeError for other axes.",
    rules.reshape: f"x: of any shape.  shape: an integer or a tuple of them. {KEPT}",
    rules.broadcast_to: f"x: of any shape.  shape: an integer or a tuple of them. {KEPT}",
    rules.sum_to: "x: of any shape.  shape: a tuple. Dtypes are as in `sum`.\n"
    "Raises ShapeError if `shape` does not broadcast to the shape of x.",
    rules.astype: "x: of any shape.  dtype: float32, float64, an integer type or bool, as NumPy takes it.",
    rules.matmul: "x, y: tensors or arrays. Their dtypes are promoted as in NumPy.",
}
FLOATS = "Integers and booleans become float64; float32 stays, beside Python numbers too."
PROMOTED = "Dtypes are promoted as in NumPy; a Python number takes on the dtype that it meets."


def register() -> None:
    """Complete the docstring of each elementwise operation by its signature, and those of the core from the table."""
    kinds = {op: "f" if op.gives_floats else op(*[1] * len(op.inputs)).dtype.kind for op in RULES.values()}
    elementwise = {op: _elementwise(op.inputs, kind) for op, kind in kinds.items()}
    for function, text in (CORE | elementwise | {rules.pow: elementwise[rules.power]}).items():
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or function.__name__)}\n\n{text}"


@cache
def _elementwise(inputs: tuple[str, ...], integers: str) -> str:
    """Of operations with these inputs. integers: of what kind the result is where they are given integers."""
    several = len(inputs) > 1
    takes = "tensors, arrays or numbers, of shapes that broadcast" if several else "a tensor, array or number"
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
