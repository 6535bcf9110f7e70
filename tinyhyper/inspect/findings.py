"""What a check of a graph found: where, what, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from .graph import Graph
from .plain import markup, plain_lines
from .records import Edge, Recording
from .text import shorten


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or about to be.

    rule: which rule found it.  subject: what it is about; one subject is reported once.
    step, file, line: where it was first seen.  again: in how many steps more.
    what, advice: what is the matter and what to do, a sentence each.
    nodes, edges, cuts: the numbers of those concerned.
    """

    rule: str
    subject: str
    step: int
    file: str
    line: int
    what: str
    advice: str
    nodes: tuple[int, ...] = ()
    edges: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()
    again: int = 0

    @property
    def where(self) -> str:
        """The place in the code, and the steps."""
        steps = {0: "", 1: " and in 1 more step"}.get(self.again, f" and in {self.again} more steps")
        return f"step {self.step}{steps}, {shorten(self.file)}:{self.line}"

    def __str__(self) -> str:
        return plain_lines(f"{self.rule} ({self.where}): {self.what}.\n    To do: {self.advice}.")


class Findings(list[Finding]):
    """The findings of a check, in the order of their steps. checked: what was looked at, in words."""

    def __init__(self, found: Iterable[Finding], checked: str) -> None:
        super().__init__(sorted(merged(found), key=lambda finding: finding.step))
        self.checked = checked

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else f"nothing to report: {self.checked} were checked"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>✓ {markup(str(self))}</p>"
        style = "text-align: left; vertical-align: top; padding: 0.15em 0.7em"
        rows = [("rule", "where", "what", "to do"), *[(f.rule, f.where, f.what, f.advice) for f in self]]
        lines = ["".join(f"<td style='{style}'>{markup(text)}</td>" for text in row) for row in rows]
        return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def merged(found: Iterable[Finding]) -> list[Finding]:
    """Each subject of a rule once: as it was first seen, with the number of steps in which it was seen again."""
    alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in found:
        alike[finding.rule, finding.subject].append(finding)
    once = []
    for findings in alike.values():
        first = min(findings, key=lambda finding: finding.step)
        nodes, edges, cuts = (
            tuple(sorted({number for finding in findings for number in numbers(finding)}))
            for numbers in (attrgetter("nodes"), attrgetter("edges"), attrgetter("cuts"))
        )
        again = len({finding.step for finding in findings}) - 1
        once.append(replace(first, nodes=nodes, edges=edges, cuts=cuts, again=again))
    return once


class Reading(Graph):
    """A tape with what the rules ask of it. out: by node, the edges of those that read it; `readers` without sweeps."""

    def __init__(self, tape: Recording) -> None:
        super().__init__(tape)
        self.nodes, self.cuts = tape.nodes, tape.cuts
        self.out: dict[int, list[Edge]] = defaultdict(list)
        self.edge_numbers: dict[tuple[int, int], int] = {}
        for number, edge in enumerate(tape.edges):
            self.out[edge.source].append(edge)
            self.edge_numbers[edge.target, edge.operand] = number

    @property
    def horizon(self) -> int | None:
        """After how many steps a recorded tower cuts, None for never; 1 for what is written by hand."""
        return self.tape.horizon

    def readers(self, number: int) -> list[Edge]:
        """By what a node is read; a backward pass, which reads what was saved, does not count."""
        return [edge for edge in self.out[number] if not self.nodes[edge.target].sweep]

    def back(self, number: int) -> set[int]:
        """A node and all those to which gradients flow from it: what it keeps alive."""
        reached, waiting = {number}, [number]
        while waiting:
            for edge in self.into[waiting.pop()]:
                if edge.flow == "kept" and edge.source not in reached:
                    reached.add(edge.source)
                    waiting.append(edge.source)
        return reached

    def forward(self, numbers: Iterable[int]) -> set[int]:
        """The nodes from which gradients flow to one of some."""
        reached: set[int] = set()
        waiting = list(numbers)
        while waiting:
            for edge in self.readers(waiting.pop()):
                if edge.flow == "kept" and edge.target not in reached:
                    reached.add(edge.target)
                    waiting.append(edge.target)
        return reached
