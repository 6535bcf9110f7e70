"""Type checks: the public questions raise DtypeError for anything but a recording."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..errors import DtypeError
from .records import Recording


def refuse_others(names: dict[str, Any]) -> None:
    """Let the public functions of a module raise DtypeError if an argument for a recording is something else.

    Their docstrings say so, too.
    """
    for name in names["__all__"]:
        if isinstance(function := names[name], FunctionType):
            names[name] = _checked(function)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    recordings = [p.name for p in signature.parameters.values() if p.annotation == "Recording"]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name in recordings:
            if not isinstance(given[name], Recording):
                raise DtypeError(
                    f"{function.__name__}: {name} must be a recording, which `with th.record() as tape:` makes, not a "
                    f"value of type {type(given[name]).__name__}"
                )
        return function(*args, **kwargs)

    told = f"{', '.join(recordings)}: what `with th.record() as tape:` gives. Raises DtypeError for anything else."
    call.__doc__ = f"{inspect.cleandoc(function.__doc__ or function.__name__)}\n\n{told}"
    return call if recordings else function
