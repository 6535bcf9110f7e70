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
        return "This is what the path through w * x contributes. w is read again, in w * w."
    if near(found, 2 * error * 3.0 + 1.0):
        return "w * w reads w on both sides, and each side contributes."
    if near(found, 2.0):
        return "This is what the path through w * w contributes. Another path leads through w * x."
    if near(found, slope(_loss, 2.0)):
        return "This is the gradient at w = 2, as in the lesson. Here w is 1."
    if near(found, 2 * error):
        return "This is the gradient at the product, w * x. Its derivative with respect to w is still missing."
    return "Write the value of each line for w = 1 first. Then go back from the loss, one line at a time."


def _lowest(found: float) -> str:
    rise = slope(_loss, found)
    if abs(rise) < 0.05:
        return ""
    way = "smaller" if rise > 0 else "larger"
    return f"At w = {found:.4g} the gradient is {rise:.3g}: the loss falls if w becomes {way}."


def _differences(found: Callable[..., Any]) -> str:
    for f, at in ((math.sin, 1.0), (lambda v: v**3, -2.0), (math.exp, 0.5)):
        rise, got = slope(f, at), returned(found(f, at))
        error = abs(got - rise)
        if error > 1e-2 * abs(rise):
            return f"For a function whose derivative at {at:g} is {rise:.6g} it gives {got:.6g}."
        if error > 1e-7 * abs(rise):
            return (
                f"Almost right: its error is {error:.0e}, and 1e-7 is allowed. The error of (f(x + h) - f(x)) / h "
                "shrinks like h. With a step to both sides it shrinks like h squared. But a very small h loses digits "
                "in the difference: 1e-5 is a good one."
            )
    return ""


def _next_loss(w: np.ndarray, alpha: float) -> float:
    """The loss sum(w**2) after one step."""
    return float(np.sum((w - alpha * 2 * w) ** 2))


def _by_hand(found: float) -> str:
    w = np.array([3.0, 1.0])
    wanted = slope(lambda alpha: _next_loss(w, alpha), 0.2)
    if near(found, wanted):
        return ""
    if near(found, -wanted):
        return "The size is right. A larger alpha takes w further along -g. Is the next loss then larger or smaller?"
    if near(found, -float(np.sum((2 * w) ** 2))):
        return "This is -g0 · g0. The second factor is the gradient at the weights after the step."
    return "Compute g0 at w, then the weights after the step, then g1 at these. The derivative is -g1 · g0."


def _fourth_power(w: np.ndarray, alpha: float) -> float:
    return float(np.sum((w - alpha * 4 * w**3) ** 4))


def _hypergradient(found: Callable[..., Any]) -> str:
    for w, alpha in ((np.array([1.0]), 0.01), (np.array([0.5, -0.7]), 0.1), (np.array([-0.3, 0.2, 0.9]), 0.05)):
        wanted = slope(lambda alpha, w=w: _fourth_power(w, alpha), alpha)  # type: ignore[misc]
        if not near(got := returned(found(w.copy(), alpha)), wanted):
            return f"For w = {w.tolist()} and alpha = {alpha} it gives {got:.6g}; differences give {wanted:.6g}."
    return ""


def _best_alpha(found: float) -> str:
    rise = slope(lambda alpha: _next_loss(np.array([1.0, -2.0]), alpha), found)
    if abs(rise) < 0.05:
        return ""
    return f"There the derivative is {rise:.3g}: {'a shorter' if rise > 0 else 'a longer'} step would be better."


EXERCISES = {
    "1.1": Exercise("a number", number, _gradient, "Two paths lead from the loss to w, and their parts add up."),
    "1.2": Exercise("a number", number, _lowest, "There the parts of the two paths cancel."),
    "1.3": Exercise(
        "a function of f and x", function, _differences, "It needs no tape, but two calls of f for every number."
    ),
    "2.1": Exercise("a number", number, _by_hand, "It is negative, so alpha was too small."),
    "2.2": Exercise("a function of w and alpha", function, _hypergradient, "It uses first derivatives alone."),
    "2.3": Exercise("a number", number, _best_alpha, "With this alpha one step leads to the minimum of this loss."),
}
