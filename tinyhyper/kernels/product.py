"""Products of matrices by register tiles: which blocks are packed, in which order they are multiplied, and by whom.

As in Goto and van de Geijn (2008), "Anatomy of high-performance matrix multiplication": a panel of b, as wide as a
tile, and a panel of a, as high, are multiplied over a part of the inner axis that is short enough for a's panel to stay
in the first cache and b's panels in the second. Operands are read where they lie, whatever their strides, wherever that
is as fast; else a panel is first moved to where its elements lie next to each other.

Columns of a's panel that are zero throughout are left out, as they are in images with blank margins. That changes no
sum as long as b is finite, which is looked up first; whether it is worth looking, a's first panel tells.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from . import cache, threads
from .late import import_numba
from .scratch import scratch

SOURCE = """
def kernel(a, b, out, pairs, left, right, indices, block, packs_a, packs_b, skips):
    rows, columns, inner = out.shape[1], out.shape[2], a.shape[2]
    deep, across = block
    every, some = place(indices, 0, 0), place(indices, 1, 0)
    for s in range(len(pairs)):
        x, y, z = a[pairs[s, 0]], b[pairs[s, 1]], out[s]
        for j0 in range(0, columns, across):
            j1 = min(j0 + across, columns)
            for k0 in range(0, inner, deep):
                n = min(deep, inner - k0)
                for j in range(j0, j1, {width}):
                    if packs_b or j1 - j < {width}:
                        move(y, k0, j, right, (j - j0) // {width} * deep, 0, n, min({width}, j1 - j))
                sparse = skips
                for i in range(0, rows, {height}):
                    h = min({height}, rows - i)
                    if packs_a or h % {step}:
                        move(x, i, k0, left, 0, 0, h, n)
                        p, p_row, p_column = place(left, 0, 0), left.strides[0], left.strides[1]
                    else:
                        p, p_row, p_column = place(x, i, k0), x.strides[0], x.strides[1]
                    chosen, count = every, n
                    if sparse and h == {height}:
                        nonzero_columns(p, p_row, p_column, left, some, place(indices, 2, 0), n)
                        chosen, count = some, indices[2, 0]
                        if count == 0:
                            indices[1, 0], count = 0, 1
                        if i == 0:
                            sparse = count <= n // 4 * 3 and finite(y, k0, j0, n, j1 - j0, indices)
                        if not sparse:
                            chosen, count = every, n
                    for j in range(j0, j1, {width}):
                        w = min({width}, j1 - j)
                        if packs_b or w < {width}:
                            q, q_row = place(right, (j - j0) // {width} * deep, 0), right.strides[0]
                        else:
                            q, q_row = place(y, k0, j), y.strides[0]
                        tile(p, p_row, p_column, q, q_row, z, i, j, chosen, count, h, w, k0 > 0)

# {digest}
from tinyhyper.kernels.tiles import move, place, tile
from tinyhyper.kernels.zeros import finite, nonzero_columns
"""

DEEP, ACROSS = 512, 512  # a block of b: of the inner axis, and of the columns
GRAIN = 2_000_000  # multiplications: 40 microseconds, twice what it takes to hand a part over and to wait for it
TALL = 96  # rows of a part, from which on each part may pack b for itself

Buffers: TypeAlias = "tuple[np.ndarray, np.ndarray, np.ndarray]"
Lie: TypeAlias = "tuple[tuple[int, ...], tuple[int, ...]]"  # an array's shape and strides


class Tile(NamedTuple):
    """The largest tile for a dtype. height, width: in elements; step: what a smaller one's height is a multiple of."""

    height: int
    width: int
    step: int


@functools.cache
def kernel(dtype: np.dtype) -> Callable[..., None]:
    """The compiled product for a dtype, for arrays of any strides. It is compiled once, not for every layout."""
    import_numba()
    from . import tiles

    multiply = cache.load(source(dtype)[1])
    if hasattr(multiply, "compile"):
        tiles.compile_once(multiply, tiles.kinds_of(dtype))
    return multiply


@functools.cache
def source(dtype: np.dtype) -> tuple[Tile, str]:
    """The largest tile for a dtype, and the kernel's source."""
    import_numba()
    from . import tiles, vectors

    largest = Tile(vectors.SHAPE.rows, tiles.VECTORS * vectors.lanes(dtype.itemsize), vectors.SHAPE.step)
    basis = cache.text_of("tiles", "vectors", "zeros")
    digest = hashlib.sha256(basis).hexdigest()  # a kernel on the disk is of the same tiles
    return largest, SOURCE.format(digest=digest, **largest._asdict())


class Part(NamedTuple):
    """What one call of the kernel computes: some products of a stack, or of a single one some rows and columns."""

    stack: slice
    rows: slice
    columns: slice


class Product:
    """How to multiply stacks of matrices of given shapes, strides and dtype."""

    __slots__ = ("shape", "dtype", "flat", "pairs", "parts", "block", "left", "by_columns", "right", "packs")

    def __init__(self, a: Lie, b: Lie, dtype: np.dtype, workers: int) -> None:
        self.dtype, (tile, _) = dtype, source(dtype)
        (rows, inner), columns = a[0][-2:], b[0][-1]
        stacks = a[0][:-2], b[0][:-2]
        stack = np.broadcast_shapes(*stacks)
        self.shape = (*stack, rows, columns)
        self.flat = len(stack) == 0
        indices = [np.broadcast_to(np.arange(math.prod(s)).reshape(s), stack).ravel() for s in stacks]
        self.pairs = np.stack(indices, axis=1).astype(np.intp)

        deep = _up(-(-inner // -(-inner // DEEP)), 16)
        self.block = deep, ACROSS
        straight = b[1][-1] == dtype.itemsize and b[1][-2] > 0
        far_a, far_b = max(abs(s) for s in a[1][-2:]) >= 4096, abs(b[1][-2]) >= 2048
        skips = rows >= tile.height and columns >= 2 * tile.width  # for fewer, looking for zeros takes too long
        self.packs = far_a and columns >= 256, not straight or (far_b and rows >= TALL), skips
        lanes = tile.width // 2
        tall, long = _up(tile.height, lanes), _up(deep, lanes) + lanes
        self.left = (tall, long)
        self.by_columns = abs(a[1][-2]) < abs(a[1][-1])
        self.right = (-(-min(columns, ACROSS) // tile.width) * deep, tile.width)
        work = rows * inner * columns
        self.parts = self._cut(rows, columns, work, tile, workers)

    def _cut(self, rows: int, columns: int, work: int, tile: Tile, workers: int) -> list[Part]:
        """Parts for the threads. Every element is computed alike in any part."""
        count, every = len(self.pairs), slice(None)
        wanted = 1 if workers == 1 else min(workers, count * work // GRAIN)
        if count > 1:
            return [Part(part, every, every) for part in _slices(count, wanted, 1)]
        least = TALL if self.packs[1] else tile.height
        if columns >= rows and wanted * least > rows:
            return [Part(every, every, part) for part in _slices(columns, wanted, tile.width)]
        return [Part(every, part, every) for part in _slices(rows, wanted, tile.height)]

    def run(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b, for arrays of the plan's shapes and strides."""
        out = np.empty(self.shape, self.dtype)
        workspace = scratch.take(self, self.workspace)
        threads.run(kernel(self.dtype), self.calls(*self.views(a, b, out), workspace))
        scratch.give(self, workspace)
        return out

    def views(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays as stacks along one axis; one that no strides express is a copy."""
        if self.flat:
            return a[None], b[None], out[None]
        x, y, z = (array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:]) for array in (a, b, out))
        return x, y, z

    def calls(
        self, a: np.ndarray, b: np.ndarray, out: np.ndarray, workspace: Sequence[Buffers]
    ) -> list[tuple[Any, ...]]:
        """The kernel's arguments for each part of the result."""
        if len(self.parts) == 1:
            return [(a, b, out, self.pairs, *workspace[0], self.block, *self.packs)]
        return [
            (a[:, rows], b[:, :, columns], out[stack, rows, columns], self.pairs[stack], *own, self.block, *self.packs)
            for (stack, rows, columns), own in zip(self.parts, workspace)
        ]

    def workspace(self) -> list[Buffers]:
        """For each part, memory for the panels that are packed and the indices of the columns that are multiplied."""
        left, right, indices = self.workspaces()
        return [(left(), right(), indices()) for _ in self.parts]

    def workspaces(self) -> tuple[Callable[[], np.ndarray], ...]:
        """What makes the workspace of one part: a's panel, b's panels, and the indices."""
        order: Any = "F" if self.by_columns else "C"
        left, right = (functools.partial(np.empty, shape, self.dtype) for shape in (self.left, self.right))
        return functools.partial(left, order), right, functools.partial(np.stack, [np.arange(self.block[0])] * 3)


def _up(length: int, unit: int) -> int:
    """The length, rounded up to a multiple of the unit."""
    return -(-length // unit) * unit


def _slices(length: int, parts: int, unit: int) -> list[slice]:
    """At most so many slices of a length, each but the last a multiple of the unit."""
    step = _up(-(-length // max(1, parts)), unit)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
