"""Where did the first NaN or infinity come from?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ..plain import short
from .findings import Finding, finding
from .graph import Graph
from .names import sized
from .records import Node, Output, Place

RULE = "not finite"
MEANT = ("pad",)  # operations that make infinities on request, as the margins of max pooling
OVERFLOW = "the numbers have become too large: make the steps smaller, or scale the values down"
EXPONENTIAL = (
    "its argument is too large: subtract the maximum first, or use logsumexp, log_softmax, sigmoid or softplus"
)
STEP = "the step was too large, or the rule divided by 0: use a smaller alpha, or a larger eps if there is one"
ZERO = "the divisor is 0, or nearly: add a small number to it"
POWER = "a power of a number below 0 has no real value, and a negative power of 0 is infinite: keep the base above 0"
LOG_OF_LOSS = (
    "its argument, one number, is 0 or nearly, or negative: a loss that has left the range of its dtype needs float64, "
    "or `scaled` in docs/hypergradients.md; with a number added to it, it would be another objective"
)
ADVICE = {
    "log": "its argument is 0 or negative: clip it, or add a small number",
    "log1p": "its argument is -1 or less: clip it",
    "divide": ZERO,
    "reciprocal": ZERO,
    "sqrt": "its argument is negative: clip it at 0, or take the root of a sum of squares",
    "power": POWER,
    "exp": EXPONENTIAL,
    "expm1": EXPONENTIAL,
    "sinh": EXPONENTIAL,
    "cosh": EXPONENTIAL,
    "arcsin": "its argument is outside -1 to 1: clip it",
    "arccos": "its argument is outside -1 to 1: clip it",
    "sqrt.vjp": "the derivative of a root is infinite at 0: add a small number under the root",
    "log.vjp": "the derivative of log is infinite at 0: add a small number to its argument",
    "power.vjp": "the derivative of a power below 1 is infinite at 0: add a small number to its base",
    "divide.vjp": ZERO,
    "reciprocal.vjp": ZERO,
    **dict.fromkeys(
        ["arcsin.vjp", "arccos.vjp"], "the derivative is infinite at -1 and 1: keep the argument between them"
    ),
    **dict.fromkeys(["add", "subtract", "multiply", "square", "matmul", "sum", "mean", "prod"], OVERFLOW),
}


def not_finite(graph: Graph) -> Iterator[Finding]:
    """The first operation that made a NaN or an infinity from finite numbers, or the value that came in so."""
    spoilt = any(word(out) == "NaN" for node in graph.nodes if node.kind == "operation" for out in node.outputs)
    for node in graph.nodes:
        bad = next((n for n, out in enumerate(node.outputs) if word(out)), None)
        if bad is None or node.kind == "gradient":
            continue
        if node.kind == "operation" and node.op not in MEANT:
            if not any(word(graph.tape.output(edge.place)) for edge in graph.into[node.number]):
                yield _made(graph, node, bad)
                return
        elif spoilt or word(node.outputs[bad]) == "NaN":  # an infinity may be meant, until it gives a NaN
            before = node.kind == "earlier"
            origin = "what was computed before the recording" if before else "the data or the initial values"
            what = f"{_amount(graph, (node.number, bad))} had {word(node.outputs[bad])} from the start"
            todo = f"look at {origin}: np.isfinite(x.numpy()) shows which elements"
            yield finding(RULE, "first", node, what, todo, [node.number])
            return


def _made(graph: Graph, node: Node, bad: int) -> Finding:
    sources = [edge.place for edge in graph.into[node.number]]
    named = graph.known((node.number, bad))
    call = f"{f'{named} = ' if named else ''}{node.op}({', '.join(_amount(graph, place) for place in sources)})"
    what = f"{call} is the first {word(node.outputs[bad])}"
    vjp = f"{node.vjp_of}.vjp"
    if node.vjp_of is not None:
        what += f", in the backward pass of {node.vjp_of}"
    lines = [] if node.inside is None else graph.tape.insides[node.inside].lines
    moves = any(out.label is not None for out in node.outputs)
    single = all(graph.tape.output(place).number is not None for place in sources)
    todo = advice(vjp if vjp in ADVICE else node.op or "", [name for name, _ in lines], moves, single)
    if rates := _rates(graph, node):
        todo = todo.replace("a smaller alpha", f"a smaller {' or '.join(rates)}")
    return finding(RULE, "first", node, what, todo, [node.number, *[number for number, _ in sources]])


def _rates(graph: Graph, node: Node | None) -> list[str]:
    """The names of the step size that a rule read, of the one that moved it, and so on up the tower."""
    names = []
    while node is not None:
        read = [edge.place for edge in graph.into[node.number]]
        found = [p for p in read if (own := graph.label(p)) and (own.role, own.name) == ("hyperparameter", "alpha")]
        alphas = [place for place in found if place != read[0]]  # the first is what the rule moves
        node = graph.tape.node(alphas[0]) if alphas else None
        names += [graph.known(place, timeless=True) or "alpha" for place in alphas[:1]]
    return names


def advice(op: str, inside: Iterable[str], moves: bool, single: bool) -> str:
    """What to do about an operation; for a fused one, about the first of those inside that may fail.

    moves: whether it makes what an optimizer moves.  single: whether it reads single numbers, as a logarithm of a loss.
    """
    known = {**ADVICE, **dict.fromkeys(("log", "log.vjp"), LOG_OF_LOSS)} if single else ADVICE
    if op in known:
        return known[op]
    if moves:
        return STEP
    risky = [name for name in inside if name in known and known[name] != OVERFLOW]
    return f"{risky[0]} inside it: {known[risky[0]]}" if risky else OVERFLOW


def word(output: Output) -> str:
    """NaN or infinity, or nothing if all elements are finite.

    A hyperparameter at the border of its range is finite, whatever its coordinate is.
    """
    number = output.norm if output.label is None or output.label.value is None else output.label.value
    if number is None or math.isfinite(number):
        return ""
    return "NaN" if output.norm is not None and math.isnan(output.norm) else "infinity"


def _amount(graph: Graph, place: Place) -> str:
    """A value's name and its number, or its size and norm."""
    output, name = graph.tape.output(place), graph.name(place)
    if output.number is not None:
        return f"{name} = {short(output.number)}"
    return f"{name} {sized(output)}" + ("" if output.norm is None else f" of norm {short(output.norm)}")
