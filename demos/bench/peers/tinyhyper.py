"""tinyhyper itself: the eager engine, and a step that is replayed."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tinyhyper as th

from ..elements import CHAINS, Shape, matrices, operands
from ..problems import TINY, Problem, Tower, Workload, tower_of_sgd
from ..worker import CHECKED_STEPS
from . import Result, Training, floats

OPTIMIZERS: dict[str, type[th.optim.Optimizer]] = {
    "sgd": th.optim.SGD,
    "adam": th.optim.Adam,
    "adagrad": th.optim.AdaGrad,
    "rmsprop": th.optim.RMSProp,
}


class Library:
    """What a loss is made of."""

    cross_entropy = staticmethod(th.cross_entropy)

    @staticmethod
    def layer(x: Any, weight: th.Tensor, bias: th.Tensor) -> th.Tensor:
        return th.linear(x, weight, bias, th.tanh)

    @staticmethod
    def mean_square(x: th.Tensor, targets: th.Tensor) -> th.Tensor:
        return th.mean((x - targets) ** 2)

    @staticmethod
    def sum_square(x: th.Tensor) -> th.Tensor:
        return th.sum(x**2)


def start(problem: Problem, tower: Tower) -> tuple[dict[str, th.Tensor], th.optim.Optimizer]:
    """First weights, and the tower that is to move them."""
    top, *below = reversed(tower)
    bottom = OPTIMIZERS[top.rule](top.alpha)
    for level in below:
        bottom = OPTIMIZERS[level.rule](level.alpha, optimizer=bottom)
    return {name: th.tensor(w, requires_grad=True) for name, w in problem.weights().items()}, bottom


def training(problem: Problem, tower: Tower, variant: str) -> Training:
    """Steps of a tower on a problem.

    variant: "" for the eager engine; replayed are "call", a call a step, "over", many steps at once, "beside", the same
    with what is alike side by side, and "exact", the same by what the eager engine calls.
    """
    params, bottom = start(problem, tower)
    batch = tuple(map(th.tensor, problem.data())) if problem.batch else ()

    loss = partial(problem.loss, Library)

    def step() -> None:
        loss(params, *batch).backward()
        bottom.step(params)

    def result() -> Result:
        tuned = bottom.parameters if len(tower) > 1 else {}
        hyperparameters = {name: p.item() for name, p in tuned.items() if p.requires_grad}
        return Result({name: p.numpy() for name, p in params.items()}, floats(hyperparameters))

    if not variant:
        return Training(step, result)
    if variant == "call":
        train = th.replay(loss, params, bottom, carry=problem.carry)
        return Training(lambda: train(*batch), result)
    exact, beside = variant == "exact", variant == "beside"
    many = th.replay(lambda params: loss(params, *batch), params, bottom, exact=exact, side_by_side=beside)
    return Training(lambda: many.over(steps=1), result, lambda count: many.over(steps=count))


def hyperstep(workload: Workload, variant: str) -> Training:
    return training(workload.problem, workload.tower, variant)


network = hyperstep


def sweep(workload: Workload, runs: int, steps: int, workers: int) -> Callable[[int], Any]:
    """So many runs or fewer, side by side, from weights of their own."""
    problem, tower = workload.problem, workload.tower
    batches = [np.repeat(entry[None], steps, 0) for entry in problem.data()]
    train = th.replay(partial(problem.loss, Library), *start(problem, tower))
    train.over(*[stack[:CHECKED_STEPS] for stack in batches])

    starts = [start(replace(problem, seed=n), tower) for n in range(runs)]

    def sweep(runs: int) -> None:
        train.sweep(starts[:runs], batches, workers=workers)

    return sweep


def towers(heights: list[int], variant: str) -> dict[str, Training]:
    return {str(height): training(TINY, tower_of_sgd(height), variant) for height in heights}


def operation(name: str, sizes: list[int], backward: bool, variant: str) -> dict[str, Callable[[], Any]]:
    function = getattr(th, name)
    return {str(size): differentiated(function, operands(name, size), backward) for size in sizes}


def differentiated(function: Callable[..., Any], values: list[np.ndarray], backward: bool) -> Callable[[], Any]:
    """A call, and if so asked the gradients of its inputs."""
    inputs = [th.tensor(value, requires_grad=backward) for value in values]
    if not backward:
        return lambda: function(*inputs)
    seed = th.tensor(np.ones_like(function(*inputs).numpy()))
    return lambda: th.gradients(function(*inputs), inputs, seed)


def chain(length: int, sizes: list[int], variant: str) -> dict[str, Callable[[], Any]]:
    function = CHAINS[length]

    def composed(x: Any, y: Any) -> Any:
        return function(th, x, y)

    called = th.fuse(composed) if variant == "fused" else composed
    return {str(size): differentiated(called, operands("chain", size), False) for size in sizes}


def matmul(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    th.kernels.matmul_backend(variant)
    return {str(shape): partial(operator.matmul, *map(th.tensor, matrices(shape))) for shape in shapes}


def linear(shapes: list[Shape], variant: str) -> dict[str, Callable[[], Any]]:
    th.kernels.matmul_backend(variant)
    steps: dict[str, Callable[[], Any]] = {}
    for shape in shapes:
        x, weight = map(th.tensor, matrices(shape))
        bias = th.tensor(np.full(shape.n, 0.5, np.float32))
        steps[str(shape)] = partial(Library.layer, x, weight, bias)
    return steps
