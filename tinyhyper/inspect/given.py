"""What is asked about a recording is asked about nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..errors import DtypeError
from .recording import Tape


def refuse_others(names: dict[str, Any]) -> None:
    """Let the functions among the public `names` raise DtypeError for what is no recording where they take one."""
    for name in names["__all__"]:
        if isinstance(function := names[name], FunctionType):
            names[name] = _checked(function)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    recordings = [p.name for p in signature.parameters.values() if p.annotation == "Tape"]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name in recordings:
            if not isinstance(given[name], Tape):
                raise DtypeError(
                    f"{function.__name__}: {name} is a recording, which `with th.record() as tape:` makes, not a value "
                    f"of type {type(given[name]).__name__}"
                )
        return function(*args, **kwargs)

    return call if recordings else function
