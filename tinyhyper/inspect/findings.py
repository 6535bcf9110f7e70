"""What a check of a graph found: where, what, and what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..plain import markup, plain_lines, table
from .records import Cut, Node
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
        """The steps, and the place in the code."""
        steps = {0: "", 1: " and in 1 more step"}.get(self.again, f" and in {self.again} more steps")
        return f"step {self.step}{steps}, {shorten(self.file)}:{self.line}"

    def __str__(self) -> str:
        return plain_lines(f"{self.rule} ({self.where}): {self.what}.\n    To do: {self.advice}.")


def finding(
    rule: str,
    subject: str,
    at: Node | Cut,
    what: str,
    advice: str,
    nodes: Collection[int] = (),
    edges: Collection[int] = (),
    cuts: Collection[int] = (),
) -> Finding:
    """A finding at a node or a cut."""
    return Finding(rule, subject, at.step, at.file, at.line, what, advice, tuple(nodes), tuple(edges), tuple(cuts))


class Findings(list[Finding]):
    """The findings of a check, in the order of their steps, each once.

    found: the findings in any order.  checked: what was looked at, in words.
    """

    def __init__(self, found: Iterable[Finding], checked: str) -> None:
        super().__init__(sorted(merged(found), key=lambda one: one.step))
        self.checked = checked

    def __str__(self) -> str:
        return "\n".join(map(str, self)) if self else f"nothing to report: {self.checked} were checked"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>✓ {markup(str(self))}</p>"
        return table([(f.rule, f.where, f.what, f.advice) for f in self], ("rule", "where", "what", "to do"))


def merged(found: Iterable[Finding]) -> list[Finding]:
    """Each subject of a rule once, as it was first seen, with the number of steps in which it was seen again."""
    alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for one in found:
        alike[one.rule, one.subject].append(one)
    once = []
    for same in alike.values():
        numbers: dict[str, Any] = {
            key: tuple(sorted({number for one in same for number in getattr(one, key)}))
            for key in ("nodes", "edges", "cuts")
        }
        again = len({one.step for one in same}) - 1
        once.append(replace(min(same, key=lambda one: one.step), **numbers, again=again))
    return once
