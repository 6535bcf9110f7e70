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


class UnsupportedError(TinyhyperError, TypeError):
    """NumPy knows this operation, but no rule says how to differentiate it."""


class GraphReleasedError(TinyhyperError, RuntimeError):
    """A backward pass met a part of the graph that an earlier one has released."""


class GraphError(TinyhyperError, RuntimeError):
    """The graph cannot answer: no gradient is recorded for what was asked."""
