"""What a check says of a derivative that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..differences import Array


class Difference(NamedTuple):
    """A derivative as it is, as it should be, and how much it may be off."""

    what: str
    found: float
    wanted: float
    limit: float
    tolerance: str

    def told(self, by_us: str, by_them: str) -> str:
        return (
            f"{self.what} is {self.found:.9g} {by_us}, {self.wanted:.9g} {by_them}; "
            f"off by {abs(self.found - self.wanted):.3g}, allowed {self.limit:.3g} ({self.tolerance})"
        )


def entry(name: str, place: Sequence[Any]) -> str:
    """An entry as it is written: "argument 0[2, 1]"."""
    return f"{name}[{', '.join(str(int(n)) for n in place)}]" if len(place) else name


def factor(found: Array, wanted: Array, wrong: Array, reached: bool) -> str:
    """What the wrong entries have in common."""
    if not reached:
        return "No gradient reaches it. Is it cut inside, by detach(), no_grad(), NumPy or a missing VJP?"
    ratio = float(np.sum(found * wanted) / max(np.sum(wanted * wanted), np.finfo(float).tiny))
    if abs(ratio - 1) > 1e-3 and np.abs(found - ratio * wanted).max() <= 1e-3 * np.abs(found).max():
        return f"It is {ratio:.4g} times what it should be{'' if found.size == 1 else ', in every entry'}"
    return f"{wrong.sum()} of {wrong.size} entries are wrong"
