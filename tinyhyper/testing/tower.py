"""Random towers: optimizers above optimizers, with values, tuning, coordinates and horizons, as data that prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from .. import optim
from ..optim.coordinates import COORDINATES

RULES = (optim.SGD, optim.AdaGrad, optim.AdaDelta, optim.RMSProp, optim.Adam, optim.AdamW)

# Values at which a few steps neither explode nor stand still. Those of alpha above the bottom are smaller.
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
ABOVE = st.sampled_from([1e-5, 1e-4, 1e-3])


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


@st.composite
def towers(draw: Any, names: tuple[str, ...] = ("w",), max_height: int = 3) -> Tower:
    """Towers of up to `max_height` levels above the bottom, for parameters of these names.

    Every level tunes something below it; the horizon is 1, 2 or 3 steps.
    """
    levels: list[Level] = []
    targets = names
    for height in range(draw(st.integers(0, max_height)) + 1):
        level, targets = draw(_levels(targets, height))
        levels.append(level)
    if len(levels) > 1 and draw(st.booleans()):
        window = {"horizon": draw(st.integers(2, 3)), "objective": draw(st.sampled_from(["last", "sum"]))}
        levels[0] = levels[0]._replace(options={**levels[0].options, **window})
    return Tower(tuple(levels))


@st.composite
def _levels(draw: Any, targets: tuple[str, ...], height: int) -> tuple[Level, tuple[str, ...]]:
    """A level that moves the targets, and the names of what can be tuned of it."""
    cls = draw(st.sampled_from(RULES))
    alphas = ABOVE if height else VALUES["alpha"]
    values = {name: draw(alphas if name == "alpha" else VALUES[name]) for name in cls.table}
    options: dict[str, Any] = {}
    if cls is optim.SGD and values["mu"] and draw(st.booleans()):
        options["nesterov"] = True
    in_use = [name for name, row in cls.table.items() if not row.optional or values[name]]
    chosen = [name for name in in_use if cls.table[name].tuned]
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(in_use), min_size=1, unique=True))
        options["tune"] = tuple(chosen)
    fits = {name: [key for key, c in COORDINATES.items() if c.low < values[name] < c.high] for name in in_use}
    moved = {name: draw(st.sampled_from(keys)) for name, keys in fits.items() if draw(st.integers(0, 3)) == 0}
    if "eps" in chosen:  # it must not turn negative under a root
        moved["eps"] = draw(st.sampled_from(["log", "sqrt"]))
    if moved:
        options["coordinates"] = moved
    tuned = [name for name in in_use if name in chosen]
    if draw(st.integers(0, 3)) == 0:
        rates = draw(st.lists(st.sampled_from(targets), min_size=1, unique=True))
        values["alpha"] = {name: values["alpha"] for name in targets if name in rates}
        tuned = [
            key for name in tuned for key in ([f"{n}_alpha" for n in values["alpha"]] if name == "alpha" else [name])
        ]
    return Level(cls, values, options), tuple(tuned)
