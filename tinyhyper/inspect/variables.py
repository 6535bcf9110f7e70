"""What a value is called in the user's code: the name given to `tensor`, its key in a dict, or a variable."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from typing import Any

from ..core.tensor import Tensor
from ..sites import inside

FRAMES = 4  # of the user's code, how far out to look
MOST = 1000  # keys of a dict that are looked at


def called(tensor: Tensor, frame: Any) -> str | None:
    """The name of a tensor, as seen from a frame on; None if it has none."""
    given: str | None = getattr(tensor, "called", None)
    if given:
        return given
    scopes = [*_scopes(frame)]
    for scope in scopes:
        for found in scope.values():
            if type(found) is dict and len(found) <= MOST:
                for key, value in found.items():
                    if value is tensor and isinstance(key, str) and key:
                        return key
    return next((name for scope in scopes for name, value in scope.items() if value is tensor), None)


def _scopes(frame: Any) -> Iterator[dict[str, Any]]:
    """The variables of the user's innermost functions and of their module, without those that begin with _."""
    left, module = FRAMES, dict[str, Any]()
    while frame is not None and left:
        if not inside(frame.f_globals.get("__name__", "")):
            variables, module = frame.f_locals, module or frame.f_globals
            yield {name: value for name, value in variables.items() if not name.startswith("_")}
            if frame.f_code.co_flags & CO_OPTIMIZED and type(variables) is dict:
                variables.clear()  # before Python 3.13 a copy, which would hold what the function lets go
            left -= 1
        frame = frame.f_back
    yield {name: value for name, value in module.items() if not name.startswith("_")}
