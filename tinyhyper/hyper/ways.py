"""Every way to the gradient of a goal with respect to the hyperparameters of the run that leads to it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arguments import whole
from ..core.tensor import Tensor
from ..differences import along, lengths, settled
from ..errors import ArgumentError, CallError, DtypeError
from ..functional import jvp
from .backward import backward
from .minimum import implicit
from .training import Hypergradient, Training


def gradient(training: Training, way: str = "unroll", **options: Any) -> Hypergradient:
    """The gradient of a training's goal with respect to its hyperparameters.

    training: the run.
    way: "one step", through the last step alone; "window", through the last k (k=, an integer); "unroll", through all;
    "checkpointed", through all, where every so many steps are kept and those between them made again (every=, about
    the root of their number by default), with the very bits of "unroll"; "forward", through all, by tangents that go
    along with the run; "implicit", at a minimum of the last loss, by the implicit function theorem; "differences", of
    whole runs, the referee.
    scaled: for the first four, whether cotangents have an exponent of their own, so that they leave no range of floats.
    homogeneous: with it, the degree of a goal that is homogeneous in the weights (0 for a logarithm, which then adds a
    constant), where a step is, too: then the weights have an exponent as well. It is refused where a step is not.
    solver, iterations, tolerance: of "implicit": "cg" (conjugate gradients) or "neumann" (a series), see
    docs/hypergradients.md.
    Raises DtypeError if `training` is not a Training, ArgumentError for a way that there is not and for values of
    options that do not fit, CallError for options of another way; GradientError where the run does not end at a
    minimum, for "implicit".
    Sources: Baydin et al., 2018 (one step); Shaban et al., 2019 (window); Maclaurin et al., 2015 (unroll); Chen et al.,
    2016 (checkpointed); Franceschi et al., 2017 (forward); Lorraine et al., 2020 (implicit).
    """
    if not isinstance(training, Training):
        raise DtypeError(f"hyper.gradient: training must be a th.hyper.Training, not {training!r}")
    if way not in WAYS:
        raise ArgumentError(f"hyper.gradient: way must be one of {', '.join(map(repr, WAYS))}, not {way!r}")
    try:
        inspect.signature(WAYS[way]).bind(training, **options)
    except TypeError as error:
        raise CallError(f"hyper.gradient: the options do not fit way={way!r}: {error}") from None
    return WAYS[way](training, **options)._replace(way=way)


def _one_step(training: Training, *, scaled: bool = False, homogeneous: int | None = None) -> Hypergradient:
    return backward(training, 1, 1, scaled, homogeneous, cuts=True)


def _window(training: Training, *, k: int, scaled: bool = False, homogeneous: int | None = None) -> Hypergradient:
    k = min(whole("hyper.gradient: k", k), training.steps)
    return backward(training, k, k, scaled, homogeneous, cuts=True)


def _unroll(training: Training, *, scaled: bool = False, homogeneous: int | None = None) -> Hypergradient:
    return backward(training, training.steps, training.steps, scaled, homogeneous)


def _checkpointed(
    training: Training, *, every: int | None = None, scaled: bool = False, homogeneous: int | None = None
) -> Hypergradient:
    every = math.isqrt(training.steps) if every is None else whole("hyper.gradient: every", every)
    return backward(training, training.steps, every, scaled, homogeneous)


def _forward(training: Training) -> Hypergradient:
    """Along with the run go the derivatives of weights and states with respect to each number that is asked for."""

    def follow(n: int) -> Callable[..., Any]:
        return lambda before, hyperparameters: training.follow(n, before, hyperparameters)

    begun, asked = training.start().arrays(), training.hyperparameters
    arrays = [*asked.values()]
    directions = [
        dict(zip(asked, along(arrays, n, place))) for n, array in enumerate(arrays) for place in range(array.size)
    ]
    tangents = [numbers(jvp(training.begin, (asked,), (direction,))[1]) for direction in directions]
    for n in range(training.steps):
        for number, direction in enumerate(directions):
            made, moved = jvp(follow(n), (begun, asked), (tangents[number], direction))
            tangents[number] = numbers(moved)
        begun = numbers(made)
    value, cotangents = training.ask(begun)
    slopes = iter([sum(float(np.vdot(c, tangent[key])) for key, c in cotangents.items()) for tangent in tangents])
    found = {name: np.reshape([next(slopes) for _ in range(array.size)], array.shape) for name, array in asked.items()}
    return Hypergradient("", value, found)


def _differences(training: Training) -> Hypergradient:
    """Central differences of fourth order, at the step length of a ladder at which they have settled best."""
    asked = training.hyperparameters
    names, arrays = [*asked], [*asked.values()]

    def value(*given: np.ndarray) -> np.ndarray:
        at = training.at(dict(zip(names, given)))
        end = at.start().arrays()
        for n in range(at.steps):
            end = at.step(n, end).arrays()
        return np.array(at.ask(end)[0])

    found, uncertain = {}, {}
    for number, (name, array) in enumerate(asked.items()):
        slopes, errors = [], [0.0]
        for place, length in enumerate(lengths(array).ravel().tolist()):
            slope = settled(value, arrays, along(arrays, number, place, length))
            slopes.append(float(slope.value) / length)
            errors.append(float(slope.error) / length)
        uncertain[name] = max(errors)
        found[name] = np.reshape(slopes, array.shape)
    return Hypergradient("", float(value(*arrays)), found, detail=uncertain)


def numbers(tensors: Mapping[Any, Any]) -> dict[Any, np.ndarray]:
    """The arrays of tensors, or arrays themselves."""
    return {key: np.asarray(tensor.array if isinstance(tensor, Tensor) else tensor) for key, tensor in tensors.items()}


WAYS: dict[str, Callable[..., Hypergradient]] = {
    "one step": _one_step,
    "window": _window,
    "unroll": _unroll,
    "checkpointed": _checkpointed,
    "forward": _forward,
    "implicit": implicit,
    "differences": _differences,
}
