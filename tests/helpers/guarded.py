"""Guard bytes around every buffer of the programs in memory that are made in a block, checked at its end."""

from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
from words import BYTE, GUARD, Guarded, spec

from tinyhyper.program.layout import Layout
from tinyhyper.program.native import Native
from tinyhyper.program.streams import Stream


@contextmanager
def guard_bytes():
    """Raise AssertionError where one was written to. Gives the bytes of all guards, as many arrays as there are."""
    guards, between = [], {}

    def reserve(layout, size, reserve=Layout._reserve):
        offset = reserve(layout, size + GUARD)
        between.setdefault(id(layout), []).append((offset + size, layout.size))
        return offset

    def begin_run(native, layout, begin=Native.__init__):
        begin(native, layout)
        found = [native._memory[first:last] for first, last in between[id(layout)]]
        for guard in found:
            guard[...] = BYTE
        guards.extend(found)

    def begin_stream(stream, *given, begin=Stream.__init__):
        begin(stream, *given)
        guarded = Guarded(spec(stream.shared))
        stream.shared = guarded.array
        guards.extend([guarded.whole[:GUARD], guarded.whole[-GUARD:]])

    patches = (Layout, "_reserve", reserve), (Native, "__init__", begin_run), (Stream, "__init__", begin_stream)
    with mock.patch.object(*patches[0]), mock.patch.object(*patches[1]), mock.patch.object(*patches[2]):
        with mock.patch.object(Native, "resting", nullcontext):  # which gives back the guards, too
            yield guards
    for guard in guards:
        assert np.all(guard == BYTE), "a byte beside a buffer was written to"
