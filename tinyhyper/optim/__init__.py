"""Optimizers whose hyperparameters are tuned by optimizers, to any height.

The tower and the equations are in the core. Here is what a plain tower does not need: hooks around its steps, methods
by which it is saved and shown, and each rule as one operation.
"""

from ..core.coordinates import COORDINATES, Coordinate, Hyperparameter
from ..core.operation import attach
from ..core.optimizers import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from ..core.tower import HOOKS, Optimizer
from . import checks, explain, horizon, outside, saving
from .boundary import Boundary
from .clipping import Limits, clip_by_norm, clip_by_value
from .goal import descend
from .hooks import extend
from .nonfinite import Guard
from .ranges import RangeWatch
from .stack import from_string
from .update import Closures, trace_rule

outside.register()  # before the window, which asks whether anything is tuned
horizon.register()
for hook in (Boundary, Limits, Guard, Closures, RangeWatch):
    extend(hook)
checks.register()
HOOKS["given"].append(outside.given)
saving.register()
explain.register()
attach(Optimizer, {"_trace": trace_rule})

__all__ = [
    "COORDINATES", "SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Coordinate", "Hyperparameter", "Optimizer",
    "RMSProp", "clip_by_norm", "clip_by_value", "descend", "from_string",
]  # fmt: skip
