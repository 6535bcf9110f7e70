"""An exercise: what it asks for, what is wrong with an answer, and what follows from a right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..core.tensor import Tensor


class Exercise(NamedTuple):
    """An exercise of a lesson.

    wants: what is asked for, such as "a number".  read: what makes that of an answer; raises if it is something else.
    wrong: a hint for an answer that is not right, else "".  after: what follows from the right one.
    """

    wants: str
    read: Callable[[Any], Any]
    wrong: Callable[[Any], str]
    after: str

    def verdict(self, answer: Any) -> str:
        """One line: open, not what was asked for, not right yet with a hint, or right."""
        if answer is ...:
            return f"is open. Put {self.wants} in place of the three dots."
        try:
            found = self.read(answer)
        except (TypeError, ValueError):
            return f"asks for {self.wants}. Your answer is {kind(answer)}."
        try:
            hint = self.wrong(found)
        except Exception as error:  # the student's function has run
            return f"stopped: {type(error).__name__}: {error}"
        return f"is not right yet. {hint}" if hint else f"is right. {self.after}"


def number(answer: Any) -> float:
    """A number, a tensor or an array of one element, as a float that is finite."""
    if answer is None or isinstance(answer, (str, bool)) or callable(answer):
        raise TypeError
    found: float = np.asarray(answer.numpy() if isinstance(answer, Tensor) else answer, float).item()
    if not np.isfinite(found):
        raise ValueError
    return found


def kind(value: Any) -> str:
    """What was given in place of something else."""
    if value is None or isinstance(value, float):
        return "nothing" if value is None else str(value)
    shape = getattr(value, "shape", None)
    return f"a value of type {type(value).__name__}" if shape is None else f"an array of shape {shape}"


def returned(value: Any) -> float:
    """The number that a student's function has returned; a TypeError that says what it returned instead."""
    try:
        return number(value)
    except (TypeError, ValueError):
        idea = ". Make one number of its elements, such as a sum or a mean" if getattr(value, "ndim", 0) else ""
        raise TypeError(f"your function returned {kind(value)}, not a number{idea}") from None


def function(answer: Any) -> Callable[..., Any]:
    """A function."""
    if not callable(answer):
        raise TypeError
    return answer


def three(answer: Any) -> list[str]:
    """Three words."""
    if isinstance(answer, str) or len(found := [*answer]) != 3 or not all(isinstance(word, str) for word in found):
        raise TypeError
    return [word.strip().lower() for word in found]


def near(found: float, wanted: float) -> bool:
    """Whether a number is right to three digits, which is what one writes down."""
    return bool(abs(found - wanted) <= 5e-3 * abs(wanted) + 1e-9)


def almost(found: float, wanted: float) -> str:
    """A hint for a number of which only the sign or the last digits are wrong."""
    if near(found, -wanted):
        return "The size is right, and the sign is not."
    if abs(found - wanted) <= 2e-2 * abs(wanted):
        return "You are close, but three digits should be right."
    return ""


def slope(f: Callable[[float], float], at: float) -> float:
    """The derivative of a smooth function by central differences, right to about eight digits."""
    step = 1e-4 * max(abs(at), 1.0)
    near_by, further = ((f(at + h) - f(at - h)) / (2 * h) for h in (step, 2 * step))
    return near_by + (near_by - further) / 3
