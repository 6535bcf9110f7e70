"""What a row of the tables is."""

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """A wrong call, the class of the error that it raises, and words in the error's message."""

    code: str
    error: type[Exception]
    words: tuple[str, ...]


def bad(code: str, error: type[Exception], *words: str) -> Bad:
    return Bad(code, error, words)
