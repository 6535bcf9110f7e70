"""Hypergradients of whole runs: one training, and every way to differentiate what it leads to."""

from .myopia import myopia
from .training import Hypergradient, Training
from .ways import WAYS, gradient

__all__ = ["WAYS", "Hypergradient", "Training", "gradient", "myopia"]
