"""A linear layer: the product, the bias and the activation in one pass over memory.

The bias is added and the activation applied to blocks of the product that are still in the cache. On the tape this is
what it would be without: the product, and a fusion of all that follows. So there is no derivative to write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..kernels.epilogue import Epilogue, fit
from ..kernels.matmul import matmul as product
from ..tape import mode
from ..tensor import FLOATS, Tensor, as_tensor
from .fuse import Fusion, operand, trace
from .linalg import matmul
from .operation import OPERATIONS, Spec

PRODUCT = OPERATIONS["matmul"]


def linear(x: Any, weight: Any, bias: Any = None, activation: Callable[[Any], Any] | None = None) -> Tensor:
    """activation(x @ weight + bias), in one pass.

    x: (..., inputs).  weight: (inputs, outputs).  bias: what broadcasts to the result, such as (outputs,).
    activation: a function of elementwise operations, such as th.tanh; give the same function each time, as it is
    run on symbols once. Raises ShapeError if the shapes do not fit, ArgumentError for what is no such function.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if bias is None and activation is None:
        return matmul(x, weight)
    pairs = [] if bias is None else [operand(bias, "linear")]
    after, weak = [tensor for tensor, _ in pairs], tuple([number for _, number in pairs])
    fusion = _after(activation, bias is not None)
    plain = x.ndim < 2 or weight.ndim != 2 or True in weak or not _one_float_dtype(x, weight, *after)
    if mode.tape is None and not plain:
        return _in_one_pass(x, weight, after, fusion)
    result = matmul(x, weight)
    _check(result.shape, after)
    return fusion([result, *after], (False, *weak))[0]


def _in_one_pass(x: Tensor, weight: Tensor, after: list[Tensor], fusion: Fusion) -> Tensor:
    """As `fusion` of the product, which is only kept if the fusion's derivative reads it."""
    shape = (*x.shape[:-1], weight.shape[1])
    _check(shape, after)
    later = [operand.array for operand in after]
    edges = [x.edge, weight.edge, *[operand.edge for operand in after]]
    context = None
    if mode.recording and any(edges):
        node = PRODUCT.node(edges[:2], [x.array, weight.array], None, PRODUCT.defaults)
        edges = [None if node is None else (node, 0), *edges[2:]]
        operands: list[Any] = [Spec(shape, x.dtype, _strides(shape, x.dtype.itemsize)), *later]
        context = fusion.context(fusion.plan(operands, (False,) * len(operands)), edges)
    keep = context is not None and 0 in context.reads
    out, *kept = product(x.array, weight.array, _epilogue(fusion, keep), later)
    return fusion.recorded(context, edges, [kept[0] if keep else None, *later], [out])[0]


def _check(shape: tuple[int, ...], after: list[Tensor]) -> None:
    for bias in after:
        if bias.shape != shape[-1:] and not fit(shape, bias.shape):
            raise ShapeError(f"linear: a bias of shape {bias.shape} does not broadcast to the result's {shape}")


def _one_float_dtype(*tensors: Tensor) -> bool:
    dtype = tensors[0].dtype
    return dtype in FLOATS and all(tensor.dtype == dtype for tensor in tensors)


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """How a fresh array of the shape lies in memory."""
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.append(strides[-1] * length)
    return tuple(strides[::-1])


@functools.lru_cache(maxsize=256)
def _after(activation: Callable[[Any], Any] | None, biased: bool) -> Fusion:
    """What follows the product, as a fusion of the product and the bias."""
    if activation is not None and not callable(activation):
        raise ArgumentError(f"linear: activation={activation!r} is not a function, such as th.tanh")

    def after(product: Any, *bias: Any) -> Any:
        total = product + bias[0] if bias else product
        return activation(total) if activation else total

    after.__name__ = " + ".join(["bias"] * biased + [getattr(activation, "__name__", "activation")] * bool(activation))
    fusion, several = trace(after, 1 + biased, eager=True)
    if several:
        raise ArgumentError(f"linear: {after.__name__} returns several values; an activation returns one")
    return fusion


@functools.lru_cache(maxsize=512)
def _epilogue(fusion: Fusion, keep: bool) -> Epilogue:
    """The fusion for the product's kernel, with the product itself as a second output if it is to be kept."""
    outputs = fusion.expression.outputs
    return Epilogue(fusion.expression._replace(outputs=(*outputs, 0) if keep else outputs))
