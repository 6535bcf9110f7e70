"""The LSTM layer over a whole sequence: one node on the tape, and one formula, that of its cell.

The formula is read as a fusion: of tensors it is the layer step by step, and the sweep over its symbols gives the
derivative. The products of the inputs are one product for all steps, before the recurrence begins.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import array
from ..core.operation import OPERATIONS, Elementwise
from ..core.rules import astype, matmul, reshape, transpose
from ..core.tape import Edge, Node, no_grad, unwatched
from ..core.tensor import FLOATS, Tensor, apply, as_tensor, saved
from ..errors import ArgumentError, DtypeError, ShapeError
from ..fusion.fuse import trace
from ..fusion.fusion import Fusion
from ..interop import unmasked
from .elementwise import sigmoid
from .index import take
from .linear import linear
from .shape import concatenate, expand_dims, stack

State = tuple[Tensor, Tensor]


def is_pair(state: Any) -> bool:
    """Whether something is h and c, side by side."""
    return isinstance(state, (list, tuple)) and len(state) == 2


def checked_ids(what: str, ids: Any, count: int) -> np.ndarray:
    """The ids, if each names one of so many rows. Raises DtypeError unless they are integers, else ArgumentError."""
    numbers = ids.array if isinstance(ids, Tensor) else array(f"{what}: ids", ids)
    if not numbers.size and not isinstance(ids, (np.ndarray, Tensor)):  # an empty list says nothing of a dtype
        numbers = numbers.astype(np.intp)
    if numbers.dtype.kind not in "iu":
        raise DtypeError(f"{what}: ids must be integers, not {numbers.dtype}")
    unmasked(ids, f"{what}: ids", numbers.ndim)
    wrong = (numbers < 0) | (numbers >= count)
    if wrong.any():
        raise ArgumentError(f"{what}: ids must be from 0 to {count - 1}, not {numbers[wrong][0]}")
    return numbers


# The cell's derivative reads the gates, which are saved. Computed from the sums before them, as elsewhere, it would be
# right for a gate that has rounded to 1 too, and the layer a tenth slower.
_gate = Elementwise(
    "sigmoid", sigmoid.forward, "sigmoid, its slope from `out`.", x=lambda g, out: g * out * (1.0 - out)
)  # fmt: skip
_squash = Elementwise("tanh", np.tanh, "tanh, its slope from `out`.", x=lambda g, out: g * (1.0 - out * out))


def _cell(xi: Any, xf: Any, xg: Any, xo: Any, ri: Any, rf: Any, rg: Any, ro: Any, c: Any) -> tuple[Any, ...]:
    """One step: h, c and the gates, from what the inputs (x), the last h (r) and the last c say.

    Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """
    i, f, o = _gate(xi + ri), _gate(xf + rf), _gate(xo + ro)
    g = _squash(xg + rg)
    c = f * c + i * g
    return o * _squash(c), c, i, f, g, o


def _forked(*operands: Any) -> tuple[Any, ...]:
    """The same, with h and c going two ways: out, and on to the next step. The sweep adds what comes back."""
    h, c, *gates = _cell(*operands)
    return h, h, c, c, *gates


GATES = 4
COUNT = 2 * GATES + 1
CELL, _ = trace(_cell, COUNT, eager=True)
FORKED, _ = trace(_forked, COUNT, eager=True)
WANTED = (*[True] * GATES, *[False] * GATES, True)  # r is added to x, so its cotangent is the same


@functools.cache
def derivative(h: bool, c: bool, gates: bool) -> tuple[Fusion, tuple[int, ...]]:
    """The cell's derivative with respect to x and c for cotangents from outside, and what it reads, by number.

    They are the cotangents of h, from outside and from the step after, of c alike and of the gates; then the operands
    and the outputs of the cell.
    """
    given = (h, True, c, True, *[gates] * GATES)
    fusion, reads, _ = FORKED.derivative(given, WANTED, True)
    outputs = (0, 0, 1, 1, *range(2, 2 + GATES))  # a forked output is one row
    rows = [n if n < COUNT else COUNT + outputs[n - COUNT] for n in reads]
    return fusion, (*[n for n, flag in enumerate(given) if flag], *[len(given) + n for n in rows])


def _forward(*arrays: np.ndarray) -> list[np.ndarray]:
    """The states, from the first on, and the gates, step by step: of x, the recurrent weight, and the first h and c."""
    x, weight, h, c = map(Tensor, arrays)
    hs, cs, gates = [h], [c], []
    with no_grad(), unwatched():
        for step in x:
            h, c, *rest = CELL([*_quarters(step), *_quarters(matmul(h, weight)), c])
            hs.append(h)
            cs.append(c)
            gates.append(concatenate(rest, -1))
        return [stack(values).array for values in (hs, cs, gates)]


def _steps_back(
    cotangents: Sequence[Tensor | None], weight: Tensor, h: Tensor, c: Tensor, gates: Tensor
) -> list[Tensor]:
    """The cotangents of x and of the first h and c, step by step, by operations that can be recorded."""
    fusion, reads = derivative(*[cotangent is not None for cotangent in cotangents])
    weight = transpose(weight)
    dh, dc = (Tensor(np.zeros_like(h.array[0])) for _ in range(2))
    found: list[Tensor] = []
    for t in reversed(range(len(gates))):
        dh_out, dc_out, dgates = (None if cotangent is None else cotangent[t] for cotangent in cotangents)
        rows = [dh_out, dh, dc_out, dc, *([None] * GATES if dgates is None else _quarters(dgates))]
        rows += [*[None] * (COUNT - 1), c[t], h[t + 1], c[t + 1], *_quarters(gates[t])]
        *dx, dc = fusion([rows[n] for n in reads])
        found.append(concatenate(dx, -1))
        dh = matmul(found[-1], weight)
    return [stack(found[::-1]), dh, dc]


def _quarters(x: Tensor) -> list[Tensor]:
    width = x.shape[-1] // GATES
    return [x[..., gate * width : (gate + 1) * width] for gate in range(GATES)]


def _of_weight(h: Tensor, dx: Tensor) -> Tensor:
    """The cotangent of the recurrent weight: one product for all steps."""
    length, batch, width = h.shape
    return matmul(transpose(reshape(h, (length * batch, width))), reshape(dx, (length * batch, GATES * width)))


def _backward(cotangents: Sequence[np.ndarray | None], *arrays: np.ndarray) -> list[np.ndarray]:
    """As _steps_back, of arrays: none of it is recorded."""
    with unwatched():
        back = _steps_back([None if c is None else Tensor(c) for c in cotangents], *map(Tensor, arrays))
    return [tensor.array for tensor in back]


class Recurrence:
    """The steps of a layer as one operation: from x, the recurrent weight, h and c to h, c and the gates of each step.

    On the way back the gates are read instead of computed again, as saved outputs of a fusion are.
    """

    name, depends, quick = "lstm", None, False

    def __init__(self) -> None:
        self.forward: Callable[..., Sequence[np.ndarray]] = _forward

    def compute(self, arrays: Sequence[np.ndarray], call: None) -> tuple[list[np.ndarray], Any]:
        h, c, gates = self.forward(*arrays)
        return [h[1:], c[1:], gates], None

    def node(
        self, edges: tuple[Edge | None, ...], arrays: Sequence[np.ndarray], results: Sequence[np.ndarray], memo: Any
    ) -> list[Edge | None]:
        node = Node(self, edges, (*arrays[1:], *results), memo, len(results))
        return [(node, n) for n in range(len(results))]

    def reads(self, node: Node) -> tuple[int, ...]:
        """What a node saved: operands, all but x, and outputs, by number."""
        return 1, 2, 3, 4, 5, 6

    def pullback(self, node: Node, cotangents: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor | None]:
        weight, *first, hs, cs, gates = saved(node)
        if gates.requires_grad:  # then step by step, by operations that are recorded
            h, c = [concatenate([expand_dims(x, 0), later]) for x, later in zip(first, (hs, cs))]
            dx, dh, dc = _steps_back(cotangents, weight, h, c, gates)
            before = h[:-1]
        else:
            operands = [*[g for g in cotangents if g is not None], weight, *first, hs, cs, gates]
            dx, dh, dc, before = apply(PULLBACK, operands, [g is not None for g in cotangents])
        return [dx, _of_weight(before, dx) if wanted[1] else None, dh, dc]


class Pullback:
    """The way back through all steps, from the cotangents that there are and what was saved to the cotangents of x and
    of the first h and c, and to h before each step; as one operation that is not recorded."""

    name, depends, quick = "lstm.vjp", None, False

    def __init__(self) -> None:
        self.forward: Callable[..., Sequence[np.ndarray]] = _backward

    def compute(self, arrays: Sequence[np.ndarray], given: Sequence[bool]) -> tuple[Sequence[np.ndarray], None]:
        rest = iter(arrays)
        cotangents = [next(rest) if flag else None for flag in given]
        weight, h0, c0, hs, cs, gates = rest
        h, c = _with_first(h0, hs), _with_first(c0, cs)
        return [*self.forward(cotangents, weight, h, c, gates), h[:-1]], None


def _with_first(first: np.ndarray, later: np.ndarray) -> np.ndarray:
    """The states from the first on; no copy, if those after it are still where the forward pass has put them."""
    whole, shape = later.base, (len(later) + 1, *first.shape)
    return whole if isinstance(whole, np.ndarray) and whole.shape == shape else np.concatenate([first[None], later])


RECURRENCE = OPERATIONS["lstm"] = Recurrence()
PULLBACK = OPERATIONS["lstm.vjp"] = Pullback()


def lstm(
    x: Any, weight: Any, recurrent: Any, bias: Any = None, state: tuple[Any, Any] | None = None, ids: Any = None
) -> tuple[Tensor, State]:
    """A layer of long short-term memory over a whole sequence: h after every step, and the last h and c.

    x: (length, batch, inputs).  weight: (inputs, 4 width).  recurrent: (width, 4 width).  bias: (4 width,), or None.
    The gates lie side by side in PyTorch's order: input, forget, candidate, output.
    state: h and c to start from, (batch, width) each; zeros if None.
    ids: integers, (length, batch). Then x is a table, (count, inputs), and they say which row comes at each step; in a
    long sequence each row is multiplied once, however often it comes.
    Gives (length, batch, width) and a pair of (batch, width), float32 or float64, as promoted from all these.
    Raises ShapeError for what does not fit together, ArgumentError for a state that is not a pair and an id without a
    row, DtypeError for ids that are not integers and where all else is integers.
    Source: Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.
    """
    x, weight, recurrent = map(as_tensor, (x, weight, recurrent))
    if ids is not None:
        ids = checked_ids("lstm", ids, x.shape[0] if x.ndim else 0)
        if ids.ndim != 2 or len(ids) == 0:
            raise ShapeError(f"lstm: ids must have shape (length, batch) with at least one step, not {ids.shape}")
    steps = x.shape[:-1] if ids is None else ids.shape
    width = recurrent.shape[0] if recurrent.ndim else 0
    if state is None:
        state = (np.zeros((*steps[1:], width), recurrent.dtype),) * 2
    if not is_pair(state):
        raise ArgumentError("lstm: a state must be a pair of h and c, (h, c), each (batch, width)")
    h, c = map(as_tensor, state)
    _check(steps, x, weight, recurrent, h, c)
    if ids is not None and ids.size < len(x):
        x, ids = take(x, ids, 0), None
    if ids is None:
        rows = reshape(x, (math.prod(steps), x.shape[-1]))
        x = reshape(linear(rows, weight, bias), (*steps, GATES * width))
    else:
        x = take(linear(x, weight, bias), ids, 0)
    hs, cs, _ = apply(RECURRENCE, _of_one_dtype([x, recurrent, h, c]))
    return hs, (hs[-1], cs[-1])


def _check(steps: tuple[int, ...], *operands: Tensor) -> None:
    x, weight, recurrent, h, c = (operand.shape for operand in operands)
    width = recurrent[0] if recurrent else 0
    fits = len(steps) == 2 and steps[0] > 0 and x[-1:] == weight[:1] and weight[1:] == (GATES * width,)
    if not fits or recurrent != (width, GATES * width) or {h, c} != {(steps[1], width)}:
        raise ShapeError(
            f"lstm: x {x}, weight {weight}, recurrent {recurrent}, h {h} and c {c} do not fit together. x must be "
            "(length, batch, inputs) with at least one step, or (count, inputs) with ids (length, batch); weight "
            "(inputs, 4 width), recurrent (width, 4 width), h and c (batch, width)"
        )


def _of_one_dtype(operands: list[Tensor]) -> list[Tensor]:
    dtype = np.result_type(*[operand.dtype for operand in operands])
    if dtype not in FLOATS:
        raise DtypeError(f"lstm: weights and states must be float32 or float64, not {dtype}")
    return [operand if operand.dtype == dtype else astype(operand, dtype) for operand in operands]
