"""PyTorch: the published package on it, its own optimizers, and its operations."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from ..elements import CHAINS, Shape, matrices, operands
from ..networks import Network
from ..problems import TINY, Arrays, Problem, Tower, Workload, tower_of_sgd
from . import Result, Training, arrays, floats, torch_networks

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")

PLAIN = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "rmsprop": lambda params, lr: torch.optim.RMSprop(params, lr=lr, alpha=0.99),
    "adagrad": lambda params, lr: torch.optim.Adagrad(params, lr=lr, initial_accumulator_value=0.1),
}
PUBLISHED = {"sgd": "SGD", "adam": "Adam", "rmsprop": "RMSProp", "adagrad": "AdaGrad"}


class Model(torch.nn.Module):
    """A problem's model, as a user of PyTorch would write it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        for i, widths in enumerate(zip(problem.layers, problem.layers[1:]), start=1):
            self.add_module(f"layer{i}", torch.nn.Linear(*widths))
        for i in range(problem.count):
            self.register_parameter(f"p{i}", torch.nn.Parameter(torch.empty(problem.size)))
        weights = problem.weights()
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.tensor(weights[name].T))
        inputs, targets = problem.data()
        self.inputs, self.targets = torch.tensor(inputs), torch.tensor(targets)

    def loss(self) -> Any:
        """The problem's loss with the weights as they are."""
        if not self.problem.layers:
            return sum((parameter * parameter).sum() for parameter in self.parameters())
        x = self.inputs
        for layer in self.children():
            x = torch.tanh(layer(x))
        function = torch.nn.functional.cross_entropy if self.problem.classes else torch.nn.functional.mse_loss
        return function(x, self.targets)


    def weights(self, parameters: Any) -> Arrays:
        """Named parameters as NumPy's; the weights of linear layers are (outputs, inputs) in PyTorch."""
        return arrays({name: p.detach().numpy().T for name, p in parameters})


def build(problem: Problem, channels_last: bool = False) -> Any:
    return torch_networks.Model(problem, channels_last) if isinstance(problem, Network) else Model(problem)


def plain(problem: Problem, tower: Tower, channels_last: bool) -> Training:
    """torch.optim, without the levels above the bottom."""
    model = build(problem, channels_last)
    optimizer = PLAIN[tower[0].rule](model.parameters(), lr=tower[0].alpha)

    def step() -> None:
        loss = model.loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Training(step, lambda: Result(model.weights(model.named_parameters()), {}))


def published(problem: Problem, tower: Tower, create_graph: bool) -> Training:
    """The package of the paper's authors, in the loop of its README."""
    from gradient_descent_the_ultimate_optimizer import gdtuo

    optimizer = gdtuo.NoOpOptimizer()
    for level in reversed(tower):
        optimizer = getattr(gdtuo, PUBLISHED[level.rule])(level.alpha, optimizer=optimizer)
    model = build(problem)
    wrapper = gdtuo.ModuleWrapper(model, optimizer=optimizer)
    wrapper.initialize()

    def step() -> None:
        wrapper.begin()
        loss = model.loss()
        wrapper.zero_grad()
        loss.backward(create_graph=create_graph)
        wrapper.step()

    def tuned() -> Any:
        return {name: p.detach() for name, p in optimizer.parameters.items()} if len(tower) > 1 else {}

    return Training(step, lambda: Result(model.weights(wrapper.parameters.items()), floats(tuned())))


def training(problem: Problem, tower: Tower, variant: str) -> Training:
    if variant in ("plain", "channels_last"):
        return plain(problem, tower, variant == "channels_last")
    return published(problem, tower, variant == "create_graph")


def hyperstep(workload: Workload, variant: str) -> Training:
    return training(workload.problem, workload.tower, variant)


network = hyperstep


def towers(heights: list[int], variant: str) -> dict[str, Training]:
    return {str(height): training(TINY, tower_of_sgd(height), variant) for height in heights}


def operation(name: str, sizes: list[int], backward: bool, variant: str) -> dict[str, Callable[[], Any]]:
    function = {"multiply": torch.mul}.get(name) or getattr(torch, name)
    return {str(size): differentiated(function, operands(name, size), backward) for size in sizes}


def differentiated(function: Callable[..., Any], values: list[np.ndarray], backward: bool) -> Callable[[], Any]:
    """A call, and if so asked the gradients of its inputs."""
    inputs = [torch.tensor(value, requires_grad=backward) for value in values]
    if not backward:
        return lambda: function(*inputs)
    seed = torch.ones_like(function(*inputs))
    return lambda: torch.autograd.grad(function(*inputs), inputs, seed)


def chain(length: int, sizes: list[int], variant: str) -> dict[str, Callable[[], Any]]:
    function = CHAINS[length]
    return {
        str(size): differentiated(lambda x, y: function(torch, x, y), operands("chain", size), False) for size in sizes
    }


def matmul(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    return {str(shape): partial(operator.matmul, *map(torch.from_numpy, matrices(shape))) for shape in shapes}


def linear(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    steps: dict[str, Callable[[], Any]] = {}
    for shape in shapes:
        x, weight = map(torch.from_numpy, matrices(shape))
        bias = torch.full((shape.n,), 0.5)
        steps[str(shape)] = partial(lambda x, weight, bias: torch.tanh(torch.addmm(bias, x, weight)), x, weight, bias)
    return steps
