"""Reading the tape: what was recorded, where it was cut, as data, as text and as a picture."""

from .recording import Tape, record
from .records import Cut, Edge, Label, Node, Output
from .svg import svg
from .text import tree

__all__ = ["Cut", "Edge", "Label", "Node", "Output", "Tape", "record", "svg", "tree"]
