"""Questions about a run: what it keeps alive, what took the time, what broke it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from functools import partial
from statistics import median
from typing import Any

from ..naming import LOSS, Name
from ..plain import count, short
from .answers import Answer
from .chain import drawn_chain
from .contents import contents
from .figure import STEP_NUMBER
from .finite import not_finite, word
from .graph import Graph
from .memory import alive, nbytes
from .names import sized
from .records import Node, Place, Recording
from .saved import Saved
from .text import counted, listed, site
from .timeline import amount, timeline


def kept_alive(tape: Recording) -> Answer:
    """What each step keeps alive, in nodes and bytes, who holds it, and until when."""
    graph, found = Graph(tape), alive(tape)
    rows: list[tuple[Any, ...]] = []
    for now in found:
        lasts = Counter([tape.nodes[number].until or 0 for number in now.nodes])
        each = [(_until(tape, now.step, last), n) for last, n in sorted(lasts.items())]
        until = ", ".join([words + f" ({n})" * (len(each) > 1) for words, n in each])
        held = ", ".join(name or f"{_own(graph, nodes)} in your code" for name, nodes in now.holders.items())
        after = "at the end" if now is found[-1] else f"step {now.step}"
        rows.append((after, len(now.nodes), now.bytes, held, until))
    text = "No node was alive when the recording ended."
    if nodes := found[-1].nodes:
        arrays = sorted(found[-1].saved, key=lambda place: not _tuned(graph, place))
        text = (
            f"When the recording ended, {count(len(nodes), 'node')} {'was' if len(nodes) == 1 else 'were'} alive: "
            f"{counted(_said(graph, (number, 0)) for number in nodes)}. {count(len(arrays), 'array')}, "
            f"{amount(found[-1].bytes)} in all, {'is' if len(arrays) == 1 else 'are'} kept for a backward pass: "
            f"{counted(_said(graph, place) for place in arrays)}. A backward pass that reaches a node reads its "
            "arrays, and then releases it."
        )
        if any(label and (label.role, label.name) == STEP_NUMBER for label in map(graph.label, arrays)):
            text += " t is the number of a level's step."
    columns, question = ("after", "nodes", "bytes", "held by", "until"), "What does a step keep alive, and until when?"
    return Answer(question, text, columns, rows, draw=partial(timeline, question, text, graph, found))


def checkpoint(tape: Recording) -> Answer:
    """What `th.save` writes when the recording ends: values, gradients, and what the last step has read."""
    graph, holders = Graph(tape), alive(tape)[-1].holders
    question, columns = "What must a checkpoint hold?", ("what", "shape", "bytes", "why")
    if isinstance(tape.saved, str):
        text = f"No file can hold this run as it is now: {tape.saved}."
        return Answer(question, text, draw=partial(timeline, question, text, graph, alive(tape)))
    if tape.saved is None:
        last = [places[-1] for name, places in graph.places.items() if name != LOSS]
        rows = [(graph.name(p), str(tape.output(p).shape), nbytes(tape, p), "value") for p in last]
        text = "th.save(path, params, optimizer) writes what an optimizer knows, but none was there when the recording "
        text += "ended. Keep the optimizer until then, or save these values yourself, where no graph is alive."
        return Answer(question, text, columns, rows, "bytes")
    whys = [row.why.replace(" read", ", read by the last step") for row in tape.saved]
    named = [(_saved_name(graph, row), row) for row in tape.saved]
    rows = [(name, str(row.shape), row.bytes, why) for (name, row), why in zip(named, whys)]
    groups = {why: [row.bytes for row in tape.saved if row.why.endswith(why)] for why in ("value", "gradient", "read")}
    amounts = {why: f"({count(len(sizes), 'array')}, {amount(sum(sizes))})" for why, sizes in groups.items()}
    text = f"A file holds the values as they are now {amounts['value']}, the gradients in .grad {amounts['gradient']}, "
    text += "and t of each level: how many steps it has made. "
    live = {number for name, reached in holders.items() if name is not None for number in reached}
    hyperparameters = [row.place for row in tape.saved if row.role == "hyperparameter" and row.place is not None]
    tuned = any(tape.node(place).kind != "constant" for place in hyperparameters)
    if not tuned:
        text += "No hyperparameter is tuned, so nothing else is needed."
    elif not groups["read"]:
        text += "The hypergradients of the whole window are among these gradients, so th.load repeats no step."
    elif live:
        text += (
            "These alone are not enough. No edge would lead from the weights to the hyperparameters, so the first "
            "hypergradients after loading would be zero. The file also holds what the last step read "
            f"{amounts['read']}. th.load repeats that step, and so makes its graph again ({count(len(live), 'node')})."
        )
    else:
        text += (
            f"The file also holds what the last step read {amounts['read']}. backward() has released the graph of that "
            "step; the gradients that it computed are in the file."
        )
    if len({name for name, _ in named}) < len(named):
        text += " A fixed hyperparameter is in both parts: the step read it, and did not move it."
    return Answer(question, text, columns, rows, draw=partial(contents, question, text, named, bool(live)))


def times(tape: Recording) -> Answer:
    """Which operations took the time. The first call of a kernel includes its compilation."""
    groups = _durations(tape)
    total = sum(map(sum, groups.values()))
    share = 100 / (total or 1.0)
    ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))
    rows = [(op, part, len(t), 1e6 * median(t), 1e3 * sum(t), share * sum(t)) for (op, part), t in ranked]
    text = f"{count(sum(map(len, groups.values())), 'operation')} took {short(1e3 * total)} ms."
    if ranked:
        (op, part), most = ranked[0]
        text += f" {op} ({part}) took the largest share, {short(share * sum(most), 3)} %."
    columns = ("operation", "part", "calls", "median us", "ms", "%")
    return Answer("Which operations took the time?", text, columns, rows, "%")


def first_nonfinite(tape: Recording) -> Answer:
    """Where the first NaN or infinity was made: the operation, its line, and what it read."""
    graph, question = Graph(tape), "Where was the first NaN or infinity?"
    found = next(not_finite(graph), None)
    if found is None:
        return Answer(question, f"There was none: {count(len(tape.nodes), 'node')} were checked.")
    node = tape.nodes[found.nodes[0]]
    rows = [(graph.name(edge.place), graph.number(edge.place)) for edge in graph.into[node.number]]
    text = f"{_when(tape, node)}, {site(node)}: {found.what}. To do: {found.advice}."
    draw = None
    if node.kind == "operation":
        bad = next(n for n, output in enumerate(node.outputs) if word(output))
        draw = partial(drawn_chain, question, text, graph, (node.number, bad), "too large" not in found.advice)
    return Answer(question, text, ("operand", "value or norm"), rows, draw=draw)


def _until(tape: Recording, step: int, last: int) -> str:
    """Until when a node is alive after a step. last: the last step at whose end it is."""
    if last >= len(tape.ends):
        return "still alive at the end"
    return "the next step" if last == step else f"step {last + 1}"


def _own(graph: Graph, nodes: Collection[int]) -> str:
    """What the user's own code holds of some nodes: the losses among them, or something without a name."""
    return listed(graph.name(loss) for loss in sorted(graph.losses) if loss[0] in nodes) or "an unnamed tensor"


def _when(tape: Recording, node: Node) -> str:
    """When a node was made: by a step, or between two of them."""
    if not tape.steps:
        return "In this recording"
    if not node.step:
        return "Before step 1"
    return f"{'At' if node.number < tape.ends[node.step - 1] else 'After'} step {node.step}"


def _tuned(graph: Graph, place: Place) -> bool:
    """Whether a value is a hyperparameter that a level above moves."""
    return graph.is_hyperparameter(place) and graph.tape.node(place).kind != "constant"


def _said(graph: Graph, place: Place) -> str:
    """A value by its name, or by what it is."""
    node, output, known = graph.nodes[place[0]], graph.tape.output(place), graph.known(place)
    if known is not None or node.kind != "constant":
        return known or f"{node.op or node.kind}{sized(output)}"
    return f"a constant {sized(output)}" if output.number is None else f"the constant {short(output.number)}"


def _saved_name(graph: Graph, row: Saved) -> str:
    """What an array of a checkpoint is called."""
    if row.place is not None and (name := graph.known(row.place)) is not None:
        return name
    title = graph.title(Name(row.role, row.level, row.name))
    return f"∂loss/∂{title}" if row.why.startswith("gradient") else title


def _part(node: Node) -> str:
    return "backward pass" if node.sweep else "optimizer step" if (node.op or "").endswith(".rule") else "forward pass"


def _durations(tape: Recording) -> dict[tuple[str, str], list[float]]:
    """The seconds of each call, by operation and part of a step."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node in tape.nodes:
        if node.seconds is not None:
            groups[node.op or "", _part(node)].append(node.seconds)
    return groups
