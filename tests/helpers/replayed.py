"""A small run, its batches, and a step of it by the eager engine."""

import numpy as np

import tinyhyper as th
from tinyhyper.optim.horizon import Window


def loss_of(params, x, y):
    return th.mean(th.square(th.tanh(x @ params["w"] + params["b"]) - y))


def make(optimizer, dtype=np.float64, seed=0):
    """A run: weights and a tower."""
    rng = np.random.default_rng(seed)
    arrays = {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    return {name: th.tensor(x.astype(dtype), requires_grad=True) for name, x in arrays.items()}, optimizer


def batches(count, dtype=np.float64, seed=1, rows=4):
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((rows, 3)).astype(dtype), rng.standard_normal((rows, 2)).astype(dtype))
        for _ in range(count)
    ]


def eager_step(loss, params, optimizer, batch):
    value = loss(params, *batch)
    value.backward(create_graph=not optimizer.hooks[Window].cuts)
    optimizer.step(params)
    return value.item()


def named(height, key):
    return f"level{height}.{key}" if height else key
