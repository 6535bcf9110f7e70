"""The command that measures lowerings leaves out what it says."""

from unittest import mock

import pytest
from backends import compiler_is_off

from demos.bench import lowering
from demos.shared.settings import Settings, UsageError
from tinyhyper.program import native
from tinyhyper.program.layout import Layout


@pytest.mark.parametrize("case", [case for case in lowering.CASES if case.without], ids=lambda c: c.lowering[:12])
def test_without_a_lowering_a_program_is_another(case, monkeypatch):
    if case.without is lowering.BLOCKS and compiler_is_off():
        pytest.skip("numba is off, so nothing runs block after block")
    monkeypatch.setattr(lowering, "SIZE", 6_000)
    program = lowering.replay(case.program).program

    def laid_out():
        layout = Layout(program, (), False, False, native.machine)
        instructions = [i for body in layout.lowered.bodies for i in body.instructions]
        return len(instructions), [i.reads for i in instructions], layout.size, len(layout.groups[0])

    found = laid_out()
    with mock.patch.object(*case.without):
        without = laid_out()
    assert found != without
    assert case.without is not lowering.BUFFERS or found[2] < without[2]
    assert case.without is not lowering.BLOCKS or found[3] > without[3] == 0


@pytest.mark.slow
@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
def test_the_command_prints_a_row_for_each(capsys, monkeypatch):
    for name, value in {"COPIES": 1, "ROUNDS": 1, "ROUND": 1e-4, "SIZE": 6_000}.items():
        monkeypatch.setattr(lowering, name, value)
    assert lowering.main(Settings()) == 0
    out = capsys.readouterr().out
    assert all(f"| {case.lowering} | {case.program} | " in out for case in lowering.CASES)
    assert "bias and activation are " in out and "in a loop over a table, by hand: " in out


def test_where_nothing_is_compiled_it_says_so(monkeypatch):
    monkeypatch.setattr(lowering, "compiler_is_off", lambda: True)
    with pytest.raises(UsageError, match="nothing is compiled"):
        lowering.main(Settings())
