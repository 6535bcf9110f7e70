"""Reading the tape: what was recorded and where it was cut, as data, as text, as pictures, and as answers."""

from . import notebook
from .anomaly import detect_anomaly
from .answers import Answer
from .findings import Finding, Findings
from .given import refuse_others
from .gradients import cuts, ghosts, paths, why_zero, without
from .lint import check
from .recording import Tape, record
from .records import Cut, Edge, Inside, Label, Node, Output
from .runs import checkpoint, differences, first_nonfinite, kept_alive, left_range, moved, times
from .svg import svg
from .text import tree

__all__ = [
    "Answer",
    "Cut",
    "Edge",
    "Finding",
    "Findings",
    "Inside",
    "Label",
    "Node",
    "Output",
    "Tape",
    "check",
    "checkpoint",
    "cuts",
    "detect_anomaly",
    "differences",
    "first_nonfinite",
    "ghosts",
    "kept_alive",
    "left_range",
    "moved",
    "paths",
    "record",
    "svg",
    "times",
    "tree",
    "why_zero",
    "without",
]

refuse_others(globals())
notebook.attach()
