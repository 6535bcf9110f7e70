"""Checkpoints: a run in a file, and back, to the same numbers as if it had never stopped.

After a step the moved weights lead back to the hyperparameters that they were moved by. A file holds what that step has
read, and the step is made again: so the hypergradients of the very next `backward()` are those of the run that went on.

| file | what is in it |
| --- | --- |
| `archive` | the file: how it is written, and what is refused |
| `tree` | nested data as JSON and arrays |
| `run` | weights and a tower, with gradients and what the last step has read, as nested data |
| `past` | a run between two steps in memory, for `tape.rewind` |
"""

from __future__ import annotations

import inspect
import os
from typing import Any, NamedTuple

from ..arguments import named
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, CallError, CheckpointError, DtypeError, TinyhyperError
from . import archive, run

OWN = inspect.signature(lambda path, params, optimizer=None: None)  # of save, beside extras


class Checkpoint(NamedTuple):
    """What `load` gives: the parameters, and whatever else was saved, both by name."""

    params: dict[str, Tensor]
    extra: dict[str, Any]


def save(*args: Any, **extra: Any) -> None:
    """Write a run to a file, which appears whole or not at all, in place of an older one.

    path: a str or a Path; a ~ is the user's home.
    params: tensors by name, of any shape and dtype.
    optimizer: the tower that moves the parameters; without one their values alone are saved, as of a finished model.
    extra: what else the run goes on from: dicts, lists and tuples of numbers, texts, bytes, arrays and tensors. One
    may have any name, also one of the above if that is given in its place.
    To be called between steps, or between backward() and the step; with a longer horizon, where a window ends.
    Raises GraphError elsewhere, DtypeError for what no file can hold, CheckpointError where none can be written,
    CallError for a call without a path or params.
    """
    own = {name: extra.pop(name) for name in [*OWN.parameters][len(args) :] if name in extra}
    try:
        bound = OWN.bind(*args, **own)
    except TypeError as error:
        raise CallError(f"save: {error}; call save(path, params, optimizer=None, **extra)") from None
    bound.apply_defaults()
    path, params, optimizer = bound.args
    _check("save", path, optimizer)
    named("save", params)
    for name, tensor in params.items():
        if not isinstance(tensor, Tensor):
            raise DtypeError(f"save: params[{name!r}] must be a tensor, not a {type(tensor).__name__}")
    content = run.model(params) if optimizer is None else run.described(params, optimizer)
    archive.write(path, {**content, "extra": extra})


save.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [*OWN.parameters.values(), inspect.Parameter("extra", inspect.Parameter.VAR_KEYWORD)]
)


def load(path: str | os.PathLike[str], optimizer: Optimizer | None = None) -> Checkpoint:
    """Go on from a file: the tower takes on what was saved of it, and the parameters to go on with are returned.

    path: a str or a Path; a ~ is the user's home.  optimizer: a tower made as the saved one was; without one the
    parameters are leaves. All arrays have the shapes and dtypes, and the bits, that were saved.
    Raises CheckpointError for a file that is damaged, foreign or of another tower, CheckpointMissingError where there
    is none, DtypeError for arguments of another type; nothing has changed then.
    """
    _check("load", path, optimizer)
    content = archive.read(path)
    try:
        extra = content["extra"]
        if not isinstance(extra, dict):
            raise ArgumentError(f"its extra must be a dict, not a {type(extra).__name__}")
        if optimizer is None:
            params = run.leaves(content)
        elif content["tower"] is None:
            raise ArgumentError("it was saved without an optimizer; load it without one")
        else:
            params = run.resume(content, optimizer)
        return Checkpoint(params, extra)
    except TinyhyperError as error:
        raise CheckpointError(f"{path}: this checkpoint does not fit: {error}") from None
    except Exception as error:
        raise archive.foreign(path, error) from error


def _check(what: str, path: Any, optimizer: Any) -> None:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise DtypeError(f"{what}: the first argument must be a path, not a {type(path).__name__}")
    if not isinstance(optimizer, Optimizer | None):
        raise DtypeError(f"{what}: optimizer must be an optimizer, such as th.optim.Adam(0.01), not {optimizer!r}")
