"""A recording as text: the graphs as trees, the newest value first, each branch followed back until it is cut.

A line reads `name = how it was computed`: operations that follow one another without branching share a line, and
unnamed constants stand inside the brackets of what read them.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..naming import KAPPA, TIE, word
from ..plain import count, plain, short
from .graph import Graph, flow_in
from .letters import clip
from .names import sized
from .records import Cut, Edge, Node, Output, Place, Recording, walk

FOLDER = Path(__file__).parents[1]
WIDTH = 100
COLUMN = 44
VALUE = 10
DEEPEST = 42
CHAIN = 8
ORIGINS = {
    "leaf": "leaf",
    "constant": "constant",
    "earlier": "made before the recording",
    "gradient": "left by backward()",
}
KEY = "✂ is a cut, with its number: the value passes, the gradient stops. Constants get no gradient."
GATE = "⊘ is a gate: the value passes, the gradient of this loss stops. That of a later loss goes on."
CELL = re.compile(r"[\\/]ipykernel_\d+[\\/]\d+\.py$|^<ipython-input-.*>$")  # where a notebook's code comes from


class Line(NamedTuple):
    """The three columns of a line, and how many nodes it shows."""

    left: str
    value: str = ""
    remark: str = ""
    nodes: int = 0


class Branch(NamedTuple):
    """Where a branch leads: the place, the edge to it (None for a root), and what its line begins with."""

    place: Place
    edge: Edge | None
    stem: str
    last: bool


def tree(tape: Recording, limit: int | None = None, of: str | Place | None = None) -> str:
    """The recorded graphs as text, the newest first.

    limit: how many lines there are at most; every line if None.
    of: only the graph of one value, by its place or by its name: "alpha", at its last step, or "alpha[2]".
    Raises ArgumentError for a name that is not in the recording, DtypeError if it is not a string.
    """
    trees = Trees(tape)
    lines = trees.lines(of if of is None or isinstance(of, tuple) else trees.find(of)[-1])
    flows = Counter(flow_in(tape, edge) for edge in tape.edges)
    kept = flows["kept"]
    counts = f"{count(tape.steps, 'step')}, {len(tape.nodes)} nodes, {count(kept, 'edge')} kept"
    text = [f"{plain(tape.title or 'Recording')}: {counts}, {count(len(tape.cuts), 'cut')} ✂"]
    if tape.cuts:
        text.append(KEY)
    if flows["gate"]:
        text.append(GATE)
    if any(name.title == KAPPA for name in trees.places):
        text.append(f"{TIE}.")
    shown = lines if limit is None or len(lines) <= limit else lines[:limit]
    text += map(_fit, shown)
    if len(shown) < len(lines):
        left_out = sum(line.nodes for line in lines[len(shown) :])
        text.append(f"… {len(lines) - len(shown)} lines with {left_out} nodes left out; tape.tree() shows all")
    return "\n".join(text)


def printed(tape: Recording) -> str:
    """The first lines of the tree, as `print` shows them."""
    return tree(tape, 120)


class Trees(Graph):
    """The lines of a recording's trees."""

    def __init__(self, tape: Recording) -> None:
        super().__init__(tape)
        self.shown: set[int] = set()

    def lines(self, of: Place | None = None) -> list[Line]:
        lines: list[Line] = []
        step = None
        for root in [(number, 0) for number in self.roots()] if of is None else [of]:
            if self.tape.node(root).step != step and self.tape.steps:
                step = self.tape.node(root).step
                lines.append(Line(f"── step {step} " + "─" * 24))
            waiting = [Branch(root, None, "", True)]
            while waiting:
                branch = waiting.pop()
                line, follow = self.line(branch)
                stem = "" if branch.edge is None else branch.stem + ("   " if branch.last else "│  ")
                lines += _wrapped(line, stem + ("│ " if follow else "  "))
                if follow and len(stem) > DEEPEST:
                    hidden = self.hide([edge.source for edge in follow])
                    lines.append(Line(f"{stem}└─ … {hidden} nodes below left out", nodes=hidden))
                else:
                    waiting += [Branch(edge.place, edge, stem, n == 0) for n, edge in enumerate(reversed(follow))]
        return lines

    def roots(self) -> list[int]:
        """The operations of forward passes and steps that are read by no other, except through a cut; newest first."""
        nodes = self.tape.nodes
        read = {edge.source for edge in self.tape.edges if edge.flow != "cut" and not nodes[edge.target].sweep}
        return [n.number for n in reversed(nodes) if n.kind == "operation" and not n.sweep and n.number not in read]

    def line(self, branch: Branch) -> tuple[Line, list[Edge]]:
        """The line of a branch, and the edges that its own branches follow."""
        start, edge = branch.stem, branch.edge
        if edge is not None:
            start += ("└─ " if branch.last else "├─ ") + ("⊘ " if flow_in(self.tape, edge) == "gate" else "")
        number = branch.place[0]
        node, name = self.tape.nodes[number], self.name(branch.place)
        output = node.outputs[branch.place[1]]
        value = content(output) if output.number is None else short(self.number(branch.place))
        if edge is not None and edge.cut is not None:
            remark = _cut(self.tape.cuts[edge.cut], self.coordinate(edge.place))
            return Line(f"{start}✂{edge.cut} {name}", value, remark, 1), []
        if edge is not None and edge.flow == "value":
            return Line(start + name, value, "constant" if node.kind == "constant" else "no gradient recorded", 1), []
        if number in self.shown:
            return Line(f"{start}{name} …", value, "see above"), []
        text, known = self.computed(number), self.known(branch.place)
        chain = [f"{known} = {text}" if known and text else known or text or name]
        self.shown.add(number)
        follow = self.follow(number)
        while len(follow) == 1 and self.plain(follow[0]):
            number = follow[0].source
            self.shown.add(number)
            chain.append(self.computed(number) or self.name((number, 0)))
            follow = self.follow(number)
        nodes = len(chain)
        if nodes > CHAIN:
            chain[CHAIN - 2 : -1] = [f"… {nodes - CHAIN + 1} more …"]
        remark = site(node) if node.kind == "operation" else ORIGINS[node.kind]
        return Line(start + " ← ".join(chain), value, remark, nodes), follow

    def plain(self, edge: Edge) -> bool:
        """Whether a kept edge leads to a value that is unnamed and not yet shown."""
        return flow_in(self.tape, edge) == "kept" and edge.source not in self.shown and not self.known(edge.place)

    def follow(self, number: int) -> list[Edge]:
        """The edges into a node that get a branch each: kept and cut ones, and those from values with a name."""
        found: dict[tuple[Place, str], Edge] = {}
        for edge in self.into[number]:
            if edge.flow != "value" or self.known(edge.place):
                found.setdefault((edge.place, edge.flow), edge)
        return list(found.values())

    def computed(self, number: int) -> str:
        """The operation, with the operands that get no branch in brackets; empty for a leaf."""
        node = self.tape.nodes[number]
        if node.op is None:
            return ""
        branches = self.follow(number)
        words = [self.operand(edge, branches) for edge in self.into[number]]
        return node.op if all(word == "·" for word in words) else f"{node.op}({', '.join(words)})"

    def operand(self, edge: Edge, branches: list[Edge]) -> str:
        """A dot for an operand with a branch of its own; else its number, or its operation and size."""
        if edge.flow != "value" or edge in branches:
            return "·"
        op, made = self.tape.nodes[edge.source].op, self.tape.output(edge.place)
        return f"{op or ''}{sized(made)}" if made.value is None or op else short(made.value)

    def hide(self, starts: list[int]) -> int:
        """Count the nodes from some down that are not shown."""
        before = len(self.shown)

        def below(number: int) -> list[int]:
            kept = [edge.source for edge in self.follow(number) if edge.flow == "kept"]
            return [source for source in kept if source not in self.shown]

        self.shown |= walk([number for number in starts if number not in self.shown], below).keys()
        return len(self.shown) - before


@cache
def shorten(file: str) -> str:
    """A file's name; with its folders if it is of the package, here or where the recording was made. A notebook's code
    is of a cell, whose prompt is named if IPython knows it.
    """
    if CELL.search(file):
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        known = shell and shell.compile.format_code_name(file)  # ("Cell", "In[3]")
        return f"cell {known[1]}" if known else "cell"
    parts = re.split(r"[\\/]", file)
    folders = [n for n, part in enumerate(parts[:-1]) if part == FOLDER.name]
    own = folders and os.path.exists(FOLDER.joinpath(*parts[folders[-1] + 1 :]))
    return plain("/".join(parts[folders[-1] if own else -1 :]))


def site(row: Node | Cut) -> str:
    """The line of code that a node or cut comes from."""
    return f"{shorten(row.file)}:{row.line}"


def content(output: Output) -> str:
    """The number of an output, or its shape."""
    return sized(output) if output.number is None else short(output.number)


def _cut(cut: Cut, coordinate: str | None) -> str:
    if cut.ghost is None:
        return f"{cut.reason}, {site(cut)}" if cut.reason else site(cut)
    ghost = f"ghost {short(cut.ghost)}" + (f" in {word(coordinate)}" if coordinate else "")
    return ", ".join(filter(None, [cut.reason, ghost, site(cut).rpartition("/")[2]]))


def _wrapped(line: Line, stem: str) -> list[Line]:
    """A line, continued on others where its first column is too narrow for its chain."""
    chain = line.left.split(" ← ")
    parts = [chain[0]]
    for link in chain[1:]:
        if len(parts[-1]) + 3 + len(link) > COLUMN:
            parts.append(f"{stem}    ← {link}")
        else:
            parts[-1] += f" ← {link}"
    return [line._replace(left=parts[0]), *map(Line, parts[1:])]


def _fit(line: Line) -> str:
    """A line in three columns, at most WIDTH wide; where the first is too long, the others follow on a line below."""
    line = line._replace(left=plain(line.left), remark=plain(line.remark))
    if not line.value:
        return line.left[:WIDTH]
    room = WIDTH - COLUMN - VALUE - 3
    remark = line.remark if len(line.remark) <= room else "…" + line.remark[1 - room :]
    left = line.left if len(line.left) <= COLUMN else f"{clip(line.left, WIDTH)}\n{'':{COLUMN}}"
    return f"{left:<{COLUMN}} {line.value:>{VALUE}}  {remark}".rstrip()


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names in one sentence, each once, the first few of them."""
    once = list(dict.fromkeys(names))
    return ", ".join(once[:most]) + (f" and {len(once) - most} more" if len(once) > most else "")


def counted(names: Iterable[str], most: int = 6) -> str:
    """The same, with how many there are of each, and of the rest."""
    found = Counter(names)
    once = [f"{number} × {name}" if number > 1 else name for name, number in found.items()]
    more = sum([*found.values()][most:])
    return ", ".join(once[:most]) + (f" and {more} more" if more else "")
