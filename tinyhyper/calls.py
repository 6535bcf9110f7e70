"""Contexts whose parentheses were forgotten."""

from __future__ import annotations

from .errors import CallError


class Parenthesized(type):
    """The class of contexts which say what is missing in `with th.no_grad:`."""

    def __enter__(cls) -> None:
        raise CallError(f"{cls.__name__}: the parentheses are missing; write `with {cls.__name__}():`")

    def __exit__(cls, *error: object) -> None:
        """Never reached, but Python looks for it first."""
