"""Loaders: real data as NumPy arrays, and minibatches of it."""

from .images import Split, channel_statistics, cifar10, digits, mnist, standardize
from .sampling import batches, crop_and_flip, sequences
from .text import Text, as_text, war_and_peace

__all__ = [
    "Split", "Text", "as_text", "batches", "channel_statistics", "cifar10", "crop_and_flip", "digits", "mnist",
    "sequences", "standardize", "war_and_peace",
]  # fmt: skip
