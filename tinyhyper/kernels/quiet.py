"""Calls of NumPy without its warnings: overflow and NaN are values like others here, as they are in a kernel."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import numpy as np

_QUIET = Context()
_QUIET.run(np.seterr, all="ignore")


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) as under np.errstate(all="ignore"), at a fifth of its cost.

    A copy of the context can be entered by any thread, and from within another.
    """
    return _QUIET.copy().run(function, *args, **kwargs)
