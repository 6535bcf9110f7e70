"""Text from elsewhere (names, reasons, titles, file names) as a terminal, XML and HTML can hold it.

What moves a terminal's cursor or colours it, what no XML may contain, what cannot be written in UTF-8, and what turns
text round or breaks a line is shown as Python would write it: `\\x1b`, `\\n`, `\\ud800`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

SURROGATES = re.compile(r"[\ud800-\udfff]")
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
ODD_IN_LINES = re.compile(ODD.pattern.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f"))
CELL = "text-align: {}; vertical-align: top; padding: 0.15em 0.7em"


def plain(text: str) -> str:
    """One line of text without odd characters."""
    return ODD.sub(_written, text)


def plain_lines(text: str) -> str:
    """Several lines of text without odd characters."""
    return ODD_IN_LINES.sub(_written, text)


def short(value: float | None, digits: int = 4) -> str:
    """A number in few digits; a dash if it is not known."""
    return "–" if value is None else f"{value + 0.0:.{digits}g}"


def count(number: int, noun: str) -> str:
    """So many of something: 1 step, 2 steps."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


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
