"""The character LSTM of the paper's Figure 3: an embedding, two layers of LSTM, and a linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..tape import no_grad
from ..tensor import Tensor
from .dense import Embedding, Linear
from .layer import Layer
from .recurrent import LSTM, State


class CharLSTM(Layer):
    """Says which symbol comes next, after every symbol of a text.

    ids: integers from 0 to symbols - 1, (length, batch); gives logits, (length, batch, symbols), and the state with
    which the next piece of each text goes on (see `LSTM`). Raises as Embedding and LSTM do.
    """

    def __init__(self, name: str, symbols: int, hidden: int = 128, layers: int = 2) -> None:
        self.embedding = Embedding(f"{name}.embedding", symbols, hidden)
        self.lstm = LSTM(f"{name}.lstm", hidden, hidden, layers)
        self.linear = Linear(f"{name}.linear", hidden, symbols)
        super().__init__(name, parts=[self.embedding, self.lstm, self.linear])

    def __call__(
        self, params: Mapping[str, Tensor], ids: Any, state: Sequence[tuple[Any, Any]] | None = None
    ) -> tuple[Tensor, State]:
        table = self.embedding.parameter(params, "weight")
        out, state = self.lstm(params, table, state, ids=self.embedding.checked(ids))
        length, batch, hidden = out.shape
        logits = self.linear(params, out.reshape(length * batch, hidden))
        return logits.reshape(length, batch, -1), state

    def sample(
        self,
        params: Mapping[str, Tensor],
        start: Sequence[int] | np.ndarray,
        length: int,
        rng: np.random.Generator,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """So many symbols that the model draws, one by one, after those of `start`, as an array of their ids.

        temperature: the logits are divided by it; near 0 the likeliest symbol is always taken.
        Raises ArgumentError for an empty start and for a temperature that is not positive.
        """
        if len(start) == 0 or not temperature > 0:
            raise ArgumentError(
                f"sample: a start of at least one symbol and a temperature above 0 are needed, not {len(start)} "
                f"symbols and {temperature!r}"
            )
        drawn, ids, state = np.empty(length, np.intp), np.asarray(start)[:, None], None
        with no_grad():
            for n in range(length):
                logits, state = self(params, ids, state)
                scores = logits.data[-1, 0] / temperature
                drawn[n] = np.argmax(scores + rng.gumbel(size=scores.shape))  # draws as the softmax of the scores
                ids = drawn[n : n + 1, None]
        return drawn
