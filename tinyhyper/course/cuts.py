"""Lessons 3 and 4: taking scissors out, and a tower in twelve lines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..core.optimizers import SGD
from ..core.rules import sum as total
from ..core.tensor import Tensor, tensor
from ..derivatives import gradients
from ..errors import AnomalyWarning, GraphError, GraphReleasedError
from .exercise import Exercise, almost, function, near, number, returned, three

ALPHA, THIRD, TENTH, BOTH = 0.1, 0.3, 10, ("weights", "gradient")


def hypergradient(*cuts: Collection[str]) -> float:
    """d loss / d alpha after steps of gradient descent on sum(w * w). cuts: for each step, the values that it cuts."""
    w, alpha = tensor([1.0, -2.0], requires_grad=True), tensor(ALPHA, requires_grad=True)
    for cut in cuts:
        (g,) = gradients(total(w * w), [w], create_graph=True)
        old, g = (value.detach() if name in cut else value for name, value in (("weights", w), ("gradient", g)))
        w = old - alpha * g
    total(w * w).backward()
    assert alpha.grad is not None
    return alpha.grad.item()


def _three_steps(found: float) -> str:
    two, three = hypergradient(BOTH, BOTH), hypergradient(BOTH, BOTH, BOTH)
    if near(found, three):
        return ""
    if near(found, two):
        return "This is the number after two steps. Make one step more."
    if near(found, two * (1 - 2 * ALPHA)):
        return "You made one of the two gradients smaller. The gradients before and after step 3 are both other ones."
    if near(found, hypergradient((), (), ())):
        return "This is the number without any cut. With both cuts only the effect of alpha in the last step counts."
    if hint := almost(found, three):
        return hint
    if found < two:
        return "This is further from zero than after two steps. Does a step make the gradients larger or smaller?"
    return "With both cuts only the last step counts. How large are the gradients before and after it?"


def _second_step_only(found: float) -> str:
    if near(found, wanted := hypergradient((), BOTH, ())):
        return ""
    if near(found, hypergradient((), ())):
        return "This is the number of two steps from the first weights. Here two steps from w1 are left."
    if near(found, hypergradient((), (), ())):
        return "This is the number without any cut. What do the cuts of step 2 stop?"
    if near(found, hypergradient((), (), BOTH)):
        return "This is the number with the cuts of step 3: only the last step counts. Here step 3 makes none."
    if near(found, hypergradient((), BOTH, BOTH[:1])) or near(found, hypergradient((), BOTH, BOTH[1:])):
        return "This is the number with one cut in step 3. Here step 3 makes none."
    return almost(found, wanted) or "What do the cuts of step 2 stop? Which steps are left, and from which weights?"


def _stopped(found: float) -> str:
    g1, ghost = (_ghost(THIRD, steps) for steps in (1, 2))
    if near(found, ghost):
        return ""
    if near(found, _ghost(ALPHA, 2)):
        return "This is the ghost at the alpha of the lesson, 0.1."
    if near(found, THIRD * ghost):
        return "This is the ghost of the gradient's cut. The weights have a cut of their own."
    if near(found, g1):
        return "This is the gradient at w1. The ghost is the gradient that comes back from the loss, which is at w2."
    return "th.inspect.ghosts(tape) lists the ghosts. On paper: which gradient arrives at the difference that makes w2?"


def _ghost(alpha: float, steps: int) -> float:
    """The norm of the gradient at the weights after so many steps."""
    return float(np.linalg.norm(2 * (1 - 2 * alpha) ** steps * np.array([1.0, -2.0])))


def _a_tower(found: Callable[..., Any]) -> str:
    for start, alpha, kappa in (([0.5, -0.7], 0.01, 1e-3), ([0.3], 0.1, 1e-2)):
        for steps in (1, 2, 7):  # the first step moves only the weights, the second one alpha, too
            params, optimizer = {"w": tensor(start, requires_grad=True)}, SGD(alpha, optimizer=SGD(kappa))
            for _ in range(steps):
                _loss(params["w"]).backward()
                optimizer.step(params)
            try:
                result = found(_loss, np.array(start), alpha, kappa, steps)
            except GraphReleasedError:
                return "A backward pass went into the step before. Which old value does a new one read without a cut?"
            except AttributeError as error:
                return (
                    f"It stopped: {error}. Is a .grad None? A computed tensor keeps its gradient only after "
                    "retain_grad(). And alpha has no gradient before the second loss."
                )
            except GraphError as error:
                return (
                    f"It stopped: {error}. What is computed from cut values alone has no graph. Make a new tensor of "
                    "its number, which asks for a gradient."
                )
            if not isinstance(result, tuple) or len(result) != 2:
                return "It must return two values: the last weights and the last alpha."
            w = result[0].numpy() if isinstance(result[0], Tensor) else np.asarray(result[0], float)
            level = optimizer.hyperparameters["alpha"]
            if hint := _other_tower(w, returned(result[1]), params["w"].numpy(), level, steps):
                return hint
    return ""


def _other_tower(w: np.ndarray, alpha: float, wanted: np.ndarray, level: float, steps: int) -> str:
    """How a tower differs from the library's after some steps."""
    same = w.shape == wanted.shape and np.allclose(w, wanted, rtol=1e-9)
    if steps == 1 and not same:
        return f"After one step w is {w}, the library's {wanted}. Does w move against the gradient of loss_of(w)?"
    if not near(alpha, level):
        return (
            f"After {steps} steps alpha is {alpha:.6g}, the library's {level:.6g}. From the second step on, alpha "
            "moves against alpha.grad, with the step size kappa."
        )
    if not same:
        return "alpha is right, and the weights are not. Which alpha moves them: the old or the new one?"
    if alpha != level or w.tobytes() != wanted.tobytes():
        return "All is right within rounding, but the bits differ. In which order do you add and multiply?"
    return ""


def _kappa(found: float) -> str:
    if found <= 0:
        return "kappa must be positive: alpha moves against its gradient."
    params, optimizer = {"w": tensor([1.0, -2.0], requires_grad=True)}, SGD(0.01, optimizer=SGD(found))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnomalyWarning)  # the hint says what becomes of alpha
        for _ in range(TENTH):
            (loss := total(params["w"] * params["w"])).backward()
            optimizer.step(params)
    if loss.item() < 1e-6:
        return ""
    alpha = optimizer.hyperparameters["alpha"]
    size = "small" if 0 <= alpha < 1 else "large"
    return f"It is too {size}: the loss of the tenth step is {loss.item():.3g}, and alpha ends at {alpha:.3g}."


def _left_out(found: list[str]) -> str:
    for change, word, (wanted, hint) in zip("ABC", found, CHANGES):
        if word not in ("same", "other", "error"):
            return f"{word!r} is none of the three words: 'same', 'other' and 'error'."
        if word != wanted:
            return f"Change {change} is not {word!r}. {hint}"
    return ""


# What becomes of the tower of lesson 4 with each change of exercise 4.3, and what to think about.
CHANGES = (
    ("error", "The new weights then lead back to the old ones. Does the second backward() find their graph?"),
    ("same", "What does backward() leave in w.grad: is there a graph that this detach could cut?"),
    ("same", "Each step makes an alpha of its own, whose gradient it reads. Which loss reaches it along which path?"),
)


def _loss(w: Tensor) -> Tensor:
    return total(w * w) + total(w * w * w * w)


EXERCISES = {
    "3.1": Exercise(
        "a number", number, _three_steps, "A longer run changes the weights. Still only the last step counts."
    ),
    "3.2": Exercise(
        "a number", number, _second_step_only, "Steps 2 and 3 count: a cut at every second step looks back two steps."
    ),
    "3.3": Exercise("a number", number, _stopped, "So much would have flowed on to the step before."),
    "4.1": Exercise(
        "a function of loss, w, alpha, kappa and steps", function, _a_tower, "Your tower is the library's, bit for bit."
    ),
    "4.2": Exercise("a number", number, _kappa, "A much larger one throws alpha past its best value in one step."),
    "4.3": Exercise(
        "a list of three words", three, _left_out, "Here the cut of the weights saves memory, and changes no number."
    ),
}
