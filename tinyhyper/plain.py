"""Text from elsewhere (names, reasons, titles, file names) as a terminal, XML and HTML can hold it.

What moves a terminal's cursor or colours it, what no XML may contain, what cannot be written in UTF-8, and what turns
text round or breaks a line is shown as Python would write it: `\\x1b`, `\\n`, `\\ud800`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Any

SURROGATES = re.compile(r"[\ud800-\udfff]")
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
ODD_IN_LINES = re.compile(ODD.pattern.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"))
EXPONENT = re.compile(r"e\+?(-?)0?")  # of a number as Python writes it
NOUGHT, NONE_YET = "~ 0", "none yet"  # a gradient that is 0 up to rounding; one that no loss has sent
MOST = 5  # digits of a number that would look like another in fewer
CELL = "text-align: {}; vertical-align: top; padding: 0.15em 0.7em"


def plain(text: str) -> str:
    """One line of text without odd characters."""
    return ODD.sub(_written, text)


def plain_lines(text: str) -> str:
    """Several lines of text without odd characters."""
    return ODD_IN_LINES.sub(_written, text)


class Printed(float):
    """A number that is printed as a text of its own."""

    def __new__(cls, value: float, text: str) -> Printed:
        made = super().__new__(cls, value)
        made.text = text
        return made

    text: str


def short(value: float | None, digits: int = 4) -> str:
    """A number in few digits; a dash if it is not known.

    Text, pictures and explorer write it alike, and as Python reads it: -1.5, 1e-5, inf, nan.
    """
    if isinstance(value, Printed):
        return value.text
    return "–" if value is None else EXPONENT.sub(r"e\1", f"{value + 0.0:.{digits}g}")


def signed(value: float) -> str:
    """A change in few digits, with its sign."""
    return f"{'+' if value >= 0 else ''}{short(value)}"


def apart(values: Sequence[float | None]) -> list[Any]:
    """Numbers in as many digits as tell those apart that differ; as they are, if that takes too many."""
    different = {value for value in values if value is not None and isfinite(value)}
    digits = (n for n in range(4, MOST + 1) if len({short(value, n) for value in different}) == len(different))
    enough = next(digits, 4)
    return [v if v is None or enough == 4 else Printed(v, short(v, enough)) for v in values]


def count(number: int, noun: str) -> str:
    """So many of something: 1 step, 2 steps."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def steps_told(steps: Sequence[int], most: int = 6) -> str:
    """Some steps by their numbers: step 2; steps 1, 2 and 5 more."""
    more = f" and {len(steps) - most} more" if len(steps) > most else ""
    return f"step{'' if len(steps) == 1 else 's'} {', '.join(map(str, steps[:most]))}{more}"


def markup(text: str) -> str:
    """Text as it stands in HTML."""
    return escape(plain_lines(text))


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), right: Sequence[int] = ()) -> str:
    """Rows of text as an HTML table. right: the columns of numbers, which are aligned right."""
    html = ""
    for row, tag in [*([(head, "th")] if head else []), *[(row, "td") for row in rows]]:
        cells = [(text, CELL.format("right" if n in right else "left")) for n, text in enumerate(row)]
        html += f"<tr>{''.join([f'<{tag} style={style!r}>{markup(text)}</{tag}>' for text, style in cells])}</tr>"
    return f"<table>{html}</table>"


def _written(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
