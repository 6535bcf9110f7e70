"""The inspector: what was recorded and where it was cut, as data, text and pictures, and answers to questions about it.

Records stand below, views above: no module that records imports one that draws, prints or answers. This file attaches
the views to the classes that they show.
"""

from collections.abc import Callable
from typing import Any

from ..core.operation import attach
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..program.program import Program
from ..program.replaying import Replay
from . import programs
from .anomaly import detect_anomaly
from .answers import Answer
from .checks import refuse_others
from .compared import differences
from .dot import to_dot, to_networkx
from .exchange import from_json, to_json
from .explorer import page, save_html
from .findings import Finding, Findings
from .frames import frames
from .ghosts import ghost
from .gradients import paths, why_zero
from .lint import check
from .moves import left_range, moved
from .notebook import recording_html, recording_svg, tensor_html, tower_html
from .questions import checkpoint, first_nonfinite, kept_alive, times
from .recorder import record
from .records import Cut, Edge, Inside, Label, Node, Output, Recording
from .rewind import rewind
from .stops import cuts, ghosts, without
from .svg import save_svg, svg
from .text import printed, tree

Tape = Recording  # the name that a recording had

__all__ = [
    "Answer", "Cut", "Edge", "Finding", "Findings", "Inside", "Label", "Node", "Output", "Recording", "Tape",
    "check", "checkpoint", "cuts", "detect_anomaly", "differences", "first_nonfinite", "ghosts", "kept_alive",
    "left_range", "moved", "paths", "record", "svg", "times", "tree", "why_zero", "without",
]  # fmt: skip

METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    Recording: {
        "__str__": printed,
        "_repr_html_": recording_html,
        "_repr_svg_": recording_svg,
        "explore": page,
        "frames": frames,
        "from_json": staticmethod(from_json),
        "ghost": ghost,
        "rewind": rewind,
        "save_html": save_html,
        "save_svg": save_svg,
        "to_dot": to_dot,
        "to_json": to_json,
        "to_networkx": to_networkx,
        "tree": tree,
    },
    Program: {
        "__str__": programs.text,
        "_repr_html_": programs.html,
        "explore": programs.explore,
        "save_html": programs.save_html,
        "save_svg": programs.save_svg,
        "svg": programs.svg,
        "to_json": programs.to_json,
    },
    Replay: {"profile": programs.profile},
    Tensor: {"_repr_html_": tensor_html},
    Optimizer: {"_repr_html_": tower_html},
}


for _cls, _methods in METHODS.items():
    attach(_cls, _methods)
refuse_others(globals())
