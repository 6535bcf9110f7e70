"""What users see of a replayed run: tensors in `params` and in the levels of the tower, and what the loss carries."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from ..arguments import named as check_params
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError
from ..optim.boundary import Boundary
from ..optim.horizon import Window
from ..optim.ranges import RangeWatch
from .moment import Moment, live, restore
from .pending import Look, become, pending
from .values import Key, arrays_of, values_of

# Whether an object knows how many hold it: not where threads run without the interpreter's lock.
COUNTS = getattr(sys, "_is_gil_enabled", lambda: True)()

NOTHING = object()  # in place of what is not there, as after the last one of a list


def check_run(params: Any, optimizer: Any, goal: Any) -> None:
    """Raise DtypeError or ArgumentError for what no run can begin from.

    goal: what the levels above descend; None for the loss.
    """
    check_params("replay", params, MutableMapping)
    if not params:
        raise ArgumentError("replay: params is empty, so there is nothing to move")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"replay: optimizer must be a tower, such as th.optim.SGD(0.1), not {optimizer!r}")
    if goal is not None and not optimizer._tuned:
        raise ArgumentError(f"replay: {optimizer} tunes nothing, so a goal has nothing to move; give it optimizer=")
    if optimizer.hooks[Window].horizon is None:
        raise ArgumentError("replay: with horizon=None each step differs from the one before it; give a horizon")
    values_of(params, optimizer.levels)


class Seen(NamedTuple):
    """A tensor as it was somewhere."""

    place: MutableMapping[Any, Tensor]
    name: Any
    tensor: Tensor
    array: np.ndarray
    edge: Any


class Moved(NamedTuple):
    """What moves in one place, by name and by key."""

    place: MutableMapping[Any, Tensor]
    names: tuple[Any, ...]
    keys: tuple[Key, ...]


class Visible:
    """The tensors of a tower and of what it moves.

    carry: what the loss reads and replaces beside the weights.  look: where the tensors look that were put there last.
    """

    def __init__(
        self, params: MutableMapping[str, Tensor], optimizer: Optimizer, carry: MutableMapping[str, Any]
    ) -> None:
        self.params, self.optimizer, self.carry = params, optimizer, carry
        self.levels = optimizer.levels
        self.look: Look | None = None
        self._seen: dict[Key, Seen] = {}
        self._watched: list[tuple[Key, Tensor, np.ndarray, Any]] = []  # of what is seen
        self._inside: list[tuple[dict[str, Any], Any, Any, Any]] = []  # of each level, attributes and what they were
        self._shown: Any = None  # in which these look, if they are pending
        self._moved: list[Moved] = []
        self._pending: list[Tensor] = []  # that were put there last
        self._holders: list[int] = []  # how many hold each of them
        self._there: set[tuple[Any, ...]] = set()  # the names and the tensors, as they were put there
        self._carried: dict[str, Any] = {}

    def tensors(self) -> dict[Key, Tensor]:
        return values_of(self.params, self.levels)

    def arrays(self) -> dict[Key, np.ndarray]:
        return {key: tensor.array for key, tensor in self.tensors().items()} | arrays_of(self.carry)

    def put(self, look: Look, last: Look) -> None:
        """Put tensors that are filled in when somebody looks where a step has moved something.

        look: where those look that users can take, and keep.  last: where the levels' own look, of the last step.
        """
        self.look = None
        if self._shown is not last:
            self._put_inside(last)
        self._pending = pending(look, [key for group in self._moved for key in group.keys])
        tensors = iter(self._pending)
        for place, names, _ in self._moved:
            (dict.update if isinstance(place, dict) else MutableMapping.update)(place, zip(names, tensors))
        self.look, self._there = look, {self._objects()}
        self._holders = [*map(sys.getrefcount, self._pending)]

    def follow(self, moment: Moment, by: Any) -> bool:
        """Let the tensors that are there look at a moment, which `by` has made. False if new ones could be told apart:
        somebody has looked, or may have taken one."""
        look = self.look
        if not look or look.seen or look.by is not by:
            return False
        if not COUNTS or self._holders != [*map(sys.getrefcount, self._pending)]:
            return False
        look.moment = moment
        return True

    def _objects(self) -> tuple[Any, ...]:
        """The names of the weights, and the tensors; nothing if a level has another t, other states or another above.

        A tensor has a hash of its own, so a set that holds these finds them by identity.
        """
        found: list[Any] = [*self.params, *self.params.values()]
        for level, t, states, above in self._inside:
            if level["_t"] is not t or level["_states"] is not states or level["_above"] is not above:
                return ()
            found += level["parameters"].values()
        return tuple(found)

    def _put_inside(self, last: Look) -> None:
        """Let the levels' own tensors look for the values of the last step, whichever that is."""
        moved = [Moved(self.params, names := tuple(self.params), tuple([("weight", name) for name in names]))]
        for height, level in enumerate(self.levels):
            keys = tuple([("hyperparameter", height, name) for name in level._tuned])
            moved.append(Moved(level.parameters, level._tuned, keys))
            [level._t] = pending(last, [("t", height)])
            level._states = {
                target: dict(zip(own, pending(last, [("state", height, target, name) for name in own])))
                for target, own in level._states.items()
            }
        for key in [key for group in moved for key in group.keys]:
            self._seen.pop(key, None)
        self._note_levels()
        self.optimizer.hooks[Boundary].last = None  # which is of an eager step
        self._moved, self._shown = moved, last

    def _note_levels(self) -> None:
        """Remember what the levels hold, and what else is not pending."""
        self._inside = [(vars(level), level._t, level._states, level._above) for level in self.levels]
        self._watched = [(key, *seen[2:]) for key, seen in self._seen.items()]

    def watch(self) -> None:
        """Warn of hyperparameters that have run off."""
        self.optimizer.hooks[RangeWatch].after(self.levels, self.params)

    def has_other_levels(self) -> bool:
        """Whether a level of the tower has been replaced; the new ones are known from now on."""
        before, self.levels = self.levels, self.optimizer.levels
        return before != self.levels

    def has_other_gradients(self) -> bool:
        """Whether a hyperparameter that no level tunes asks for its gradient, which no program leaves there."""
        levels = self.levels
        return any(x.edge and name not in level._tuned for level in levels for name, x in level.parameters.items())

    def carry_on(self, array_of: Callable[[Key], np.ndarray]) -> None:
        """A step has left this in `carry`."""
        self.put_carry(array_of)
        self._carried = dict(self.carry)

    def put_carry(self, array_of: Callable[[Key], np.ndarray]) -> None:
        """Give the loss what it has left in `carry`, for it to read: arrays where it had left arrays."""
        for name, before in [(name, self.carry[name]) for name in self._carried if name in self.carry]:
            array = array_of(("carry", name))
            if not isinstance(before, Tensor):
                array = array.view()
                array.flags.writeable = False
            self.carry[name] = Tensor(array) if isinstance(before, Tensor) else array

    def note(self) -> None:
        """Remember what is there, none of it pending."""
        found: dict[Key, tuple[Any, str]] = {("weight", name): (self.params, name) for name in self.params}
        for height, level in enumerate(self.levels):
            found |= {("hyperparameter", height, name): (level.parameters, name) for name in level.parameters}
        self._seen = {
            key: Seen(place, name, tensor := place[name], tensor.array, tensor.edge)
            for key, (place, name) in found.items()
        }
        self._note_levels()
        self._carried, self._shown, self._moved, self._pending = dict(self.carry), None, [], []
        self.look, self._there = None, {self._objects()}

    def changed(self) -> dict[Key, np.ndarray] | None:
        """The values that were set by hand since they were noted; None where more than values has changed."""
        try:
            if self._objects() not in self._there:
                return None
        except TypeError:  # no tensor, and without a hash
            return None
        found: dict[Key, np.ndarray] = {}
        for key, tensor, array, edge in self._watched:
            if tensor.edge is not edge or tensor.grad is not None:
                return None
            if tensor.array is not array:
                found[key] = tensor.array
        if self.carry:
            if self.carry.keys() != self._carried.keys():
                return None
            for name, value in self.carry.items():
                if value is not self._carried[name]:
                    found |= arrays_of({name: value})
        return found

    def hand_over(self, moment: Moment, eager: Callable[..., Any]) -> None:
        """Give the tensors the edges that they have after an eager step; what users have put elsewhere stays.

        eager: eager(params, batch) makes a step.
        """
        window = vars(self.optimizer.hooks[Window])
        ours: dict[Key, tuple[Any, Any, Tensor]] = {key: seen[:3] for key, seen in self._seen.items()}
        tensors = iter(self._pending)
        for place, names, keys in self._moved:
            ours |= {key: (place, name, tensor) for key, name, tensor in zip(keys, names, tensors)}
        there = {key: place.get(name, NOTHING) for key, (place, name, _) in ours.items()}
        theirs = [(level, level["_t"], level["_states"]) for level, t, _, _ in self._inside if level["_t"] is not t]
        seen = [(seen.tensor, seen.array) for seen in self._seen.values()]
        values = [(x, x.array, x.grad) for x, array in seen if x.array is not array or x.grad is not None]
        set_by_hand = {name: x for name, x in self.carry.items() if x is not self._carried.get(name)}
        before = dict(window) if window["horizon"] != 1 and window["steps"] != moment.steps else {}
        found = {name: tensor for name, tensor in self.params.items() if ("weight", name) not in ours}

        above = [level._above for level in self.levels]

        def make() -> None:
            for level, own_above in zip(self.levels, (*self.levels[1:], None)):
                level._above = own_above
            self.put_carry(moment.cut().carried.__getitem__)
            params = live(moment, self.optimizer, eager)
            for name in found:
                self.params.pop(name, None)
            for key, made in values_of(params, self.levels).items():
                restore(made, moment.array(key))
                if key in ours:
                    place, name, own = ours[key]
                    become(own, made)
                    place[name] = own
            self.put_carry(moment.array)
            self.note()  # before what users have put there is put back, which is a change
            for tensor, array, grad in values:
                tensor.array, tensor.grad = array, grad
            for key, there_now in there.items():
                place, name, own = ours[key]
                if there_now is NOTHING:
                    del place[name]
                elif there_now is not own:
                    place[name] = there_now
            self.params.update(found)
            for attributes, t, states in theirs:
                attributes |= {"_t": t, "_states": states}
            for level, its_above in zip(self.levels, above):
                level._above = its_above
            window.update(before)
            self.carry.update(set_by_hand)

        try:
            make()
        except BaseException:  # a signal may raise an error in the midst of it, and half of it must not be left
            make()
            raise
