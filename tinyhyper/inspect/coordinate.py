"""What a hyperparameter is called in the coordinate in which it is tuned."""

from __future__ import annotations

from ..core.coordinates import UNIT

LETTERS = {UNIT.name: "u"}  # of a coordinate that has no name as a function, as log and sqrt have


def word(coordinate: str) -> str:
    """What a coordinate is called alone: log, u."""
    return LETTERS.get(coordinate, coordinate)


def within(coordinate: str | None, name: str) -> str:
    """A name in a coordinate: log alpha, u(beta1). coordinate: None or empty for the value itself."""
    if not coordinate:
        return name
    return f"{LETTERS[coordinate]}({name})" if coordinate in LETTERS else f"{coordinate} {name}"
