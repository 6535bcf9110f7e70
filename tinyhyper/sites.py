"""Where in the user's code something was asked for: the first line outside the package."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any, TypeAlias

from .errors import AnomalyWarning

PACKAGE = __name__.partition(".")[0]
Site: TypeAlias = "tuple[str, int]"  # a file and a line


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
    warnings.warn_explicit(message, AnomalyWarning, *caller(sys._getframe(1)))
