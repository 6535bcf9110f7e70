"""Text as integers, one for each character."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, DataError, DtypeError
from . import download, formats, store

# The last twentieth is held out, as in A. Karpathy's char-rnn.
HELD_OUT = 20
# The commit of a public copy of char-rnn's file, asked for when its own address does not have it.
COPY = "9aad26592097f5ac852cb11b60bf250f01a39fca"


class Text(NamedTuple):
    """A text to train on and its end to test with, as ids: the place of each character in `characters`.

    characters: all that occur, once each, sorted.  train_ids, test_ids: int64, of one axis, one a character.
    """

    characters: str
    train_ids: npt.NDArray[np.int64]
    test_ids: npt.NDArray[np.int64]

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """The ids of the characters of a text, int64, of shape (characters,).

        text: a str. Raises ArgumentError for a character that is not in `characters`, DtypeError for anything else.
        """
        _check("encode", text)
        if unknown := set(text) - set(self.characters):
            raise ArgumentError(
                f"encode: {sorted(unknown)[0]!r} is not one of the text's {len(self.characters)} characters; leave it "
                "out"
            )
        return np.searchsorted(_code_points(self.characters), _code_points(text))

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text that ids stand for.

        ids: integers along one axis. Raises ArgumentError for an id that is not in the vocabulary, DtypeError for ids
        that are not integers.
        """
        ids = np.asarray(ids).ravel()
        if ids.dtype.kind not in "iu" and ids.size:
            raise DtypeError(f"decode: ids must be integers, not {ids.dtype}")
        if len(wrong := ids[(ids < 0) | (ids >= len(self.characters))]):
            raise ArgumentError(f"decode: ids must be from 0 to {len(self.characters) - 1}, not {wrong[0]}")
        return _code_points(self.characters)[ids.astype(np.int64)].tobytes().decode("utf-32-le")


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _check(what: str, text: str) -> None:
    if not isinstance(text, str):
        raise DtypeError(f"{what}: text must be a str, not a {type(text).__name__}")


def as_text(text: str) -> Text:
    """Any text, its last twentieth held out.

    text: a str, whose characters become ids, int64. Raises ArgumentError if it is empty, DtypeError for anything else.
    """
    _check("as_text", text)
    if not text:
        raise ArgumentError("as_text: text must have at least one character")
    whole = Text("".join(sorted(set(text))), *np.empty((2, 0), np.int64))
    ids = whole.encode(text)
    cut = len(ids) - len(ids) // HELD_OUT
    return whole._replace(train_ids=ids[:cut], test_ids=ids[cut:])


def war_and_peace(folder: str | os.PathLike[str] | None = None) -> Text:
    """L. Tolstoy's War and Peace in English, 3.2 million characters: the text of A. Karpathy's char-rnn (2015).

    Its ids are int64. Lines end with "\\n", whatever they end with in the file. It comes from `folder`, else from where
    TINYHYPER_DATA says, else from the cache, into which it is downloaded once (3 MB).
    folder: a str or a Path.
    Raises DataError if the file is missing and cannot be downloaded, or is damaged, DtypeError if `folder` is no path.
    """
    (path,) = store.find("war_and_peace", WAR_AND_PEACE, folder)
    return as_text(read(path))


def read(path: Path) -> str:
    """The text in a UTF-8 file: without byte order mark, lines ended by one "\\n", no blank lines around it."""
    try:
        text = formats.contents(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise formats.damaged(path, f"is not UTF-8 text (at byte {error.start:,})") from None
    if not (text := text.replace("\r\n", "\n").replace("\r", "\n").strip()):
        raise formats.damaged(path, "is empty")
    return text


def text_sha256(path: Path) -> str:
    """The SHA-256 of the text itself, however its copies end their lines; of the file, where that is not text."""
    try:
        return hashlib.sha256(read(path).encode()).hexdigest()
    except DataError:
        return download.file_sha256(path)


WAR_AND_PEACE = [
    store.Source(
        "war_and_peace.txt",
        (
            "https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",
            f"https://raw.githubusercontent.com/ThingsOfBeam/Corpus/{COPY}/warpeace_input.txt",
        ),
        "51da54e418dc36bbdba2ffcd1c63d6cf82057817ea4ec47525afd39ce3068a04",
        ("war_and_peace.txt.gz", "warpeace_input.txt"),
        text_sha256,
    )
]
