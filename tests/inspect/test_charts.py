"""The pictures of answers that are no graphs: bars, what is alive when, how a value overflowed, what a file holds."""

import re
from collections import Counter
from itertools import pairwise
from math import isfinite
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pictures import classes, collisions, texts
from recordings import run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect import chain, contents, table, timeline
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.memory import alive
from tinyhyper.optim import SGD
from tinyhyper.plain import count, short


def drawn(answer):
    return ElementTree.fromstring(answer.svg())


def bars(root):
    """The rectangles that show something, from left to right and top to bottom."""
    found = [[float(bar.get(name)) for name in ("x", "width", "y")] for bar in classes(root, "th-bar")]
    return [(x, x + width, y) for x, width, y in found]


def where(root, pattern):
    """The texts of a pattern, each with its left end."""
    return [(text, corners[0]) for text, corners in texts(root) if re.fullmatch(pattern, text)]


# Ghosts


@pytest.mark.either_backend
@given(stacks, st.integers(0, 5), st.integers(2, 6))
@example("adam(0.01)", 0, 6)
def test_the_ghosts_that_would_have_flowed_on_are_drawn_the_largest_first_and_the_others_counted(stack, seed, steps):
    tape = run(f"{stack}/sgd(1e-3)", steps=steps, seed=seed)[0]
    answer = inspect.ghosts(tape)
    shown = [row for row in answer.rows if row[-1] and row[4] and row[5] != "0 up to rounding"]
    for number, *_, ghost, kind, graph in answer.rows:
        assert (ghost, graph) == (tape.cuts[number].ghost, tape.cuts[number].severed)
        assert kind in ("0 up to rounding", "a norm" if np.size(tape.ghost(number)) != 1 else "a number")
    root = drawn(answer)
    looks = [bar.get("class") for bar in classes(root, "th-bar")]
    more, size = shown[len(looks) :], "" if len(looks) == len(shown) else short(abs(shown[len(looks)][4]))
    left_out = rf"and {len(more)} more rows?, ghost at most {re.escape(size)} in size: print the answer"
    assert len(where(root, left_out)) == bool(more) and collisions(root) == []
    for (*_, ghost, kind, _), look in zip(shown, looks):
        assert ("th-norm" in look) == (kind == "a norm") and ("th-minus" in look) == (ghost < 0)
    sizes = [abs(row[4]) for row in shown]
    assert sizes == sorted(sizes, reverse=True) and (f", at cut {shown[0][0]} of " in answer.text if shown else True)
    idle = sum(not row[-1] for row in answer.rows)
    words = " ".join(root.itertext())
    assert (re.search(r"came to (\d+) cuts? of values without a graph", words) or [0, "0"])[1] == str(idle)
    assert not where(root, "had a graph")
    told = re.search(r"other (\d+) cuts?; at (\d+|none) of these", words) or [0, "0", "none"]
    unmet, severed = len(tape.cuts) - len(answer.rows), sum(cut.severed for cut in tape.cuts)
    assert [told[1], told[2]] == [str(unmet), str(severed - sum(row[-1] for row in answer.rows) or "none")]


@given(st.lists(st.floats(-1e9, 1e9) | st.sampled_from([0.0, 9821.0, 1e-6, np.inf, np.nan]), min_size=1, max_size=9))
def test_bars_are_in_the_order_of_their_sizes_and_each_can_be_seen(numbers):
    found = table.lengths(numbers)
    sizes = [abs(number) if np.isfinite(number) else np.inf for number in numbers]
    for (_, b), (_, d) in pairwise(sorted(zip(sizes, found))):
        assert 0 <= b <= d <= 1
    assert all(length > 0.001 for size, length in zip(sizes, found) if size > 1e-30)


@given(st.lists(st.floats(1e-30, 1e30), min_size=2, max_size=9))
def test_the_ticks_of_a_logarithmic_scale_stand_where_bars_of_their_size_end(sizes):
    assume(table.logarithmic(sizes))
    found = table.ticks(sizes)
    assert 2 <= len(found) <= 5
    for text, part in found.items():
        if min(sizes) < float(text) < max(sizes):
            assert part == pytest.approx(table.lengths([*sizes, float(text)])[-1], abs=1e-9)
    first, *_, last = found
    assert (found[first], found[last]) == (0, 1)
    assert float(first) < min(sizes) < 100 * float(first) and max(sizes) <= float(last)


# What is alive when


def held(horizon, steps, retain):
    """A tower; `retain`: a loop whose losses the user keeps."""
    losses = []

    def loss(params):
        losses.append(th.sum(th.tanh(params["w"]) ** 2))
        return losses[-1]

    optimizer = SGD(0.05, mu=0.5, horizon=horizon, optimizer=SGD(1e-3))
    return trained(optimizer, steps, loss=loss, create_graph=horizon > 1, retain_graph=retain or horizon > 1)


@given(st.integers(1, 3), st.integers(1, 10), st.booleans())
def test_the_timeline_has_a_bar_over_each_step_after_which_its_nodes_were_alive(horizon, steps, retain):
    tape = held(horizon, steps, retain)
    answer = inspect.kept_alive(tape)
    root, found = drawn(answer), alive(tape)[:-1][-timeline.MOST :]  # at the end nothing is new
    columns = [x for _, x in where(root, r"after step \d+|at the end")]
    assert len(columns) == len(found)
    for now, x in zip(found, columns, strict=True):
        made = [sum(number >= end for end in tape.ends) for number in now.nodes]
        together = {(begun, tape.nodes[number].until) for begun, number in zip(made, now.nodes)}
        assert sum(left <= x < right for left, right, _ in bars(root)) == len(together)
    sizes = [text for text, x in where(root, r"[\d.]+ k?B") if x >= columns[0] - 1]
    assert sizes == [timeline.amount(now.bytes) for now in found]
    assert bool(classes(root, "th-minus")) == (steps > 1 and (horizon > 1 or retain))
    wide = columns[-1] - columns[-2] if len(columns) > 1 else np.inf
    several = {float(bar.get("x")) for bar in classes(root, "th-minus") if "th-key" not in bar.get("class")}
    assert several == {left for left, right, _ in bars(root) if right - left > 1.5 * wide}
    assert collisions(root) == []


def test_a_timeline_has_a_column_of_the_end_where_that_differs():
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        params, optimizer = {"x": x}, SGD(0.1)
        (x * x).backward()
        optimizer.step(params)
        loss = params["x"] * params["x"]
    root = drawn(inspect.kept_alive(tape))
    assert [text for text, _ in where(root, r"after step \d+|at the end")] == ["after step 1", "at the end"]
    loss.backward()


@pytest.mark.parametrize("steps", [7, 8, 100])
def test_a_timeline_says_how_much_it_leaves_out_and_its_columns_stand_apart(steps):
    tape = trained("sgd/sgd", steps)
    root = drawn(inspect.kept_alive(tape))
    left_out = re.match(r"(\d+) earlier steps? left out", " ".join(text for text, _ in where(root, r".* left out")))
    assert int(left_out[1] if left_out else 0) == max(steps - timeline.MOST, 0)
    assert collisions(root) == []


def test_a_timeline_of_a_loop_that_keeps_its_losses_says_how_many_rows_it_leaves_out():
    root = drawn(inspect.kept_alive(held(1, 30, True)))
    (words, _), rows = where(root, r".* left out")[0], len(bars(root))
    assert rows == timeline.ROWS and re.fullmatch(r"\d+ earlier steps and (\d+) older rows left out", words)
    assert collisions(root) == []


def test_rows_of_a_timeline_are_named_as_far_as_there_is_room_and_say_that_shared_arrays_count_once():
    root = drawn(inspect.kept_alive(trained("adam/sgd", 3, {name: [1.0, 2.0] for name in ("W1", "c1", "W2", "c2")})))
    assert [text for text, _ in where(root, r"W1.*")] == [f"W1[{n}], c1[{n}], W2[{n}], c2[{n}]" for n in (1, 2, 3)]
    assert where(root, "each array once")
    long = drawn(inspect.kept_alive(trained("sgd/sgd", 9, {f"a_rather_long_name_{n}": 1.0 for n in range(9)})))
    assert [text for text, _ in where(long, r".* and 8 more")] and collisions(long) == []


def test_bytes_in_few_digits():
    sizes = {0: "0 B", 999: "999 B", 1234: "1.234 kB", 1_650_000: "1.65 MB", 2.5e12: "2500 GB"}
    assert [timeline.amount(size) for size in sizes] == [*sizes.values()]


# How a value overflowed


@st.composite
def overflows(draw):
    """A loop that makes a number larger and larger, or smaller, until an operation fails."""
    dtype, size = draw(st.sampled_from([np.float32, np.float64])), draw(st.integers(1, 3))
    start = draw(st.floats(1.5, 1e3))
    x = th.tensor(np.full(size, start if draw(st.booleans()) else -start, dtype), requires_grad=True)
    with th.record() as tape:
        y, way = x, draw(st.sampled_from(["square", "product", "exp"]))
        for _ in range(12):
            y = y * y if way == "square" else y * (y * 3.0) if way == "product" else th.exp(abs(y))
    return tape


@given(overflows())
def test_the_chain_grows_from_what_an_operation_read_to_what_it_made_until_it_is_not_finite(tape):
    answer, graph = inspect.first_nonfinite(tape), Graph(tape)
    node = next(node for node in tape.nodes if not isfinite(node.outputs[0].norm))
    found = chain.chain(graph, (node.number, 0), smallest=False)
    assert found[-1] == (node.number, 0) and not graph.sources(found[0])
    assert all(isfinite(graph.number(place)) for place in found[:-1])
    for before, after in pairwise(found):
        read = {edge.place: abs(graph.number(edge.place)) for edge in graph.sources(after)}
        assert read[before] == max(read.values())
    root = drawn(answer)
    lengths = [right - left for left, right, _ in bars(root)]
    assert len(lengths) == min(len(found), chain.MOST) and max(lengths) == lengths[-1]
    left_out = where(root, r"A row was .*, or through \d+ values? without a row between them\.")
    assert bool(left_out) == (len(found) > chain.MOST)
    assert where(root, "The scale is logarithmic and holds all sizes of float(32|64).")
    assert collisions(root) == []
    assert [bar.get("class") for bar in classes(root, "th-bar")].index("th-bar th-minus") == len(lengths) - 1


def test_a_rate_that_no_gradient_met_is_not_in_the_chain():
    """The first step moves alpha by kappa * 0."""
    with pytest.warns(th.AnomalyWarning):
        tape = trained(SGD(1e20, optimizer=SGD(1e21)), 6, {"w": [1.0, -2.0]})
    answer, graph = inspect.first_nonfinite(tape), Graph(tape)
    end = next(node for node in tape.nodes if node.kind == "operation" and not isfinite(node.outputs[0].norm))
    names = [graph.known(place) for place in chain.chain(graph, (end.number, 0), smallest=False)]
    assert names[:2] == ["alpha[0]", "alpha[1]"]
    assert where(drawn(answer), "kappa.*") == []
    early = trained(SGD(0.1), 1, {"w": [0.0]}, lambda params: th.sum(th.log(params["w"])))
    assert inspect.first_nonfinite(early).text.startswith("Before step 1, ")
    made = end.number < tape.ends[end.step - 1]
    assert answer.text.startswith(f"{'At' if made else 'After'} step {end.step}, ")


def test_what_is_too_small_is_followed_to_the_zero():
    x = th.tensor([0.5, 0.0], requires_grad=True)
    with th.record() as tape:
        th.sum(th.sqrt(x * 1.0)).backward()
    answer = inspect.first_nonfinite(tape)
    assert [text for text, _ in where(drawn(answer), "a leaf|sqrt|multiply|divide.*")] == [
        "a leaf", "multiply", "sqrt", "divide in sqrt's VJP",
    ]  # fmt: skip
    with th.record() as tape:
        th.log(x * 0.0)
    assert [text for text, _ in where(drawn(inspect.first_nonfinite(tape)), "a constant|multiply|log")] == [
        "a constant", "multiply", "log",
    ]  # fmt: skip


@given(st.integers(2, 60))
def test_of_a_long_chain_the_named_values_and_the_end_are_drawn(count):
    x = th.tensor(1.0, requires_grad=True)
    with th.record() as tape:
        y = x
        for n in range(count):
            y = y * 1.0
            tape.label(y, f"y{n}", "weights", 0) if n % 4 == 0 else None
        y * np.inf
    graph = Graph(tape)
    whole = chain.chain(graph, (len(tape.nodes) - 1, 0), smallest=True)
    found = chain.fitting(graph, whole)
    assert found == sorted(found) and len(found) == min(len(whole), chain.MOST) and found[-1] == whole[-1]
    named = [place for place in whole if graph.known(place)]
    assert {*named[-chain.MOST + 1 :]} <= {*found}


def test_a_value_that_was_not_finite_from_the_start_has_a_table():
    with th.record() as tape:
        th.tensor([1.0, np.nan]) * 2.0
    assert inspect.first_nonfinite(tape).draw is None and len(drawn(inspect.first_nonfinite(tape))) > 3


# What a file holds


@pytest.mark.either_backend
@example("sgd(0.05)", 2, True)
@example("adam(0.05)/adam(0.05)/sgd(0.05)", 2, True)
@given(stacks, st.integers(1, 3), st.booleans())
def test_the_picture_of_a_file_has_a_box_for_each_array(stack, steps, last):
    params = {name: th.tensor(value, requires_grad=True) for name, value in (("w", [1.0, -2.0]), ("b", 0.5))}
    optimizer = th.optim.from_string(stack)
    with th.record() as tape:
        for n in range(steps + last):
            (th.sum(params["w"] ** 2) * params["b"] ** 2).backward()
            if n < steps:
                optimizer.step(params)
    answer = inspect.checkpoint(tape)
    root = drawn(answer)
    counts = Counter(text.rpartition(" ")[0] or text for text, _ in where(root, r"and \d+ more"))
    more = sum(int(text.split()[1]) for text, _ in where(root, r"and \d+ more"))
    levels = where(root, "t")  # how many steps a level has made is a number beside the arrays
    assert len(levels) == stack.count("/") + 1
    assert len(classes(root, "th-box")) - counts.total() - len(levels) + more == len(answer.rows)
    heads = [text for text, _ in where(root, r".*: \d+ arrays?, .* k?B.*")]
    assert sum(f" and {count(len(levels), 'number')} t" in head for head in heads) == 1
    assert sum(int(re.search(r": (\d+) array", text)[1]) for text in heads) == len(answer.rows)
    assert len(where(root, "th.load repeats")) == ("th.load repeats that step" in answer.text)
    assert collisions(root) == []


def test_what_is_left_out_is_counted():
    rows = [(f"w{n}", inspect.saved.Saved(f"w{n}", "weights", 0, None, (2,), 16, "value")) for n in range(9)]
    part = contents.Section("value", rows, 4)
    assert [text for *_, text in part.boxes][-1] == "and 5 more" and "9 arrays, 144 B" in part.words[0][1]
