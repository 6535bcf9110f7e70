"""Lessons 5 to 8: paths, height, memory, coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.optimizers import SGD
from ..core.rules import sum as total
from ..core.tensor import tensor
from ..inspect import record
from .exercise import Exercise, near, number, returned, slope

EVERY = 10  # steps from one cut to the next


def _share(found: float) -> str:
    w = sum(_product(start, lambda w: 2 * w) for start in (1.0, -2.0))
    parts = [_product(start, lambda b: 4 * b**3) for start in (0.5, 1.0)]
    before, wanted = (100 * part / (part + w) for part in parts)
    if near(found, wanted):
        return ""
    if near(found, before):
        return "This is the share where b starts at 0.5, as in the lesson."
    if near(found, wanted / 100):
        return "This is the share itself. In per cent it is a hundred times as much."
    if near(found, 100 - wanted):
        return "This is the share of the other weight, w."
    if near(abs(found), parts[1]):
        return "This is what the path contributes. Divide it by what both paths contribute together."
    return "Compute -g1 · g0 for b, with b before and after the first step. That of w is still -16."


def _product(start: float, gradient: Callable[[float], float]) -> float:
    """g1 · g0 for a step of 0.1 from a weight."""
    g0 = gradient(start)
    return g0 * gradient(start - 0.1 * g0)


def _second_step(mu: float) -> float:
    """The loss after two steps of w ** 2 with momentum, of which the second has this mu."""
    w, velocity = 1.0, 0.0
    for step_mu in (0.5, mu):
        velocity = step_mu * velocity + 2 * w
        w -= 0.1 * velocity
    return w * w


def _momentum(found: float) -> str:
    if near(found, wanted := slope(_second_step, 0.5)):
        return ""
    if near(found, -wanted):
        return "The size is right. A larger mu takes w further: does that lower the loss here?"
    if found == 0:
        return "At the first step it is 0, since the velocity before it is 0. Which velocity does the second step read?"
    if near(abs(found), 0.1 * 1.08 * 2.6):
        return "This has the velocity that the second step made. Which one did it read?"
    if near(abs(found), 0.1 * 1.6 * 2.0):
        return "This has the gradient before the second step. At which weights is the loss that is asked for?"
    return "Write down velocity and w after each of the two steps. How does mu enter the second step?"


def _standstill(found: np.ndarray) -> str:
    if found.shape != (2,):
        return "Two numbers are needed."
    g = 2 * (found - 3)
    parts = -g * 2 * (found - 0.1 * g - 3)
    if abs(rise := float(np.sum(parts))) < 1e-3:
        return ""
    if not parts.all():
        return f"There the gradient is {rise:.3g}, all of it from one weight. Why does the other one contribute 0?"
    return f"There the weights contribute {parts[0]:.3g} and {parts[1]:.3g}. Can one of these ever be positive?"


def pair(answer: Any) -> np.ndarray:
    """A list of numbers."""
    if answer is None or isinstance(answer, str) or callable(answer):
        raise TypeError
    found = np.asarray(answer, float).ravel()
    if not np.isfinite(found).all():
        raise ValueError
    return found


def tower(height: int) -> SGD:
    """SGD of a height, with step sizes of 0: its gradients and cuts are those of any other, and nothing runs off."""
    found = SGD(0.0)
    for _ in range(height):
        found = SGD(0.0, optimizer=found)
    return found


def _first_move(height: int, level: int) -> int:
    """The step at which the alpha of a level has a gradient for the first time."""
    params, optimizer, step = {"w": tensor([1.0, -2.0], requires_grad=True)}, tower(height), 1
    while True:
        total(params["w"] * params["w"]).backward()
        gradient = optimizer.levels[level].parameters["alpha"].grad
        if gradient is not None and gradient.item() != 0:
            return step
        optimizer.step(params)
        step += 1


def _waits(found: float) -> str:
    wanted = _first_move(7, 5)
    if found == wanted:
        return ""
    if found == wanted - 2:
        return "This is the number of the level. The alpha of level 0 does not move at step 0: when does it?"
    if found == wanted - 1:
        return "By this count the alpha of level 0 moves at step 1. But at step 1 no hyperparameter has a gradient."
    if found in (wanted + 1, wanted + 2):
        return "This is too late. The height does not matter: no level waits for those above it."
    return "The run of the lesson prints three levels. At which step does each of them move first, and the next one?"


def _cuts(height: int, weights: int) -> int:
    """How many cuts one step makes."""
    params = {f"w{n}": tensor([1.0], requires_grad=True) for n in range(weights)}
    with record() as tape:
        total(sum(w * w for w in params.values())).backward()
        tower(height).step(params)
    return len(tape.cuts)


def _cuts_of_a_tower(found: float) -> str:
    wanted = _cuts(5, 1)
    if found == wanted:
        return ""
    if found == wanted / 2:
        return "Each move cuts two values: the old one, and its gradient."
    if found % 2:
        return "Each move makes two cuts, so the number is even."
    if found == wanted - 2:
        return "One move is missing. Level 0 moves the weights, and each level above moves the alpha below it."
    if found == wanted + 2:
        return "This is one move too many. Which alpha does nothing move?"
    if found == wanted * 2:
        return "This is twice as many. The new value is not cut, and there is one weight tensor."
    return "Count what is moved: the weights by level 0, and the alpha of every level that has one above."


def _cuts_of_a_weight(found: float) -> str:
    added = _cuts(5, 2) - _cuts(5, 1)
    if found == added:
        return ""
    if found == _cuts(5, 2):
        return "So many cuts the step makes in all. How many of them are new?"
    if found == 0:
        return "Level 0 moves both weight tensors: each move makes its own cuts."
    if found == added / 2:
        return "What does a move cut beside the old weights?"
    return "The hyperparameters are those of before. Only level 0 moves something more."


def _growth(found: float) -> str:
    if found == 300:
        return ""
    if found == 3:
        return "So many are alive after each step with the cut. The exercise asks for the run without it."
    if found in (297, 303):
        return "This is one step too few or too many. The first number of the list is the one after step 1."
    return "The list has the numbers after steps 1 to 8, and at the end. How many nodes does each step add?"


def _now_and_then(found: float) -> str:
    if found == 3 * EVERY:
        return ""
    if found == 3 * (EVERY - 1):
        return "So many are alive before the first cut. Later the nodes of the step that cuts are alive, too."
    if found == 3:
        return "So many are alive after a step that cuts. And after the steps between two cuts?"
    return "A step that cuts frees all steps before it, and each step adds 3 nodes. How many steps can be alive?"


def _in_log(found: float) -> str:
    if near(found, wanted := 0.02 * slope(lambda alpha: -50 * alpha, 0.02)):
        return ""
    if near(found, -wanted):
        return "The size is right. If log alpha grows, alpha grows: does the loss then grow or fall?"
    if near(found, wanted / 0.02):
        return "This is the gradient with respect to alpha, which is given."
    if near(found, wanted / 0.02**2):
        return "This is divided by alpha. If log alpha grows by a little, does alpha grow by more or by less?"
    return "If log alpha grows by 0.001, how much does alpha grow? Then by how much does the loss change?"


def _after_a_step(found: float) -> str:
    if near(found, 0.02 * math.exp(0.1)):
        return ""
    if near(found, 0.02 + 0.1) or near(found, 0.02 + 0.1 * 50):
        return "The step is one of log alpha. So alpha is multiplied by a factor."
    if near(found, 0.02 * math.exp(-0.1)):
        return "This is a step along the gradient. In which direction does gradient descent move log alpha?"
    if near(found, math.log(0.02) + 0.1):
        return "This is log alpha after the step. The exercise asks for alpha."
    return "8.1 has the gradient. How far does log alpha move, and what does that make of alpha?"


def functions(answer: Any) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """A pair of functions."""
    value, inverse = answer
    if not callable(value) or not callable(inverse):
        raise TypeError
    return value, inverse


def _own_coordinate(found: tuple[Callable[[float], float], Callable[[float], float]]) -> str:
    value, inverse = found
    us = np.linspace(-5, 5, 41)
    values = [returned(value(float(u))) for u in us]
    for u, v in zip(us, values):
        if not 0 < v < 2:
            return f"value({u:g}) is {v:g}, which is not between 0 and 2."
        if abs((back := returned(inverse(v))) - u) > 1e-6 * max(1.0, abs(u)):
            return f"value({u:g}) is {v:g}, but inverse({v:g}) is {back:g}."
    if any(a >= b for a, b in zip(values, values[1:])):
        return "It does not grow everywhere, so the sign of a gradient would change its meaning."
    return ""


EXERCISES = {
    "5.1": Exercise("a number", number, _share, "Where alpha goes is decided by w."),
    "5.2": Exercise("a number", number, _momentum, "At the first step the same product has the velocity 0."),
    "5.3": Exercise("a list of two numbers", pair, _standstill, "At the minimum both gradients are 0: nothing moves."),
    "6.1": Exercise("a number", number, _waits, "The path from the loss to it passes every level below."),
    "6.2": Exercise("a number", number, _cuts_of_a_tower, "Two for the weights, and two for each alpha that is tuned."),
    "6.3": Exercise("a number", number, _cuts_of_a_weight, "What is above does not know how many weights there are."),
    "7.1": Exercise("a number", number, _growth, "It grows by the same number at each step, for ever."),
    "7.2": Exercise("a number", number, _now_and_then, "A cut now and then is enough: lesson 9 calls this a horizon."),
    "8.1": Exercise("a number", number, _in_log, "Here a gradient says by which share alpha should change."),
    "8.2": Exercise("a number", number, _after_a_step, "A tenth more, roughly: exp(0.1) is 1.105."),
    "8.3": Exercise(
        "a pair of functions", functions, _own_coordinate, "Wherever the level above moves u, the number is in range."
    ),
}
