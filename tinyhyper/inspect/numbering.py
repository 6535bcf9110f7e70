"""The numbers of cuts, and what each of them is of, in few words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .graph import Graph
from .names import named
from .records import Cut
from .text import listed

NAMED = 16  # so many values cut alike are named


def numbers(graph: Graph, cuts: Iterable[int]) -> str:
    """The numbers of some cuts, by step. Of one value those of its gradient and its state follow."""
    steps: dict[int, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    for number in sorted(cuts):
        title, what = _of(graph, graph.cuts[number])
        steps[graph.cuts[number].step][title].append((number, what))
    told: list[str] = []
    for step, found in steps.items():
        (least, _), *_ = next(iter(found.values()))
        if not told:
            first, alike = least, _text(found, least)
        same = told and _text(found, least) == alike
        told.append(f"step {step}: {f'each {least - first} higher' if same else _text(found)}")
    return f"numbers of cuts in {'; in '.join(told)}"


def _of(graph: Graph, cut: Cut) -> tuple[str, str]:
    """The name of the value that a cut is of, and whether it cuts the value, its gradient or a state of it."""
    of = graph.nodes[cut.source].of or cut.place
    label = graph.label(of)
    title = graph.name(of) if label is None else graph.title(named(label))
    if label is not None and label.role == "state":
        owner, _, state = title.rpartition(".")
        return owner, state
    gradient = of != cut.place or (label is not None and label.role == "gradient")
    return title, "gradient" if gradient else "value"


def _text(found: dict[str, list[tuple[int, str]]], less: int = 0) -> str:
    """The numbers of each value, those together of which the same is cut. less: what is subtracted from each."""
    groups: dict[str, list[str]] = defaultdict(list)
    for title, each in found.items():
        span = ranges([number - less for number, _ in each])
        groups[", ".join([what for _, what in each])].append(f"{title} {span}")
    return ", ".join([f"{listed(names, NAMED)} ({whats})" for whats, names in groups.items()])


def ranges(sorted_numbers: Sequence[int]) -> str:
    """Numbers in ascending order, those that follow one another as their first and last."""
    spans: list[list[int]] = []
    for number in sorted_numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return " and ".join([str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}" for span in spans])
