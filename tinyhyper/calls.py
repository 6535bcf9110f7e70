"""Contexts whose parentheses were forgotten."""

from __future__ import annotations

from typing import Any

from .errors import CallError


class Parenthesized(type):
    """The class of contexts which say what is missing in `with th.no_grad:` and `@th.no_grad`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and callable(args[0]):
            raise CallError(f"{cls.__name__}: the parentheses are missing; write `@{cls.__name__}()` above a function")
        return super().__call__(*args, **kwargs)

    def __enter__(cls) -> None:
        raise CallError(f"{cls.__name__}: the parentheses are missing; write `with {cls.__name__}():`")

    def __exit__(cls, *error: object) -> None:
        """Never reached, but Python looks for it first."""
