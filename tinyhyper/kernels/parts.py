"""A kernel's outermost loop cut into parts, for threads to share.

Where the parts begin depends on sizes, dtypes and the number of threads alone. An output that is a sum over the loop
gets a partial sum from every part, and these are added in order; so the same number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..core.operation import ArraySpec
from ..fusion.expression import Expression
from . import threads
from .accuracy import LIBRARY, MAX_ULPS, NEAR_ULPS

# Time on one core with AVX-512, roughly: picoseconds for every byte of an element.
ARRAY, LINE, SLOW_LINE, FUNCTION, CALL = 14, 3, 15, 40, 1000
SLOW = {"divide", "quotient", "sqrt", "reciprocal"}
WORTH = 150  # microseconds on one thread; to hand over a part and its memory, and to wait for it, takes 10 to 50
LEAST = 4  # rounds of the loop, so that a part is never a single one, whose layout numba takes for another type


def pays(
    expression: Expression, size: int, varies: Sequence[tuple[bool, ...]], outs: Sequence[ArraySpec]
) -> bool:
    """Whether a kernel runs so long over `size` elements that threads should share it.

    varies: along which loops each of its arguments has elements; what those without give is computed once.
    """
    along = [True in loops for loops in varies]
    cost = ARRAY * sum(along)
    each = [*along[: expression.inputs], *[False] * len(expression.constants)]
    for op, args in expression.lines:
        each.append(any(each[arg] for arg in args))
        if not each[-1]:
            continue
        if op.name in LIBRARY:
            cost += CALL
        elif op.name in MAX_ULPS or op.name in NEAR_ULPS:
            cost += FUNCTION
        else:
            cost += SLOW_LINE if op.name in SLOW else LINE
    return cost * max(out.dtype.itemsize for out in outs) * size * 1e-6 >= WORTH


class Parts(NamedTuple):
    """A kernel and how its outermost loop is cut.

    rounds: of the loop.  along: which arguments run along it.  inputs: how many of these there are; the others are
    outputs, and those that do not run along the loop are sums over it.
    """

    kernel: Callable[..., None]
    rounds: int
    along: tuple[bool, ...]
    inputs: int

    def run(self, args: Sequence[np.ndarray]) -> None:
        """kernel(*args), shared by threads."""
        count = min(threads.num_threads(), self.rounds // (LEAST // 2))
        totals = {n: np.zeros((count, *args[n].shape)) for n in range(self.inputs, len(args)) if not self.along[n]}
        ends = [self.rounds * part // count for part in range(count + 1)]
        calls = []
        for part, (begin, end) in enumerate(zip(ends, ends[1:])):
            cut = [arg[begin:end] if along else arg for arg, along in zip(args, self.along)]
            for n, sums in totals.items():
                cut[n] = sums[part, ...]
            calls.append(cut)
        threads.run(self.kernel, calls)
        for n, sums in totals.items():
            np.add.reduce(sums, axis=0, out=args[n])
