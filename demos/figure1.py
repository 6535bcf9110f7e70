"""Figure 1 of the paper, read off recordings: SGD, SGD / SGD, and the tower of height 3 that it does not draw.

`python -m demos figure1` writes the pictures, and that of one rule, opened. It prints which edges are cut and where
gradients go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import tinyhyper as th
from tinyhyper.inspect.captions import Captions
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.shapes import Figure, Key
from tinyhyper.inspect.text import shorten
from tinyhyper.plain import short

from .shared import output
from .shared.settings import Settings, shared

STEPS = 4  # at the last two, each level of the tallest tower has a gradient other than zero

# file name: the stack, and the title of its picture. Height counts the optimizers above the one that moves the weights.
FIGURES = {
    "figure1a": ("sgd(0.1)", "Figure 1a: SGD, its alpha fixed"),
    "figure1b": ("sgd(0.1)/sgd(0.001)", "Figure 1b: SGD / SGD, alpha tuned by a second SGD"),
    "figure1-height3": (
        "sgd(0.1)/sgd(0.001)/sgd(1e-6)/sgd(1e-11)",
        "SGD / SGD / SGD / SGD: the same at height 3, every alpha tuned but the last",
    ),
}


RULE = "alpha[3]"  # of the tallest tower, whose kappa is tuned too

options = shared("out")


class Picture(NamedTuple):
    """A picture: its SVG, its title, the cuts into the newest weights whose loss is drawn, and how far gradients go."""

    svg: str
    title: str
    cuts: list[str]
    story: str


def record(stack: str) -> th.inspect.Recording:
    """The tape of a few steps down a parabola."""
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = th.optim.from_string(stack)
    with th.record() as tape:
        for _ in range(STEPS):
            loss = th.sum(params["w"] ** 2)
            loss.backward()
            optimizer.step(params)
    return tape


def draw(tape: th.inspect.Recording, title: str) -> Picture:
    """The picture of a tape, with the path from its last loss to the highest hyperparameter that a gradient reaches."""
    tape.title = title
    shown = figure(tape)
    captions = Captions(shown)
    loss = max((key for key in shown.boxes if key.kind == "loss"), key=lambda key: key.step)
    tuned = [key for key in shown.reached(loss) if key.lane]
    trail = shown.trail()
    path = " → ".join(map(captions.name, trail))
    if tuned:
        found = [gradient(shown, captions, key, loss.step) for key in tuned]
        story = f"{path}: no ✂ on this path, so {captions.name(loss)}.backward() finds {', '.join(found)}."
    else:
        story = (
            f"{path}: the path ends here, as no edge into {captions.name(trail[-1])} is kept. "
            "No hyperparameter gets a gradient."
        )
    return Picture(th.inspect.svg(tape, caption=story), title, cuts(shown, captions, loss.step), story)


def gradient(shown: Figure, captions: Captions, key: Key, step: int) -> str:
    """The gradient that a hyperparameter got at a step: its name and number."""
    box = Key(key.lane, step, "gradient")
    value = next(iter(shown.boxes[box].names.values()))
    return captions.name(box) if value is None else f"{captions.name(box)} = {short(value)}"


def cuts(shown: Figure, captions: Captions, step: int) -> list[str]:
    """The edges that are cut on the way into a step: from where to where, why, and by which line of code."""
    lines = []
    for arrow in shown.arrows:
        if arrow.flow == "cut" and arrow.target.step == step:
            made = ", ".join(f"{cut.reason} at {shorten(cut.file)}:{cut.line}" for cut in arrow.cuts)
            lines.append(f"{captions.name(arrow.source):>25} ✂ {captions.name(arrow.target):<16}{made}")
    return lines


def pictures() -> Iterator[tuple[str, Picture]]:
    """The pictures, each with its file's name: those of FIGURES, and the rule of alpha."""
    for name, (stack, title) in FIGURES.items():
        tape = record(stack)
        yield f"{name}.svg", draw(tape, title)
    yield "rule.svg", Picture(th.inspect.svg(tape, inside=RULE, scale=1.5), f"The rule that makes {RULE}", [], "")


def main(settings: Settings) -> int:
    """Write the pictures, and print what each shows. Returns the exit status."""
    folder = output.prepare(settings.out)
    drawn = dict(pictures())
    told = [
        "\n".join([picture.title, *picture.cuts, *filter(None, [picture.story]), f"In {folder / name}\n"])
        for name, picture in drawn.items()
    ]
    output.finish("\n".join(told), folder, {name: picture.svg for name, picture in drawn.items()})
    return 0
