"""The curves of a run, and of another one beside it."""


import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import held
from recordings import skipping, squares, stacks, trained

import tinyhyper as th
from tinyhyper.errors import ArgumentError, DtypeError
from tinyhyper.inspect.curves import curves, together
from tinyhyper.inspect.memory import alive


def run(params, optimizer, steps):
    with th.record() as tape:
        for _ in range(steps):
            squares(params).backward()
            optimizer.step(params)
    return tape


def drawn(tape):
    return curves(tape, alive(tape))


@pytest.mark.either_backend
@given(stacks, st.integers(1, 4), st.data())
def test_a_run_that_is_rewound_and_made_again_lies_on_the_first(stack, steps, data):
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    tape = run(params, th.optim.from_string(stack), steps)
    at = data.draw(st.integers(0, steps))
    found = together(drawn(tape), drawn(run(*tape.rewind(at), steps - at)), at)
    assert found or steps == 1
    for curve in found:
        if curve.name != "memory alive, bytes":  # at the end a recording lets go of more
            assert curve.beside == [point for point in curve.points if curve.beside and point[0] >= curve.beside[0][0]]


def test_the_curves_are_the_losses_the_hyperparameters_from_the_bottom_up_and_the_memory():
    tape = trained("adam(0.1)/sgd(0.01)/sgd(1e-4)", 3)
    found = drawn(tape)
    assert [*found] == ["loss", "alpha", "beta1", "beta2", "kappa", "memory alive, bytes"]  # t is no hyperparameter
    assert [step for step, _ in found["loss"]] == [0, 1, 2] and found["loss"][0][1] == 5.0
    assert found["alpha"][0] == (0, 0.1) and [step for step, _ in found["alpha"]] == [0, 1, 2, 3]
    assert found["beta1"][0][1] == pytest.approx(0.9)  # in no coordinate but its own


@given(st.lists(st.sampled_from([1.0, np.nan, np.inf]), min_size=1, max_size=5))
def test_a_curve_has_no_number_where_its_step_was_skipped_and_numbers_elsewhere(factors):
    skipped = {step for step, factor in enumerate(factors) if factor != 1.0}
    found = drawn(skipping(factors=factors))
    for name, later in (("loss", 0), ("alpha", 1)):  # the step after a loss takes it
        assert {step for step, value in found[name] if value is None} == {step + later for step in skipped}
        assert len(found[name]) == len(factors) + 1
        assert all(value is None or np.isfinite(value) for _, value in found[name])


def test_what_is_no_run_beside_is_refused():
    tape, other = trained("sgd/sgd", 2), trained("sgd/sgd", 1)
    with pytest.raises(DtypeError, match="beside must be a recording, not a value of type str"):
        tape.explore(beside="other")
    for at, said in ((3, "steps 0 to 2"), (-1, "at"), (1.5, "at")):
        with pytest.raises(ArgumentError, match=said):
            tape.explore(beside=other, at=at)
    with pytest.raises(ArgumentError, match="needs beside="):
        tape.explore(at=1)


def test_the_page_holds_the_other_run_where_it_began(tmp_path):
    tape, other = trained("sgd/sgd", 3), trained("sgd/sgd", 1)
    text = tape.save_html(tmp_path / "both.html", beside=other, at=2).read_text(encoding="utf-8")
    views = held(text)["views"]
    loss = next(curve for curve in views["curves"] if curve["name"] == "loss")
    assert views["at"] == 2 and loss["beside"] == [[2, 5.0]] and np.shape(loss["points"]) == (3, 2)
