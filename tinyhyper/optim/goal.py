"""What the levels above descend: the training losses, or any other function of the weights."""

from __future__ import annotations

from collections.abc import MutableMapping

from ..arguments import named
from ..core.tensor import Tensor, leaf
from ..core.tower import Optimizer
from ..errors import DtypeError, GraphError
from .horizon import Window
from .nonfinite import Guard


def descend(goal: Tensor, optimizer: Optimizer, params: MutableMapping[str, Tensor]) -> None:
    """Let the levels above descend a goal, such as a validation loss, and not the training loss that follows.

    goal: a tensor of one element, a function of the weights in `params`, right after `optimizer.step(params)`; with a
    horizon, after the last step of a window.
    optimizer: a tower. With horizon=None nothing above moves: the gradient of the whole run is left in the `.grad` of
    the hyperparameters, and the next step begins a new run.
    params: its weights by name. They are leaves afterwards, at the same values: so the next training loss gives them
    their gradients, and the hyperparameters none.
    Raises GraphError where no step has moved the weights, and within a window; AnomalyError for a goal that is not
    finite, with on_nonfinite="raise"; DtypeError for arguments of another type; else as `goal.backward()`. Then nothing
    has changed.
    """
    named("descend", params, MutableMapping)
    if not isinstance(optimizer, Optimizer):
        raise DtypeError(f"descend: optimizer must be a tower, such as th.optim.SGD(0.1), not {optimizer!r}")
    if not isinstance(goal, Tensor):
        raise DtypeError(f"descend: the goal must be a tensor of one element, not a {type(goal).__name__}")
    window: Window = optimizer.hooks[Window]
    if window.horizon is not None and not window.cuts:
        raise GraphError(
            f"descend: only {window.steps % window.horizon} of the {window.horizon} steps of this window are made. "
            "Call it after the last one"
        )
    if goal.edge is None or not any(w.edge is not None and not w.is_leaf for w in params.values()):
        raise GraphError(
            "descend: the goal depends on no step that moved these weights. Call it right after "
            "optimizer.step(params), on a function of the params that are there then"
        )
    gradients = {name: w.grad for name, w in params.items()}
    with window.ending():
        optimizer.hooks[Guard].descend(goal, optimizer)
    for name, w in params.items():
        params[name] = leaf(w.detach("goal"))
        params[name].grad = gradients[name]
    if window.horizon is None:
        window.restart()
        optimizer._states = {
            name: {key: state.detach("goal") for key, state in states.items()}
            for name, states in optimizer._states.items()
        }
    optimizer.hooks[Guard].settle(optimizer, params, cuts=True)
