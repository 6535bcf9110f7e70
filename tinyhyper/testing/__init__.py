"""The way to test your own operations and optimizers: derivatives against differences, strategies, leaks.

The checks need NumPy alone. The hypothesis strategies, which need the extra `test`, are loaded when first asked for;
`pytest_plugins = ["tinyhyper.testing.plugin"]` gives pytest the fixture `rng` and the marker `nothing_alive`.
"""

from importlib import import_module
from typing import Any

from ..collector import collector_off
from .alive import alive, nothing_alive
from .check import check_gradients
from .hypergradients import check_hypergradients

STRATEGIES = {
    "arrays_off": ".strategies",
    "axes_of": ".strategies",
    "broadcastable_shapes": ".strategies",
    "programs": ".program",
    "towers": ".tower",
}

__all__ = [
    "alive", "arrays_off", "axes_of", "broadcastable_shapes", "check_gradients", "check_hypergradients",
    "collector_off", "nothing_alive", "programs", "towers",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in STRATEGIES:
        return getattr(import_module(STRATEGIES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
