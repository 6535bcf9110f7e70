"""What the numbers in the JSON of a tape mean: nodes, outputs, operands and cuts that are there, and in their order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .schema import BYTES, refuse


class Linked:
    """Whether the numbers in the JSON of a tape, which has the right types, are of nodes, outputs, cuts that are there.

    operands: how many each node reads.
    """

    def __init__(self, tape: dict[str, Any]) -> None:
        self.tape = tape
        self.nodes, self.cuts, self.insides = tape["nodes"], tape["cuts"], tape["insides"]
        self.operands = [0] * len(self.nodes)
        ends = tape["ends"]
        if not ends or ends != sorted(ends) or ends[-1] != len(self.nodes):
            refuse("ends", f"does not go up to the {len(self.nodes)} nodes")
        targets: list[list[int]] = [[] for _ in self.cuts]
        before = -1
        for n, edge in enumerate(tape["edges"]):
            before = self._edge(edge, f"edges[{n}]", before, targets)
        for n, node in enumerate(self.nodes):
            self._node(n, node, f"nodes[{n}]")
        for n, cut in enumerate(self.cuts):
            self._cut(n, cut, f"cuts[{n}]", targets[n])
        for n, inside in enumerate(self.insides):
            self._inside(inside, f"insides[{n}]")
        if tape["horizon"] == 0:
            refuse("horizon", "is 0, which no window has")
        for n, path in enumerate(tape["paths"]):
            self._place(path["target"], f"paths[{n}].target")
            self._place(path["loss"], f"paths[{n}].loss")
            for k, part in enumerate(path["parts"]):
                for m, place in enumerate(part["through"]):
                    self._place(place, f"paths[{n}].parts[{k}].through[{m}]")

    def _place(self, place: list[int] | None, at: str, before: int | None = None) -> None:
        """The place is one of the tape's, of nodes before a number."""
        if place is None:
            return
        number, output = place
        if number >= (len(self.nodes) if before is None else before):
            refuse(at, f"is of node {number}, which is not there{'' if before is None else ' yet'}")
        if output >= len(self.nodes[number]["outputs"]):
            refuse(at, f"is output {output} of node {number}, which has {len(self.nodes[number]['outputs'])}")

    def _edge(self, edge: dict[str, Any], at: str, before: int, targets: list[list[int]]) -> int:
        """The edges come in the order of their targets and operands; the target is given back."""
        target = edge["target"]
        if not before <= target < len(self.nodes):
            refuse(f"{at}.target", f"is node {target}: no node from {max(before, 0)} to {len(self.nodes) - 1}")
        if edge["operand"] != self.operands[target]:
            refuse(f"{at}.operand", f"is {edge['operand']}, after {self.operands[target]} operands of node {target}")
        self.operands[target] += 1
        self._place([edge["source"], edge["output"]], f"{at}.source", target)
        cut = edge["cut"]
        if (cut is not None) != (edge["flow"] == "cut"):
            refuse(f"{at}.cut", f"does not fit a flow that is {edge['flow']}")
        if cut is not None:
            if cut >= len(self.cuts):
                refuse(f"{at}.cut", f"is {cut}, and there are {len(self.cuts)} cuts")
            if [self.cuts[cut][key] for key in ("source", "output")] != [edge["source"], edge["output"]]:
                refuse(f"{at}.cut", f"is {cut}, which is of another value")
            if target not in targets[cut]:
                targets[cut].append(target)
        return int(target)

    def _node(self, n: int, node: dict[str, Any], at: str) -> None:
        self._numbered(n, node, at)
        kind, count = node["kind"], len(node["outputs"])
        if (node["op"] is not None) != (kind in ("operation", "earlier")):
            refuse(f"{at}.op", f"does not fit the kind {kind}")
        if count != 1 and (kind != "operation" or not count):
            refuse(f"{at}.outputs", f"are {count} of a node of the kind {kind}")
        for k, output in enumerate(node["outputs"]):
            self._shape(output["shape"], f"{at}.outputs[{k}].shape", np.dtype(output["dtype"]).itemsize)
            if output["value"] is not None and math.prod(output["shape"]) != 1:
                refuse(f"{at}.outputs[{k}].value", f"is one number, and the shape is {output['shape']}")
            if output["label"] is not None and not output["label"]["name"]:
                refuse(f"{at}.outputs[{k}].label.name", "is empty")
        if (node["of"] is not None) != (kind == "gradient"):
            refuse(f"{at}.of", f"does not fit the kind {kind}")
        if node["loss"] is not None and kind != "gradient":
            refuse(f"{at}.loss", f"does not fit the kind {kind}")
        self._place(node["of"], f"{at}.of", n)
        self._place(node["loss"], f"{at}.loss")
        for k, place in enumerate(node["saved"]):
            self._place(place, f"{at}.saved[{k}]", n + 1)
        if node["until"] is not None and node["until"] > len(self.tape["ends"]):
            refuse(f"{at}.until", f"is {node['until']}, and there are {len(self.tape['ends'])} ends")
        depends = node["depends"]
        if depends is not None and len(depends) != count:
            refuse(f"{at}.depends", f"is of {len(depends)} outputs, and there are {count}")
        for k, operands in enumerate(depends or ()):
            if max(operands, default=-1) >= self.operands[n]:
                refuse(f"{at}.depends[{k}]", f"is of {max(operands) + 1} operands, and there are {self.operands[n]}")
        if node["inside"] is not None and node["inside"] >= len(self.insides):
            refuse(f"{at}.inside", f"is {node['inside']}, and there are {len(self.insides)} insides")

    def _cut(self, n: int, cut: dict[str, Any], at: str, targets: list[int]) -> None:
        self._numbered(n, cut, at)
        self._place([cut["source"], cut["output"]], f"{at}.source")
        self._shape(cut["shape"], f"{at}.shape", 8)
        if cut["targets"] != targets:
            refuse(f"{at}.targets", f"are {cut['targets']}, and the edges through it lead to {targets}")

    def _numbered(self, n: int, row: dict[str, Any], at: str) -> None:
        if row["number"] != n:
            refuse(f"{at}.number", f"is {row['number']}, not its place in the list")
        if row["step"] > self.tape["steps"]:
            refuse(f"{at}.step", f"is {row['step']}, and there are {self.tape['steps']} steps")

    def _shape(self, shape: list[int], at: str, itemsize: int) -> None:
        if len(shape) > 64 or math.prod(size for size in shape if size) * itemsize > BYTES:
            refuse(at, "is of no array that there can be")

    def _inside(self, inside: dict[str, Any], at: str) -> None:
        """Each line reads operands, constants and lines before it."""
        known = inside["operands"] + len(inside["constants"])
        for n, (_, args) in enumerate(inside["lines"]):
            if max(args, default=0) >= known + n:
                refuse(f"{at}.lines[{n}]", f"reads {max(args)}, which is not there yet")
        if max(inside["outputs"], default=0) >= known + len(inside["lines"]):
            refuse(f"{at}.outputs", f"has {max(inside['outputs'])}, which is not there")
