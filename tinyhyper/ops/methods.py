"""What makes a tensor at home in Python: its length, how it is written, copied and pickled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.operation import attach
from ..core.tensor import Tensor, leaf
from ..errors import DtypeError, GraphError, UnsupportedError


def __len__(x: Tensor) -> int:
    if not x.ndim:
        raise DtypeError("len: a 0-d tensor has no length")
    return x.shape[0]


def __iter__(x: Tensor) -> Iterator[Tensor]:
    return (x[n] for n in range(len(x)))


def __format__(x: Tensor, spec: str) -> str:
    return format(x.item(), spec) if spec else str(x)


def __setitem__(x: Tensor, index: Any, value: Any) -> None:
    raise UnsupportedError(
        "tensors are never written to, as the tape may hold them. Make a new one: th.where(mask, new, x), "
        "or change x.numpy().copy() and assign it to x.data"
    )


def __reduce__(x: Tensor) -> Any:
    if not x.is_leaf:
        raise GraphError(
            "copying or pickling a tensor that was computed would lose its graph. Copy its values, "
            "th.tensor(x.numpy(), requires_grad=True), or save an optimizer by its state_dict()"
        )
    return copied, (x.array, x.requires_grad, x.grad)


def copied(array: np.ndarray, requires_grad: bool, grad: Tensor | None) -> Tensor:
    """A copy of a leaf, with its gradient; its axes have the same order in memory, on which sums depend."""
    copy = Tensor(array.copy("K"))
    copy.grad = grad
    return leaf(copy) if requires_grad else copy


METHODS = (__len__, __iter__, __format__, __setitem__, __reduce__)
attach(Tensor, {method.__name__: method for method in METHODS})
