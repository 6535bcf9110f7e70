"""The errors of the package. Those that the core raises stand in `core.errors`."""

from .core.errors import *  # noqa: F403
from .core.errors import TinyhyperError


class MissingAttributeError(TinyhyperError, AttributeError):
    """There is no such attribute; the message names what there is instead."""


class GradientError(TinyhyperError, AssertionError):
    """A gradient is not the derivative that differences see, or nothing can be compared."""


class LeakError(TinyhyperError, AssertionError):
    """Tensors or nodes outlive the block that should leave none."""


class DataError(TinyhyperError, OSError):
    """A file of a data set is missing or damaged, and no download can replace it."""


class CheckpointError(TinyhyperError, OSError, ValueError):
    """A checkpoint cannot be written, or what is read is damaged, foreign, or of another tower."""


class CheckpointMissingError(CheckpointError, FileNotFoundError):
    """There is no such checkpoint, or no folder for it."""


class MissingPackageError(TinyhyperError, ImportError):
    """A package that an extra of tinyhyper brings is not installed."""


class AnomalyError(TinyhyperError, FloatingPointError):
    """A NaN or an infinity was made: by an operation that is watched, or in a step that refuses it."""


class AnomalyWarning(RuntimeWarning):
    """A step was skipped for a NaN or an infinity, a hyperparameter has left the range where it makes sense, or a
    replayed run never runs as a program."""
