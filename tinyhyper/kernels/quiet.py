"""Calls of NumPy without its warnings: overflow and NaN are values like others here, as they are in a kernel."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

import numpy as np

_QUIET, _quiet = Context(), ContextVar("quiet", default=False)
_QUIET.run(np.seterr, all="ignore")
_QUIET.run(_quiet.set, True)
_is_quiet = _quiet.get


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) as under np.errstate(all="ignore"), at a fifth of its cost; at none within another."""
    return function(*args, **kwargs) if _is_quiet() else _QUIET.copy().run(function, *args, **kwargs)


def apart(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same in a context of its own, which nobody else sees. Any thread can enter it, and from within another."""
    return _QUIET.copy().run(function, *args, **kwargs)
