"""What many steps take and give: a batch for each, and the histories of hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import array, whole
from ..core.tape import unwatched
from ..core.tensor import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .moment import Batch, Moment
from .values import Key, name_of, names_of
from .visible import Visible


class Batches:
    """A batch for each of a number of steps.

    stacks: an entry of the batch each.  index: integers, (steps, batch), the rows that each step takes of them.
    by: what errors name, which is the method that users call.
    """

    def __init__(self, stacks: Sequence[Any], index: Any, steps: int | None, by: str) -> None:
        self._by = by
        arrays = [x.array if isinstance(x, Tensor) else array(f"{by}: the entries of a stack", x) for x in stacks]
        if not stacks:
            if index is not None or steps is None:
                raise ArgumentError(
                    f"{by}: give steps=, the number of steps, since the loss takes no batch; leave out index="
                )
            self._count = whole(f"{by}: steps", steps, 0)
        else:
            if steps is not None:
                raise ArgumentError(f"{by}: leave out steps=, since the stacks, or index=, give the number of steps")
            for stack in arrays:
                if stack.dtype.kind not in "biufc":
                    raise DtypeError(f"{by}: a stack must hold numbers, not {stack.dtype}")
            if any(not stack.ndim for stack in arrays):
                raise ShapeError(
                    f"{by}: a stack must have an entry for each step along its first axis, so it cannot be a single "
                    "number"
                )
            lengths = [len(stack) for stack in arrays]
            if len({*lengths}) > 1:
                raise ShapeError(
                    f"{by}: the stacks must have equally many entries, not {' and '.join(map(str, lengths))}"
                )
            self._count = lengths[0]
        self.index = None if index is None else self._rows(index)
        self._tensors = [isinstance(stack, Tensor) for stack in stacks]
        self.arrays = arrays

    def _rows(self, index: Any) -> np.ndarray:
        """The rows of each step, counted from the first."""
        rows = index.array if isinstance(index, Tensor) else array(f"{self._by}: the rows of index", index)
        if rows.dtype.kind not in "iu":
            raise DtypeError(f"{self._by}: index must hold row numbers, integers, not {rows.dtype}")
        if rows.ndim != 2:
            raise ShapeError(f"{self._by}: index must have shape (steps, batch), not {rows.shape}")
        if rows.size and not -self._count <= rows.min() <= rows.max() < self._count:
            span = f"{rows.min()} to {rows.max()}"
            raise ArgumentError(f"{self._by}: index goes from {span}, and there are {self._count} rows")
        self._count = len(rows)
        return rows

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, step: int) -> Batch:
        entries = [array[0] for array in self.part(step, step + 1)]
        return [Tensor(entry) if tensor else entry for entry, tensor in zip(map(np.asarray, entries), self._tensors)]

    def part(self, first: int, last: int) -> list[np.ndarray]:
        """The stacks of some steps."""
        rows: Any = slice(first, last) if self.index is None else self.index[first:last]
        return [array[rows] for array in self.arrays]


class Histories:
    """The values of hyperparameters after each step, by the inspector's names. Raises ArgumentError for any other.

    keys: of the values.  internal: an array for each, in its coordinate, with room for all steps.
    """

    def __init__(self, visible: Visible, keep: Sequence[str], steps: int) -> None:
        if isinstance(keep, str):
            raise ArgumentError(f'over: keep must be a tuple of names, such as keep=("{keep}",)')
        names = names_of([key for key in visible.tensors() if key[0] == "hyperparameter"] if keep else [])
        known = {name_of(key).by_level: key for key in names} | {name: key for key, name in names.items()}
        for name in keep:
            if name not in known:
                there = ", ".join(names.values())
                raise ArgumentError(f"over: keep={name!r} is not a hyperparameter of the tower; it has {there}")
        self._visible, self._asked = visible, {name: known[name] for name in keep}
        self.keys: tuple[Key, ...] = tuple(dict.fromkeys(self._asked.values()))
        self.internal = [np.empty(steps) for _ in self.keys]

    def note(self, step: int, moment: Moment | None) -> None:
        """A step is over. moment: where the program stands; None if users see the values."""
        tensors = self._visible.tensors() if moment is None and self.keys else {}
        for key, history in zip(self.keys, self.internal):
            history[step] = (tensors[key].array if moment is None else moment.array(key)).item()

    def values(self, steps: int) -> dict[str, np.ndarray]:
        """The values a person means, of so many steps, by name."""
        found = {}
        for name, key in self._asked.items():
            level, history = self._visible.levels[key[1]], self.internal[self.keys.index(key)]
            with unwatched():
                found[name] = level._coordinates[level._rows[key[2]]].value(Tensor(history[:steps])).array
        return found
