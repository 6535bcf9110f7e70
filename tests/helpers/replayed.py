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


def in_parts(train, eager, parts, seed):
    """Many steps at once, part by part, of a replay and of an eager run.

    Yields the losses of both, and the histories of all hyperparameters, by name, of both.
    """
    params, tower = eager
    for count in parts:
        given = batches(count, seed=seed + count)
        expected = []
        histories = {named(height, key): [] for height, level in enumerate(tower.levels) for key in level.parameters}
        for batch in given:
            expected.append(eager_step(loss_of, params, tower, batch))
            for height, level in enumerate(tower.levels):
                for key, value in level.hyperparameters.items():
                    histories[named(height, key)].append(value)
        stacks = [np.array([batch[n] for batch in given]).reshape(count, 4, 3 - n) for n in range(2)]
        losses, kept = train.over(*stacks, keep=[*histories])
        yield losses, expected, kept, histories
