"""The levels above the bottom, moved together.

What they move are single numbers. Moved one by one, each would cost calls of kernels and a node of the tape. So where
nobody watches, they are a scan: top first, each moved by what the row above has just moved. The numbers are those of
`apply_cut`, bit for bit: an array has no graph, so all is cut but the hyperparameters that have moved themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..tensor import Tensor
from . import rows
from .move import Result
from .rows import FLOAT
from .scan import Row, Scan
from .update import Update

if TYPE_CHECKING:
    from .tower import Optimizer

ZERO = Tensor(np.array(0.0))
KINDS = ("moved", "value", "gradient", "constant", "t", "before", "after")

Name = tuple[Any, ...]


class Chain:
    """The moves of a tower's levels above the bottom, as long as it has the same levels.

    The flat array holds, in the order of KINDS: what has moved, its value before and its gradient; hyperparameters that
    nothing moves; counts of steps; the state before and after.
    """

    def __init__(self, levels: Sequence[Optimizer]) -> None:
        self.upper = levels[1:]
        self._targets = [(height, key) for height in reversed(range(len(self.upper))) for key in levels[height]._tuned]
        updates = [levels[height + 1]._update(key) for height, key in self._targets]
        limited = any(level._limits for level in self.upper)
        self._plain = not limited and all(rows.is_plain(update.fusion) for update, _ in updates)
        moving = set(self._targets)
        named = [_names(*target, *update, moving) for target, update in zip(self._targets, updates)]
        names = sorted(dict.fromkeys(name for row in named for name in row), key=lambda name: KINDS.index(name[0]))
        self._size, place = len(names), {name: n for n, name in enumerate(names)}
        of = {kind: [name[1:] for name in names if name[0] == kind] for kind in KINDS}
        self._constants, self._counts = of["constant"], [height for (height,) in of["t"]]
        table = [
            Row(
                update,
                tuple([place[name] for name in row]),
                tuple([name[0] == "moved" for name in row[: _inputs(update)]]),
            )
            for (update, _), row in zip(updates, named)
        ]
        self._scan = Scan(table if self._plain else [])
        self._state = [np.empty(len(of["before"]))]
        self._kept = [Kept(self._state) for _ in self.upper]
        for height, key in self._targets:
            self._kept[height].places[key] = {}
        for n, (height, key, name) in enumerate(of["before"]):
            self._kept[height].places[key][name] = n

    def move(self, levels: Sequence[Optimizer]) -> ChainMove | None:
        """Where the levels' rules move what they tune; changes nothing.

        None where the levels have to be moved one by one: a number is not a float64, a level clips what it reads, or a
        hyperparameter that nothing moves is on the graph.
        """
        targets = [levels[height].parameters[key] for height, key in self._targets]
        constants = [levels[height].parameters[key] for height, key in self._constants]
        gradients = [ZERO if target.grad is None else target.grad for target in targets]
        if {*map(type, gradients)} - {Tensor}:
            return None
        arrays = [tensor.array for tensor in (*targets, *gradients, *constants)]
        before = self._state_before()
        if before is None or not self._plain or not _are_numbers(arrays):
            return None
        if True in [constant.edge is not None for constant in constants]:
            return None
        numbers = [array.item() for array in arrays] + [levels[height].t + 1.0 for height in self._counts]
        values = np.empty(self._size)
        start, count = len(targets), len(before)
        values[start : start + len(numbers)] = numbers
        values[self._size - 2 * count : self._size - count] = before
        moved = self._scan(values)
        lowest = {key: tensor for (height, key), tensor in zip(self._targets, moved) if height == 0}
        return ChainMove(self, levels, moved, values[self._size - count :], lowest)

    def apply(self, levels: Sequence[Optimizer], moved: Sequence[Tensor], state: np.ndarray) -> None:
        """Put what has moved into the levels."""
        for (height, key), tensor in zip(self._targets, moved):
            levels[height].parameters.update({key: tensor})
        for level, kept in zip(self.upper, self._kept):
            level.t += 1
            level._states = kept
        self._state[0] = state

    def _state_before(self) -> np.ndarray | None:
        """The state as this chain left it, and from where a level has it instead; None where it is not numbers."""
        strange = [(level, kept) for level, kept in zip(self.upper, self._kept) if level._states is not kept]
        if not strange:
            return self._state[0]
        state = self._state[0].copy()
        for level, kept in strange:
            if not level._states.keys() <= kept.keys():
                return None
            for name, places in kept.places.items():
                found = level._states.get(name)
                for key, place in places.items():
                    if found is not None and not _are_numbers([found[key].array]):
                        return None
                    state[place] = level._initial[key] if found is None else found[key].array
        return state


class ChainMove(NamedTuple):
    """What a step would change above the bottom. moved: what the bottom reads, by name."""

    chain: Chain
    levels: Sequence[Optimizer]
    tensors: Sequence[Tensor]
    state: np.ndarray
    moved: dict[str, Tensor]

    def results(self) -> Iterator[Result]:
        """As those of a Move."""
        for (height, key), tensor in zip(self.chain._targets, self.tensors):
            yield self.levels[height + 1], key, None, tensor.array
            for name, place in self.chain._kept[height].places[key].items():
                yield self.levels[height + 1], key, name, self.state[place]

    def apply(self) -> None:
        self.chain.apply(self.levels, self.tensors, self.state)


class Kept(Mapping[str, dict[str, Tensor]]):
    """The state of one level, by the name of what it moves; the numbers lie with those of the chain's other levels.

    numbers: a list of the one array that is the newest.  places: where in it each state is.
    """

    def __init__(self, numbers: list[np.ndarray]) -> None:
        self.numbers, self.places = numbers, dict[str, dict[str, int]]()

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        return {key: Tensor(np.array(self.numbers[0][place])) for key, place in self.places[name].items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _names(height: int, key: str, update: Update, keys: Mapping[str, str], moving: set[tuple[int, str]]) -> list[Name]:
    """What the operands and outputs of the move of one hyperparameter are; its height is that of the level it is of."""
    above = height + 1
    names: list[Name] = [("value", height, key), ("gradient", height, key)]
    names += [("before", height, key, state) for state in update.kept]
    for row in update.names:
        if row == "t":
            names.append(("t", above))
        else:
            names.append(("moved" if (above, keys[row]) in moving else "constant", above, keys[row]))
    return [*names, ("moved", height, key), *[("after", height, key, state) for state in update.kept]]


def _inputs(update: Update) -> int:
    return len(update.fusion.inputs)


def _are_numbers(arrays: Iterable[np.ndarray]) -> bool:
    return False not in [array.dtype is FLOAT and not array.ndim for array in arrays]
