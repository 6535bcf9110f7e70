"""Streams: arrays outside a program, of which each step has its own part, or one that all steps share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import ArraySpec

SMALL = 1 << 14  # bytes up to which an array is copied for a single step, rather than asked where it lies


class Stream:
    """What the batch brings at each step, or where the loss of each step goes.

    words: by phase of the program, the addresses of the words that say where the part of a step lies.
    width: how many there are, at most.
    """

    def __init__(self, spec: ArraySpec, words: Sequence[np.ndarray]) -> None:
        self.shared = np.empty(spec.shape, spec.dtype)
        self._is_small = self.shared.nbytes <= SMALL
        self._words, self.width = words, max(map(len, words))
        self._patches: Any = None
        self._stack: np.ndarray | None = None
        self._first: int | None = None

    def join(self, patches: np.ndarray, place: int) -> int:
        """Have its words among the driver's patches, from a place on; the place of the next one."""
        for phase, words in enumerate(self._words):
            patches[phase, place : place + len(words), 0] = words
        self._patches = patches[:, place : place + self.width]
        self.share()
        return place + self.width

    def share(self) -> None:
        """Let all steps share an array, which is the stream's own."""
        if self._stack is not self.shared:
            self._point(self.shared, None, 0)

    def give(self, array: np.ndarray) -> None:
        """Let the next step have an array."""
        if self._is_small:
            if self._stack is not self.shared:
                self.share()
            self.shared[...] = array
        else:
            self._point(np.ascontiguousarray(array, self.shared.dtype), None, 0)

    def follow(self, stack: np.ndarray, first: int) -> None:
        """Let each step, from the first on, have its part of a stack. The stack lies in rows."""
        self._point(stack, first, self.shared.nbytes)

    def at(self, call: int) -> np.ndarray:
        """The part of a step."""
        assert self._stack is not None
        return self._stack if self._first is None else self._stack[call - self._first, ...]

    def _point(self, stack: np.ndarray, first: int | None, stride: int) -> None:
        self._stack, self._first = stack, first
        self._patches[..., 1] = stack.ctypes.data - (first or 0) * stride
        self._patches[..., 2] = stride
