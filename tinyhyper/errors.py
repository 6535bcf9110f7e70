"""The errors of the package; they stand in `core.errors`."""

from .core.errors import *  # noqa: F403
