"""The implicit function theorem at a minimum: how its place moves with the hyperparameters of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import number, whole
from ..core.tape import recording, unwatched
from ..core.tensor import Tensor, leaf
from ..derivatives import gradients
from ..errors import ArgumentError, GradientError
from .training import Hypergradient, Training

NEAR = 1e-3  # of the weights' length: how far Newton's step from a minimum leads at most
Vector = np.ndarray


def implicit(
    training: Training, *, solver: str = "cg", iterations: int | None = None, tolerance: float = 1e-10
) -> Hypergradient:
    """At a minimum w of the last step's loss L: - (d2 L / dh dw) (d2 L / dw2)^-1 (d goal / dw), as the gradient by h.

    solver: of the linear system: "cg", conjugate gradients, or "neumann", the sum of (1 - r H)^n r v, with r one over
    the largest eigenvalue of H.  iterations: at most, ten times the number of weights if None.
    tolerance: of the residual, relative to the right-hand side.
    A hyperparameter of the optimizer does not move a minimum, so its gradient is 0; weight decay does, and is refused.
    Raises GradientError where the run does not end at a minimum, or the system is not solved.
    """
    if solver not in SOLVERS:
        raise ArgumentError(f"hyper.gradient: solver must be one of {', '.join(SOLVERS)}, not {solver!r}")
    tolerance = number("hyper.gradient: tolerance", tolerance, lambda x: x > 0, "number > 0")
    arrays = training.start().arrays()
    for n in range(training.steps):
        arrays = training.step(n, arrays).arrays()
    value, cotangents = training.ask(arrays)
    with recording(), unwatched():
        names = [key for key in arrays if key[0] == "weight"]
        weights, hyperparameters = {key[1]: leaf(Tensor(arrays[key])) for key in names}, training.leaves()
        loss = training.value(training.steps - 1, weights, hyperparameters)
        slopes = gradients(loss, [*weights.values()], create_graph=True)
        curved = [slope for slope in slopes if slope.edge is not None]
        places = [w.array for w in weights.values()]

        def product(vector: Vector, inputs: Any = None) -> list[np.ndarray]:
            parts = [Tensor(part) for slope, part in zip(slopes, _split(vector, places)) if slope.edge is not None]
            inputs = [*weights.values()] if inputs is None else inputs
            return [g.array for g in gradients(curved, inputs, parts, retain_graph=True)]

        def curvature(vector: Vector) -> Vector:
            return _joined(product(vector))

        size = sum(w.size for w in places)
        limit = 10 * size if iterations is None else whole("hyper.gradient: iterations", iterations)
        newton, _ = SOLVERS["cg"](curvature, _joined([slope.array for slope in slopes]), limit, 1e-6)
        distance, length = np.linalg.norm(newton), np.linalg.norm(_joined(places))
        if not distance <= NEAR * (length or 1.0):
            raise GradientError(
                "hyper.gradient: the run does not end at a minimum of the last loss: Newton's step from there has norm "
                f"{distance:.3g}, the weights have {length:.3g}. Make more steps, or choose another way"
            )
        target = _joined([cotangents[key] for key in names])
        solution, residual = SOLVERS[solver](curvature, target, limit, tolerance)
        if not residual <= max(tolerance, 1e-6):
            raise GradientError(
                f"hyper.gradient: {solver} has left a residual of {residual:.3g} after {limit} iterations. Increase "
                "iterations=, or choose the other solver"
            )
        found = product(-solution, [*hyperparameters.values()])
    return Hypergradient("", value, dict(zip(hyperparameters, found)), detail={"residual": residual})


def _conjugate(product: Callable[[Vector], Vector], target: Vector, limit: int, tolerance: float) -> Any:
    """Conjugate gradients (Hestenes and Stiefel 1952); the solution, and its residual relative to the target."""
    solution, left = np.zeros_like(target), target.copy()
    direction, squared, size = left.copy(), left @ left, np.linalg.norm(target)
    for _ in range(limit):
        if not size or np.sqrt(squared) <= tolerance * size:
            break
        bent = product(direction)
        curvature = direction @ bent
        if not curvature > 0.0:
            raise GradientError(
                "hyper.gradient: the run does not end at a minimum of the last loss: along some direction its "
                f"curvature is {curvature / (direction @ direction):.3g}, not above 0. Make more steps, or choose "
                "another way"
            )
        length = squared / curvature
        solution, left = solution + length * direction, left - length * bent
        squared, before = left @ left, squared
        direction = left + squared / before * direction
    return solution, float(np.linalg.norm(product(solution) - target) / size) if size else 0.0


def _series(product: Callable[[Vector], Vector], target: Vector, limit: int, tolerance: float) -> Any:
    """Neumann's series; the solution, and its residual relative to the target."""
    size = np.linalg.norm(target)
    if not size:
        return np.zeros_like(target), 0.0
    vector = target / size
    for _ in range(50):  # the largest eigenvalue
        bent = product(vector)
        largest = float(np.linalg.norm(bent))
        vector = bent / largest
    rate = 1.0 / (1.05 * largest)
    solution, term = np.zeros_like(target), rate * target
    for _ in range(limit):
        solution = solution + term
        term = term - rate * product(term)
        if np.linalg.norm(term) <= tolerance * rate * size:
            break
    return solution, float(np.linalg.norm(product(solution) - target) / size)


SOLVERS = {"cg": _conjugate, "neumann": _series}


def _joined(arrays: Any) -> Vector:
    return np.concatenate([np.ravel(array) for array in arrays])


def _split(vector: Vector, places: list[np.ndarray]) -> list[np.ndarray]:
    ends = np.cumsum([place.size for place in places])
    return [part.reshape(place.shape) for part, place in zip(np.split(vector, ends[:-1]), places)]
