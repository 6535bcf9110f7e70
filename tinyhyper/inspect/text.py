"""A recording as text: the graphs as trees, the newest value first, each branch followed back until it is cut.

A line reads `name = how it was computed`: steps that follow one another without branching stand on one line, and
unnamed constants stand inside the brackets of what read them.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .names import Names, sized
from .plain import plain
from .records import Cut, Edge, Output, Place, Recording, by_target

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
    "gradient": "put there by backward()",
}
KEY = "✂ is a cut: the value passes, the gradient stops. It flows on along all branches but constants."


class Line(NamedTuple):
    """One line: what stands in its three columns, and how many nodes it shows."""

    left: str
    value: str = ""
    remark: str = ""
    nodes: int = 0


class Branch(NamedTuple):
    """Where a branch leads: the place, the edge that led to it (None for a root), and what stands before it."""

    node: int
    output: int
    edge: Edge | None
    stem: str
    last: bool


def tree(tape: Recording, limit: int | None = None, of: str | Place | None = None) -> str:
    """The recorded graphs as text, the newest first: every line, or the first `limit` of them.

    of: only the graph of one value, by its place or by its name: "alpha", at its last step, or "alpha[2]".
    Raises ArgumentError for a name that is not in the recording, DtypeError if it is no string.
    """
    trees = Trees(tape)
    lines = trees.lines(of if of is None or isinstance(of, tuple) else trees.names.find(of)[-1])
    text = [_summary(tape), KEY] if tape.cuts else [_summary(tape)]
    shown = lines if limit is None or len(lines) <= limit else lines[:limit]
    text += map(_fit, shown)
    if len(shown) < len(lines):
        left_out = sum(line.nodes for line in lines[len(shown) :])
        text.append(f"… {len(lines) - len(shown)} lines with {left_out} nodes left out; tape.tree() shows all")
    return "\n".join(text)


def printed(tape: Recording) -> str:
    """The tree as `print` shows it, cut short."""
    return tree(tape, 120)


class Trees:
    """The lines of a recording's trees."""

    def __init__(self, tape: Recording) -> None:
        self.tape, self.names = tape, Names(tape)
        self.into = by_target(tape.edges)
        self.shown: set[int] = set()

    def lines(self, of: Place | None = None) -> list[Line]:
        lines: list[Line] = []
        step = None
        for root, output in [(root, 0) for root in self.roots()] if of is None else [of]:
            if self.tape.nodes[root].step != step and self.tape.steps:
                step = self.tape.nodes[root].step
                lines.append(Line(f"── step {step} " + "─" * 24))
            waiting = [Branch(root, output, None, "", True)]
            while waiting:
                branch = waiting.pop()
                line, follow = self.line(branch)
                stem = "" if branch.edge is None else branch.stem + ("   " if branch.last else "│  ")
                lines += _wrapped(line, stem + ("│ " if follow else "  "))
                if follow and len(stem) > DEEPEST:
                    hidden = self.hide([edge.source for edge in follow])
                    lines.append(Line(f"{stem}└─ … {hidden} nodes below left out", nodes=hidden))
                    continue
                for n, edge in enumerate(reversed(follow)):
                    waiting.append(Branch(edge.source, edge.output, edge, stem, n == 0))
        return lines

    def roots(self) -> list[int]:
        """The operations that none read except through a cut, newest first; those of a backward pass do not count."""
        nodes = self.tape.nodes
        read = {edge.source for edge in self.tape.edges if edge.flow != "cut" and not nodes[edge.target].sweep}
        return [n.number for n in reversed(nodes) if n.kind == "operation" and not n.sweep and n.number not in read]

    def line(self, branch: Branch) -> tuple[Line, list[Edge]]:
        """The line of a branch, and the edges that its own branches follow."""
        start = branch.stem + ("" if branch.edge is None else "└─ " if branch.last else "├─ ")
        node = self.tape.nodes[branch.node]
        name = self.names.any(branch.node, branch.output)
        value = content(node.outputs[branch.output])
        if branch.edge is not None and branch.edge.cut is not None:
            cut = self.tape.cuts[branch.edge.cut]
            return Line(f"{start}✂ {name}", value, _cut(cut), 1), []
        if branch.edge is not None and branch.edge.flow == "value":
            return Line(start + name, value, "constant" if node.kind == "constant" else "no gradient recorded", 1), []
        if branch.node in self.shown:
            return Line(f"{start}{name} …", value, "see above"), []
        text = self.computed(branch.node)
        known = self.names.known(branch.node, branch.output)
        chain = [f"{known} = {text}" if known and text else known or text or name]
        remark = f"{shorten(node.file)}:{node.line}" if node.kind == "operation" else ORIGINS[node.kind]
        number = branch.node
        self.shown.add(number)
        follow = self.follow(number)
        while len(follow) == 1 and self.plain(follow[0]):
            number = follow[0].source
            self.shown.add(number)
            chain.append(self.computed(number) or self.names.any(number, 0))
            follow = self.follow(number)
        nodes = len(chain)
        if nodes > CHAIN:
            chain[CHAIN - 2 : -1] = [f"… {nodes - CHAIN + 1} more …"]
        return Line(start + " ← ".join(chain), value, remark, nodes), follow

    def plain(self, edge: Edge) -> bool:
        """Whether an edge leads to something unnamed and not yet shown."""
        return edge.flow == "kept" and edge.source not in self.shown and not self.names.known(edge.source, edge.output)

    def follow(self, number: int) -> list[Edge]:
        """The edges into a node that get a branch each: kept and cut ones, and those from values with a name."""
        found: dict[tuple[int, int, str], Edge] = {}
        for edge in self.into[number]:
            if edge.flow != "value" or self.names.known(edge.source, edge.output):
                found.setdefault((edge.source, edge.output, edge.flow), edge)
        return list(found.values())

    def computed(self, number: int) -> str:
        """The operation, with those operands in brackets that get no branch; empty for a leaf."""
        node = self.tape.nodes[number]
        if node.op is None:
            return ""
        branches = self.follow(number)
        words = [self.operand(edge, branches) for edge in self.into[number]]
        return node.op if all(word == "·" for word in words) else f"{node.op}({', '.join(words)})"

    def operand(self, edge: Edge, branches: list[Edge]) -> str:
        """A dot for an operand with a branch of its own; else a number, or a size and the operation that made it."""
        if edge.flow != "value" or edge in branches:
            return "·"
        source = self.tape.nodes[edge.source]
        made = source.outputs[edge.output]
        return f"{source.op or ''}{sized(made)}" if made.value is None or source.op else short(made.value)

    def hide(self, waiting: list[int]) -> int:
        """Count the nodes below some, which are not shown."""
        before = len(self.shown)
        while waiting:
            number = waiting.pop()
            if number not in self.shown:
                self.shown.add(number)
                waiting += [edge.source for edge in self.follow(number) if edge.flow == "kept"]
        return len(self.shown) - before


@cache
def shorten(file: str) -> str:
    """A file's name, with its folders where it is one of the package, here or where the tape was recorded."""
    parts = re.split(r"[\\/]", file)
    folders = [n for n, part in enumerate(parts[:-1]) if part == FOLDER.name]
    own = folders and os.path.exists(FOLDER.joinpath(*parts[folders[-1] + 1 :]))
    return plain("/".join(parts[folders[-1] if own else -1 :]))


def short(value: float) -> str:
    """A number in few digits."""
    return f"{value + 0.0:.4g}"


def _summary(tape: Recording) -> str:
    kept = sum(edge.flow == "kept" for edge in tape.edges)
    steps = "1 step" if tape.steps == 1 else f"{tape.steps} steps"
    edges, cuts = "edge" if kept == 1 else "edges", "cut" if len(tape.cuts) == 1 else "cuts"
    counts = f"{steps}, {len(tape.nodes)} nodes, {kept} {edges} kept, {len(tape.cuts)} {cuts} ✂"
    return f"{plain(tape.title or 'Recording')}: {counts}"


def _cut(cut: Cut) -> str:
    file = shorten(cut.file)
    if cut.ghost is None:
        return f"{cut.reason}, {file}:{cut.line}" if cut.reason else f"{file}:{cut.line}"
    return f"{cut.reason or 'cut'} stopped {short(cut.ghost)}, {file.rpartition('/')[2]}:{cut.line}"


def content(output: Output) -> str:
    """The number of an output, or its shape."""
    return sized(output) if output.number is None else short(output.number)


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
    """A line in three columns, at most WIDTH wide."""
    line = line._replace(left=plain(line.left), remark=plain(line.remark))
    if not line.value:
        return line.left[:WIDTH]
    room = WIDTH - COLUMN - VALUE - 3
    remark = line.remark if len(line.remark) <= room else "…" + line.remark[1 - room :]
    right = f"{line.value:>{VALUE}}  {remark}"
    if len(line.left) > COLUMN:
        right = right.lstrip()
    room = WIDTH - len(right) - 1
    left = line.left if len(line.left) <= room else line.left[: room - 1] + "…"
    return f"{left:<{min(COLUMN, room)}} {right}".rstrip()
