"""A step as users write it: loss, backward, step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..draws import Draws
from ..errors import DtypeError, GraphError, ShapeError
from ..optim.goal import descend
from ..optim.horizon import Window
from .moment import Batch
from .values import arrays_of


def asks(goal: Callable[..., Any] | None, params: Mapping[str, Tensor], optimizer: Optimizer) -> bool:
    """Whether a step begins with the goal: it is a window's first, and another step has moved these weights."""
    return goal is not None and optimizer.hooks[Window].cuts and not all(w.is_leaf for w in params.values())


def eager_step(
    loss: Callable[..., Any],
    goal: Callable[..., Any] | None,
    draws: Draws,
    carry: Mapping[str, Any],
    params: MutableMapping[str, Tensor],
    batch: Batch,
    optimizer: Optimizer,
) -> Tensor:
    """Make a step; its loss.

    goal: what the levels above descend, asked first of the weights that the step before has made.
    draws: what the loss may draw from. If it does, that is put back, GraphError raised.
    carry: what the loss replaces; DtypeError is raised for anything but an array.
    """
    if goal is not None and asks(goal, params, optimizer):
        descend(_asked("goal", goal, draws, params, batch, {}), optimizer, params)
    value = _asked("loss", loss, draws, params, batch, optimizer.outside)
    arrays_of(carry)
    value.backward(create_graph=not optimizer.hooks[Window].cuts)
    optimizer.step(params)
    return value


def _asked(
    name: str,
    function: Callable[..., Any],
    draws: Draws,
    params: Mapping[str, Tensor],
    batch: Batch,
    outside: Mapping[str, Tensor],
) -> Tensor:
    """The value of a loss, or of a goal."""
    before = draws.state()
    value = function(params, *batch, **outside)
    if draws.state() != before:
        draws.put_back(before)
        raise GraphError(
            f"replay: the {name} draws random numbers, which a program would draw only once. Draw them outside, and "
            "give them to the step with the batch"
        )
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"replay: the {name} must return a tensor of one element, not a {type(value).__name__}; leave out .item()"
        )
    if value.size != 1:
        raise ShapeError(
            f"replay: the {name} must return a tensor of one element, not of shape {value.shape}; return its mean, "
            "th.mean(...), or its sum"
        )
    if value.edge is not None and value.edge[0].released:
        raise GraphError(
            f"replay: the {name} called backward() itself. A step of train calls it, and then optimizer.step(); the "
            f"{name} must only return the tensor"
        )
    return value
