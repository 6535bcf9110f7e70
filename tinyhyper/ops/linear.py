"""A linear layer: the product, and a fusion of the bias and the activation that follow it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

from ..closures import version
from ..core.rules import matmul
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError
from ..fusion.fuse import operand, trace
from ..fusion.fusion import Fusion, Mask


def linear(x: Any, weight: Any, bias: Any = None, activation: Callable[[Any], Any] | None = None) -> Tensor:
    """activation(x @ weight + bias): two nodes of the tape.

    x: (..., inputs).  weight: (inputs, outputs).  bias: of a shape that broadcasts to the result's, (..., outputs),
    such as (outputs,). Their dtypes are promoted as in NumPy.
    activation: a function of elementwise operations, such as th.tanh; give the same function each time, as it is
    run on symbols, and again only when what it closes over has changed.
    Raises ShapeError if the shapes do not fit, ArgumentError for an activation that is no function of one result,
    UnsupportedError for one of other operations.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if bias is None and activation is None:
        return matmul(x, weight)
    if callable(bias):
        raise ArgumentError(
            f"linear: bias must be an array or a tensor, not the function {bias!r}; give that as activation="
        )
    tensor, number = (None, False) if bias is None else operand(bias, "linear")
    scalars = (False,) if tensor is None else (False, number)
    after = _after(a_function("linear", activation), version(activation), scalars)
    product = matmul(x, weight)
    if tensor is None:
        return after([product])[0]
    if tensor.shape != product.shape[-1:] and not _broadcasts(tensor.shape, product.shape):
        raise ShapeError(
            f"linear: a bias of shape {tensor.shape} does not broadcast to the shape of x @ weight, {product.shape}"
        )
    return after([product, tensor])[0]


@functools.lru_cache(maxsize=256)
def _after(activation: Callable[[Any], Any] | None, version: int, scalars: Mask) -> Fusion:
    """What follows the product, as a fusion of the product and the bias; by the activation of this version.

    scalars: whether the product, and the bias if there is one, is a number.
    """

    def after(product: Any, *bias: Any) -> Any:
        return product + bias[0] if bias else product

    return activated("linear", after, ["bias"] * (len(scalars) - 1), activation, scalars)


def activated(what: str, function: Callable[..., Any], words: list[str], activation: Any, scalars: Mask) -> Fusion:
    """A function and the activation after it as a fusion of operands, of which `scalars` says whether they are numbers.

    what: the operation, for errors.  words: what else there is in the fusion's name.
    """

    def whole(*operands: Any) -> Any:
        out = function(*operands)
        return activation(out) if activation else out

    whole.__name__ = " + ".join([*words, *[getattr(activation, "__name__", "activation")] * bool(activation)])
    fusion, several = trace(whole, len(scalars), scalars=scalars)
    if several:
        raise ArgumentError(f"{what}: activation must return one value, but {whole.__name__} returns several")
    return fusion


def a_function(what: str, activation: Any) -> Any:
    """The activation. Raises ArgumentError for one that is no function, or has no hash, by which it is found again."""
    if activation is not None and not (callable(activation) and isinstance(activation, Hashable)):
        raise ArgumentError(f"{what}: activation must be a function, such as th.tanh, not {activation!r}")
    return activation


def _broadcasts(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether one shape broadcasts to another, of any number of axes; NumPy would compare 32 at most."""
    paired = zip(reversed(shape), reversed(whole))
    return len(shape) <= len(whole) and all(length in (1, other) for length, other in paired)
