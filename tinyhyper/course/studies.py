"""Lessons 9, 10 and 12: the horizon, a rule of one's own, and a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.optimizers import SGD
from ..core.rules import square
from ..core.rules import sum as total
from ..core.tensor import Tensor, tensor
from ..core.tower import Optimizer
from ..hyper import Training, gradient
from ..testing import check_hypergradients
from .exercise import Exercise, function, near, number, returned

CURVATURES = np.logspace(-2, 0, 10)


def _valley(curvatures: np.ndarray) -> Callable[[Any], Tensor]:
    return lambda params: 0.5 * total(tensor(curvatures) * square(params["w"]))


def _slope(curvatures: np.ndarray, alpha: float, steps: int) -> float:
    """The derivative of the loss after so many steps with respect to alpha."""
    loss, start = _valley(curvatures), {"w": np.ones(len(curvatures))}
    return float(gradient(Training(loss, start, SGD(alpha, horizon=None), loss, steps=steps)).gradients["alpha"])


def _first_step(found: float) -> str:
    if near(found, wanted := _slope(np.array([1.0, 0.01]), 1.5, 1)):
        return ""
    if near(found, -wanted):
        return "The size is right. The steep weight overshoots: would a smaller alpha have been better?"
    if near(found, -(1 + 0.01**2)):
        return "This is -g0 · g0. The second factor has the gradients at the weights after the step."
    return "The gradients before the step are 1 and 0.01. Where are the weights after it, with which gradients?"


def _steps_ahead(found: float) -> str:
    if found != int(found) or not 1 <= found <= 20:
        return "It is an integer, a number of steps from 1 to 20."
    at, before, end = (_slope(CURVATURES, 1.6, steps) if steps else 0.0 for steps in (int(found), int(found) - 1, 20))
    if at * end <= 0:
        return f"After {found:g} steps it is {at:+.3g}, and after 20 it has the other sign."
    return "" if before * end <= 0 else "Fewer steps are enough."


def _memory(found: float) -> str:
    if 199 <= found <= 201:
        return ""
    return "Count the checkpoints, and the steps between two of them. Both are in memory at the same time."


def rule(answer: Any) -> type[Optimizer]:
    """An optimizer's class."""
    if not isinstance(answer, type) or not issubclass(answer, Optimizer):
        raise TypeError
    return answer


def _shorter(found: type[Optimizer]) -> str:
    if missing := {"alpha", "decay"} - {*found.table}:
        return f"Its table has no {' and no '.join(sorted(missing))}."
    for name, wanted in (("alpha", 0.1), ("decay", 0.01)):
        if (first := found().hyperparameters[name]) != wanted:
            return f"In its table {name} is {first:g}. The exercise has {wanted:g}."
    params, made = {"w": tensor([1.0, -2.0], requires_grad=True)}, found(alpha=0.1, decay=0.5)
    w = np.array([1.0, -2.0])
    for t in range(1, 5):
        total(square(params["w"])).backward()
        made.step(params)
        w = w - 0.1 / (1 + 0.5 * t) * 2 * w
        if not np.allclose(params["w"].numpy(), w, rtol=1e-9):
            return (
                f"With a decay of 0.5 the weights after step {t} are {params['w'].numpy().round(4)}, by the equation "
                f"{w.round(4)}. By what does your rule divide alpha then, and with which sign does g enter?"
            )
    tower = found(alpha=0.1, decay=0.5, optimizer=SGD(1e-3))
    if idle := {"alpha", "decay"} - {*tower.parameters} or {n for n in ("alpha", "decay") if n not in tower._tuned}:
        return f"{' and '.join(sorted(idle))}: the level above does not tune it."
    check_hypergradients(tower, lambda params, step: total(square(params["w"])), {"w": np.array([1.0, -2.0])})
    return ""


def _flat(found: float) -> str:
    return "" if found == 0 else "By how much does the step change, if beta is 2.1 in place of 2?"


def _standard_error(found: Callable[..., Any]) -> str:
    for values in ([1.0, 2.0, 3.0, 4.0], [0.2, 0.1, 0.4]):
        wanted = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        got = returned(found(values))
        if any(near(got, float(np.std(values, ddof=n))) for n in (0, 1)):
            return "This is the standard deviation of the values. The mean of n of them varies less."
        if near(got, float(np.std(values) / np.sqrt(len(values)))):
            return "Divide by n - 1, not by n: the mean was computed from the same values."
        if near(got, wanted**2):
            return "This is the square of the standard error."
        if not near(got, wanted):
            return f"For {values} it gives {got:.4g}. How far do the values vary, and how far does their mean?"
    return ""


def _honest(found: Callable[..., Any]) -> str:
    validation = np.array([[0.5, 0.9], [0.4, 0.6], [0.3, 0.9]])
    test = np.array([[0.1, 0.2], [0.7, 0.5], [0.4, 0.3]])
    got = returned(found(validation, test))
    if near(got, float(test[1].mean())):
        return ""
    if near(got, float(test[0].mean())):
        return "This is the setting that is best on the test data: you have looked."
    if near(got, float(test[2].mean())):
        return "This setting had one lucky seed. Choose by the mean over the seeds."
    if near(got, float(validation[1].mean())):
        return "This is the loss by which the setting was chosen, so it flatters. Other data has to judge."
    return "A row is a setting, a column a seed. Which of the two arrays chooses the row, and which one judges it?"


EXERCISES = {
    "9.1": Exercise("a number", number, _first_step, "The steep weight decides; the flat one adds almost nothing."),
    "9.2": Exercise("a number", number, _steps_ahead, "From there on the flat weights decide."),
    "9.3": Exercise("a number", number, _memory, "That is 2 √T, in place of T."),
    "10.1": Exercise("a class", rule, _shorter, "Equation, tuning and hypergradients are right."),
    "10.2": Exercise("a number", number, _flat, "The smaller of the two is 1, whatever beta is above 1."),
    "12.1": Exercise("a function of values", function, _standard_error, "Four times as many seeds halve it."),
    "12.2": Exercise(
        "a function of validation and test", function, _honest, "The test data has judged, and has not chosen."
    ),
}
