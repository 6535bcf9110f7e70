"""The character LSTM of the paper's Figure 3: an embedding, two layers of LSTM, and a linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import generator, number, whole
from ..core.tape import no_grad
from ..core.tensor import Tensor
from ..errors import ArgumentError
from .dense import Embedding, Linear
from .layer import Layer
from .recurrent import LSTM, State


class CharLSTM(Layer):
    """Says which symbol comes next, after every symbol of a text: an Embedding, an LSTM and a Linear layer.

    symbols, hidden, layers: how many symbols there are, the width of h, and the layers of the LSTM, integers >= 1.
    ids: integers from 0 to symbols - 1, (length, batch); gives logits, (length, batch, symbols), in the dtype of the
    parameters, and the state with which the next piece of each text goes on.
    state: as of nn.LSTM.
    Raises ArgumentError for a size that is not an integer >= 1; its call as Embedding and LSTM do.
    Source: Figure 3 of Chandra et al., Gradient Descent: The Ultimate Optimizer, 2022.
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
        out, state = self.lstm(params, table, state, ids=ids)
        length, batch, hidden = out.shape
        logits = self.linear(params, out.reshape(length * batch, hidden))
        return logits.reshape(length, batch, *logits.shape[1:]), state

    def sample(
        self,
        params: Mapping[str, Tensor],
        start: Sequence[int] | np.ndarray,
        length: int,
        rng: int | np.random.Generator,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """So many symbols that the model draws, one by one, after those of `start`, as an array of their ids.

        params: as a call takes them.  start: integers from 0 to symbols - 1, one axis of them, not empty.
        length: how many to draw, an integer >= 0, which gives int64 of shape (length,).
        rng: an integer or a generator of NumPy.  temperature: a number > 0, by which the logits are divided; near 0 the
        likeliest symbol is always taken.
        Raises ArgumentError for a start, length or temperature that is not so, and for logits that are not finite, as
        those of a diverged model; DtypeError for an rng that is neither.
        """
        start = np.asarray(start)
        if start.ndim != 1 or len(start) == 0:
            raise ArgumentError(f"sample: start must be a sequence of at least one id, not {start!r}")
        temperature = number("sample: temperature", temperature, lambda t: t > 0, "number > 0")
        rng, length = generator("sample: rng", rng), whole("sample: length", length, 0)
        drawn, ids, state = np.empty(length, np.intp), start[:, None], None
        with no_grad(), np.errstate(over="ignore"):  # far below the likeliest is -inf
            for n in range(length):
                logits, state = self(params, ids, state)
                scores = logits.data[-1, 0].astype(np.float64)
                if not np.isfinite(scores).all():
                    raise ArgumentError(f"sample: the logits are not finite: {scores}. Have the parameters diverged?")
                scores = (scores - scores.max()) / temperature
                drawn[n] = np.argmax(scores + rng.gumbel(size=scores.shape))  # draws as the softmax of the scores
                ids = drawn[n : n + 1, None]
        return drawn
