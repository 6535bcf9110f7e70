"""A step as users write it: loss, backward, step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..draws import Draws
from ..errors import DtypeError, GraphError
from ..optim.horizon import Window
from .moment import Batch
from .values import arrays_of


def eager_step(
    loss: Callable[..., Any],
    draws: Draws,
    carry: Mapping[str, Any],
    params: MutableMapping[str, Tensor],
    batch: Batch,
    optimizer: Optimizer,
) -> Tensor:
    """Make a step; its loss.

    draws: what the loss may draw from. If it does, that is put back, GraphError raised.
    carry: what the loss replaces; DtypeError is raised for what is no array.
    """
    before = draws.state()
    value = loss(params, *batch, **optimizer.outside)
    if draws.state() != before:
        draws.put_back(before)
        raise GraphError(
            "replay: the loss draws random numbers, which a program would draw once and for all. Draw them "
            "outside, and give them to the step with the batch"
        )
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"replay: the loss is a tensor of one element, not a {type(value).__name__}; return the tensor, without "
            ".item()"
        )
    arrays_of(carry)
    value.backward(create_graph=not optimizer.hooks[Window].cuts)
    optimizer.step(params)
    return value
