"""Lessons 1 and 2: a number and its tape; a step as a function of alpha."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .exercise import Exercise, function, near, number, returned, slope


def _loss(w: float, x: float = 3.0, y: float = 5.0) -> float:
    """The loss of lesson 1."""
    return (w * x - y) ** 2 + w * w


def _gradient(found: float) -> str:
    error = 1.0 * 3.0 - 5.0
    if near(found, slope(_loss, 1.0)):
        return ""
    if near(found, 2 * error * 3.0):
        return "This is what the path through w * x contributes. w * w reads w, too."
    if near(found, 2 * error * 3.0 + 1.0):
        return "w * w reads w on both sides, and each side contributes."
    if near(found, 2.0):
        return "This is what the two paths through w * w contribute. Another path leads through w * x."
    if near(found, slope(_loss, 2.0)):
        return "This is the gradient at w = 2, as in the lesson. Here w is 1."
    if near(found, 2 * error):
        return "This is the gradient at the product, w * x. Its derivative with respect to w is still missing."
    return "Write the value of each line for w = 1 first. Then go back from the loss, one line at a time."


def _lowest(found: float) -> str:
    rise = slope(_loss, found)
    if abs(rise) < 0.05:
        return ""
    sign, way = ("positive", "smaller") if rise > 0 else ("negative", "larger")
    return f"At w = {found:.4g} the gradient is {sign}: the loss falls if w becomes {way}."


def _differences(found: Callable[..., Any]) -> str:
    for f, at in ((math.sin, 1.0), (_cube, -2.0), (math.exp, 0.5)):
        looked: list[float] = []
        got, rise = returned(found(_seen(f, looked), at)), slope(f, at)
        if abs(got - rise) > 1e-7 * abs(rise):
            return f"At {at:g} a derivative is {rise:.8g}, and yours is {got:.8g}. {_idea(f, at, got, looked)}"
    return ""


def _cube(v: float) -> float:
    return v**3


def _seen(f: Callable[[float], float], looked: list[float]) -> Callable[[float], float]:
    """The function, which notes where it is called."""

    def seen(x: float) -> float:
        looked.append(x)
        return f(x)

    return seen


def _idea(f: Callable[[float], float], at: float, got: float, looked: list[float]) -> str:
    """What to think about, by where f was called."""
    low, high = min(looked, default=at), max(looked, default=at)
    if low == high:
        return "Compare f at two numbers, close to x."
    if high - low < 1e-8:
        return "The two numbers are so close that f differs in its last digits only. Go further apart."
    if abs(got - (f(high) - f(low)) / (high - low)) > 1e-6 * abs(got):
        return "Divide the difference of the two losses by the distance of the two numbers."
    if low == at or high == at:
        return "You go to one side of x. With a step of h to both sides the error shrinks like h squared."
    return "The two numbers are far apart, and f curves between them. Go closer."


def _product(got: float, w: np.ndarray, alpha: float, gradient: Callable[[np.ndarray], np.ndarray]) -> str:
    """What is wrong with a derivative of the loss after a step with respect to alpha."""
    g0 = gradient(w)
    wanted = -float(np.sum(g0 * gradient(w - alpha * g0)))
    if near(got, wanted):
        return ""
    if near(got, -wanted):
        return "The size is right. A larger alpha takes w further along -g. Is the next loss then larger or smaller?"
    if near(got, -float(np.sum(g0 * g0))):
        return "This is -g0 · g0. The second factor is the gradient at the weights after the step."
    return "Compute g0 at w, then the weights after the step, then g1 at these. What does the lesson make of the two?"


def _next_loss(alpha: float) -> float:
    """The loss of exercise 2.3 after one step."""
    w, steep = np.array([3.0, 1.0]), np.array([1.0, 3.0])
    return float(np.sum(steep * (w - alpha * 2 * steep * w) ** 2))


def _by_hand(found: float) -> str:
    return _product(found, np.array([3.0, 1.0]), 0.2, _of_squares)


def _of_squares(w: np.ndarray) -> np.ndarray:
    return 2 * w


def _hypergradient(found: Callable[..., Any]) -> str:
    for w, alpha in ((np.array([1.0]), 0.01), (np.array([0.5, -0.7]), 0.1), (np.array([-0.3, 0.2, 0.9]), 0.05)):
        got = returned(found(w.copy(), alpha))
        if not _product(got, w, alpha, _of_squares):
            return "This is right for sum(w ** 2). What is the gradient of sum(w ** 4)?"
        if hint := _product(got, w, alpha, lambda v: 4 * v**3):
            return f"For w = {w.tolist()} and alpha = {alpha} it gives {got:.6g}. {hint}"
    return ""


def _best_alpha(found: float) -> str:
    rise = slope(_next_loss, found)
    if abs(rise) < 0.05:
        return ""
    if near(found, 1 / 2) or near(found, 1 / 6):
        return "There one weight is at its minimum, and the other one is not. Which alpha is best for both together?"
    better = "a shorter" if rise > 0 else "a longer"
    return f"There the derivative is {rise:.3g}: {better} step would be better. When do the parts of -g1 · g0 cancel?"


EXERCISES = {
    "1.1": Exercise("a number", number, _gradient, "Three paths lead from the loss to w, and they add up."),
    "1.2": Exercise("a number", number, _lowest, "There the contributions of the paths cancel."),
    "1.3": Exercise(
        "a function of f and x", function, _differences, "It needs no tape, but two calls of f for every number."
    ),
    "2.1": Exercise("a number", number, _by_hand, "It is negative, so alpha was too small."),
    "2.2": Exercise("a function of w and alpha", function, _hypergradient, "It uses first derivatives alone."),
    "2.3": Exercise("a number", number, _best_alpha, "g1 is not zero there: what the two weights contribute cancels."),
}
