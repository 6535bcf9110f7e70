"""A recorded step as a program: recorded, run, and handed back to the eager engine."""

from .replaying import replay

__all__ = ["replay"]
