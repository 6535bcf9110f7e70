"""Errors: each names the operation, the shapes or names involved, and what to do."""


class TinyhyperError(Exception):
    """Base of every error that tinyhyper raises."""


class ShapeError(TinyhyperError, ValueError):
    """Shapes, axes or sizes do not fit the operation."""


class ArgumentError(TinyhyperError, ValueError):
    """A value is outside what the function accepts."""


class DtypeError(TinyhyperError, TypeError):
    """A dtype or a type does not fit: integers cannot require a gradient, say."""


class CallError(TinyhyperError, TypeError):
    """A call has too few or too many arguments, or one that does not exist."""


class MissingAttributeError(TinyhyperError, AttributeError):
    """There is no such attribute; the message names what there is instead."""


class UnsupportedError(TinyhyperError, TypeError):
    """NumPy knows this operation, but no rule says how to differentiate it."""


class GraphReleasedError(TinyhyperError, RuntimeError):
    """A backward pass met a part of the graph that an earlier one has released."""


class GraphError(TinyhyperError, RuntimeError):
    """The graph cannot answer: no gradient is recorded for what was asked."""


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
    """A step was skipped for a NaN or an infinity, or a hyperparameter has left the range where it makes sense."""
