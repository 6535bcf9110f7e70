"""A training as one file, and back: to the same numbers, bit by bit.

A tower's hyperparameters have live edges to the weights, which no file can hold. But after `backward()` and before
`step()` there are none that matter: all that counts is in values and in `.grad`. So this is when a checkpoint is made,
and going on begins with the step.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import tinyhyper as th
from tinyhyper.inspect import files

from .run import Run

if TYPE_CHECKING:
    from .training import Training

FORMAT = 1
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)  # ValueError: JSON's, ours too


class Moment(NamedTuple):
    """Between backward() and step(): the number of the step, its loss, and the seconds that the run took so far."""

    step: int
    loss: float
    seconds: float


def save(path: Path, training: Training, run: Run, moment: Moment, data: str | None = None) -> None:
    """Write the training at this moment; the file appears whole or not at all.  data: a fingerprint of its data."""
    files.write(path, pack({"format": label(run), "data": data, "moment": moment, **state_of(training)}))


def load(path: Path, training: Training, run: Run, data: str | None = None) -> Moment:
    """Put a saved training into one that was just made, and say where it stands.

    Raises one of UNREADABLE, before anything has changed, for a file that is damaged or of another run.
    """
    saved = unpack(path.read_bytes())
    if saved["format"] != label(run):
        raise ValueError("it is of another run or version")
    if None not in (found := saved.get("data"), data) and found != data:
        raise ValueError("it is of other data")
    moment = Moment(*saved["moment"])
    values, slopes = saved["params"], saved["gradients"]
    if {name: array.shape for name, array in values.items()} != {n: p.shape for n, p in training.params.items()}:
        raise ValueError("its parameters are others")
    training.optimizer.load_state_dict(saved["optimizer"])
    for name, array in values.items():
        training.params[name] = th.tensor(array, requires_grad=True)
        training.params[name].grad = gradient(slopes[name])
    for level, found in zip(training.optimizer.levels, saved["hypergradients"], strict=True):
        for name, slope in found.items():
            level.parameters[name].grad = gradient(slope)
    for name, state in saved["generators"].items():
        training.generators[name].bit_generator.state = state
    if training.model is not None:
        training.model.load_buffers(saved["buffers"])
    training.carried, training.history = saved["carried"], saved["history"]
    return moment


def state_of(training: Training) -> dict[str, Any]:
    """All that the rest of a training depends on, as plain data and arrays."""
    params, levels = training.params, training.optimizer.levels
    return {
        "params": {name: tensor.numpy() for name, tensor in params.items()},
        "gradients": {name: values(tensor.grad) for name, tensor in params.items()},
        "optimizer": training.optimizer.state_dict(),
        "hypergradients": [{n: values(tensor.grad) for n, tensor in level.parameters.items()} for level in levels],
        "generators": {name: generator.bit_generator.state for name, generator in training.generators.items()},
        "buffers": {} if training.model is None else training.model.buffers,
        "carried": training.carried,
        "history": training.history,
    }


def label(run: Run) -> list[Any]:
    """What a file has to be of."""
    return [FORMAT, th.__version__, run.key]


def values(slope: th.Tensor | None) -> np.ndarray | None:
    return None if slope is None else slope.numpy()


def gradient(array: np.ndarray | None) -> th.Tensor | None:
    return None if array is None else th.tensor(array)


def pack(tree: dict[str, Any]) -> bytes:
    """Nested dicts and lists with arrays in them as an npz: arrays by number, and JSON that says where each goes."""
    arrays: list[np.ndarray] = []

    def replaced(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")
        arrays.append(value)
        return {"array": len(arrays) - 1}

    text = json.dumps(tree, default=replaced)
    buffer = io.BytesIO()
    named: dict[str, Any] = {str(n): array for n, array in enumerate(arrays)}
    np.savez(buffer, tree=np.frombuffer(text.encode(), np.uint8), **named)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, Any]:
    """What was packed. Raises one of UNREADABLE; each array is checked by its checksum."""
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        text = found["tree"].tobytes().decode()
        return json.loads(
            text, object_hook=lambda entry: found[str(entry["array"])] if entry.keys() == {"array"} else entry
        )
