"""Handles: by one an array is known from when a recording meets it, also when it is gone.

A recording must not keep alive what operations have made; and an array that is gone leaves its `id`, and its memory, to
another one. So the handle of an array is an object that is compared by `is` in its place. What is small is its own.
Nothing here depends on when an array goes, only on whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from weakref import ref

import numpy as np

from ..core.operation import SPEC, ArraySpec

SMALL = 1 << 12  # bytes up to which a recording holds whatever it meets


class Weak:
    """The handle of an array that may go.

    spec: of the array.  made: whether a recorded operation has made it.  find: gives the array, None when it is gone.
    """

    __slots__ = ("spec", "made", "find", "_memory", "_place")

    def __init__(self, array: np.ndarray, made: bool) -> None:
        self.spec, self.made = SPEC(array), made
        self.find = self._memory = ref(array)
        self._place: tuple[Any, ...] | None = None
        if made and array.base is not None:  # other views of its memory may live longer
            self._memory, self._place = ref(_owner(array)), _place(array)

    def place(self) -> tuple[Any, ...] | None:
        """Where it lies; None if its memory may be that of another one."""
        memory = self._memory()
        return None if memory is None else self._place or _place(memory)

    def show(self, view: np.ndarray) -> None:
        """It is the same as a view, which may live longer."""
        if self.find() is None:
            self.find = ref(view)


Handle: TypeAlias = "np.ndarray | Weak"


class Handles:
    """The handles of a run's arrays: by `id`, with what gives the array as long as it is there."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Callable[[], Any], Handle]] = {}

    def forget(self) -> None:
        """Forget arrays that are gone."""
        self._known = {number: pair for number, pair in self._known.items() if pair[0]() is not None}

    def of_result(self, array: np.ndarray) -> Handle:
        """The handle of what an operation gives. It has made it, unless it was there before."""
        found = self._find(array)
        return self._enter(array, Weak(array, True)) if found is None else found

    def of(self, array: np.ndarray, made: Iterable[Handle]) -> Handle:
        """The handle of an array that is there. made: by operations; a view of one of these is that one."""
        if is_own(array):
            return array
        if (found := self._find(array)) is not None:
            return found
        if array.base is not None:  # `x.numpy()`, for one
            place = _place(array)
            for handle in made:
                if place == (handle.place() if isinstance(handle, Weak) else _place(handle)):
                    if isinstance(handle, Weak):
                        handle.show(array)
                    return self._enter(array, handle)
        return self._enter(array, Weak(array, False))

    def _find(self, array: np.ndarray) -> Handle | None:
        found = self._known.get(id(array))
        return None if found is None or found[0]() is not array else found[1]

    def _enter(self, array: np.ndarray, handle: Handle) -> Handle:
        self._known[id(array)] = ref(array), handle
        return handle


def is_own(array: np.ndarray) -> bool:
    """Whether an array is its own handle: it is small, and no part of what may be large."""
    return array.base is None and array.nbytes <= SMALL


def array_of(handle: Handle) -> Any:
    """The array; None if it is gone."""
    return handle.find() if type(handle) is Weak else handle


def is_same(array: Any, other: Any) -> bool:
    """Whether two arrays that are there are one: the same object, or views of the same memory that lie alike."""
    are_arrays = isinstance(array, np.ndarray) and isinstance(other, np.ndarray)
    return array is other or are_arrays and _place(array) == _place(other)


def is_copy(array: np.ndarray | None, other: Any) -> bool:
    """Whether an array that is there holds what another one does, be it in another dtype."""
    if array is None or not isinstance(other, np.ndarray) or array.dtype.kind != other.dtype.kind:
        return False
    return bool(np.array_equal(array, other.astype(array.dtype), equal_nan=array.dtype.kind == "f"))


def spec_of(handle: Handle) -> ArraySpec:
    """Shape, dtype and strides of the array."""
    return ArraySpec(*(handle.spec if isinstance(handle, Weak) else SPEC(handle)))


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _place(array: np.ndarray) -> tuple[Any, ...]:
    """Where an array lies, and how."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype
