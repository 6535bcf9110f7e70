"""Recurrent layers: LSTM, and the cut between one batch and the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ..arguments import whole
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError
from ..ops.recurrent import is_pair, lstm
from .initial import Initial, uniform
from .layer import Layer

State: TypeAlias = "list[tuple[Tensor, Tensor]]"

SHORT = ("weight", "recurrent", "bias")


class LSTM(Layer):
    """Layers of long short-term memory, each over the whole sequence that the one below gives (see `th.lstm`).

    inputs, hidden, layers: the widths of x and h, and how many layers there are, integers >= 1.
    x: (length, batch, inputs), whose dtype is promoted with the parameters'; gives (length, batch, hidden) and the
    state, (h, c) of every layer, each (batch, hidden). Hand the state to the next call, through `cut`, to go on where
    this one ended.
    state: one to begin with, pairs (h, c) of shape (batch, hidden); zeros if None.  ids: as of th.lstm, for the first
    layer.
    Layer n has layer{n}.weight (inputs, 4 hidden), layer{n}.recurrent (hidden, 4 hidden) and layer{n}.bias
    (4 hidden,), which is the sum of PyTorch's two; its weights are the transposed of PyTorch's. They start between -b
    and b with b = 1/sqrt(hidden), as there.
    Raises ArgumentError for a size that is not an integer >= 1; its call ShapeError if x has another last axis,
    ArgumentError for a state that is not one pair (h, c) for each layer, and as th.lstm.
    """

    def __init__(self, name: str, inputs: int, hidden: int, layers: int = 1) -> None:
        inputs, hidden = whole("LSTM: inputs", inputs), whole("LSTM: hidden", hidden)
        draw = uniform(hidden**-0.5)
        table = {}
        for n in range(whole("LSTM: layers", layers)):
            rows: list[tuple[int, ...]] = [(hidden if n else inputs,), (hidden,), ()]
            table.update({f"layer{n}.{short}": Initial((*row, 4 * hidden), draw) for short, row in zip(SHORT, rows)})
        super().__init__(name, table)
        self.inputs, self.layers = inputs, layers

    def __call__(
        self,
        params: Mapping[str, Tensor],
        x: Any,
        state: Sequence[tuple[Any, Any]] | None = None,
        ids: Any = None,
    ) -> tuple[Tensor, State]:
        """The last layer's h after every step, and the state.

        ids: integers, (length, batch): x is then a table, (count, inputs), of which they name a row for each step.
        """
        x = as_tensor(x)
        if x.shape[-1:] != (self.inputs,):
            raise ShapeError(f"LSTM: {self.name!r} takes x of shape (length, batch, {self.inputs}), not {x.shape}")
        if state is not None and len(_pairs(f"LSTM {self.name!r}", state)) != self.layers:
            raise ArgumentError(
                f"LSTM: the state of {self.name!r} must have a pair (h, c) for each of its {self.layers} layers, not "
                f"{len(state)}"
            )
        after: State = []
        for n in range(self.layers):
            weight, recurrent, bias = (self.parameter(params, f"layer{n}.{short}") for short in SHORT)
            x, last = lstm(x, weight, recurrent, bias, state[n] if state else None, ids if n == 0 else None)
            after.append(last)
        return x, after


def cut(state: Sequence[tuple[Any, Any]] | None) -> State | None:
    """The same state, from which no gradient flows back into the batches before: the cut of truncated backpropagation.

    state: of each layer a pair (h, c), each (batch, hidden) and of any dtype, as an LSTM gives them. None, the state
    before the first batch, stays None. A recording shows it as any other cut.
    Raises ArgumentError for a state that is not one pair (h, c) for each layer.
    """
    if state is None:
        return None
    pairs = [(as_tensor(h), as_tensor(c)) for h, c in _pairs("cut", state)]
    return [(h.detach("carried state"), c.detach("carried state")) for h, c in pairs]


def _pairs(what: str, state: Any) -> Sequence[tuple[Any, Any]]:
    if not isinstance(state, (list, tuple)) or not all(map(is_pair, state)):
        raise ArgumentError(
            f"{what}: a state must be a list of one pair (h, c) for each layer, h and c of shape (batch, hidden). From "
            "PyTorch's h and c, (layers, batch, hidden), list(zip(h, c)) makes it"
        )
    return state
