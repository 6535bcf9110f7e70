"""A training run as a function of its hyperparameters: where it begins, its steps, and what is asked of its end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..arguments import named, whole
from ..core.coordinates import LINEAR, Coordinate, coordinate_of
from ..core.tape import recording, unwatched
from ..core.tensor import Tensor, leaf, tensor
from ..core.tower import Optimizer
from ..derivatives import gradients
from ..errors import ArgumentError, DtypeError, ShapeError
from ..naming import within
from ..optim.outside import Outside
from ..optim.saving import twin

Key = tuple[str, ...]  # ("weight", name) or ("state", name of the weight, name of the state)
Arrays = Mapping[Key, np.ndarray]
Tensors = dict[Key, Tensor]


class Hypergradient(NamedTuple):
    """A goal's gradient with respect to hyperparameters.

    way: how it was computed.  value: of the goal.
    gradients: by name, in the hyperparameter's coordinate: float64 arrays of its shape.
    exponent: they are to be taken times 2 ** exponent, which is 0 unless they would leave the range of floats.
    detail: what else is known: the "residual" of an implicit one, by how much differences are uncertain, by name.
    """

    way: str
    value: float
    gradients: dict[str, np.ndarray]
    exponent: int = 0
    detail: Mapping[str, float] = MappingProxyType({})


class StepGraph(NamedTuple):
    """A step on a graph of its own: leaves that it reads, and what it makes of them."""

    before: Tensors
    hyperparameters: dict[str, Tensor]
    after: Tensors

    def arrays(self) -> Arrays:
        """What it has made."""
        return {key: made.array for key, made in self.after.items()}

    def pull(self, cotangents: Arrays) -> tuple[Arrays, dict[str, np.ndarray]]:
        """The cotangents of what it reads, by those of what it makes; the graph is released."""
        made = {key: out for key, out in self.after.items() if key in cotangents and out.edge is not None}
        leaves = [*self.before.values(), *self.hyperparameters.values()]
        found = iter([t.array for t in gradients([*made.values()], leaves, [Tensor(cotangents[key]) for key in made])])
        return {key: next(found) for key in self.before}, {name: next(found) for name in self.hyperparameters}


class Training:
    """Steps of an optimizer from given weights on, and a goal: a function of the weights that they lead to.

    loss: loss(params, *batch, **outside), a scalar tensor, which the steps descend.
    params: the weights at the start, tensors or arrays of any shape, float32 or float64, by name; or a function that
    makes them of hyperparameters outside, such as `lambda scale: {"w": scale * noise}`. It takes them by name, and the
    loss gets the others.
    optimizer: whose bottom level makes the steps. Its hyperparameters that are tuned are differentiated by, each in its
    coordinate: give it horizon=None, or an optimizer above, and `tune` to choose.
    goal: goal(params), a scalar tensor, such as a validation loss; the loss of the last batch if it is None.
    batches: for each step a tuple of what the loss takes after params, such as arrays of any shape and dtype.
    steps: how many there are, an integer >= 1, where the loss takes nothing more, so that there are no batches.
    outside: hyperparameters that the loss reads, numbers or arrays by name, which are differentiated by as well, beside
    those that the optimizer has outside.
    coordinates: of those outside, by name: "linear" (if none is given), "log", "sqrt" or "unit".
    Raises ArgumentError or DtypeError for arguments that do not fit, and where nothing is differentiated by.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        params: Mapping[str, Any] | Callable[..., Mapping[str, Any]],
        optimizer: Optimizer,
        goal: Callable[[dict[str, Tensor]], Tensor] | None = None,
        *,
        batches: Sequence[tuple[Any, ...]] | None = None,
        steps: int | None = None,
        outside: Mapping[str, Any] | None = None,
        coordinates: Mapping[str, Coordinate | str] | None = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DtypeError(f"Training: optimizer must be an optimizer, such as th.optim.SGD(0.1), not {optimizer!r}")
        if (batches is None) == (steps is None):
            raise ArgumentError("Training: give either batches=, a tuple for each step, or steps=, their number")
        if steps is not None:
            batches = [()] * whole("Training: steps", steps)
        assert batches is not None
        if not len(batches) or not all(isinstance(batch, tuple) for batch in batches):
            raise ArgumentError("Training: batches must be a sequence of tuples, one for each step, and not empty")
        self.loss, self._goal, self.batches = loss, goal, batches
        self._level = twin(optimizer)
        self._begun = float(self._level.t)
        outside, coordinates = outside or {}, coordinates or {}
        if others := coordinates.keys() - outside.keys():
            raise ArgumentError(f"Training: coordinates= names {', '.join(sorted(others))}, which is not in outside=")
        if twice := outside.keys() & {*self._level.parameters}:
            raise ArgumentError(f"Training: outside= names {', '.join(sorted(twice))}, which the optimizer has already")
        own = self._level.hooks[Outside].names
        self._coordinates = {name: self._level._coordinates[name] for name in own}
        self._coordinates |= {name: coordinate_of(coordinates.get(name, "linear")).inside() for name in outside}
        self.hyperparameters = {name: self._level.parameters[name].array for name in self._level._tuned}
        for name, value in outside.items():
            self.hyperparameters[name] = self._located(name, value)
        if not self.hyperparameters:
            raise ArgumentError(
                "Training: there is no hyperparameter to differentiate with respect to. Give the optimizer "
                "horizon=None (and tune=), or give outside="
            )
        self._read_at_start = tuple(inspect.signature(params).parameters) if callable(params) else ()
        if others := {*self._read_at_start} - self._coordinates.keys():
            raise ArgumentError(
                f"Training: the function params reads {', '.join(sorted(others))}, which is not in outside="
            )
        found = params(**self._values(self._read_at_start, self.leaves())) if callable(params) else params
        named("Training", found)
        weights = {name: tensor(w) for name, w in found.items()}
        if odd := [name for name, w in weights.items() if w.dtype.kind != "f"]:
            raise DtypeError(f"Training: params[{odd[0]!r}] must hold floats, not {weights[odd[0]].dtype}")
        self._params = params if callable(params) else lambda: weights
        self._weights = (*weights,)

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.batches)

    @property
    def outside(self) -> tuple[str, ...]:
        """The hyperparameters outside the optimizer: the loss reads them, or the weights begin at them."""
        return tuple(self._coordinates)

    def label(self, name: str) -> str:
        """The name of a hyperparameter in its coordinate, such as "log alpha"."""
        level = self._level
        known = self._coordinates.get(name) or level._coordinates[level._rows[name]]
        return name if known.name == LINEAR.name else within(known.name, name)

    def at(self, hyperparameters: Mapping[str, np.ndarray]) -> Training:
        """The same run with other hyperparameters: arrays of their shapes by name, each in its coordinate."""
        found = copy(self)
        found.hyperparameters = {name: np.asarray(array) for name, array in hyperparameters.items()}
        return found

    def leaves(self) -> dict[str, Tensor]:
        """A leaf for each hyperparameter, in its coordinate."""
        return {name: leaf(Tensor(array)) for name, array in self.hyperparameters.items()}

    def begin(self, hyperparameters: Mapping[str, Tensor]) -> Tensors:
        """The weights and states before the first step, on the graph of `hyperparameters` where they begin at one.

        hyperparameters: tensors by name, as `leaves()` gives them.
        """
        level = self._set(hyperparameters)
        made = self._params(**self._values(self._read_at_start, hyperparameters))
        weights = {name: made[name] if isinstance(made[name], Tensor) else tensor(made[name]) for name in self._weights}
        found: Tensors = {("weight", name): w for name, w in weights.items()}
        for name, w in weights.items():
            there = level._states.get(name, {})
            for key in level._update(name)[0].states:
                found["state", name, key] = there[key] if key in there else level._start(key, w, cuts=False)
        return found

    def value(self, n: int, weights: dict[str, Tensor], hyperparameters: Mapping[str, Tensor]) -> Tensor:
        """The loss of a step for these weights and hyperparameters: a tensor of one element.

        n: the number of the step, from 0.  weights, hyperparameters: tensors by name.
        Raises ShapeError for a loss of more elements, DtypeError for one that is no tensor.
        """
        values = self._values([name for name in self.outside if name not in self._read_at_start], hyperparameters)
        return _scalar("the loss", self.loss(dict(weights), *self.batches[n], **values))

    def follow(self, n: int, before: Tensors, hyperparameters: Mapping[str, Tensor]) -> Tensors:
        """Step n on the graph of the weights and states before it and of the hyperparameters: nothing is cut.

        before: what `begin` or the step before gives.  hyperparameters: tensors by name.  n: from 0. Raises as `value`.
        """
        level = self._set(hyperparameters)
        weights = {name: before["weight", name] for name in self._weights}
        loss = self.value(n, weights, hyperparameters)
        found = dict(zip(weights, gradients(loss, [*weights.values()], create_graph=True)))
        for function in level._asked("gradients"):
            found = function(found)
        used = {**level.parameters, "t": Tensor(np.array(self._begun + n + 1.0))}
        after: Tensors = {}
        for name, w in weights.items():
            rule, keys = level._update(name)
            states = [before["state", name, key] for key in rule.states]
            made = rule(w, found[name], *states, **{row: used[key] for row, key in keys.items()})
            after["weight", name], *rest = made
            after |= {("state", name, key): state for key, state in zip(rule.states, rest)}
        return after

    def step(self, n: int, before: Arrays) -> StepGraph:
        """A step on a graph of its own.

        n: its number, from 0.  before: arrays, the weights and states that it reads. Raises as `value`.
        """
        with recording(), unwatched():
            leaves, hyperparameters = {key: leaf(Tensor(x)) for key, x in before.items()}, self.leaves()
            return StepGraph(leaves, hyperparameters, self.follow(n, leaves, hyperparameters))

    def start(self) -> StepGraph:
        """What the first step reads, as what a step before it would make of the hyperparameters alone."""
        with recording(), unwatched():
            hyperparameters = self.leaves()
            return StepGraph({}, hyperparameters, self.begin(hyperparameters))

    def ask(self, arrays: Arrays) -> tuple[float, Arrays]:
        """The goal at the end of the run, and its gradient with respect to the weights.

        arrays: the weights there, of their shapes and dtypes, which the gradient has too. Raises ShapeError for a goal
        of more than one element, DtypeError for one that is no tensor, ArgumentError for one without the weights.
        """
        with recording(), unwatched():
            weights = {name: leaf(Tensor(arrays["weight", name])) for name in self._weights}
            goal = self._goal or (lambda weights: self.value(self.steps - 1, weights, self.leaves()))
            value = _scalar("the goal", goal(dict(weights)))
            if value.edge is None:
                raise ArgumentError("hyper: the goal does not depend on the weights; compute it from params")
            found = gradients(value, [*weights.values()])
        return value.item(), {("weight", name): g.array for name, g in zip(weights, found)}

    def _values(self, names: Sequence[str], hyperparameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Hyperparameters outside the optimizer as a person means them."""
        known = {**self._level.parameters, **hyperparameters}
        return {name: self._coordinates[name].value(known[name]) for name in names}

    def _set(self, hyperparameters: Mapping[str, Tensor]) -> Optimizer:
        """The level, with these tensors for its hyperparameters."""
        self._level.parameters.update({name: hyperparameters[name] for name in self._level._tuned})
        return self._level

    def _located(self, name: str, value: Any) -> np.ndarray:
        """The value of a hyperparameter outside the optimizer, in its coordinate."""
        array, coordinate = np.asarray(value, np.float64), self._coordinates[name]
        found = [coordinate.locate(x, f"Training: outside[{name!r}]", True) for x in array.ravel().tolist()]
        return np.reshape(found, array.shape)


def _scalar(what: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise DtypeError(f"hyper: {what} must be a tensor of one element, not a {type(value).__name__}")
    if value.size != 1:
        raise ShapeError(f"hyper: {what} must have one element, not shape {value.shape}. Sum it, or take the mean")
    return value
