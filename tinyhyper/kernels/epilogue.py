"""What is computed from a matrix product while its elements are still in the cache: a bias, an activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from . import compiler, threads
from .backend import compiler_is_off
from .expression import Expression, value_dtypes
from .plan import elementwise_backend, is_library_call
from .product import Product, Room
from .scratch import scratch


def finishing(expression: Expression, product: Product, inputs: Sequence[np.ndarray]) -> Finish | None:
    """How to compute an expression of a product block by block; None if an output is one of the arrays, or NumPy
    computes it all. Raises ShapeError for arrays that do not broadcast to the product."""
    shapes = [x.shape for x in inputs]
    if not fit(product.shape, *shapes):
        found = " and ".join(map(str, shapes))
        raise ShapeError(
            f"matmul: the epilogue's arrays must broadcast to the product's shape {product.shape}, not {found}"
        )
    own = all(number == 0 or number >= expression.inputs for number in expression.outputs)
    plain = all(array.ndim <= 2 and array.dtype.kind == "f" for array in inputs)
    by_numpy = elementwise_backend.chosen == "numpy" or compiler_is_off() or is_library_call(expression)
    return Finish(expression, product, inputs) if own and plain and not by_numpy else None


class Finish:
    """How to compute an expression of a product of two matrices, each block of rows as soon as it is there.

    It is for arrays of given shapes, strides and dtypes.  kept: which output is the product itself.
    """

    __slots__ = ("product", "kernel", "kept", "dtypes", "by_rows", "reshaped")

    def __init__(self, expression: Expression, product: Product, inputs: Sequence[np.ndarray]) -> None:
        self.product = product
        types, _ = value_dtypes(expression, [product.dtype, *[x.dtype for x in inputs]], (False,) * (len(inputs) + 1))
        self.dtypes = [types[number] for number in expression.outputs]
        self.kept = expression.outputs.index(0) if 0 in expression.outputs else None
        rows, columns = product.shape
        outs = [np.empty((rows, columns), dtype) for n, dtype in enumerate(self.dtypes) if n != self.kept]
        every = [np.empty((rows, columns), product.dtype), *inputs, *outs]
        layout = compiler.merge_axes((rows, columns), [x.shape for x in every], [x.strides for x in every])
        self.by_rows = [x.ndim == 2 and x.shape[0] == rows > 1 for x in every]
        self.reshaped = [
            (n, SHAPES[len(view)]) for n, (x, view) in enumerate(zip(every, layout.views)) if len(view) != x.ndim
        ]
        computed = tuple(number for n, number in enumerate(expression.outputs) if n != self.kept)
        self.kernel: Callable[..., None] | None = None
        if computed:
            split = 1 + len(inputs)
            self.kernel = compiler.kernel(
                compiler.Signature(
                    expression._replace(outputs=computed), tuple(x.dtype for x in every[:split]), (False,) * split,
                    tuple(x.dtype for x in outs), tuple(layout.varies[:split]), tuple(layout.varies[split:]),
                )
            )  # fmt: skip

    def run(self, a: np.ndarray, b: np.ndarray, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for a @ b and these arrays."""
        product, kept = self.product, self.kept
        outs = [np.empty(product.shape, dtype) for dtype in self.dtypes]
        room, spare = scratch.take(self, self._room)
        z = spare if kept is None else outs[kept]
        calls = product.calls(a[None], b[None], z[None], room)
        every = [z, *inputs, *(outs if kept is None else outs[:kept] + outs[kept + 1 :])]
        threads.run(self._block, [(call, self._cut(every, part.rows)) for call, part in zip(calls, product.parts)])
        scratch.give(self, (room, spare))
        return outs

    def _room(self) -> tuple[list[Room], np.ndarray | None]:
        """Room for the product's strips, and for the product if it is none of the outputs."""
        return self.product.room(), np.empty(self.product.shape, self.product.dtype) if self.kept is None else None

    def _cut(self, every: Sequence[np.ndarray], rows: slice) -> list[np.ndarray]:
        """Some rows of the product, the inputs and the outputs, as the kernel wants them."""
        args = list(every)
        if len(self.product.parts) > 1:
            args = [x[rows] if by_rows else x for x, by_rows in zip(args, self.by_rows)]
        for n, shape in self.reshaped:
            args[n] = args[n].reshape(shape)
        return args

    def _block(self, call: Sequence[Any], args: Sequence[np.ndarray]) -> None:
        self.product.kernel(*call)
        if self.kernel is not None:
            self.kernel(*args)


SHAPES = {0: (), 1: (-1,)}  # what a view that varies along no loop, or along one, is given to the kernel as


def fit(shape: tuple[int, ...], *shapes: tuple[int, ...]) -> bool:
    """Whether arrays of these shapes broadcast to a product's."""
    try:
        return np.broadcast_shapes(shape, *shapes) == shape
    except ValueError:
        return False
