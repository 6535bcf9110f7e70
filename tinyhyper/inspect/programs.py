"""The views of a program: text, JSON, a picture, a page, and what its instructions cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files import write_as
from ..plain import markup
from ..program.measuring import measure
from ..program.program import Program
from ..program.replaying import Replay
from ..program.sheet import sheet
from .answers import Answer
from .canvas import Picture
from .drawing import TITLE, ProgramDrawing
from .explorer import Page, program_page
from .listing import listing
from .schema import dumps

COLUMNS = ("no.", "operation", "part", "by", "bytes", "us", "%")
MEASURED = "Bytes are of the arrays that an instruction reads and writes; us are microseconds: medians of {} rounds. "
IN_MEMORY = (
    "A C function is called many times in a row on the same arrays, so these are in the processor's caches. What is "
    "carried out by Python (np) is measured likewise, with the copy of its result to a buffer. What several rules need "
    "of the same scalars is computed once, by an instruction without a number. One that does the work of several has "
    "the number of the first. Those that run block after block are timed one by one. A whole step is one of many in a "
    "row, with copies of the batch and the loss."
)
BY_NUMPY = "Each operation is timed where it stands in a step. A whole step is all of them, and what lies in between."


def text(program: Program) -> str:
    """The program, line by line."""
    return listing(sheet(program))


def to_json(program: Program) -> str:
    """The program as JSON: its arrays, and the instructions of each step."""
    return dumps(sheet(program))


def svg(program: Program) -> Picture:
    """The program as a picture: instructions from top to bottom, and how long each array is there."""
    return ProgramDrawing(sheet(program)).draw()


def save_svg(program: Program, path: str | os.PathLike[str]) -> Path:
    """Write the picture to a file, which appears whole or not at all; returns its path."""
    return write_as(".svg", path, svg(program))


def explore(program: Program) -> Page:
    """The picture as a page to click in, which opens in a notebook's cell."""
    return program_page(TITLE, to_json(program), svg(program))


def save_html(program: Program, path: str | os.PathLike[str]) -> Path:
    """Write the picture, as a page to click in, to a file, which appears whole or not at all; returns its path."""
    return write_as(".html", path, explore(program))


def html(program: Program) -> str:
    """The picture and the text for a notebook."""
    return f"<div>{svg(program)}<details><summary>as text</summary><pre>{markup(text(program))}</pre></details></div>"


def profile(self: Replay, *batch: Any, repeat: int = 20) -> Answer:
    """What each instruction of a step costs: bytes that it reads and writes, and microseconds.

    batch: as a call takes it.  repeat: how many rounds there are; of each time the median counts.
    All is measured on copies, so the run stays where it is. Raises ArgumentError for a repeat that is not an integer
    >= 1, and GraphError where the program could not make the next step.
    """
    found = measure(self._session, batch, repeat)
    timings, size = found.instructions, sum(timing.nbytes for timing in found.instructions)
    together = sum(timing.seconds for timing in timings)
    rows: list[tuple[Any, ...]] = [
        (
            f"{timing.number or '':>3}", timing.instruction.op.name, timing.instruction.part, timing.way, timing.nbytes,
            1e6 * timing.seconds, 100 * timing.seconds / together,
        )
        for timing in timings
    ]  # fmt: skip
    name = "a whole step" if found.steps == 1 else f"a window of {found.steps} steps"
    rows.append(("", "all of them", "", "", size, 1e6 * together, 100.0))
    rows.append(("", name, "", "", size, 1e6 * found.whole, 100 * found.whole / together))
    words = MEASURED.format(repeat) + (IN_MEMORY if found.in_memory else BY_NUMPY)
    return Answer("What does each instruction of a step cost?", words, COLUMNS, rows, "us")
