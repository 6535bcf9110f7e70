"""Stacks as text: step sizes for the levels for which the text gives none, or one for each hyperparameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import tinyhyper as th

# Above SGD every level gets the bottom's alpha, as in Figure 4a of the paper, up to this: from a far too large alpha
# a step size as large would throw alpha to the other side of zero.
HIGHEST_ABOVE_SGD = 0.25

# Above optimizers that divide by the gradient's size: the step sizes of Table 1 of the paper.
ABOVE_ADAPTIVE = {"adagrad": 1e-2, "rmsprop": 1e-4}
ABOVE_ADAM = 1e-5

SGD_WITHOUT_NUMBERS = re.compile(r"sgd(-\w+)?", re.IGNORECASE)


def bottom(stack: str) -> str:
    """The name of the optimizer that moves the weights: "adam" for "Adam-alpha(0.01)/SGD"."""
    return re.split(r"\W", stack.strip(), maxsplit=1)[0].lower()


def alpha_of(stack: str, alpha: float) -> float:
    """The stack's own alpha, or this one if it states none. Raises TinyhyperError if the stack cannot be read."""
    return th.optim.from_string(stack, alpha=alpha).hyperparameters["alpha"]


def states_alpha(stack: str) -> bool:
    """Whether the stack gives an alpha of its own, as "adam(0.01)/sgd" does."""
    # Read back, a start that was taken may differ in its last digits, as RMSProp keeps the square root.
    return not all(math.isclose(alpha_of(stack, start), start) for start in (1.0, 2.0))


def rates(name: str, alpha: float, height: int) -> list[float]:
    """Step sizes for the levels of SGD above an optimizer that starts from alpha, lowest first."""
    if name == "sgd":
        return [min(abs(alpha), HIGHEST_ABOVE_SGD)] * height
    # From a far too large alpha, the paper's step size would take too long to bring it down. The level above that one
    # sees products of two hypergradients, which are larger by far than one.
    first = max(ABOVE_ADAPTIVE.get(name, ABOVE_ADAM), abs(alpha) / 50)
    return [first / 100**level for level in range(height)]


def complete(stack: str, alpha: float) -> str:
    """The stack with a step size for every SGD above the bottom; other optimizers keep their defaults."""
    lowest, *above = (level.strip() for level in stack.split("/"))
    levels = [lowest]
    for level, rate in zip(above, rates(bottom(stack), alpha, len(above)), strict=True):
        levels.append(f"{level}({rate:.12g})" if SGD_WITHOUT_NUMBERS.fullmatch(level) else level)
    return "/".join(levels)


def with_rates(stack: str, rates: Mapping[str, float] | None) -> th.optim.Optimizer:
    """The tower of a stack; or where rates are given, its one level under an SGD with a step size for each name."""
    optimizer = th.optim.from_string(stack)
    if not rates:
        return optimizer
    return type(optimizer)(**optimizer.hyperparameters, tune=tuple(rates), optimizer=th.optim.SGD(dict(rates)))
