"""How wide texts are in pictures, and as much of them as fits."""

from __future__ import annotations

from collections.abc import Sequence

WIDTHS = {1.0: "mW…", 0.85: "wM", 0.55: "∂csz", 0.41: "ijlfrt.-/[]( )"}
WIDTH_OF = {letter: width for width, letters in WIDTHS.items() for letter in letters}


def clip(text: str, length: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def wide(text: str) -> float:
    """About how wide a text is in a wide font, in sizes of its letters."""
    return sum([WIDTH_OF.get(letter, 0.64) for letter in text])


def clipped(text: str, room: float) -> str:
    """As much of the beginning of a text as is so wide."""
    return next((part for n in range(len(text), 0, -1) if wide(part := clip(text, n)) <= room), "")


def fitted(text: str, room: float) -> str:
    """A text that is at most so wide. Its middle is left out: names of one kind differ at their ends."""
    parts = (f"{text[: (n + 1) // 2]}…{text[len(text) - n // 2 :]}" for n in range(len(text) - 2, 0, -1))
    return text if wide(text) <= room else next((part for part in parts if wide(part) <= room), "…")


def first(forms: Sequence[str], room: float) -> str:
    """The first of some texts that is at most so wide, or else the last."""
    return next((form for form in forms if wide(form) <= room), forms[-1])
