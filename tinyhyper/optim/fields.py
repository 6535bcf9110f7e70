"""What a level of a tower holds: what checks, saves, watches and moves it reads this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ..core.tape import unwatched
from ..core.tensor import Tensor
from .coordinates import Coordinate

Self = TypeVar("Self", bound="Fields")


class Fields:
    """What a level holds, and the tower that it is the bottom of."""

    table: ClassVar[Mapping[str, Any]]
    state: ClassVar[Mapping[str, float | str]] = {}
    squares: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]
    parameters: dict[str, Tensor]
    skipped: int
    t: int
    _above: Any
    _below: Callable[[], Fields | None]
    _coordinates: dict[str, Coordinate]
    _bounds: tuple[tuple[str, float, float], ...]
    _guard: Any
    _in_use: set[str]
    _initial: dict[str, Any]
    _limits: Any
    _options: tuple[tuple[str, Any], ...]
    _rows: dict[str, str]
    _states: Mapping[str, dict[str, Tensor]]
    _tuned: tuple[str, ...]
    _update: Callable[[str], Any]
    _updates: dict[str, tuple[Any, dict[str, str]]]
    _rates: dict[str, Any] | None
    _window: Any

    @property
    def levels(self: Self) -> tuple[Self, ...]:
        """The tower, bottom first."""
        found: list[Any] = [self]
        while (above := found[-1]._above) is not None:
            found.append(above)
        return tuple(found)

    def meaning(self, key: str, internal: float) -> float:
        """The value a person means by the internal number of a hyperparameter."""
        with unwatched():
            return float(self._coordinates[self._rows[key]].value(internal))
