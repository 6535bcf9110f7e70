"""What stands at hand where a wrong call is made, and what it all is, bit for bit."""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np

import tinyhyper as th
from demos.shared import stacks
from tinyhyper.core.tape import current


class Foreign:
    """A tensor of another library that requires a gradient: it refuses to become an array."""

    shape = (3,)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


def _with_gradient(values: Any) -> th.Tensor:
    x = th.tensor(values, requires_grad=True)
    th.sum(x * x).backward()
    return x


def _tower() -> tuple[dict[str, th.Tensor], th.optim.Optimizer]:
    """A tower that has made a step, and parameters with the gradients for the next."""
    params = {"w": th.tensor([1.0, -2.0, 0.5], requires_grad=True), "b": th.tensor(0.3, requires_grad=True)}
    optimizer = th.optim.SGD(0.1, 0.9, optimizer=th.optim.SGD(1e-3))
    for step in range(2):
        th.sum((params["w"] + params["b"]) ** 2).backward()
        if not step:
            optimizer.step(params)
    return params, optimizer


def _tape() -> th.inspect.Tape:
    with th.record() as tape:
        params, optimizer = _tower()
        optimizer.step(params)
    return tape


def world() -> dict[str, Any]:
    """Fresh names for one row.

    x (2, 3), y (3, 2), v (3,) and s () are leaves with gradients; i is of integers, a an array; loss is on a graph.
    params and opt are a tower between two steps; fc, bn, drop, words and lstm are layers, of which weights has all the
    parameters; images are such; tape is a recording.
    """
    values = np.random.default_rng(0)
    x, y, v, s = (_with_gradient(values.normal(size=shape)) for shape in [(2, 3), (3, 2), (3,), ()])
    params, opt = _tower()
    layers = {
        "fc": th.nn.Linear("fc", 3, 2),
        "conv": th.nn.Conv2d("conv", 3, 4),
        "bn": th.nn.BatchNorm2d("bn", 3),
        "drop": th.nn.Dropout("drop", 0.5),
        "words": th.nn.Embedding("words", 5, 3),
        "lstm": th.nn.LSTM("lstm", 3, 2),
    }
    weights = {name: w for layer in layers.values() for name, w in layer.parameters(0).items()}
    return {
        "np": np,
        "math": math,
        "th": th,
        "stacks": stacks,
        "foreign": Foreign(),
        "nan": math.nan,
        "inf": math.inf,
        "x": x,
        "y": y,
        "v": v,
        "s": s,
        "i": th.tensor([0, 1, 2]),
        "a": values.normal(size=(2, 3)),
        "loss": th.sum(th.tanh(x) @ y),
        "params": params,
        "opt": opt,
        "tape": _tape(),
        **layers,
        "weights": weights,
        "images": th.tensor(values.normal(size=(2, 6, 6, 3))),
        "f": lambda x: th.sum(x * x),
        "rng": np.random.default_rng(1),
        "labels": np.array([0, 1]),
    }


def snapshot(thing: Any) -> Any:
    """Everything that a wrong call could have changed, as what can be compared."""
    if isinstance(thing, th.Tensor):
        released = thing.edge is not None and thing.edge[0].released
        return thing.requires_grad, released, snapshot(thing.array), snapshot(thing.grad)
    if isinstance(thing, (np.ndarray, np.generic)):
        return thing.dtype.str, thing.shape, thing.tobytes()
    if isinstance(thing, dict):
        return {key: snapshot(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing).__name__, [snapshot(item) for item in thing]
    if isinstance(thing, th.optim.Optimizer):
        return snapshot(thing.state_dict()), [snapshot(level.parameters) for level in thing.levels]
    if isinstance(thing, th.nn.Layer):
        return snapshot(thing.buffers), thing.training
    if isinstance(thing, np.random.Generator):
        return str(thing.bit_generator.state)
    if isinstance(thing, th.inspect.Tape):
        return thing.to_json()
    if isinstance(thing, types.ModuleType):
        return _switches() if thing is th else None
    return repr(thing)


def _switches() -> Any:
    """What is chosen for all calls."""
    kernels = th.kernels
    backends = kernels.elementwise_backend(), kernels.matmul_backend(), kernels.convolution_backend()
    return backends, th.num_threads(), str(kernels.cache_dir()), current().recording, current().watcher
