"""PyTorch as the other library: each operation of random programs in its words, and its gradients.

Written from PyTorch's documentation, not from tinyhyper's code: it is the second opinion.
"""

import numpy as np
import torch
from torch.nn import functional as F

from tinyhyper.testing.operations import OPERATIONS

LETTERS = "abcdefgh"


def _axes(options, x):
    """The axes to reduce, as a tuple."""
    axis = options.get("axis")
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(axis) if isinstance(axis, tuple) else (axis,)


def _reduced(function):
    """A reduction over several axes and keepdims; over none of them, nothing happens."""

    def reduce(x, **options):
        axes = _axes(options, x)
        return function(x, axes, options["keepdims"]) if axes else function(x[None], (0,), False)

    return reduce


def _prod(x, axes, keepdims):
    for axis in axes:
        x = torch.prod(x, axis, keepdim=True)
    return x if keepdims else x.sum(axes)


def _spread(function):
    def reduce(x, axis, keepdims, ddof):
        axes = _axes({"axis": axis}, x)
        return function(x, axes, correction=ddof, keepdim=keepdims)

    return reduce


def _flat(function):
    """Along an axis, or over the flattened array if it is None."""
    return lambda x, *, axis=None, **options: function(x.ravel() if axis is None else x, axis or 0, **options)


def _roll(x, shift, axis):
    return torch.roll(x.ravel(), shift).reshape(x.shape) if axis is None else torch.roll(x, shift, axis)


def _sum_to(x, shape):
    return x.sum_to_size(shape)


def _chosen(x, choose):
    """The elements that a function of NumPy's chooses: PyTorch has no negative steps, and few ways to pad."""
    return x.ravel()[torch.from_numpy(np.array(choose(np.arange(x.numel()).reshape(x.shape))))]


def _pad(x, pad_width, mode="constant", constant_values=0):
    if mode != "constant":
        return _chosen(x, lambda places: np.pad(places, pad_width, mode))
    pairs = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    return F.pad(x, [width for pair in reversed(pairs) for width in pair], value=constant_values)


def _several(function):
    """A function of one axis for several, the outermost first."""

    def call(x, axis):
        ndim = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
        for place in sorted(n % ndim for n in (axis if isinstance(axis, tuple) else (axis,))):
            x = function(x, place)
        return x

    return call


def _split(x, indices_or_sections, axis, piece):
    return torch.tensor_split(x, indices_or_sections, axis)[piece]


def _repeat(x, axis, repeats):
    return torch.repeat_interleave(x, torch.tensor(repeats), axis)


def _scaled(product):
    """A product of which a number is a factor."""
    return lambda x, y: product(x, y) if x.ndim and y.ndim else x * y


def _concatenate(*xs, axis):
    return torch.concatenate([x.ravel() for x in xs]) if axis is None else torch.concatenate(xs, axis)


def _diagonal(x, offset, axis1, axis2):
    return torch.diagonal(x, offset, axis1, axis2)


def _tensordot(x, y, axes):
    return torch.tensordot(x, y, dims=axes)


def _inner(x, y):
    return torch.tensordot(x, y, dims=([x.ndim - 1], [y.ndim - 1]))


def _dot(x, y):
    return torch.tensordot(x, y, dims=([x.ndim - 1], [max(y.ndim - 2, 0)]))


def _linear(x, weight, bias, activation):
    out = F.linear(x, weight.T, bias)
    return {None: lambda y: y, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[getattr(activation, "__name__", None)](out)


def _channels_first(x):
    return x.permute(0, 3, 1, 2)


def _channels_last(x):
    return x.permute(0, 2, 3, 1)


def _conv2d(x, weight, bias, stride, padding):
    return _channels_last(F.conv2d(_channels_first(x), weight.permute(3, 2, 0, 1).contiguous(), bias, stride, padding))


def _pooled(function):
    return lambda x, kernel, stride: _channels_last(function(_channels_first(x), kernel, stride))


def _batch_norm(x, weight, bias):
    return _channels_last(F.batch_norm(_channels_first(x), None, None, weight, bias, training=True))


def _lstm(x, weight, recurrent, bias):
    """The equations, step by step: PyTorch's own has two biases, and no second derivatives everywhere."""
    h = c = x.new_zeros((x.shape[1], recurrent.shape[0]))
    hs = []
    for step in x:
        i, f, g, o = (step @ weight + h @ recurrent + bias).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hs.append(h)
    return torch.stack(hs)


OTHERS = {  # what PyTorch calls or arranges otherwise
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "log_softmax": lambda x, axis: torch.log_softmax(x, axis),
    "cross_entropy": lambda x, labels: F.cross_entropy(x, torch.from_numpy(labels)),
    "sum": _reduced(lambda x, axes, keepdims: x.sum(axes, keepdims)),
    "mean": _reduced(lambda x, axes, keepdims: x.mean(axes, keepdims)),
    "max": _reduced(lambda x, axes, keepdims: x.amax(axes, keepdims)),
    "min": _reduced(lambda x, axes, keepdims: x.amin(axes, keepdims)),
    "prod": _reduced(_prod),
    "logsumexp": _reduced(lambda x, axes, keepdims: torch.logsumexp(x, axes, keepdims)),
    "norm": _reduced(lambda x, axes, keepdims: torch.linalg.vector_norm(x, 2, axes, keepdims)),
    "var": _spread(torch.var),
    "std": _spread(torch.std),
    "cumsum": _flat(torch.cumsum),
    "repeat": _flat(_repeat),
    "reshape": lambda x, shape: torch.reshape(x, shape if isinstance(shape, tuple) else (shape,)),
    "ravel": torch.ravel,
    "transpose": lambda x, axes: x.permute(axes or tuple(range(x.ndim))[::-1]),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "moveaxis": torch.moveaxis,
    "expand_dims": _several(torch.unsqueeze),
    "squeeze": lambda x, axis: torch.squeeze(x) if axis is None else torch.squeeze(x, axis),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "sum_to": _sum_to,
    "flip": lambda x, axis: torch.flip(x, _axes({"axis": axis}, x)),
    "roll": _roll,
    "pad": _pad,
    "tile": lambda x, reps: torch.tile(x, (reps,) if isinstance(reps, int) else tuple(reps)),
    "diagonal": _diagonal,
    "trace": lambda x, **options: _diagonal(x, **options).sum(-1),
    "tril": lambda x, k: torch.tril(x, k),
    "triu": lambda x, k: torch.triu(x, k),
    "concatenate": _concatenate,
    "split": _split,
    "stack": lambda *xs, axis: torch.stack(xs, axis),
    "getitem": lambda x, index: _chosen(x, lambda places: places[index]),
    "take": lambda x, indices, axis: _chosen(x, lambda places: np.take(places, indices, axis)),
    "dot": _scaled(_dot),
    "inner": _scaled(_inner),
    "tensordot": _tensordot,
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "outer": lambda x, y: torch.outer(x.ravel(), y.ravel()),
    "linear": _linear,
    "conv2d": _conv2d,
    "avg_pool2d": _pooled(F.avg_pool2d),
    "max_pool2d": _pooled(F.max_pool2d),
    "batch_norm": _batch_norm,
    "lstm": _lstm,
}


def call(name, operands, options):
    """One step of a program by PyTorch."""
    row = OPERATIONS[name]
    function = OTHERS.get(name) or row.of(torch, name, row.torch)
    return function(*operands, **options)
