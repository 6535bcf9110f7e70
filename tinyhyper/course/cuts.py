"""Lessons 3 and 4: taking scissors out, and a tower in twelve lines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..core.optimizers import SGD
from ..core.rules import sum as total
from ..core.tensor import Tensor, tensor
from ..derivatives import gradients
from .exercise import Exercise, function, near, number, returned

STEPS, ALPHA, TENTH = 3, 0.1, 10


def hypergradient(cut: Collection[str], steps: int = STEPS) -> float:
    """d loss / d alpha after some steps of gradient descent on sum(w**2), with these values cut in each step."""
    w, alpha = tensor([1.0, -2.0], requires_grad=True), tensor(ALPHA, requires_grad=True)
    for _ in range(steps):
        (g,) = gradients(total(w * w), [w], create_graph=True)
        old, g = (value.detach() if name in cut else value for name, value in (("weights", w), ("gradient", g)))
        w = old - alpha * g
    total(w * w).backward()
    assert alpha.grad is not None
    return alpha.grad.item()


def names(answer: Any) -> frozenset[str]:
    """A collection of strings."""
    if isinstance(answer, str):
        answer = [answer]
    if not all(isinstance(name, str) for name in answer):
        raise TypeError
    return frozenset(answer)


def _three_steps(found: float) -> str:
    if near(found, hypergradient(("weights", "gradient"))):
        return ""
    if near(found, hypergradient(("weights", "gradient"), STEPS - 1)):
        return "This is the number after two steps. Make one step more."
    if near(found, hypergradient(())):
        return "This is the number without any cut. With both cuts only the effect of alpha in the last step counts."
    return "With both cuts only the last step counts: -g3 · g2, where g2 and g3 are the gradients before and after it."


def _which_cuts(found: frozenset[str]) -> str:
    if unknown := found - {"weights", "gradient"}:
        words = ", ".join(sorted(unknown))
        return f"{words}: no cut of the lesson has this reason. The reasons are weights and gradient."
    wanted, got = hypergradient((), STEPS - 1), hypergradient({"weights", "gradient"} - found, STEPS - 1)
    if near(got, wanted):
        return ""
    return f"Without these cuts alpha gets {got:.5g}. Differences of the whole run give {wanted:.5g}."


def _stopped(found: float) -> str:
    w1 = (1 - 2 * ALPHA) * np.array([1.0, -2.0])
    ghost = 2 * (1 - 2 * ALPHA) * w1  # what arrives at the weights that the second step read
    if near(found, float(np.linalg.norm(ghost))):
        return ""
    if near(found, ALPHA * float(np.linalg.norm(ghost))):
        return "This is the ghost of the gradient's cut. The weights have a cut of their own."
    if near(found, float(np.linalg.norm(2 * w1))):
        return "This gradient arrives at the weights after the first step, w1. The second step cuts it once more."
    return "th.inspect.ghosts(tape) lists the ghosts. The cut of the old weights in the last step is the one asked for."


def _a_tower(found: Callable[..., Any]) -> str:
    for start, alpha, kappa, steps in (([0.5, -0.7], 0.01, 1e-3, 5), ([0.3], 0.1, 1e-2, 12)):
        params, optimizer = {"w": tensor(start, requires_grad=True)}, SGD(alpha, optimizer=SGD(kappa))
        for _ in range(steps):
            _loss(params["w"]).backward()
            optimizer.step(params)
        try:
            result = found(_loss, np.array(start), alpha, kappa, steps)
        except AttributeError as error:
            return (
                f"It stopped: {error}. Is a .grad None? A computed tensor keeps its gradient only after retain_grad(). "
                "And alpha has no gradient before the second loss."
            )
        if not isinstance(result, tuple) or len(result) != 2:
            return "It must return two values: the last weights and the last alpha."
        w, got = result[0], returned(result[1])
        wanted = optimizer.hyperparameters["alpha"]
        if got != wanted:
            return _how_far(got, wanted, alpha, steps)
        if np.asarray(w.numpy() if isinstance(w, Tensor) else w).tobytes() != params["w"].numpy().tobytes():
            return "alpha has the right bits, and the weights have not. Which alpha moves them: the old or the new one?"
    return ""


def _kappa(found: float) -> str:
    if found <= 0:
        return "kappa must be positive: alpha moves against its gradient."
    params, optimizer = {"w": tensor([1.0, -2.0], requires_grad=True)}, SGD(0.01, optimizer=SGD(found))
    for _ in range(TENTH):
        (loss := total(params["w"] * params["w"])).backward()
        optimizer.step(params)
    if loss.item() < 1e-6:
        return ""
    alpha = optimizer.hyperparameters["alpha"]
    size = "small" if 0 <= alpha < 1 else "large"
    return f"It is too {size}: the loss of the tenth step is {loss.item():.3g}, and alpha ends at {alpha:.3g}."


def _how_far(got: float, wanted: float, alpha: float, steps: int) -> str:
    if got == alpha:
        return f"After {steps} steps alpha is still {alpha:g}. Does a step make a new alpha from alpha.grad?"
    if near(got, wanted):
        return f"alpha is {got!r}, the library's {wanted!r}: the bits differ. In which order do you add and multiply?"
    return f"After {steps} steps alpha is {got:.6g}, the library's {wanted:.6g}. Does alpha move first, then w?"


def _loss(w: Tensor) -> Tensor:
    return total(w * w) + total(w * w * w * w)


EXERCISES = {
    "3.1": Exercise(
        "a number", number, _three_steps, "A longer run changes the weights. Still only the last step counts."
    ),
    "3.2": Exercise(
        "a list of reasons such as ['weights']", names, _which_cuts, "Each cut removes a part of the derivative."
    ),
    "3.3": Exercise("a number", number, _stopped, "So much would have flowed on to the step before."),
    "4.1": Exercise(
        "a function of loss, w, alpha, kappa and steps", function, _a_tower, "Your tower is the library's, bit for bit."
    ),
    "4.2": Exercise("a number", number, _kappa, "A much larger one throws alpha past its best value in one step."),
}
