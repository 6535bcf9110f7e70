"""Convolution of images with weights, and its gradients with respect to both, by the kernels of `sweeps`.

These are the three operations of `ops/convolution.py`.

What computes them depends on sizes and dtypes alone, so that runs are reproducible: from LEAST multiplications on,
all of float32 or all of float64, the kernels; else NumPy. `convolution_backend` forces one; with NUMBA_DISABLE_JIT=1
the kernels run only when forced, as plain Python.

The kernels leave out some zeros, and put in others, which changes nothing as long as these meet finite numbers. Where
a weight or a number of g is NaN or infinite, they take the zeros that NumPy takes, and no others.

A C function convolves by the kernels for few multiplications too. It has no threads: what these would share is left to
Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..core.operation import ArraySpec, quicken
from ..core.tensor import FLOATS
from ..ops.convolution import Pair, summed
from . import sweeps, threads
from .backend import Backend, compiler_is_off
from .recipes import (
    Operand,
    Output,
    Recipe,
    Specs,
    Table,
    anyhow,
    array,
    boolean,
    lie,
    lie_in_rows,
    made,
    pair,
    workspace,
)

LEAST = 2**18  # multiplications

# Each phase has every stride-th pixel of the output, from one on, and every stride-th of the weights.
PHASES = """
@jit
def kernel(x, w, out, stride, step, counts, phases, whole, workspace):
    for n in range(len(phases)):
        down, across, tap, further, high, low, left, right, above, before, height, pitch = phases[n]
        pixels = out[:, down :: stride[0], across :: stride[1]]
        taps = w[tap :: stride[0], further :: stride[1]]
        if taps.size == 0:
            pixels[:] = 0
            continue
        weights = whole[: taps.size // taps.shape[3]].reshape(len(taps), taps.shape[1] * taps.shape[2], whole.shape[1])
        fill(taps, weights)
        images = workspace[: height * pitch].reshape(height, pitch)
        sweep(x[:, high:low, left:right], weights, pixels, images, (above, before), step, counts)
"""
TOTAL = """
@jit
def kernel(x, g, out, step, skips, down, across, corner, whole, workspace, sums):
    if whole.shape[2] > g.shape[3]:
        fill(g, whole)
    n, parts = len(x), len(sums)
    pixels = whole.reshape(n, g.shape[1], g.shape[2], whole.shape[2])
    images = x[:, down[0] : down[1], across[0] : across[1]]
    for part in range(parts):
        first, last = n * part // parts, n * (part + 1) // parts
        weight_grad(images[first:last], pixels[first:last], sums[part], workspace, corner, step, skips)
    out[:] = sums[0]
    for part in range(1, parts):
        out += sums[part]
"""

convolution_backend = Backend("convolution_backend", "numba", "numpy")


def conv2d(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """y, from images x (n, height, width, inputs) and weights w (rows, columns, inputs, outputs)."""
    sides = zip(x.shape[1:3], w.shape, stride, padding)
    size = [(length + 2 * zeros - taps) // step + 1 for length, taps, step, zeros in sides]
    out = np.empty((len(x), *size, w.shape[3]), summed(x, w))
    if not by_kernel(x, w, out):
        return _numpy_conv2d(x, w, stride, padding)
    sweeps.sweep(x, w, out, stride, padding, counts=True)
    return out


def input_grad(g: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """The gradient with respect to images of this size: each pixel of g is added to its window."""
    out = np.empty((len(g), *size, w.shape[2]), np.result_type(g, w))
    if not by_kernel(out, w, g):
        return _numpy_input_grad(g, w, stride, padding, size)
    sweeps.input_grad(g, w, out, stride, padding)
    return out


def weight_grad(x: np.ndarray, g: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """The gradient with respect to weights of this size: x correlated with the output's cotangent g."""
    out = np.empty((*size, x.shape[3], g.shape[3]), np.result_type(x, g))
    if not by_kernel(x, out, g):
        return _numpy_weight_grad(x, g, stride, padding, size)
    sweeps.weight_grad(x, g, out, stride, padding)
    return out


def by_kernel(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> bool:
    """Whether the kernels are to compute one of these arrays from the others."""
    dtypes = {x.dtype, w.dtype, y.dtype}
    if convolution_backend.chosen != "auto" or len(dtypes) > 1:
        return convolution_backend.chosen == "numba" and dtypes <= set(FLOATS)
    work = w.size * math.prod(y.shape[:3])
    return work >= LEAST and x.dtype in FLOATS and not compiler_is_off()


def conv2d_recipe(operands: Specs, out: ArraySpec, stride: Pair, padding: Pair) -> Recipe | None:
    """A convolution: one phase."""
    x, w, y = map(lie, (*operands, out))
    if not lie_in_rows(x, w, y):
        return None
    return _swept((x, w, y), w, (1, 1), stride, [((0, 0), (0, 0), padding)], by_kernel(x, w, y), counts=True)


def input_grad_recipe(operands: Specs, out: ArraySpec, stride: Pair, padding: Pair, size: Pair) -> Recipe | None:
    """The gradient with respect to the images."""
    g, w, x = map(lie, (*operands, out))
    if not lie_in_rows(g, w, x):
        return None
    phases = [*sweeps.phases(w.shape[:2], stride, padding)]
    return _swept((g, w, x), sweeps.turned(w), stride, (1, 1), phases, by_kernel(x, w, g), counts=False)


def weight_grad_recipe(operands: Specs, out: ArraySpec, stride: Pair, padding: Pair, size: Pair) -> Recipe | None:
    """The gradient with respect to the weights: a sum over each group of images, and the sum of these."""
    x, g, w = map(lie, (*operands, out))
    if not lie_in_rows(x, g, w):
        return None
    exact, parts = by_kernel(x, w, g), sweeps.groups(g, w)
    if exact and threads.num_threads() > 1 < len(parts):
        return None
    padded = sweeps.pad(x, size, g.shape[1:3], stride, padding, x.dtype)
    total, rows = w.reshape(len(w), -1, w.shape[3]), g.reshape(len(g), -1, g.shape[3])
    filled = (*rows.shape[:2], _wide(g))
    down, across = _ends(padded)[:2], _ends(padded)[2:]
    arguments = [
        array(Operand(0), _lines(x)), array(Operand(1), g), array(Output(0), total), pair(_strides(stride, x)),
        boolean(sweeps.skips(padding, size)), pair(down), pair(across), pair(padded.corner),
        array(Operand(1), rows) if rows.shape == filled else workspace(filled, x.dtype),
        workspace(padded.shape, x.dtype), workspace((len(parts), *total.shape), x.dtype),
    ]  # fmt: skip
    text = sweeps.text(sweeps.WEIGHT_GRAD, x.dtype).replace("def kernel(", "def weight_grad(")
    return made(text + TOTAL, arguments, exact and w.size > 1)  # NumPy adds single numbers up in another order


def _swept(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    weights: np.ndarray,
    stride: Pair,
    step: Pair,
    phases: Sequence[tuple[Pair, Pair, Pair]],
    exact: bool,
    counts: bool,
) -> Recipe | None:
    """Sweeps over images. weights: a view of the second array.  phases, counts: as in `sweeps`."""
    x, w, out = arrays
    table, sizes = list[tuple[int, ...]](), [(0, 0)]
    for pixel, tap, zeros in phases:
        taps = weights[tap[0] :: stride[0], tap[1] :: stride[1]]
        pixels = out[:, pixel[0] :: stride[0], pixel[1] :: stride[1]]
        if not pixels.size:
            continue
        if exact and threads.num_threads() > 1 < len(sweeps.swept(taps, pixels)):
            return None
        padded = sweeps.pad(x, taps.shape[:2], pixels.shape[1:3], step, zeros, x.dtype)
        table.append((*pixel, *tap, *_ends(padded), *padded.corner, *padded.shape))
        sizes.append((math.prod(taps.shape[:3]), math.prod(padded.shape)))
    rows, largest = map(max, zip(*sizes))
    arguments = [
        array(Operand(0), _lines(x)), anyhow(Operand(1), weights, weights.ctypes.data - w.ctypes.data),
        array(Output(0), out), pair(stride), pair(_strides(step, x)), boolean(counts),
        array(Table(partial(np.array, table)), np.array(table)), workspace((rows, _wide(weights)), x.dtype),
        workspace((largest,), x.dtype),
    ]  # fmt: skip
    text = sweeps.text(sweeps.SWEEP, x.dtype).replace("def kernel(", "def sweep(")
    return made(text + PHASES, arguments, exact)


def _lines(x: np.ndarray) -> np.ndarray:
    """Images of which a line is the pixels of a row, with all their channels."""
    return x.reshape(*x.shape[:2], -1)


def _strides(step: Pair, x: np.ndarray) -> Pair:
    """How far windows lie apart: in lines, and in numbers of a line."""
    return step[0], step[1] * x.shape[3]


def _wide(x: np.ndarray) -> int:
    """How long the last axis is when it is filled up to whole vectors."""
    return int(x.shape[-1] + sweeps.spare(x.shape[-1], x.dtype))


def _ends(padded: sweeps.Padded) -> tuple[int, ...]:
    """Which part of the images windows reach: from one line to before another, and from one number of it."""
    (down, across), (_, height, width) = padded.first, padded.images.shape
    return down, down + height, across, across + width


_numpy_conv2d = quicken("conv2d", conv2d)
_numpy_input_grad = quicken("conv2d_input_grad", input_grad)
_numpy_weight_grad = quicken("conv2d_weight_grad", weight_grad)
