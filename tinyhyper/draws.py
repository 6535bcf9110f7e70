"""Whether a function draws random numbers: from the global generators, or from those that it closes over."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

GLOBAL = (random.random.__self__, np.random.random.__self__)  # type: ignore[attr-defined]


class Draws:
    """The random generators that a function may draw from: the global ones, and others that `Search` has found."""

    def __init__(self, generators: Sequence[Any]) -> None:
        self._generators: list[Any] = [
            one.bit_generator if isinstance(one, np.random.Generator) else one
            for one in (*GLOBAL, *generators)
            if not isinstance(one, random.SystemRandom)  # it has no state
        ]

    def state(self) -> bytes:
        """Another one as soon as a number has been drawn."""
        return pickle.dumps([one.__getstate__() for one in self._generators])

    def put_back(self, state: bytes) -> None:
        """To the state that was returned before."""
        for one, its in zip(self._generators, pickle.loads(state)):
            one.__setstate__(its)
