"""Random towers: optimizers above optimizers, with values, tuning, coordinates and horizons, as data that prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from .. import optim
from ..core.coordinates import COORDINATES, Hyperparameter, coordinate_of
from ..functional import grad

RULES = (optim.SGD, optim.AdaGrad, optim.AdaDelta, optim.RMSProp, optim.Adam, optim.AdamW)

# Values at which a few steps neither explode nor stand still. An alpha above the bottom follows from what it moves.
VALUES = {
    "alpha": st.sampled_from([0.003, 0.01, 0.05]),
    "mu": st.sampled_from([0.0, 0.3, 0.9]),
    "weight_decay": st.sampled_from([0.0, 0.01, 0.2]),
    "eps": st.sampled_from([1e-8, 1e-4]),
    "rho": st.sampled_from([0.5, 0.9]),
    "gamma": st.sampled_from([0.6, 0.99]),
    "beta1": st.sampled_from([0.5, 0.9]),
    "beta2": st.sampled_from([0.9, 0.999]),
}
SHARES = st.sampled_from([1e-3, 1e-2, 3e-2])
STEEP = 30.0  # no gradient of a weight is much larger
LONG = 10.0  # nor is a step by a rule that divides by the size of the gradients, at an alpha of 1


class Targets(NamedTuple):
    """What a level moves, by name. room: the largest move that is safe.  slope: the largest gradient to be expected."""

    names: tuple[str, ...]
    room: float
    slope: float


class Level(NamedTuple):
    """One level: its optimizer, the values of the hyperparameters, and keyword arguments beside them."""

    optimizer: type[optim.Optimizer]
    values: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True)
class Tower:
    """Levels, bottom first."""

    levels: tuple[Level, ...]

    def build(self) -> optim.Optimizer:
        """A new optimizer, at its first step."""
        above = None
        for level in reversed(self.levels):
            above = level.optimizer(**level.values, **level.options, optimizer=above)
        assert above is not None
        return above

    def __str__(self) -> str:
        text = "None"
        for level in reversed(self.levels):
            given = [f"{name}={value!r}" for name, value in {**level.values, **level.options}.items()]
            above = [] if text == "None" else [f"optimizer={text}"]
            text = f"th.optim.{level.optimizer.__name__}({', '.join([*given, *above])})"
        return text

    __repr__ = __str__

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows it."""
        printer.text(str(self))


@st.composite
def towers(draw: Any, names: tuple[str, ...] = ("w",), max_height: int = 3) -> Tower:
    """Towers of optimizers, for parameters of some names.

    names: the names.  max_height: how many levels at most are above the bottom, an integer >= 0.
    Every level tunes something below it; the horizon is 1, 2 or 3 steps. A level's steps are short beside the distance
    of what it moves from the ends of its range, for losses whose gradients are no larger than about 30.
    """
    levels: list[Level] = []
    targets = Targets(names, math.inf, STEEP)
    for _ in range(draw(st.integers(0, max_height)) + 1):
        level, targets = draw(_levels(targets))
        levels.append(level)
    if len(levels) > 1 and draw(st.booleans()):
        window = {"horizon": draw(st.integers(2, 3)), "objective": draw(st.sampled_from(["last", "sum"]))}
        levels[0] = levels[0]._replace(options={**levels[0].options, **window})
    return Tower(tuple(levels))


@st.composite
def _levels(draw: Any, targets: Targets) -> tuple[Level, Targets]:
    """A level that moves the targets, and what can be tuned of it."""
    cls = draw(st.sampled_from(RULES))
    values = {name: draw(VALUES[name]) for name in cls.table}
    longest = targets.slope / (1.0 - values["mu"]) if cls is optim.SGD else LONG
    if targets.room < math.inf:
        values["alpha"] = float(f"{min(0.01, draw(SHARES) * targets.room / longest):.0e}")
    options: dict[str, Any] = {}
    if cls is optim.SGD and values["mu"] and draw(st.booleans()):
        options["nesterov"] = True
    in_use = [name for name, row in cls.table.items() if not row.optional or values[name]]
    chosen = [name for name in in_use if cls.table[name].tuned]
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(in_use), min_size=1, unique=True))
        options["tune"] = tuple(chosen)
    fits = {name: [key for key, c in COORDINATES.items() if c.low < values[name] < c.high] for name in in_use}
    if values["alpha"] < 1e-9:  # too few of its digits are left in the unit interval
        fits["alpha"].remove("unit")
    moved = {name: draw(st.sampled_from(keys)) for name, keys in fits.items() if draw(st.integers(0, 3)) == 0}
    if "eps" in chosen:  # nothing else keeps so small a number from 0
        moved["eps"] = "log"
    if moved:
        options["coordinates"] = moved
    tuned = [name for name in in_use if name in chosen]
    room, slope = _reach({name: (cls.table[name], values[name], moved.get(name)) for name in tuned})
    if draw(st.integers(0, 3)) == 0:
        rates = draw(st.lists(st.sampled_from(targets.names), min_size=1, unique=True))
        values["alpha"] = {name: values["alpha"] for name in targets.names if name in rates}
        tuned = [
            key for name in tuned for key in ([f"{n}_alpha" for n in values["alpha"]] if name == "alpha" else [name])
        ]
    return Level(cls, values, options), Targets(tuple(tuned), room, targets.slope * longest * slope)


def _reach(tuned: dict[str, tuple[Hyperparameter, float, str | None]]) -> tuple[float, float]:
    """How far hyperparameters may move in their coordinates, and how quickly their values move with these.

    tuned: by name, the row of the table, the value, and the name of the coordinate if it is not that of the row.
    """
    rooms, slopes = [1.0], []
    for name, (row, value, choice) in tuned.items():
        coordinate = coordinate_of(choice or row.coordinate)
        place = coordinate.internal(value)
        rooms += [abs(coordinate.locate(end, name, False) - place) for end in row.range if math.isfinite(end)]
        slopes.append(float(grad(coordinate.value)(place)))
    return min(rooms), max(slopes)
