"""NumPy: the hyperstep by hand, with hand-derived hypergradients; its matrix products alone; single operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..elements import CHAINS, Shape, matrices, operands
from ..problems import MLP, Workload
from . import Result, Training, by_hand

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0.0),
}


def hyperstep(workload: Workload, variant: str) -> Training:
    if variant == "floor":
        return Training(floor(), lambda: Result({}, {}))
    return by_hand.training(workload)


def floor() -> Callable[[], Any]:
    """The matrix products of a step of the MLP, and nothing else."""
    rng = np.random.default_rng(0)
    inputs, hidden, outputs = MLP.layers

    def array(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    x, weight1, weight2 = array(MLP.batch, inputs), array(inputs, hidden), array(hidden, outputs)
    h, g1, g2 = array(MLP.batch, hidden), array(MLP.batch, hidden), array(MLP.batch, outputs)
    return lambda: (x @ weight1, h @ weight2, h.T @ g2, g2 @ weight2.T, x.T @ g1)


def operation(name: str, sizes: list[int], backward: bool, variant: str) -> dict[str, Callable[[], Any]]:
    function = FUNCTIONS.get(name) or getattr(np, name)
    return {str(size): called(function, operands(name, size)) for size in sizes}


def called(function: Callable[..., Any], values: list[np.ndarray]) -> Callable[[], Any]:
    return lambda: function(*values)


def chain(length: int, sizes: list[int], variant: str) -> dict[str, Callable[[], Any]]:
    function = CHAINS[length]
    return {str(size): called(lambda x, y: function(np, x, y), operands("chain", size)) for size in sizes}


def matmul(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    return {str(shape): called(np.matmul, list(matrices(shape))) for shape in shapes}


def linear(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    steps = {}
    for shape in shapes:
        bias = np.full(shape.n, 0.5, np.float32)
        steps[str(shape)] = called(lambda x, weight, bias: np.tanh(x @ weight + bias), [*matrices(shape), bias])
    return steps
