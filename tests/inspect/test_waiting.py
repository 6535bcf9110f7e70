"""The line for whoever waits at a terminal."""

import io
import re
import sys
from threading import Event

import pytest

from tinyhyper.inspect import waiting


class Terminal(io.StringIO):
    def __init__(self, person):
        super().__init__()
        self.person, self.said = person, Event()

    def isatty(self):
        return self.person

    def write(self, text):
        self.said.set()
        return super().write(text)


def test_who_waits_at_a_terminal_sees_that_something_is_done_and_a_pipe_gets_nothing(monkeypatch):
    monkeypatch.setattr(waiting, "LATE", 0.0)
    for person in (True, False):
        monkeypatch.setattr(sys, "stderr", terminal := Terminal(person))
        with waiting.waiting("making a page"):
            assert terminal.said.wait(30 if person else 0) == person
        line = r"(\rmaking a page, \d+ s)+\r +\r"  # and it is gone
        assert re.fullmatch(line if person else "", terminal.getvalue())


def test_who_does_not_wait_long_sees_nothing(monkeypatch):
    monkeypatch.setattr(waiting, "LATE", 1e6)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal(True))
    with pytest.raises(ZeroDivisionError), waiting.waiting("making a page"):
        raise ZeroDivisionError
    assert not terminal.said.is_set()
    monkeypatch.setattr(sys, "stderr", None)
    with waiting.waiting("making a page"):
        pass
