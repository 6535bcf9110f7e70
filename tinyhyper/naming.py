"""What the values of a run are called, in recordings and in programs: by their optimizer, and in their coordinate."""

from __future__ import annotations

from typing import NamedTuple

from .core.coordinates import UNIT
from .plain import plain

KAPPA, TIE = "kappa", "kappa is the alpha of level 1"
LETTERS = {UNIT.name: "u"}  # of a coordinate that has no name as a function, as log and sqrt have


def word(coordinate: str) -> str:
    """What a coordinate is called alone: log, u."""
    return LETTERS.get(coordinate, coordinate)


def within(coordinate: str | None, name: str) -> str:
    """A name in a coordinate: log alpha, u(beta1). coordinate: None or empty for the value itself."""
    if not coordinate:
        return name
    return f"{LETTERS[coordinate]}({name})" if coordinate in LETTERS else f"{coordinate} {name}"


class Name(NamedTuple):
    """What a value is to an optimizer, the same at each step. A loss is a role of its own, and so is a value that only
    the user's code has a name for.
    """

    role: str
    level: int
    name: str

    @property
    def title(self) -> str:
        """What the value is called: its name, with its level if that is above the first."""
        owner, *rest = self.name.split(".") if self.role == "state" else [self.name]
        return ".".join([KAPPA, *rest]) if (owner, self._owner) == ("alpha", 1) else self.by_level

    @property
    def by_level(self) -> str:
        """The name with its level, also where there is another name for it."""
        return f"level{self._owner}.{plain(self.name)}" if self._owner > 0 else plain(self.name)

    @property
    def _owner(self) -> int:
        """The level that a hyperparameter is of; for a state, that of what it is a state of."""
        return self.level - 1 if self.role == "state" else self.level

    @property
    def exact(self) -> str:
        """The name that no other value has."""
        return f'{f"level{self.level}." if self.level else ""}{self.role}["{plain(self.name)}"]'


LOSS = Name("loss", 0, "loss")


def own(name: str, lane: int) -> Name:
    """What a value of a lane of a picture is to its optimizer."""
    return Name("hyperparameter", lane - 1, name) if lane else Name("weights", 0, name)
