"""A linear layer: the product, the bias and the activation in one pass over memory.

The bias is added and the activation applied to blocks of the product that are still in the cache. On the tape this is
what it would be without: the product, and a fusion of all that follows. So there is no derivative to write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..closures import version
from ..errors import ArgumentError, ShapeError
from ..kernels import threads
from ..kernels.epilogue import fit
from ..kernels.matmul import finish, matmul_backend
from ..kernels.matmul import matmul as product
from ..kernels.plan import elementwise_backend
from ..kernels.quiet import quietly
from ..tape import current
from ..tensor import Tensor, as_tensor
from .fuse import operand, trace
from .fusion import Fusion, Mask
from .linalg import matmul
from .operation import OPERATIONS

PRODUCT = OPERATIONS["matmul"]
MOST = 1_000  # kinds of layers that are remembered

_layers: dict[Any, Layer] = {}


def linear(x: Any, weight: Any, bias: Any = None, activation: Callable[[Any], Any] | None = None) -> Tensor:
    """activation(x @ weight + bias), in one pass.

    x: (..., inputs).  weight: (inputs, outputs).  bias: what broadcasts to the result, such as (outputs,).
    activation: a function of elementwise operations, such as th.tanh; give the same function each time, as it is
    run on symbols, and again only when what it closes over has changed.
    Raises ShapeError if the shapes do not fit, ArgumentError for what is no such function.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if bias is None and activation is None:
        return matmul(x, weight)
    if callable(bias):
        raise ArgumentError(f"linear: bias={bias!r} is a function; the bias comes before it, or say activation=")
    operands: list[Tensor] = [x, weight]
    weak: Mask = (False,)
    if bias is not None:
        tensor, number = operand(bias, "linear")
        operands, weak = [x, weight, tensor], (False, number)
    if current().tape is None and x.ndim == 2 == weight.ndim:
        return _layer(operands, weak, activation)(operands)
    fusion, result = _after(activation, version(activation), bias is not None), matmul(x, weight)
    _check(result.shape, operands[2:])
    return fusion([result, *operands[2:]], weak)[0]


class Layer:
    """How to compute a layer for matrices of given shapes, strides and dtypes, some of them on the tape.

    fusion: what follows the product.  plan: how to compute it from a whole product.  finish: how to compute it block by
    block, None if that does not pay.  context: what the fusion's node remembers; None if nothing is recorded.
    """

    __slots__ = ("fusion", "plan", "finish", "context")

    def __init__(self, operands: Sequence[Tensor], weak: Mask, fusion: Fusion) -> None:
        x, weight, *after = operands
        total = np.empty((x.shape[0], weight.shape[1]), np.result_type(x.dtype, weight.dtype))
        _check(total.shape, after)
        later = [operand.array for operand in after]
        self.fusion, self.plan = fusion, fusion.plan([total, *later], weak)
        flows = [x.edge or weight.edge, *[operand.edge for operand in after]]
        self.context = fusion.context(self.plan, flows) if current().recording else None
        outputs = fusion.expression.outputs
        kept = self.context is not None and 0 in self.context.reads
        expression = fusion.expression._replace(outputs=(*outputs, 0) if kept else outputs)
        self.finish = finish(x.array, weight.array, expression, later) if True not in weak else None

    def __call__(self, operands: Sequence[Tensor]) -> Tensor:
        """As the fusion of the product, which is only kept if the fusion's derivative reads it."""
        x, weight, *later = [operand.array for operand in operands]
        if self.finish is None:
            total = quietly(product, x, weight)
            outs = self.plan.run([total, *later])
        else:
            outs = self.finish.run(x, weight, later)
            total = outs[-1]
        if self.context is None:
            return Tensor(outs[0])
        edges = [operand.edge for operand in operands]
        node = PRODUCT.node(edges[:2], [x, weight], None, PRODUCT.defaults)
        edges[:2] = [None if node is None else (node, 0)]
        return self.fusion.recorded(self.context, tuple(edges), [total, *later], outs[:1])[0]


def _layer(operands: Sequence[Tensor], weak: Mask, activation: Callable[[Any], Any] | None) -> Layer:
    """The layer for operands like these, decided once for all that it depends on."""
    arrays = [(x.array.shape, x.array.strides, x.array.dtype, x.edge is None) for x in operands]
    chosen = elementwise_backend.chosen, matmul_backend.chosen, threads.num_threads(), current().recording
    seen = version(activation)
    key = (activation, seen, weak, *chosen, *arrays)
    if (layer := _layers.get(key)) is None:
        layer = Layer(operands, weak, _after(activation, seen, len(operands) > 2))
        if len(_layers) >= MOST:
            _layers.clear()
        _layers[key] = layer
    return layer


def _check(shape: tuple[int, ...], after: list[Tensor]) -> None:
    for bias in after:
        if bias.shape != shape[-1:] and not fit(shape, bias.shape):
            raise ShapeError(f"linear: a bias of shape {bias.shape} does not broadcast to the result's {shape}")


@functools.lru_cache(maxsize=256)
def _after(activation: Callable[[Any], Any] | None, version: int, biased: bool) -> Fusion:
    """What follows the product, as a fusion of the product and the bias; by the activation of this version."""
    if activation is not None and not callable(activation):
        raise ArgumentError(f"linear: activation={activation!r} is not a function, such as th.tanh")

    def after(product: Any, *bias: Any) -> Any:
        total = product + bias[0] if bias else product
        return activation(total) if activation else total

    after.__name__ = " + ".join(["bias"] * biased + [getattr(activation, "__name__", "activation")] * bool(activation))
    fusion, several = trace(after, 1 + biased)
    if several:
        raise ArgumentError(f"linear: {after.__name__} returns several values; an activation returns one")
    return fusion
