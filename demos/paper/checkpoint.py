"""A training as one file, and back: to the same numbers, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tinyhyper as th

from .run import Run

if TYPE_CHECKING:
    from .training import Training

FORMAT = 2
UNREADABLE = (th.TinyhyperError, KeyError, TypeError, ValueError)


class Moment(NamedTuple):
    """Between backward() and step(): the number of the step, its loss, and the seconds that the run took so far."""

    step: int
    loss: float
    seconds: float


def save(path: Path, training: Training, run: Run, moment: Moment, data: str | None = None) -> None:
    """Write the training at this moment; the file appears whole or not at all.  data: a fingerprint of its data."""
    th.save(
        path,
        training.params,
        training.optimizer,
        format=label(run),
        data=data,
        moment=moment,
        generators={name: generator.bit_generator.state for name, generator in training.generators.items()},
        buffers={} if training.model is None else training.model.buffers,
        carried=training.carried,
        history=training.history,
    )


def load(path: Path, training: Training, run: Run, data: str | None = None) -> Moment:
    """Put a saved training into one that was just made, and say where it stands.

    Raises one of UNREADABLE, before anything has changed, for a file that is damaged or of another run.
    """
    params, saved = th.load(path)
    if saved["format"] != label(run):
        raise ValueError("it is of another run or version")
    if None not in (found := saved["data"], data) and found != data:
        raise ValueError("it is of other data")
    if {name: w.shape for name, w in params.items()} != {name: w.shape for name, w in training.params.items()}:
        raise ValueError("its parameters are others")
    if training.model is not None:
        training.model.checked_buffers(saved["buffers"])
    params, saved = th.load(path, training.optimizer)
    training.params.update(params)
    for name, state in saved["generators"].items():
        training.generators[name].bit_generator.state = state
    if training.model is not None:
        training.model.load_buffers(saved["buffers"])
    training.carried, training.history = saved["carried"], saved["history"]
    return Moment(*saved["moment"])


def label(run: Run) -> list[Any]:
    """What a file has to be of."""
    return [FORMAT, th.__version__, run.key]
