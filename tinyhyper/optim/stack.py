"""Towers written as the paper writes them: "adam/sgd", bottom first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..core.optimizers import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError

OPTIMIZERS = {cls.__name__.lower(): cls for cls in (SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW)}
WORDS: dict[str, Callable[[str], Any]] = {
    "horizon": lambda text: None if text == "None" else int(text),
    "objective": str,
    "on_nonfinite": str,
}
LEVEL = re.compile(r"\s*(?P<name>\w+?)(?P<only>-\w+)?\s*(\((?P<arguments>[^()]*)\))?\s*")


def from_string(stack: str, alpha: float | None = None) -> Optimizer:
    """The tower that a string names, bottom first: "adam/sgd", "sgd(0.1, mu=0.9) / sgd(1e-4)", "adam-alpha/sgd(1e-5)".

    stack: the string. A hyphen names the one hyperparameter that is tuned, brackets hold a level's own values, in the
    order of its table, and a level's limits or the bottom's horizon: "sgd(0.1, horizon=8, clip_norm=1) / sgd(1e-4)".
    alpha: the bottom level's step size, a number, where the string gives none.
    Raises DtypeError for anything but a str, ArgumentError with the word that is wrong, CallError for arguments that an
    optimizer does not take.
    """
    if not isinstance(stack, str):
        raise DtypeError(f'from_string: stack must be a str, such as "adam/sgd", not a {type(stack).__name__}')
    optimizer: Optimizer | None = None
    levels = [_parse(level, stack) for level in stack.split("/")]
    cls, args, kwargs = levels[0]
    if alpha is not None and not args and "alpha" not in kwargs:
        kwargs["alpha"] = alpha
    for cls, args, kwargs in reversed(levels):
        optimizer = cls(*args, **kwargs, optimizer=optimizer)
    assert optimizer is not None
    return optimizer


def _parse(level: str, stack: str) -> tuple[type[Optimizer], list[float], dict[str, Any]]:
    match = LEVEL.fullmatch(level)
    if match is None or match["name"].lower() not in OPTIMIZERS:
        word = match["name"] if match else level.strip()
        raise ArgumentError(
            f"stack {stack!r}: {word!r} is not an optimizer; write levels bottom first, such as adam/sgd, "
            f"from {', '.join(OPTIMIZERS)}"
        )
    args: list[float] = []
    kwargs: dict[str, Any] = {"tune": (match["only"][1:],)} if match["only"] else {}
    for item in filter(None, map(str.strip, (match["arguments"] or "").split(","))):
        name, _, number = item.rpartition("=")
        try:
            value = WORDS.get(name.strip(), float)(number.strip())
        except ValueError:
            raise ArgumentError(f"stack {stack!r}: {item!r} must be a number or name=number") from None
        if name:
            kwargs[name.strip()] = value
        else:
            args.append(value)
    return OPTIMIZERS[match["name"].lower()], args, kwargs
