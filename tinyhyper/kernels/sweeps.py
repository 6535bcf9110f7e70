"""Kernels of convolution: windows of weights sweep over images, and images over images.

Each image in turn is copied into a room that is larger by the zeros around it and stays in the second cache. There the
rows of a window are runs of numbers, read where they lie by the tiles of `windows`; no matrix is made of them, which
would take longer than the arithmetic. Rows of a window that lie in the zeros above or below the image are left out.
Meanwhile the next image is fetched into the cache: every tile asks for its share.

The transpose by x is a convolution, too. With stride s, the pixels of x fall into s * s phases, and those of one phase
are sums over windows of g, weighted by every s-th tap, the last first. So no zeros come between the pixels of g.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from . import cache, threads
from .late import import_numba
from .scratch import scratch

Pair = tuple[int, int]

SWEEP = """
def kernel(x, w, out, room, corner, step):
    size, steps, (images, rows, pixels, channels) = room.itemsize, w.shape[1], out.shape
    share = x[0].size * size // (rows * pixels)
    room[:] = 0
    for image in range(images):
        move(x[image], 0, 0, room, corner[0], corner[1], x.shape[1], x.shape[2])
        for v in range(0, channels, {wide}):
            width = min({wide}, channels - v)
            tall = even(pixels, {tall} if width > {lanes} else {taller}, {unit})
            for i in range(rows):
                a, laps = inside(i * step[0], 1, len(w), corner[0], corner[0] + x.shape[1])
                for j in range(0, pixels, tall):
                    if v == 0:
                        fetch(x, image + 1, (i * pixels + j) * share, tall * share)
                    window(
                        place(room, i * step[0] + a, j * step[1]), step[1] * size, size, room.strides[0],
                        place(w[a], 0, v), w.strides[1], w.strides[0],
                        out[image, i], j, v, laps, steps, min(tall, pixels - j), width, False,
                    )
"""
CORRELATE = """
def kernel(x, g, total, room, corner, step):
    size, (images, rows, pixels, _), (taps, run, channels) = room.itemsize, g.shape, total.shape
    band = max(1, {band} // pixels)
    tiles = (rows + band - 1) // band * max(1, total.size // ({tall} * {wide}))  # for an image, about
    share = x[0].size * size // tiles
    room[:] = 0
    for image in range(images):
        move(x[image], 0, 0, room, corner[0], corner[1], x.shape[1], x.shape[2])
        tile = 0
        for i in range(0, rows, band):
            for a in range(taps):
                n, laps = inside(i * step[0] + a, step[0], min(band, rows - i), corner[0], corner[0] + x.shape[1])
                for v in range(0, channels, {wide}):
                    width = min({wide}, channels - v)
                    tall = even(run, {tall} if width > {lanes} else {taller}, {unit})
                    for r in range(0, run, tall):
                        fetch(x, image + 1, tile * share, share)
                        tile += 1
                        window(
                            place(room, (i + n) * step[0] + a, r), size, step[1] * size, step[0] * room.strides[0],
                            place(g[image, i + n], 0, v), g.strides[2], g.strides[1],
                            total[a], r, v, laps, pixels, min(tall, run - r), width, image + i > 0,
                        )
"""
IMPORTS = """
# {digest}
from tinyhyper.kernels.tiles import move, place
from tinyhyper.kernels.windows import even, fetch, inside, window
"""

BAND = 256  # pixels of g that a tile walks along at a time, so that they and those of x stay in the first cache
GRAIN = 2_000_000  # multiplications of a part: 40 microseconds, twice what it takes to hand it over and wait for it
PARTS = 4  # for each thread, so that one that is held up leaves work to the others
GROUPS = 16  # partial sums over images, for any number of threads: so their bits do not depend on it
LINE = 64  # bytes; no vector is longer


class Padded(NamedTuple):
    """Images for a kernel, (n, height, width * channels), cut to what windows reach.

    shape: of the room for one of them and the zeros around it; `corner` is where in it the image begins.
    """

    images: np.ndarray
    shape: Pair
    corner: Pair


@functools.cache
def kernel(source: str, dtype: np.dtype) -> Callable[..., None]:
    """The compiled kernel for a dtype, for arrays of any strides."""
    import_numba()
    from . import tiles, vectors, windows

    basis = cache.text_of("tiles", "vectors", "windows")
    lanes = vectors.lanes(dtype.itemsize)
    text = (source + IMPORTS).format(
        digest=hashlib.sha256(basis).hexdigest(),  # a kernel on the disk is of the same tiles
        band=BAND,
        lanes=lanes,
        wide=tiles.VECTORS * lanes,
        tall=windows.height(tiles.VECTORS),
        taller=windows.height(1),
        unit=vectors.SHAPE.step,
    )
    run = cache.load(text)
    if hasattr(run, "compile"):
        windows.compile_once(run, dtype, 3 if source == SWEEP else 4)
    return run


def sweep(x: np.ndarray, w: np.ndarray, out: np.ndarray, step: Pair, zeros: Pair) -> None:
    """out[n, i, j] = the sum over the window of x that begins at (i, j) * step - zeros, weighted by w."""
    padded = _padded(x, w.shape[:2], out.shape[1:3], step, zeros, out.dtype)
    if not (padded.images.size and w.size and out.size):
        out[...] = 0
        return
    weights = _whole(w.reshape(len(w), -1, w.shape[3]), out.dtype)
    parts = _parts(len(x), PARTS * threads.num_threads(), w.size * out[..., 0].size)
    arrays = [(padded.images[part], weights, out[part]) for part in parts]
    _run(SWEEP, padded, arrays, (step[0], step[1] * x.shape[3]))


def spread(g: np.ndarray, w: np.ndarray, out: np.ndarray, stride: Pair, padding: Pair) -> None:
    """out = the transpose, by x, of a convolution of this stride and padding."""
    for first in np.ndindex(*stride):
        # Pixel first + stride * n is seen by windows n + late, n + late - 1, ... through taps tap, tap + stride, ...
        late, tap = zip(*[divmod(begin + zeros, step) for begin, zeros, step in zip(first, padding, stride)])
        taps = w[tap[0] :: stride[0], tap[1] :: stride[1]]
        back = (len(taps) - 1 - late[0], taps.shape[1] - 1 - late[1])
        phase = out[:, first[0] :: stride[0], first[1] :: stride[1]]
        sweep(g, taps[::-1, ::-1].swapaxes(2, 3), phase, (1, 1), back)


def correlate(x: np.ndarray, g: np.ndarray, out: np.ndarray, stride: Pair, padding: Pair) -> None:
    """out = the transpose, by w, of a convolution of this stride and padding."""
    padded = _padded(x, out.shape[:2], g.shape[1:3], stride, padding, out.dtype)
    if not (padded.images.size and g.size):
        out[...] = 0
        return
    cotangents = _whole(g, out.dtype)
    parts = _parts(len(x), GROUPS, out.size * g[..., 0].size)
    rows = out.reshape(len(out), -1, out.shape[3])
    with _room("sums", (len(parts), *rows.shape), out.dtype) as sums:
        arrays = [(padded.images[part], cotangents[part], total) for part, total in zip(parts, sums)]
        _run(CORRELATE, padded, arrays, (stride[0], stride[1] * x.shape[3]))
        np.add.reduce(sums, axis=0, out=rows)


def _run(source: str, padded: Padded, arrays: Sequence[Sequence[np.ndarray]], step: Pair) -> None:
    """The kernel for each of these, shared by threads."""
    dtype = padded.images.dtype
    with _room("images", (len(arrays), *padded.shape), dtype) as rooms:
        calls: list[tuple[Any, ...]] = [(*three, room, padded.corner, step) for three, room in zip(arrays, rooms)]
        threads.run(kernel(source, dtype), calls)


def _padded(x: np.ndarray, taps: Pair, size: Pair, step: Pair, zeros: Pair, dtype: np.dtype) -> Padded:
    """Images for so many windows of so many taps, with `zeros` before them, and as many behind as windows reach."""
    import_numba()
    from .windows import height

    channels = x.shape[3]
    reach = [(count - 1) * far + tap for count, far, tap in zip(size, step, taps)]
    first = [max(0, -before) for before in zeros]
    end = [max(0, min(length, far - before)) for length, far, before in zip(x.shape[1:3], reach, zeros)]
    images = np.require(x, dtype, ("C", "A")).reshape(*x.shape[:2], x.shape[2] * channels)
    images = images[:, first[0] : end[0], first[1] * channels : end[1] * channels]
    pitch = reach[1] * channels
    further = height(1) * step[1] * channels + LINE  # how far the last tile, higher than what is left, may read on
    behind = -(-further // max(1, pitch))
    return Padded(images, (reach[0] + behind, pitch), (zeros[0] + first[0], (zeros[1] + first[1]) * channels))


def _whole(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array, its last axis filled up with zeros to whole vectors."""
    x = np.require(x, dtype, ("C", "A"))
    missing = -x.shape[-1] % (LINE // dtype.itemsize)
    return np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, missing)]) if missing else x


def _parts(images: int, most: int, work: int) -> list[slice]:
    """The images in even parts, at most so many, each with enough to do."""
    count = max(1, min(images, most, work // GRAIN))
    ends = [images * part // count for part in range(count + 1)]
    return [slice(begin, end) for begin, end in zip(ends, ends[1:])]


@contextmanager
def _room(name: str, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Memory that the calling thread keeps. It holds whatever it held before."""
    size = math.prod(shape)
    owner = ("convolution", name, dtype)
    kept = scratch.take(owner, lambda: np.empty(size, dtype))
    if kept.size < size:
        kept = np.empty(size, dtype)
    yield kept[:size].reshape(shape)
    scratch.give(owner, kept)
