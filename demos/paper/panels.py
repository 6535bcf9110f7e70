"""The parts of Figure 4: which towers, on what, and what was published.

4a: SGD at every level, every level from the same alpha. 4b: Adam at every level, likewise (the paper does not say which
step sizes its levels had; this is our reading), so that each level tunes alpha, beta1 and beta2 of the one below.
4c and 4d: SGD above a residual network's SGD and above a character LSTM's Adam, with the paper's graded step sizes; on
part of the data, and for fewer steps than in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from . import characters, cifar, mnist, page

PHOTOGRAPHS, LETTERS = 5_000, 250_000


def decade(low: int, high: int) -> tuple[float, ...]:
    """The powers of ten from one exponent to the other."""
    return tuple(float(f"1e{exponent}") for exponent in range(low, high + 1))


def equal(alpha: float, height: int) -> list[float]:
    """Every level above has the alpha of the bottom."""
    return [alpha] * height


def graded(alpha: float, height: int) -> list[float]:
    """The step sizes of the levels above as the paper gives them, for heights to 3."""
    rates = [100 * alpha, alpha, alpha / 100] if alpha <= 1e-4 else [alpha / 1e3, alpha / 1e4, 1e-8]
    return rates[:height]


class Panel(NamedTuple):
    """A part of Figure 4.

    kind: what is trained.  levels: the optimizers of the bottom and of all levels above.  above: their step sizes.
    steps: how many so many epochs have.  epochs: of full and of quick runs.  options: of the runs.
    published: by height and alpha, read off the figure.  measure: which number of the result is drawn, in which unit.
    worst: what counts where the loss stopped being a number.
    """

    title: str
    kind: str
    levels: tuple[str, str]
    above: Callable[[float, int], list[float]]
    alphas: tuple[float, ...]
    heights: tuple[int, ...]
    steps: Callable[[int], int]
    epochs: tuple[int, int]
    options: Mapping[str, Any] = {}
    published: Mapping[int, Mapping[float, float]] = {}
    measure: str = "error"
    unit: str = "test error, %"
    worst: float = page.CHANCE
    ticks: tuple[float, ...] = (2, 3, 5, 10, 20, 50, 90)

    def stack(self, alpha: float, height: int) -> str:
        """The tower, as text."""
        bottom, above = self.levels
        return "/".join([f"{bottom}({alpha:g})", *[f"{above}({rate:g})" for rate in self.above(alpha, height)]])


PANELS = {
    "4a": Panel(
        "4a: SGD at every level, perceptron",
        mnist.__name__,
        ("sgd", "sgd"),
        equal,
        decade(-8, 2),
        (0, 1, 2, 3, 4, 5),
        mnist.steps,
        (30, 1),
        published={0: {1e-8: 88}, 1: {1e-8: 79, 1e2: 60}, 2: {1e-8: 13, 1e2: 60}, 3: {1e-8: 10, 1e2: 30}},
    ),
    "4b": Panel(
        "4b: Adam at every level, perceptron",
        mnist.__name__,
        ("adam", "adam"),
        equal,
        decade(-8, 2),
        (0, 1, 2, 3, 4, 5),
        mnist.steps,
        (5, 1),
    ),
    "4c": Panel(
        "4c: SGD above SGD, ResNet-20",
        cifar.__name__,
        ("sgd", "sgd"),
        graded,
        decade(-8, 0),
        (0, 1, 2, 3),
        partial(cifar.steps, images=PHOTOGRAPHS),
        (5, 1),
        options={"images": PHOTOGRAPHS, "tests": 1_000},
        ticks=(30, 40, 50, 60, 70, 75, 80, 85, 90),
    ),
    "4d": Panel(
        "4d: SGD above Adam, character LSTM",
        characters.__name__,
        ("adam", "sgd"),
        graded,
        decade(-7, -2),
        (0, 1, 2, 3),
        lambda epochs: epochs * characters.steps(LETTERS),
        (10, 1),
        options={"characters": LETTERS, "tests": 50_000},
        measure="perplexity",
        unit="test perplexity",
        worst=100.0,
        ticks=(5, 7, 10, 15, 20, 30, 50, 100),
    ),
}
QUICK = ("4a", "4b")  # those that --quick computes unless others are asked for
