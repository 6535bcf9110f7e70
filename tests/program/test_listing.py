"""What is printed of a program, and what its JSON holds, is what it does."""

import json
from functools import partial
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import strategies as st
from lengths import for_all
from pictures import SPACE, classes, inside, texts
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.inspect import drawing
from tinyhyper.inspect.listing import WIDTH, formula, listing
from tinyhyper.inspect.names import Names
from tinyhyper.inspect.schema import read
from tinyhyper.optim import SGD, Adam
from tinyhyper.program.sheet import ProgramRecord, sheet


def program(tower, exact=False, seed=0):
    """The program of a small run."""
    train = th.replay(loss_of, *make(tower, seed=seed), exact=exact)
    for batch in batches(28, seed=seed):
        train(*batch)
    return train.program


@for_all(5, 20, tower=testing.towers(("w", "b")), exact=st.booleans(), seed=st.integers(0, 10_000))
def test_what_is_shown_of_a_program_is_what_it_does(tower, exact, seed):
    made = program(tower.build(), exact, seed)
    assert_listed(made, exact)
    assert_drawn(made)


@for_all(3, 10, tower=testing.towers(("w", "b")))
def test_values_are_called_as_the_inspector_calls_them(tower):
    """In the listing, and where a history is asked for."""
    params, optimizer = make(tower.build())
    train = th.replay(loss_of, params, optimizer)
    for batch in batches(28):
        train(*batch)
    listed = {array.name for array in sheet(train.program).arrays}
    with th.record() as tape:
        train(*batches(1)[0])
    names = Names(tape)
    assert {names.title(name) for name in names.places if name.role in ("weights", "hyperparameter", "state")} <= listed
    asked = [name for name in names.places if name.role == "hyperparameter" and name.name != "t"]
    stacks = [np.array(entries) for entries in zip(*batches(9))]
    _, kept = train.over(*stacks, keep=[title for name in asked for title in (name.title, name.by_level)])
    for name in asked:
        assert kept[name.title][-1] == optimizer.levels[name.level].hyperparameters[name.name]
        np.testing.assert_array_equal(kept[name.title], kept[name.by_level])


def test_values_of_one_name_are_told_apart():
    params = {"alpha": th.tensor([1.0, 2.0], requires_grad=True)}
    train = th.replay(lambda params: th.sum(th.square(params["alpha"])), params, SGD(0.1, optimizer=SGD(0.01)))
    for _ in range(6):
        train()
    assert '"alpha"]* = SGD.rule(✂ weights["alpha"], ' in str(train.program)
    assert 'hyperparameter["alpha"]* = SGD.rule(✂ hyperparameter["alpha"], ' in str(train.program)
    assert [*train.over(steps=2, keep=("alpha", "kappa"))[1]] == ["alpha", "kappa"]


def assert_listed(made, exact):
    """The records hold what the program does, and the listing is made of them."""
    found, instructions = sheet(made), [i for body in made.bodies for i in body.instructions]
    rows = found.lines
    assert [line.number for line in rows] == [*range(1, len(instructions) + 1)]
    for line, instruction in zip(rows, instructions):
        assert (line.op, line.reads, line.writes) == (instruction.op.name, instruction.reads, instruction.writes)
        assert (line.cuts, line.file, line.line) == (instruction.cuts, instruction.file, instruction.line)
    readers = {array.number: [r.number for r in rows if array.number in r.reads + r.inside] for array in found.arrays}
    for array, slot in zip(found.arrays, made.slots):
        assert (array.shape, array.dtype, array.kind) == (slot.spec.shape, slot.spec.dtype.name, slot.kind)
        assert (array.first is not None) == (array.kind == "made")
        if array.last is not None:
            assert array.last == max([array.first, *readers[array.number]]) and not array.carried
        elif array.kind == "made":
            assert array.carried or array.number in [step.loss for step in found.steps]
        if array.first is not None and any(number <= array.first for number in readers[array.number]):
            assert array.carried
        assert len({*array.buffers}) == len(array.buffers) and not (exact and array.buffers)
    for one, other in combinations([a for a in found.arrays if a.first and a.buffers], 2):
        if {*one.buffers} & {*other.buffers}:
            assert one.last < other.first or other.last < one.first
    text = str(made)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("✂") - 1 == sum(cut is not None for line in rows for cut in line.cuts)
    assert listing(read(ProgramRecord, json.loads(made.to_json()))) == text


@pytest.mark.parametrize("horizon, steps", [(1, "a step"), (3, "a window of 3 steps")])
def test_a_run_and_its_program_are_shown_in_a_line(horizon, steps):
    train = th.replay(loss_of, *make(SGD(0.1, optimizer=SGD(1e-3), horizon=horizon)))
    assert repr(train) == "<Replay of loss_of, no program yet>"
    for batch in batches(12):
        train(*batch)
    lines = sum(len(step.instructions) for step in sheet(train.program).steps)
    assert repr(train.program) == f"<Program of {steps}, {lines} instructions: print() lists them>"
    assert repr(train) == f"<Replay of loss_of, {train.program!r}>"
    assert repr(th.replay(partial(loss_of), *make(SGD(0.1)))) == "<Replay of partial, no program yet>"


def assert_drawn(made):
    """The picture shows each instruction, and each array as long as it is there."""
    found, root = sheet(made), ElementTree.fromstring(made.svg())
    rows, width, height = found.lines, float(root.get("width")), float(root.get("height"))
    numbers = {array.number for array in found.arrays if array.value is not None}
    read = [{*zip(row.reads, map(bool, row.cuts)), *[(slot, False) for slot in row.inside]} for row in rows]
    assert len(classes(root, "th-scissors")) == sum(len({slot for slot, cut in pairs if cut}) for pairs in read)
    whole = [{*dict(pairs)} - {slot for slot, cut in pairs if cut} - numbers for pairs in read]
    assert len(classes(root, "th-read")) == sum(map(len, whole))
    middles = [top + (bottom - top) / 2 for _, top, _, bottom in inside(root)]
    assert len(middles) == len(rows) and middles == sorted(middles)
    places = []
    for group in root.iter(SPACE + "g"):
        if group.get("data-array") is not None:
            array, bar = found.arrays[int(group.get("data-array"))], group.find(SPACE + "rect")
            x, top, wide, high = (float(bar.get(name)) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + wide <= width and 0 <= top <= top + high <= height
            over = [row.number for row, middle in zip(rows, middles) if top < middle < top + high]
            first, reads = array.first or len(rows) + 1, [row.number for row in rows if array.number in row.reads]
            if "th-live-before" in bar.get("class").split():
                assert over[0] == 1 and {*over} >= {number for number in reads if number < first}
            else:
                assert over == [*range(first, (array.last or len(rows)) + 1)]
                assert f"th-live-{rows[first - 1].part}" in bar.get("class").split()
                assert len(classes(group, "th-on")) == (array.last is None)  # carried or returned
            places.append((x, top, x + wide, top + high))
    for a, b in combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_listing_says_what_is_transposed_and_where_an_index_lies():
    def loss(params, ids):
        return th.sum(th.mean(params["w"][ids] @ params["w"].T, axis=1))

    train = th.replay(loss, *make(SGD(0.1)), exact=True)
    for _ in range(6):
        train(np.array([0, 2, 2, 1]))
    text = str(train.program)
    assert "%1 = getitem(w, batch[0])" in text and "%3 = matmul(%1, %2)" in text and "%4 = mean(%3, axis=1)" in text
    assert "%10 = matmul(%9, %2ᵀ)" in text and "%11 = matmul(%9ᵀ, %1)" in text
    ids = next(array for array in json.loads(train.program.to_json())["arrays"] if array["name"] == "batch[0]")
    assert (ids["shape"], ids["dtype"], ids["kind"]) == ([4], "int64", "batch")


def test_names_of_any_characters_and_constants_that_are_no_numbers_are_written():
    name, data = "w\x1b[31m\n\ud800", np.array([np.nan, np.inf])
    params = {name: th.tensor([1.0, 2.0], requires_grad=True)}
    train = th.replay(lambda params: th.sum(params[name] * data) * np.inf, params, SGD(0.0), exact=True)
    for _ in range(6):
        train()
    assert r"w\x1b[31m\n\ud800* = SGD.rule(" in str(train.program)
    arrays = json.loads(train.program.to_json().encode())["arrays"]
    assert arrays[0]["name"] == name
    assert {(array["name"], array["value"]) for array in arrays if array["kind"] == "constant"} >= {
        ("a constant", None), ("inf", "Infinity")
    }  # fmt: skip


def test_buffers_are_printed_with_what_they_hold(by_python):
    made = program(Adam(1e-2, optimizer=SGD(1e-4)))
    text, arrays = str(made), sheet(made).arrays
    assert "%1 = matmul(batch[0], w)" in text and " to 2 #1 " in text and "carried ×3" in text
    buffers = sorted({number for array in arrays for number in array.buffers})
    size = sum(max(array.nbytes for array in arrays if number in array.buffers) for number in buffers)
    assert f"{len(buffers)} buffers hold {size:,} bytes" in text
    assert buffers == [*range(1, len(buffers) + 1)]


def test_where_files_have_long_names_instructions_stand_above_their_places():
    found = sheet(program(SGD(0.1), exact=True))
    for line in found.lines:
        line.file = "a" * 100
    text = listing(found)
    assert all(f" {formula(found, line)}\n" in text for line in found.lines)
    assert text.count(f"{'a' * 100}:") == len(found.lines)


def test_a_notebook_shows_the_picture_and_the_listing():
    made = program(SGD(0.1), exact=True)
    assert made.svg() in made._repr_html_() and "= SGD.rule(✂ w, ✂ ∂w, alpha)" in made._repr_html_()


def test_a_long_program_is_drawn_as_far_as_it_can_be_read(tmp_path, monkeypatch):
    made = program(Adam(1e-2, optimizer=SGD(1e-4)), exact=True)
    count = len(sheet(made).lines)
    assert "not drawn" not in made.svg()
    monkeypatch.setattr(drawing, "MOST", 9)
    root = ElementTree.fromstring(made.save_svg(tmp_path / "program.svg").read_text(encoding="utf-8"))
    assert len(classes(root, "th-box")) == 9
    assert any(f"{count - 9} more instructions are not drawn" in text for text, _ in texts(root))


def test_a_gradient_is_named_after_the_coordinate_in_which_a_value_is_tuned():
    text = str(program(Adam(1e-2, optimizer=SGD(1e-4), coordinates={"alpha": "log"}), exact=True))
    assert "= SGD.rule(✂ alpha, ✂ ∂log alpha, kappa)" in text
    assert "= SGD.rule(✂ beta1, ✂ ∂u(beta1), kappa)" in text
    assert "✂ ∂w," in text
    assert "✂ ∂alpha, " in str(program(Adam(1e-2, optimizer=SGD(1e-4)), exact=True))


def test_long_names_stand_below_the_words_and_in_their_bars():
    name = "encoder.layers.11.attention.output.weight"
    params = {name: th.tensor(np.ones((2, 2)), requires_grad=True)}
    train = th.replay(lambda params: th.sum(th.square(params[name])), params, SGD(0.1), exact=True)
    for _ in range(6):
        train()
    root = ElementTree.fromstring(train.program.svg())
    words = max(float(text.get("y")) for text in root.findall(SPACE + "text") if text.text.startswith("Time"))
    tops = [float(bar.get("y")) for bar in classes(root, "th-live")]
    assert min(tops) - 0.7 * 6.5 * len(name) > words
