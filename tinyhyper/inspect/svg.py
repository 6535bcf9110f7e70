"""The picture of two consecutive steps: time runs to the right, each level of the tower is a lane above the weights.

Everything drawn comes from the recording. A band is what one step computed; scissors stand on every arrow that a
`detach` cut. Colours are safe for the colour-blind, and no colour is the only sign of anything.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..files import write_as
from .boxes import Boxes
from .canvas import Picture
from .diagram import Diagram
from .figure import figure, steps_of
from .opened import Opened
from .picture import Drawing
from .records import Recording


def svg(
    tape: Recording,
    step: int | None = None,
    *,
    steps: int = 2,
    trail: Sequence[str | tuple[int, int, str]] | None = None,
    marks: Collection[int] = (),
    caption: str | None = None,
    scale: float = 1.0,
    inside: str | None = None,
) -> Picture:
    """An SVG of consecutive optimizer steps, read off the recording: boxes, edges kept, edges cut.

    The text of the SVG, which a notebook shows as a picture, in its own theme.

    step: the number of that after which the picture begins; by default it shows the last steps.  steps: how many.
    trail: boxes to join by a broad band, each next to the one before: by name, as in ("loss[2]", "w[2]", "alpha[2]"),
    or by `figure.Key`; by default the path of the last loss's gradient to the highest hyperparameter that it reaches.
    marks: the numbers of cuts whose scissors stand out.
    caption: the text below the title; by default, which boxes the last loss reaches.
    scale: how large the picture is, a number > 0; no larger than the page it is in.
    inside: a value, by name, such as "alpha[2]": the rule that made it is drawn, operation by operation, a long one
    term by term.
    Without optimizer steps the whole graph is drawn, an operation a box; it has no trail.
    Raises ArgumentError for a recording that holds nothing, or if a step, box, arrow or cut asked for is not drawn.
    """
    if inside is not None or (not steps_of(tape) and step is None and not trail):
        if not tape.nodes:
            raise ArgumentError(
                "this recording holds nothing to draw: record a loss or step in `with th.record() as tape`"
            )
        boxes: Boxes | Opened = Boxes(tape) if inside is None else Opened(tape, inside)
        return Diagram(boxes, marks, caption).draw(scale)
    shown = figure(tape, step, count=steps)
    return Drawing(shown, shown.trail() if trail is None else trail, marks, caption).draw(scale)


def save_svg(tape: Recording, path: str | os.PathLike[str], **how: Any) -> Path:
    """Write the picture to a file, which appears whole or not at all; returns its path. how: as in `th.inspect.svg`."""
    return write_as(".svg", path, svg(tape, **how))
