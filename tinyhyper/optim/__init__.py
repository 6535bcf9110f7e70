"""Optimizers whose hyperparameters are tuned by optimizers, to any height."""

from .clipping import clip_by_norm, clip_by_value
from .coordinates import COORDINATES, Coordinate, Hyperparameter
from .rules import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from .stack import from_string
from .tower import Optimizer

__all__ = [
    "COORDINATES", "SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Coordinate", "Hyperparameter", "Optimizer",
    "RMSProp", "clip_by_norm", "clip_by_value", "from_string",
]  # fmt: skip
