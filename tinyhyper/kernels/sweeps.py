"""Kernels of convolution: windows of weights sweep over images, and images over images.

Each image in turn is copied into a zero-padded workspace that fits into the second cache. There the rows of a window
are runs of numbers, which the tiles of `windows` read where they lie. No matrix is made of them: that would take longer
than the arithmetic. Rows of a window in the zeros above or below the image are left out. Meanwhile the next image is
fetched into the cache: every tile asks for its share.

The gradient with respect to x is a convolution, too. With stride s, the pixels of x fall into s * s phases. The pixels
of one phase are sums over windows of g, weighted by every s-th tap, the last first. So no zeros come between the pixels
of g.
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
def kernel(x, w, out, workspace, corner, step, counts):
    size, steps, (images, rows, pixels, channels) = workspace.itemsize, w.shape[1], out.shape
    share = x[0].size * size // (rows * pixels)
    plain = sound(w, workspace)
    alone = not (plain or counts)
    workspace[:] = 0
    for image in range(images):
        move(x[image], 0, 0, workspace, corner[0], corner[1], x.shape[1], x.shape[2])
        for v in range(0, channels, {wide}):
            width = min({wide}, channels - v)
            tall = 1 if alone else even(pixels, {tall} if width > {lanes} else {taller}, {unit})
            for i in range(rows):
                a, rounds = inside(i * step[0], 1, len(w), corner[0], corner[0] + x.shape[1])
                if counts and not plain:
                    a, rounds = 0, len(w)
                for j in range(0, pixels, tall):
                    if v == 0:
                        fetch(x, image + 1, (i * pixels + j) * share, tall * share)
                    b, run = 0, steps
                    if alone:
                        b, run = inside(j * step[1], 1, steps, corner[1], corner[1] + x.shape[2])
                        if min(rounds, run) < 1:
                            out[image, i, j, v : v + width] = 0
                            continue
                    window(
                        place(workspace, i * step[0] + a, j * step[1] + b), step[1] * size, size, workspace.strides[0],
                        place(w[a], b, v), w.strides[1], w.strides[0],
                        out[image, i], j, v, max(1, rounds), run, min(tall, pixels - j), width, False,
                    )
"""
WEIGHT_GRAD = """
def kernel(x, g, total, workspace, corner, step, skips):
    size, (images, rows, pixels, _), (taps, run, channels) = workspace.itemsize, g.shape, total.shape
    band = max(1, {band} // pixels)
    tiles = (rows + band - 1) // band * max(1, total.size // ({tall} * {wide}))  # for an image, about
    share = x[0].size * size // tiles
    for every in range(0 if skips else 1, 2):
        workspace[:] = 0
        for image in range(images):
            move(x[image], 0, 0, workspace, corner[0], corner[1], x.shape[1], x.shape[2])
            tile = 0
            for i in range(0, rows, band):
                for a in range(taps):
                    n, rounds = 0, min(band, rows - i)
                    if not every:
                        n, rounds = inside(i * step[0] + a, step[0], rounds, corner[0], corner[0] + x.shape[1])
                    for v in range(0, channels, {wide}):
                        width = min({wide}, channels - v)
                        tall = even(run, {tall} if width > {lanes} else {taller}, {unit})
                        for r in range(0, run, tall):
                            fetch(x, image + 1, tile * share, share)
                            tile += 1
                            window(
                                place(workspace, (i + n) * step[0] + a, r),
                                size, step[1] * size, step[0] * workspace.strides[0],
                                place(g[image, i + n], 0, v), g.strides[2], g.strides[1],
                                total[a], r, v, max(1, rounds), pixels, min(tall, run - r), width, image + i > 0,
                            )
        if every or sound(total, workspace):
            return
"""
IMPORTS = """
# {digest}
from tinyhyper.kernels.tiles import move, place
from tinyhyper.kernels.windows import even, fetch, fill, inside, sound, window
"""

BAND = 256  # pixels of g that a tile walks along at a time, so that they and those of x stay in the first cache
GRAIN = 2_000_000  # multiplications of a part: 40 microseconds, twice what it takes to hand it over and wait for it
PARTS = 4  # for each thread, so that one that is held up leaves work to the others
GROUPS = 16  # partial sums over images, for any number of threads: so their bits do not depend on it
LINE = 64  # bytes; no vector is longer


class Padded(NamedTuple):
    """Images for a kernel, (n, height, width * channels), cut to what windows reach.

    first: where in the whole images the rows begin, and the numbers in them.
    shape: of the workspace for one image and the zeros around it.  corner: where the image begins in it.
    """

    images: np.ndarray
    first: Pair
    shape: Pair
    corner: Pair


@functools.cache
def kernel(source: str, dtype: np.dtype) -> Callable[..., None]:
    """The compiled kernel for a dtype, for arrays of any strides."""
    import_numba()
    from . import tiles, windows

    run = cache.load(text(source, dtype))
    if hasattr(run, "compile"):
        tiles.compile_once(run, windows.kinds_of(dtype, 3 if source == SWEEP else 4))
    return run


@functools.cache
def text(source: str, dtype: np.dtype) -> str:
    """A kernel's source for a dtype."""
    import_numba()
    from . import tiles, vectors, windows

    basis = cache.text_of("tiles", "vectors", "windows", "zeros")
    lanes = vectors.lanes(dtype.itemsize)
    return (source + IMPORTS).format(
        digest=hashlib.sha256(basis).hexdigest(),  # a kernel on the disk is of the same tiles
        band=BAND,
        lanes=lanes,
        wide=tiles.VECTORS * lanes,
        tall=windows.TALLEST[-1],
        taller=windows.TALLEST[0],
        unit=vectors.SHAPE.step,
    )


def sweep(x: np.ndarray, w: np.ndarray, out: np.ndarray, step: Pair, zeros: Pair, counts: bool) -> None:
    """out[n, i, j] = the sum over the window of x that begins at (i, j) * step - zeros, weighted by w.

    counts: whether the zeros around x are numbers, of which 0 * NaN is NaN.
    """
    padded = pad(x, w.shape[:2], out.shape[1:3], step, zeros, out.dtype)
    if not (w.size and out.size):
        out[...] = 0
        return
    weights = _whole(w.reshape(len(w), -1, w.shape[3]), out.dtype)
    arrays = [(padded.images[part], weights, out[part]) for part in swept(w, out)]
    _run(SWEEP, padded, arrays, (step[0], step[1] * x.shape[3]), counts)


def swept(w: np.ndarray, out: np.ndarray) -> list[slice]:
    """The images of each part of a sweep."""
    return _parts(len(out), PARTS * threads.num_threads(), w.size * out[..., 0].size)


def input_grad(g: np.ndarray, w: np.ndarray, out: np.ndarray, stride: Pair, padding: Pair) -> None:
    """out = the gradient with respect to x of a convolution of this stride and padding, for the cotangent g."""
    weights, (down, across) = turned(w), stride
    for pixel, tap, zeros in phases(w.shape[:2], stride, padding):
        pixels = out[:, pixel[0] :: down, pixel[1] :: across]
        sweep(g, weights[tap[0] :: down, tap[1] :: across], pixels, (1, 1), zeros, counts=False)


def turned(w: np.ndarray) -> np.ndarray:
    """The weights of the convolution that gives the gradient with respect to x."""
    return w[::-1, ::-1].swapaxes(2, 3)


def phases(taps: Pair, stride: Pair, padding: Pair) -> Iterator[tuple[Pair, Pair, Pair]]:
    """Of each phase of x its first pixel, its first one of the turned weights, and the zeros before g."""
    for pixel in np.ndindex(*stride):
        # Pixel first + stride * n is seen by windows n + late, n + late - 1, ... through taps tap, tap + stride, ...
        late, tap = zip(*[divmod(first + zeros, step) for first, zeros, step in zip(pixel, padding, stride)])
        counts = [max(0, -((first - count) // step)) for first, count, step in zip(tap, taps, stride)]
        last = [count - 1 - (first + step * (n - 1)) for count, first, step, n in zip(taps, tap, stride, counts)]
        yield pixel, (last[0], last[1]), (counts[0] - 1 - late[0], counts[1] - 1 - late[1])


def weight_grad(x: np.ndarray, g: np.ndarray, out: np.ndarray, stride: Pair, padding: Pair) -> None:
    """out = the gradient with respect to w of a convolution of this stride and padding, for the cotangent g."""
    padded = pad(x, out.shape[:2], g.shape[1:3], stride, padding, out.dtype)
    if not (out.size and g.size):
        out[...] = 0
        return
    cotangents = _whole(g, out.dtype)
    parts = groups(g, out)
    rows = out.reshape(len(out), -1, out.shape[3])
    with _workspace("sums", (len(parts), *rows.shape), out.dtype) as sums:
        arrays = [(padded.images[part], cotangents[part], total) for part, total in zip(parts, sums)]
        _run(WEIGHT_GRAD, padded, arrays, (stride[0], stride[1] * x.shape[3]), skips(padding, out.shape[:2]))
        np.add.reduce(sums, axis=0, out=rows)


def groups(g: np.ndarray, out: np.ndarray) -> list[slice]:
    """The images of each partial sum."""
    return _parts(len(g), GROUPS, out.size * g[..., 0].size)


def skips(padding: Pair, size: Pair) -> bool:
    """Whether the gradient of weights of this size is first summed without the zeros above and below images: there are
    some, and each pixel of g meets one of an image, too, so that a NaN in g shows."""
    return any(padding) and padding[0] < size[0] and padding[1] < size[1]


def _run(source: str, padded: Padded, arrays: Sequence[Sequence[np.ndarray]], step: Pair, flag: bool) -> None:
    """The kernel for each of these, shared by threads."""
    dtype = padded.images.dtype
    with _workspace("images", (len(arrays), *padded.shape), dtype) as workspaces:
        calls: list[tuple[Any, ...]] = [(*a, own, padded.corner, step, flag) for a, own in zip(arrays, workspaces)]
        threads.run(kernel(source, dtype), calls)


def pad(x: np.ndarray, taps: Pair, size: Pair, step: Pair, zeros: Pair, dtype: np.dtype) -> Padded:
    """Images for so many windows of so many taps, with `zeros` before them, and as many behind as windows reach."""
    import_numba()
    from .windows import TALLEST

    channels = x.shape[3]
    reach = [(count - 1) * far + tap for count, far, tap in zip(size, step, taps)]
    first = [max(0, -before) for before in zeros]
    end = [max(0, min(length, far - before)) for length, far, before in zip(x.shape[1:3], reach, zeros)]
    images = np.require(x, dtype, ("C", "A")).reshape(*x.shape[:2], x.shape[2] * channels)
    images = images[:, first[0] : end[0], first[1] * channels : end[1] * channels]
    pitch = reach[1] * channels
    further = TALLEST[0] * step[1] * channels + LINE  # how far the last tile, higher than what is left, may read on
    behind = -(-further // max(1, pitch))
    begin, corner = (first[0], first[1] * channels), (zeros[0] + first[0], (zeros[1] + first[1]) * channels)
    return Padded(images, begin, (reach[0] + behind, pitch), corner)


def _whole(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array, its last axis filled up with zeros to whole vectors."""
    x = np.require(x, dtype, ("C", "A"))
    missing = spare(x.shape[-1], dtype)
    return np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, missing)]) if missing else x


def spare(length: int, dtype: np.dtype) -> int:
    """How many numbers are missing to whole vectors."""
    return -length % (LINE // dtype.itemsize)


def _parts(images: int, most: int, work: int) -> list[slice]:
    """The images in even parts, at most so many, each with enough to do."""
    count = max(1, min(images, most, work // GRAIN))
    ends = [images * part // count for part in range(count + 1)]
    return [slice(begin, end) for begin, end in zip(ends, ends[1:])]


@contextmanager
def _workspace(name: str, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Memory that the calling thread keeps. It holds whatever it held before."""
    size = math.prod(shape)
    owner = ("convolution", name, dtype)
    kept = scratch.take(owner, lambda: np.empty(size, dtype))
    if kept.size < size:
        kept = np.empty(size, dtype)
    yield kept[:size].reshape(shape)
    scratch.give(owner, kept)
