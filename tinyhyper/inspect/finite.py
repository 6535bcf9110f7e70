"""Where did the first NaN or infinity come from?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from .findings import Finding, Reading
from .records import Node, Output, Place
from .text import short

RULE = "not finite"
MEANT = ("pad",)  # operations that were told to make infinities, as the margins of max pooling
OVERFLOW = "the numbers have become too large: make the steps smaller, or scale the values down"
EXPONENTIAL = (
    "its argument is too large: subtract the maximum first, or use logsumexp, log_softmax, sigmoid or softplus"
)
ZERO = "the divisor is 0, or nearly: add a small number to it"
POWER = "a power has no real value below 0, nor a negative one at 0: keep the base above 0, or clip it"
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
        ["arcsin.vjp", "arccos.vjp"], "the derivative is infinite at -1 and 1: clip the argument inside them"
    ),
    **dict.fromkeys(["add", "subtract", "multiply", "square", "matmul", "sum", "mean", "prod"], OVERFLOW),
}


def not_finite(graph: Reading) -> Iterator[Finding]:
    """The first operation that made what is not finite from what was, or the value that came in so."""
    spoilt = any(_is_nan(out) for node in graph.nodes if node.kind == "operation" for out in node.outputs)
    for node in graph.nodes:
        bad = next((n for n, out in enumerate(node.outputs) if not _finite(out)), None)
        if bad is None or node.kind == "gradient":
            continue
        if node.kind == "operation" and node.op not in MEANT:
            if all(_finite(graph.tape.output((edge.source, edge.output))) for edge in graph.into[node.number]):
                yield _made(graph, node, bad)
                return
        elif spoilt or _is_nan(node.outputs[bad]):  # infinities may be meant, in a mask say, until they give a NaN
            yield _came(graph, node, bad)
            return


def _finite(output: Output) -> bool:
    """Whether all elements are; a hyperparameter at the border of its range is, whatever its coordinate says."""
    if output.label is not None and output.label.value is not None:
        return math.isfinite(output.label.value)
    return output.norm is None or math.isfinite(output.norm)


def _is_nan(output: Output) -> bool:
    return not _finite(output) and output.norm is not None and math.isnan(output.norm)


def _made(graph: Reading, node: Node, output: int) -> Finding:
    operands = [_amount(graph, (edge.source, edge.output)) for edge in graph.into[node.number]]
    named = graph.names.known(node.number, output)
    inside = f", in the backward pass of {node.op.removesuffix('.vjp')}" if node.op and node.sweep else ""
    return Finding(
        RULE,
        "first",
        node.step,
        node.file,
        node.line,
        f"{f'{named} = ' if named else ''}{node.op}({', '.join(operands)}) is the first {_word(node.outputs[output])}"
        f"{inside}",
        _advice(graph, node),
        nodes=(node.number, *[edge.source for edge in graph.into[node.number]]),
    )


def _came(graph: Reading, node: Node, output: int) -> Finding:
    name = _amount(graph, (node.number, output))
    origin = "the data or the initial values" if node.kind != "earlier" else "what was computed before the recording"
    return Finding(
        RULE,
        "first",
        node.step,
        node.file,
        node.line,
        f"{name} came in with {_word(node.outputs[output])}",
        f"look at {origin}: np.isfinite(x.numpy()) shows which elements",
        nodes=(node.number,),
    )


def _advice(graph: Reading, node: Node) -> str:
    names = [] if node.inside is None else [name for name, _ in graph.tape.insides[node.inside].lines]
    return advice(node.op or "", names, any(out.label is not None for out in node.outputs))


def advice(op: str, inside: Iterable[str], moves: bool) -> str:
    """What to do by operation; for a fused one, by the first of those inside that may fail.

    moves: whether it makes what an optimizer moves.
    """
    if op in ADVICE:
        return ADVICE[op]
    if moves:
        return "the step was too large, or divided by 0: use a smaller alpha, or a larger eps if the rule has one"
    risky = [name for name in inside if name in ADVICE and ADVICE[name] != OVERFLOW]
    return f"{risky[0]} inside it: {ADVICE[risky[0]]}" if risky else OVERFLOW


def _amount(graph: Reading, place: Place) -> str:
    """A value's name and its number, or its size and norm."""
    output, name = graph.tape.output(place), graph.name(place)
    if output.value is not None:
        return f"{name} = {short(output.value)}"
    shape = "×".join(map(str, output.shape))
    return f"{name} [{shape}]" + ("" if output.norm is None else f" of norm {short(output.norm)}")


def _word(output: Output) -> str:
    if output.value is not None:
        return "NaN" if math.isnan(output.value) else "infinity"
    return "NaN" if _is_nan(output) else "infinity"
