"""The exercises of the course: `check` says whether an answer is right, and what to think about where it is not.

The right values are computed when they are needed, by the engine or by differences, so this folder holds no answers.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from .cuts import EXERCISES as CUTS
from .exercise import Exercise
from .gradients import EXERCISES as GRADIENTS
from .hunt import EXERCISES as HUNT
from .studies import EXERCISES as STUDIES
from .towers import EXERCISES as TOWERS

__all__ = ["EXERCISES", "check"]

FOUND = {**GRADIENTS, **CUTS, **TOWERS, **STUDIES, **HUNT}
EXERCISES: dict[str, Exercise] = dict(sorted(FOUND.items(), key=lambda item: float(item[0])))


def check(exercise: str | float, answer: Any = ...) -> None:
    """Print whether an answer is right, and a hint where it is not.

    exercise: its number, such as "1.2" or 1.2.  answer: what the exercise asks for; ... while there is none.
    Raises ArgumentError for a number that no exercise has.
    """
    if (name := str(exercise)) not in EXERCISES:
        raise ArgumentError(f"check: no exercise has the number {exercise!r}; there are {', '.join(EXERCISES)}")
    print(f"{name} {EXERCISES[name].verdict(answer)}")
