"""MyGrad: one graph from the hyperparameters through the weights to the loss, and one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu, sigmoid

from .. import rules
from ..elements import CHAINS, operands
from ..problems import Workload
from . import Result, Training, arrays, floats

FUNCTIONS = {"sigmoid": sigmoid, "relu": relu}


class Library:
    """What rules and losses are made of."""

    sqrt, tanh = staticmethod(mg.sqrt), staticmethod(mg.tanh)
    cross_entropy = staticmethod(mg.nnet.losses.softmax_crossentropy)
    scalar, full_like = np.float32, staticmethod(np.full_like)

    @staticmethod
    def layer(x: Any, weight: Any, bias: Any) -> Any:
        return mg.tanh(mg.matmul(x, weight) + bias)

    @staticmethod
    def mean_square(x: Any, targets: Any) -> Any:
        return mg.mean((x - targets) ** 2)

    @staticmethod
    def sum_square(x: Any) -> Any:
        return mg.sum(x * x)


class Constants:
    """The same functions on arrays, for what nothing differentiates."""

    sqrt, tanh = np.sqrt, np.tanh


def differentiate(loss: Any, tensors: Any) -> dict[str, np.ndarray]:
    """The gradients of a loss by tensors on its graph."""
    loss.backward()
    return {name: tensor.grad for name, tensor in tensors.items()}


def hyperstep(workload: Workload, variant: str) -> Training:
    problem, tower = workload.problem, workload.tower
    inputs, targets = problem.data()
    start = problem.weights()
    held: list[rules.Carry] = []

    def first() -> None:
        weights = {name: mg.tensor(w) for name, w in start.items()}
        gradients = differentiate(problem.loss(Library, weights, inputs, targets), weights)
        held.append(rules.begin(Library, tower, start, gradients))

    def step() -> None:
        if not held:
            return first()
        old, g, states, h, tops, t = held[0]
        tuned = {name: mg.tensor(value) for name, value in h.items()} if len(tower) > 1 else h
        library = Library if len(tower) > 1 else Constants
        weights, states = rules.move_all(library, rules.RULES[tower[0].rule], old, g, states, tuned, t)
        weights = {name: mg.astensor(w) for name, w in weights.items()}
        gradients = differentiate(problem.loss(Library, weights, inputs, targets), weights)
        t = t + np.float32(1)
        if len(tower) > 1:
            slopes = {name: tensor.grad for name, tensor in tuned.items()}
            h, tops = rules.move_top(Constants, tower, h, slopes, tops, t)
        values = {name: tuple(map(np.asarray, kept)) for name, kept in states.items()}
        held[0] = rules.Carry(arrays(weights), gradients, values, h, tops, t)

    def result() -> Result:
        weights, h = rules.finish(Constants, tower, held[0])
        return Result(arrays(weights), floats(h) if len(tower) > 1 else {})

    return Training(step, result)


def operation(name: str, sizes: list[int], backward: bool, variant: str) -> dict[str, Callable[[], Any]]:
    function = FUNCTIONS.get(name) or getattr(mg, name)
    return {str(size): differentiated(function, operands(name, size), backward) for size in sizes}


def differentiated(function: Callable[..., Any], values: list[np.ndarray], backward: bool) -> Callable[[], Any]:
    """A call, and if so asked the gradients of its inputs."""
    inputs = [mg.tensor(value, constant=not backward) for value in values]
    return (lambda: function(*inputs).backward()) if backward else (lambda: function(*inputs))


def chain(length: int, sizes: list[int], variant: str) -> dict[str, Callable[[], Any]]:
    function = CHAINS[length]
    return {
        str(size): differentiated(lambda x, y: function(mg, x, y), operands("chain", size), False) for size in sizes
    }
