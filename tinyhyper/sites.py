"""Where in the user's code something was asked for: the first line outside the package."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeAlias

from .errors import AnomalyWarning, TinyhyperError

PACKAGE = __name__.partition(".")[0]
Site: TypeAlias = "tuple[str, int]"  # a file and a line

_whose = ContextVar("_whose", default="")


def caller(frame: Any, package: str = PACKAGE) -> Site:
    """The first line outside the package, and outside the contexts that it opens, from a frame on."""
    while frame.f_back is not None and _passes(frame.f_globals.get("__name__", ""), package):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


@cache
def inside(module: str, package: str = PACKAGE) -> bool:
    """Whether a module is of the package."""
    return module == package or module.startswith(package + ".")


@cache
def _passes(module: str, package: str) -> bool:
    return module == "contextlib" or inside(module, package)


def warn(message: str) -> None:
    """Warn of an anomaly, at the user's line, each time that it is said."""
    warnings.warn_explicit(_whose.get() + message, AnomalyWarning, *caller(sys._getframe(1)))


@contextmanager
def said_of(what: str) -> Iterator[None]:
    """Within, a warning and an error of ours begin with what they are of, of several things that are done at once."""
    token = _whose.set(f"{what}: ")
    try:
        yield
    except TinyhyperError as error:
        error.args = (f"{what}: {error}",)
        raise
    finally:
        _whose.reset(token)
