"""What a checkpoint of a run holds: the arrays that `th.save` writes, each with its name and why it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checkpoint.run import described
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import TinyhyperError
from .labels import as_text
from .records import Place, Role


@dataclass(slots=True)
class Saved:
    """One array of the file that `th.save` would write when the recording ends.

    name, role, level: of the value, as its optimizer calls it.  place: of the array; None if no operation read it.
    why: value or gradient, as they are now; value read or gradient read by the last step.
    """

    name: str
    role: Role
    level: int
    place: Place | None
    shape: tuple[int, ...]
    bytes: int
    why: str


def saved(params: Mapping[str, Tensor], optimizer: Optimizer, known: Callable[..., Any]) -> list[Saved] | str:
    """What `th.save` would write now, or why it refuses. known: gives the recording's mark of an array, or None."""
    try:
        content = described(params, optimizer)
    except TinyhyperError as error:
        return str(error).removeprefix("save: ")
    tower, last = content["tower"], content["tower"]["last"]
    states = [level["state"] for level in tower["levels"]]
    found = [("", part) for part in _parts(content["params"], tower["hyperparameters"], states)]
    if last is not None:
        found += [(" read", part) for part in _parts(last["weights"], last["hyperparameters"], last["states"])]
    rows: list[Saved] = []
    written: set[int] = set()
    for read, (name, role, level, what, array) in found:
        if not array.ndim or id(array) not in written:  # a file holds a larger array once
            mark = known(array)
            place = None if mark is None else mark[1:3]
            rows.append(Saved(name, role, level, place, array.shape, array.nbytes, what + read))
            written.add(id(array))
    return rows


def _parts(weights: Any, hyperparameters: Any, states: Any) -> Iterator[tuple[str, Role, int, str, np.ndarray]]:
    """The values and gradients at a boundary between steps."""
    tensors: list[tuple[Role, int, Any]] = [("weights", 0, weights)]
    tensors += [("hyperparameter", level, entries) for level, entries in enumerate(hyperparameters)]
    for role, level, entries in tensors:
        for name, entry in entries.items():
            yield as_text(name), role, level, "value", entry["value"]
            if entry["gradient"] is not None:
                yield as_text(name), role, level, "gradient", entry["gradient"]
    for level, targets in enumerate(states):
        for name, own in targets.items():
            for key, array in own.items():
                yield f"{as_text(name)}.{key}", "state", level, "value", array
