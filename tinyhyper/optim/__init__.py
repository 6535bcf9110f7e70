"""Optimizers whose hyperparameters are tuned by optimizers, to any height."""

from .coordinates import COORDINATES, Coordinate
from .rules import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from .stack import from_string
from .tower import Hyperparameter, Optimizer

__all__ = [
    "COORDINATES", "SGD", "AdaDelta", "AdaGrad", "Adam", "AdamW", "Coordinate", "Hyperparameter", "Optimizer",
    "RMSProp", "from_string",
]  # fmt: skip
