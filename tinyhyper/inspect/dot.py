"""A recording for other programs that know graphs: Graphviz and networkx."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from importlib import import_module
from typing import Any

from ..errors import MissingPackageError
from .graph import flow_in
from .names import Names
from .records import Edge, Node, Recording
from .text import content, site

Attributes = dict[str, str]

DEFAULTS: dict[str, Attributes] = {
    "graph": {"rankdir": "LR", "fontname": "sans-serif", "fontsize": "12", "nodesep": "0.15", "ranksep": "0.4"},
    "node": {"fontname": "sans-serif", "fontsize": "11", "shape": "box", "style": "rounded", "margin": "0.08,0.04"},
    "edge": {"fontname": "sans-serif", "fontsize": "10", "arrowsize": "0.6"},
}
CLUSTER: Attributes = {"style": "rounded", "color": "#b8b8b8", "fontcolor": "#555555"}
KINDS: dict[str, Attributes] = {
    "operation": {},
    "leaf": {"shape": "ellipse"},
    "constant": {"shape": "ellipse", "color": "#b8b8b8", "fontcolor": "#666666"},
    "earlier": {"style": "rounded,dashed"},
    "gradient": {"shape": "hexagon", "style": "solid"},
}
SWEEP: Attributes = {"color": "#b8b8b8", "fontcolor": "#666666"}
FLOWS: dict[str, Attributes] = {
    "kept": {"penwidth": "1.4"},
    "cut": {"style": "dashed", "color": "#b3261e", "fontcolor": "#b3261e"},
    "value": {"color": "#c8c8c8", "penwidth": "0.6"},
    "gate": {"penwidth": "1.4", "style": "dashed", "label": "⊘"},
}


def to_dot(tape: Recording) -> str:
    """The recording as Graphviz text, a cluster a step: kept edges solid, cuts dashed with ✂ and reason, gates
    dashed with ⊘, values grey.

    A node's tooltip is its place in the code. `dot -Tsvg` draws it.
    """
    names = Names(tape)
    steps: dict[int, list[Node]] = defaultdict(list)
    for node in tape.nodes:
        steps[node.step].append(node)
    lines = ["digraph tape {", f"  label={quoted(tape.title or 'Recording')};"]
    lines += [f"  {what} {_attributes(facts)};" for what, facts in DEFAULTS.items()]
    for step, nodes in sorted(steps.items()):
        lines += [f"  subgraph cluster_{step} {{", f"    label={quoted(f'step {step}')};"]
        lines += [f"    {key}={quoted(value)};" for key, value in CLUSTER.items()]
        lines += [f"    n{node.number} {_attributes(_node(node, names))};" for node in nodes]
        lines.append("  }")
    lines += [f"  n{edge.source} -> n{edge.target} {_attributes(_edge(tape, edge))};" for edge in tape.edges]
    return "\n".join([*lines, "}", ""])


def to_networkx(tape: Recording) -> Any:
    """The recording as a `networkx.MultiDiGraph`: nodes by number, edges keyed by operand.

    Both have all fields of their records, a node also its `name`; the graph has title, steps, ends, and the cuts.
    Raises MissingPackageError.
    """
    try:
        networkx = import_module("networkx")
    except ImportError as error:
        raise MissingPackageError(
            "to_networkx: networkx is not installed; pip install 'tinyhyper[graphs]', or networkx itself"
        ) from error
    names = Names(tape)
    cuts = [dataclasses.asdict(cut) for cut in tape.cuts]
    graph = networkx.MultiDiGraph(title=tape.title, steps=tape.steps, ends=list(tape.ends), cuts=cuts)
    for node in tape.nodes:
        graph.add_node(node.number, name=names.name((node.number, 0)), **dataclasses.asdict(node))
    for edge in tape.edges:
        graph.add_edge(edge.source, edge.target, key=edge.operand, **dataclasses.asdict(edge))
    return graph


def quoted(text: str) -> str:
    """A string of the DOT language. Characters that cannot be printed become spaces, except the ends of lines."""
    lines = ["".join(c if c.isprintable() else " " for c in line) for line in text.split("\n")]
    for special, written in (("&", "&amp;"), ("\\", "\\\\"), ('"', '\\"')):
        lines = [line.replace(special, written) for line in lines]
    return '"' + "\\n".join(lines) + '"'


def _attributes(facts: Attributes) -> str:
    return "[" + ", ".join(f"{key}={quoted(value)}" for key, value in facts.items()) + "]"


def _node(node: Node, names: Names) -> Attributes:
    known = [name for n in range(len(node.outputs)) if (name := names.known((node.number, n))) is not None]
    title = ", ".join(known) or node.op or node.kind
    made = [node.op] if known and node.op else []
    lines = [title, *made, ", ".join(map(content, node.outputs))]
    return {"label": "\n".join(lines), "tooltip": site(node), **KINDS[node.kind], **(SWEEP if node.sweep else {})}


def _edge(tape: Recording, edge: Edge) -> Attributes:
    if edge.cut is None:
        return FLOWS[flow_in(tape, edge)]
    label = f"✂{edge.cut} {tape.cuts[edge.cut].reason or ''}".rstrip()
    return {"label": label, **FLOWS[edge.flow]}
