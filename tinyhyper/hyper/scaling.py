"""Numbers beyond the range of floats: a mantissa array and an exponent, moved by powers of two, which round nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Scaled(NamedTuple):
    """Arrays by key, each times 2 ** exponent."""

    arrays: Mapping[Any, np.ndarray]
    exponent: int = 0

    def normal(self) -> Scaled:
        """The same with a largest element between 1/2 and 1; as it is where that is 0 or not finite."""
        largest = max((float(np.abs(x).max(initial=0.0)) for x in self.arrays.values()), default=0.0)
        if not largest or not np.isfinite(largest):
            return self
        moved = int(np.frexp(largest)[1])
        return Scaled({key: np.asarray(np.ldexp(x, -moved)) for key, x in self.arrays.items()}, self.exponent + moved)

    def __add__(self, other: Scaled) -> Scaled:  # type: ignore[override]
        """The sum, key by key, at the larger exponent."""
        if not any(x.any() for x in self.arrays.values()):
            return other
        exponent = max(self.exponent, other.exponent)
        one, two = self.at(exponent), other.at(exponent)
        return Scaled({key: np.asarray(one[key] + two[key]) for key in one}, exponent)

    def at(self, exponent: int) -> dict[Any, np.ndarray]:
        """The arrays that stand for the same at another exponent; infinite or 0 where they leave the range."""
        with np.errstate(over="ignore", under="ignore"):
            return {key: np.asarray(np.ldexp(x, self.exponent - exponent)) for key, x in self.arrays.items()}

    def is_in_range(self) -> bool:
        """Whether all that is not far below the largest element has a float of its own at exponent 0."""
        return abs(self.exponent) < 1000
