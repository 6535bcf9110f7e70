"""What a recording is told of an optimizer's step: which tensor is what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.tape import current
from ..core.tensor import Tensor
from .fields import Fields

if TYPE_CHECKING:
    from ..inspect.recorder import Recorder

Named: TypeAlias = "tuple[str, Tensor]"


class Labels:
    """Names for the tensors of one level's step; `below` is the level whose hyperparameters it moves, if any."""

    def __init__(self, tape: Recorder, height: int, level: Fields, below: Fields | None) -> None:
        self.tape, self.height, self.level, self.below = tape, height, level, below

    def before(self, name: str, w: Tensor, g: Tensor, state: Iterable[Named], hyperparameters: Iterable[Named]) -> None:
        """What the step reads."""
        self.tape.label(g, _text(name), "gradient", self.height)
        self.after(name, w, state)
        for key, tensor in hyperparameters:
            self._hyperparameter(tensor, key, self.height, self.level)

    def after(self, name: str, w: Tensor, state: Iterable[Named]) -> None:
        """What the step makes."""
        if self.below is None:
            self.tape.label(w, _text(name), "weights", 0)
        else:
            self._hyperparameter(w, name, self.height - 1, self.below)
        for key, tensor in state:
            self.tape.label(tensor, f"{_text(name)}.{key}", "state", self.height)

    def _hyperparameter(self, tensor: Tensor, key: str, height: int, level: Fields) -> None:
        if self.tape.labelled(tensor):
            return
        row = level._rows.get(key)
        facts = (None, None) if row is None else (level._coordinates[row], level.table[row].range)
        self.tape.label(tensor, key, "hyperparameter", height, *facts)


def _text(name: Any) -> str:
    """The name of a parameter as text, whatever its key in the dict is."""
    return name if isinstance(name, str) and name else repr(name)


def labels_for(height: int, level: Fields, below: Fields | None) -> Labels | None:
    """The names for a level's step where somebody watches."""
    tape = current().tape
    return None if tape is None else Labels(tape, height, level, below)
