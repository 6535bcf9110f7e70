"""Whether the records read from JSON fit together: each number names a node, output, operand or cut that exists."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from .records import Cut, Edge, Inside, Label, Node, Output, Place, Recording
from .saved import Saved
from .schema import MOST, refuse

DTYPES = {"bool", "float32", "float64"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
BYTES = 2**62  # of an array
HIGHEST = 10**6  # level


def check_links(tape: Recording) -> None:
    """Raises ArgumentError, with the place, if a number names nothing that exists, or is out of order."""
    if not tape.ends or tape.ends != sorted(tape.ends) or tape.ends[-1] != len(tape.nodes):
        refuse("ends", f"does not go up to the {len(tape.nodes)} nodes")
    ended = min(tape.steps, len(tape.ends))
    if tape.skipped != sorted({*tape.skipped}) or not all(1 <= step <= ended for step in tape.skipped):
        refuse("skipped", f"does not hold some of the steps 1 to {ended}, each once and in order")
    if tape.horizon == 0:
        refuse("horizon", "is 0, which no window has")
    links = Links(tape)
    for n, place in enumerate(sorted(tape.gates)):
        links.place(place, f"gates[{n}]")
    links.edges()
    for check, rows in ((links.node, "nodes"), (links.cut, "cuts"), (links.inside, "insides")):
        for n, row in enumerate(getattr(tape, rows)):
            check(n, row, f"{rows}[{n}]")
    for n, row in enumerate(tape.saved if isinstance(tape.saved, list) else ()):
        links.saved(row, f"saved[{n}]")
    for n, path in enumerate(tape.paths):
        links.place(path.target, f"paths[{n}].target")
        links.place(path.loss, f"paths[{n}].loss")
        for k, part in enumerate(path.parts):
            for m, place in enumerate(part.through):
                links.place(place, f"paths[{n}].parts[{k}].through[{m}]")


class Links:
    """The records. operands: how many each node reads.  targets: by cut, the nodes that edges lead to through it."""

    def __init__(self, tape: Recording) -> None:
        self.tape, self.nodes, self.cuts = tape, tape.nodes, tape.cuts
        self.operands = [0] * len(tape.nodes)
        self.targets: dict[int, list[int]] = defaultdict(list)

    def place(self, place: Place | None, at: str, before: int | None = None) -> None:
        """The place exists. before: the number of a node that comes later."""
        if place is None:
            return
        number, output = place
        if number >= (len(self.nodes) if before is None else before):
            refuse(at, f"is of node {number}, which is not there{'' if before is None else ' yet'}")
        if output >= len(self.nodes[number].outputs):
            refuse(at, f"is output {output} of node {number}, which has {len(self.nodes[number].outputs)}")

    def edges(self) -> None:
        """The edges come in the order of their targets and operands."""
        before = 0
        for n, edge in enumerate(self.tape.edges):
            self._edge(edge, f"edges[{n}]", before)
            before = edge.target

    def _edge(self, edge: Edge, at: str, before: int) -> None:
        target, cut = edge.target, edge.cut
        if not before <= target < len(self.nodes):
            refuse(f"{at}.target", f"is node {target}: no node from {before} to {len(self.nodes) - 1}")
        if edge.operand != self.operands[target]:
            refuse(f"{at}.operand", f"is {edge.operand}, after {self.operands[target]} operands of node {target}")
        self.operands[target] += 1
        self.place((edge.source, edge.output), f"{at}.source", target)
        if (cut is not None) != (edge.flow == "cut"):
            refuse(f"{at}.cut", f"does not fit a flow that is {edge.flow}")
        if cut is not None:
            _at_most(cut, len(self.cuts) - 1, f"{at}.cut", f"{len(self.cuts)} cuts")
            if (self.cuts[cut].source, self.cuts[cut].output) != (edge.source, edge.output):
                refuse(f"{at}.cut", f"is {cut}, which is of another value")
            if target not in self.targets[cut]:
                self.targets[cut].append(target)

    def node(self, n: int, node: Node, at: str) -> None:
        self._numbered(n, node, at)
        kind, count = node.kind, len(node.outputs)
        for key, fits in (
            ("op", (node.op is not None) == (kind in ("operation", "earlier"))),
            ("of", (node.of is not None) == (kind == "gradient")),
            ("loss", node.loss is None or kind == "gradient"),
        ):
            if not fits:
                refuse(f"{at}.{key}", f"does not fit the kind {kind}")
        if count != 1 and (kind != "operation" or not count):
            refuse(f"{at}.outputs", f"are {count} of a node of the kind {kind}")
        for k, output in enumerate(node.outputs):
            _output(output, f"{at}.outputs[{k}]")
        self.place(node.of, f"{at}.of", n)
        self.place(node.loss, f"{at}.loss")
        for k, place in enumerate(node.saved):
            self.place(place, f"{at}.saved[{k}]", n + 1)
        if node.seconds is not None and not 0 <= node.seconds < MOST:
            refuse(f"{at}.seconds", f"is {node.seconds}, which no operation takes")
        _at_most(node.until, len(self.tape.ends), f"{at}.until", f"{len(self.tape.ends)} ends")
        _at_most(node.inside, len(self.tape.insides) - 1, f"{at}.inside", f"{len(self.tape.insides)} insides")
        if node.depends is not None and len(node.depends) != count:
            refuse(f"{at}.depends", f"is of {len(node.depends)} outputs, and there are {count}")
        for k, operands in enumerate(node.depends or ()):
            there = self.operands[n]
            _at_most(max(operands, default=None), there - 1, f"{at}.depends[{k}]", f"{there} operands")

    def cut(self, n: int, cut: Cut, at: str) -> None:
        self._numbered(n, cut, at)
        self.place((cut.source, cut.output), f"{at}.source")
        _shape(cut.shape, 8, at)
        if cut.targets != self.targets[n]:
            refuse(f"{at}.targets", f"are {cut.targets}, and the edges through it lead to {self.targets[n]}")

    def inside(self, n: int, inside: Inside, at: str) -> None:
        """Each line reads operands, constants and lines before it."""
        known = inside.operands + len(inside.constants)
        for k, (_, args) in enumerate(inside.lines):
            if max(args, default=-1) >= known + k:
                refuse(f"{at}.lines[{k}]", f"reads {max(args)}, which is not there yet")
        if max(inside.outputs, default=-1) >= known + len(inside.lines):
            refuse(f"{at}.outputs", f"has {max(inside.outputs)}, which is not there")

    def saved(self, row: Saved, at: str) -> None:
        _label(Label(row.name, row.role, row.level), at)
        _shape(row.shape, 8, at)
        self.place(row.place, f"{at}.place")

    def _numbered(self, n: int, row: Node | Cut, at: str) -> None:
        if row.number != n:
            refuse(f"{at}.number", f"is {row.number}, not its place in the list")
        _at_most(row.step, self.tape.steps, f"{at}.step", f"{self.tape.steps} steps")


def _at_most(number: int | None, most: int, at: str, there: str) -> None:
    if number is not None and number > most:
        refuse(at, f"is {number}, and there are {there}")


def _output(output: Output, at: str) -> None:
    if output.dtype not in DTYPES:
        refuse(f"{at}.dtype", f"is not one of {', '.join(sorted(DTYPES))}")
    _shape(output.shape, np.dtype(output.dtype).itemsize, at)
    if output.value is not None and math.prod(output.shape) != 1:
        refuse(f"{at}.value", f"is one number, and the shape is {list(output.shape)}")
    if output.label is not None:
        _label(output.label, f"{at}.label")


def _label(label: Label, at: str) -> None:
    if not label.name:
        refuse(f"{at}.name", "is empty")
    if label.level > HIGHEST:
        refuse(f"{at}.level", f"is above {HIGHEST}")
    if label.range is not None and not label.range[0] <= label.range[1]:
        refuse(f"{at}.range", "begins above its end")


def _shape(shape: tuple[int, ...], itemsize: int, at: str) -> None:
    if len(shape) > 64 or math.prod(size for size in shape if size) * itemsize > BYTES:
        refuse(f"{at}.shape", "is larger than an array can be")
