"""Programs in memory, by C functions and without any."""

import pytest

from tinyhyper.program import native, runners
from tinyhyper.program.layout import Layout
from tinyhyper.program.verify import verify


@pytest.fixture
def by_python(monkeypatch):
    """Nothing has a C function, and yet the program is run in memory."""
    if native.machine is None:
        pytest.skip("kernels/ is not there, so no program is run in memory")
    monkeypatch.setattr(native.machine.entries, "entry", lambda *args: None)
    monkeypatch.setattr(native.machine.entries, "by_numbers", lambda *args: None)
    monkeypatch.setattr(native.machine.entries, "finite", lambda *args: None)

    def laid_out(*given):
        layout = Layout(*given[:4], native.machine)
        verify(layout, native.machine.entries)
        return layout

    monkeypatch.setattr(runners, "laid_out", laid_out)


@pytest.fixture(params=["c", "python"])
def either(request):
    """By C functions, and by Python in memory."""
    if request.param == "python":
        request.getfixturevalue("by_python")
