"""Loaders: real data as NumPy arrays, and minibatches of it."""

from .images import Split, digits
from .sampling import batches

__all__ = ["Split", "batches", "digits"]
