"""A rule over many rows of a table: its kernels, written from the expressions that a single call is compiled from.

A row names, for each operand and then each output of the rule, a place in one flat array of numbers. Rows are worked
off in order, so a row may read what an earlier one has written: a level of a tower reads what the level above moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np

from ..kernels.backend import compiler_is_off
from ..kernels.cache import load
from ..kernels.compiler import Signature, Writer
from ..kernels.expression import Expression, value_dtypes
from ..kernels.plan import elementwise_backend
from ..ops.fusion import Fusion

FLOAT = np.dtype(np.float64)

Mask = tuple[bool, ...]


def wanted() -> bool:
    """Whether kernels are to be compiled: not if NumPy is forced, or numba compiles nothing."""
    chosen = elementwise_backend.chosen
    return chosen == "numba" or (chosen == "auto" and not compiler_is_off())


@cache
def is_plain(fusion: Fusion) -> bool:
    """Whether a rule computes in float64 alone, so that its rows are what single calls of it are."""
    types, _ = value_dtypes(fusion.expression, (FLOAT,) * len(fusion.inputs), (False,) * len(fusion.inputs))
    return all(dtype == FLOAT or dtype.kind == "b" for dtype in types[-len(fusion.expression.lines) :])


@cache
def forward(fusion: Fusion) -> Callable[..., None]:
    """kernel(rows, values): for each row, from top to bottom, the outputs from the operands."""
    expression = fusion.expression
    lines, results = _translate(expression, [f"values[rows[n, {k}]]" for k in range(expression.inputs)])
    stores = [f"values[rows[n, {k}]] = {result}" for k, result in enumerate(results, expression.inputs)]
    return load(_source("values", [*lines, *stores]))


@cache
def backward(fusion: Fusion, wanted: Mask) -> Callable[..., None]:
    """kernel(rows, values, cotangents, reached): for each row, from bottom to top, cotangents of operands.

    That of the rule's first output is read, if any has reached it; what comes of it is added where further columns of
    the row say, one for each operand.
    """
    given = (True, *[False] * (len(fusion.outputs) - 1))
    vjp, reads, gives = fusion.derivative(given, wanted, True)
    place = f"rows[n, {len(fusion.inputs)}]"
    loads = [f"cotangents[{place}]", *[f"values[rows[n, {k}]]" for k in reads]]
    lines, results = _translate(vjp.expression, loads)
    for k, result in zip([len(fusion.inputs) + len(fusion.outputs) + operand for operand in gives], results):
        lines += [f"cotangents[rows[n, {k}]] += {result}", f"reached[rows[n, {k}]] = True"]
    body = [f"if reached[{place}]:", *["    " + line for line in lines]]
    return load(_source("values, cotangents, reached", body, "range(rows.shape[0] - 1, -1, -1)"))


def _source(arrays: str, body: Iterable[str], order: str = "range(rows.shape[0])") -> str:
    return "\n".join([f"def kernel(rows, {arrays}):", f"    for n in {order}:", *["        " + b for b in body], ""])


def _translate(expression: Expression, loads: list[str]) -> tuple[list[str], list[str]]:
    """The lines that compute an expression in float64 from its inputs, and its outputs."""
    return _Lines(expression).translate(loads)


class _Lines(Writer):
    """The compiler's translation of an expression, with no loop around it."""

    def __init__(self, expression: Expression) -> None:
        count, outputs = expression.inputs, len(expression.outputs)
        super().__init__(
            Signature(
                expression, (FLOAT,) * count, (False,) * count, (FLOAT,) * outputs, ((),) * count, ((),) * outputs
            )
        )

    def translate(self, loads: list[str]) -> tuple[list[str], list[str]]:
        self.live.update(self.expression.outputs)
        lines = [f"v{n} = {loads[n] if n < len(loads) else self._line(n)}" for n in self._needed()]
        return lines, [f"float64({self.text[n]})" for n in self.expression.outputs]
