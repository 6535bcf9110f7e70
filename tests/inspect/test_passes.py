"""A backward pass, stop by stop: in the order of the recorded sweep, with the numbers that came."""

import re
from contextlib import ExitStack
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import classes, collisions, leaves
from recordings import by_hand, crossing, run, skipping, stacks, trained
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.errors import ArgumentError
from tinyhyper.inspect import Recording
from tinyhyper.inspect.ghosts import sweeps
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.passes import passes
from tinyhyper.optim.horizon import Window
from tinyhyper.testing.tower import Level, Tower
from tinyhyper.watcher import SiteWatcher

ABOVE = Level(th.optim.SGD, {"alpha": 0.0001}, {})
HORIZONS = st.sampled_from([1, 2, None])


def swept(make):
    """What a function makes, and for each backward pass the serials of the engine's nodes as the sweep came to them."""
    found, noted = [], SiteWatcher._noted

    def listening(watcher, nodes):
        found.append([])
        for node in noted(watcher, nodes):
            found[-1].append(node.serial)
            yield node

    with patch.object(SiteWatcher, "_noted", listening):
        return make(), found


def windowed(horizon, ghosts, steps=4):
    optimizer = th.optim.SGD(0.1, mu=0.5, horizon=horizon, optimizer=th.optim.SGD(0.01))
    return trained(optimizer, steps, {"w": [1.0, -2.0], "b": 0.5}, ghosts=ghosts, create_graph=horizon != 1)


def watched(tower, begin, ghosts, steps=5):
    """A recording of a run that begins at a step: before the loss, the backward pass or the move."""
    params, optimizer = make(tower.build())
    with ExitStack() as stack:
        for n, batch in enumerate(batches(steps)):
            for part in range(3):
                if begin == (n, part):
                    tape = stack.enter_context(th.record(ghosts))
                if part == 0:
                    loss = loss_of(params, *batch)
                elif part == 1:
                    loss.backward(create_graph=not optimizer.hooks[Window].cuts)
                else:
                    optimizer.step(params)
    return tape


def where(one):
    return [stop.cut if stop.place is None else stop.place for stop in one.stops]


def follows_the_sweep(tape, orders):
    """Whether the stops of each pass come in the order in which a sweep from its loss came to the nodes."""
    for one in passes(Graph(tape)):
        serials = [tape.node(stop.place).serial for stop in one.stops if stop.place is not None]
        serials = [serial for serial in serials if serial is not None]  # a gradient in `.grad` has no node of its own
        orders_here = [order for order in orders if serials[0] in order]
        assert serials == sorted(serials, reverse=True) and orders_here
        assert any(set(serials) <= set(order) for order in orders_here) or tape.horizon != 1
        for order in orders_here:
            here = [serial for serial in order if serial in serials]
            assert here == [serial for serial in dict.fromkeys(serials) if serial in order]


@pytest.mark.either_backend
@given(stacks, st.booleans(), st.booleans())
def test_the_stops_come_in_the_order_of_the_sweep(stack, ghosts, create_graph):
    (tape, *_), orders = swept(lambda: run(stack, ghosts=ghosts, create_graph=create_graph))
    follows_the_sweep(tape, orders)
    assert {tape.node(one.loss).step for one in passes(Graph(tape))} == {0, 1, 2}


@given(HORIZONS, st.booleans())
def test_in_a_window_too(horizon, ghosts):
    follows_the_sweep(*swept(lambda: windowed(horizon, ghosts)))


RUNS = stacks.map(lambda stack: lambda ghosts: run(stack, ghosts=ghosts)[0])
WINDOWS = HORIZONS.map(lambda horizon: lambda ghosts: windowed(horizon, ghosts))


@pytest.mark.either_backend
@given(RUNS | WINDOWS)
def test_each_stop_is_the_same_without_ghosts(make):
    """A recording says where gradients flow and which cuts stop them; the second run only adds numbers."""
    haunted, bare = passes(Graph(make(True))), passes(Graph(make(False)))
    assert [*map(where, haunted)] == [*map(where, bare)]
    pairs = [pair for one, other in zip(haunted, bare) for pair in zip(one.stops, other.stops)]
    assert all(other.value in (None, one.value) or np.isclose(other.value, one.value) for one, other in pairs)
    assert all(one.value is not None for one, _ in pairs) and any(other.value is not None for _, other in pairs)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.floats(-2, 2))
def test_the_numbers_are_those_of_this_loss_alone(factors, value):
    """Several losses send gradients to one value, and to one cut; a number that is a sum would be of none of them."""
    x = th.tensor(value, requires_grad=True)
    with th.record(ghosts=True) as tape:
        y = th.multiply(x, 3.0)
        for factor in factors:
            (y * factor + y.detach("held") * 2.0 * factor).backward(retain_graph=True)
    for one, factor in zip(passes(Graph(tape)), factors):
        values = {stop.place: stop.value for stop in one.stops if stop.cut is None}
        assert one.stops[0].place == one.loss and one.stops[0].value == 1.0
        assert [values[place] for place in values if tape.node(place).kind == "leaf"] == [pytest.approx(3 * factor)]
        assert [stop.value for stop in one.stops if stop.cut is not None] == [pytest.approx(2 * factor)]


@pytest.mark.either_backend
@given(testing.towers(("w", "b")), st.integers(0, 1), st.integers(0, 2), st.booleans())
@example(Tower((Level(th.optim.SGD, {"alpha": 0.01, "mu": 0.5}, {}), ABOVE)), 1, 0, False)
def test_a_tape_may_begin_anywhere(tower, step, part, ghosts):
    """Its last passes have the stops that they have on the tape of the whole run, and it is drawn."""

    def told(tape):
        graph = Graph(tape)
        return [
            [(stop.cut is None, *named(graph, stop), stop.value) for stop in one.stops] for one in passes(graph)[-2:]
        ]

    def named(graph, stop):
        place = stop.place or graph.cuts[stop.cut].place
        return graph.known(place, timeless=True), (graph.known(place) or "").endswith("]")

    tape = watched(tower, (step, part), ghosts)
    assert tape.frames(tape.steps - 1) and tape.explore()
    if tape.horizon == 1:
        assert told(tape) == told(watched(tower, (0, 0), ghosts))


@pytest.mark.parametrize("text", ["sgd(0.01, mu=0.5)/sgd(1e-4)", "adam/sgd", "sgd(0.01)/sgd(1e-4)/sgd(1e-6)"])
def test_a_tape_may_begin_in_a_replayed_run_or_after_a_rewind(text):
    tape = trained(text, 4)
    params, optimizer = tape.rewind(2)
    train = th.replay(lambda params: th.sum(params["w"] ** 2), params, optimizer)
    for steps in (2, 6):
        with th.record() as later:
            for _ in range(steps):
                train()
        assert later.frames(1) and later.explore()


def test_of_a_tape_from_json_the_stops_are_the_same():
    tape = trained("adam/sgd", 3, ghosts=True)
    assert passes(Graph(Recording.from_json(tape.to_json()))) == passes(Graph(tape))


def test_what_is_known_without_ghosts_is_what_backward_left_alone():
    x, y = (th.tensor(2.0, requires_grad=True) for _ in range(2))
    with th.record() as tape:
        (x * y).backward()
        (x * 3.0).backward()
    first, second = passes(Graph(tape))
    assert [stop.value for stop in first.stops] == [None, 2.0, 2.0]
    assert [stop.value for stop in second.stops] == [None, None]  # .grad holds the sum


def test_a_pass_ends_where_the_recorded_sweep_of_a_window_did():
    tape = windowed(2, True)
    ends = sweeps(tape)
    for one in passes(Graph(tape)):
        assert not ends[one.loss] or set(ends[one.loss]) <= set(where(one))


# As pictures.


def captions(pictures):
    return [re.search(r"<text[^>]*>(Stop [^<]*)<", picture)[1] for picture in pictures]


def test_frames_show_the_loss_first_then_each_box_and_each_cut():
    tape = trained("sgd(0.1)/sgd(0.01)", 2, ghosts=True)
    pictures = tape.frames()
    assert [text.partition(" Without")[0] for text in captions(pictures)] == [
        "Stop 1 of 7. backward() begins at loss[1], with 1.",
        "Stop 2 of 7. The gradient of loss[1] arrives at w[1]: norm 3.578.",
        "Stop 3 of 7. Cut 3 stops the gradient on its path to ∂loss[0]/∂w[0]; the norm of the ghost is 0.3578.",
        "Stop 4 of 7. Cut 2 stops the gradient on its path to w[0]; the norm of the ghost is 3.578.",
        "Stop 5 of 7. The gradient of loss[1] arrives at alpha[1]: -16.",
        "Stop 6 of 7. Cut 1 stops the gradient on its path to ∂loss/∂alpha; the ghost is 0.16.",
        "Stop 7 of 7. Cut 0 stops the gradient on its path to alpha[0]; the ghost is -16.",
    ]
    # At a gradient without a graph the pass would have ended without the cut, too.
    assert ["Without the cut it would end" in text for text in captions(pictures)] == [n in (2, 5) for n in range(7)]
    assert len({picture[: picture.index(">")] for picture in pictures}) == 1  # of one size
    for shown, ghosts in zip(pictures, (0, 0, 1, 2, 2, 3, 4)):  # what was stopped stays
        assert len(re.findall(r">[^<]*ghost (?:norm )?-?[\d.]+<", shown)) == ghosts
        assert len(re.findall("class=\"th-scissors +th-marked", shown)) == ("Cut" in captions([shown])[0])
    assert len(tape.frames(0)) == 2 and tape.frames(scale=2)[0] != pictures[0]


@given(st.booleans(), st.sampled_from(["sgd(0.1)", "sgd(0.1)/sgd(0.01)"]))
def test_a_frame_says_norm_of_a_norm_and_of_no_number(array, stack):
    pictures = trained(stack, 2, {"w": [1.0, -2.0] if array else 3.0}, ghosts=True).frames()
    for said in captions(pictures):
        of_w = re.search(r"(at|to) (∂loss\[0\]/∂)?w\[", said) is not None
        assert ("norm" in said) == (array and of_w)
    last = ElementTree.fromstring(pictures[-1])
    for style, several in (("th-amount", 1), ("th-reason", 2)):  # of w; at the cuts of w and of its gradient
        norms = [text.text for text in classes(last, style) if "norm" in text.text]
        assert len(norms) == several * array


def test_frames_of_a_graph_without_steps_are_of_its_boxes():
    pictures = crossing().frames()
    assert all(collisions(ElementTree.fromstring(picture)) == [] for picture in pictures)
    assert [text.split(". ", 1)[1] for text in captions(pictures)] == [
        "backward() begins at loss[0], with 1.",
        "The gradient of loss[0] arrives at multiply: norm 1.414.",
        "Cut 0 stops the gradient on its path to tanh; the norm of the ghost is 1.411.",
        "The gradient of loss[0] arrives at tanh: norm 1.411.",
        "The gradient of loss[0] arrives at b: 0.009866.",
        "The gradient of loss[0] arrives at a: norm 1.435.",
    ]
    green = [classes(ElementTree.fromstring(picture), "th-trail") for picture in pictures]
    assert [sum(each.tag.endswith("rect") for each in those) for those in green] == [1, 2, 2, 3, 4, 5]


@given(st.integers(1, 4), st.booleans())
def test_each_band_of_a_graph_without_steps_leads_back(boxes, branched):
    """A box as wide as its column begins its links with a line of no length, which has no direction."""
    w = th.tensor([2.0, 1.0], requires_grad=True)
    with th.record() as tape:
        y = w
        for _ in range(boxes):
            y = y * y + (w if branched else 0.0)
        th.sum(y).backward()
    root = ElementTree.fromstring(tape.frames()[-1])
    assert (bands := [band for band in classes(root, "th-trail") if band.get("d")])
    assert all(leaves(root, band, "start") for band in bands)


def test_frames_without_ghosts_say_what_is_known():
    said = captions(trained("adam/sgd", 2).frames())
    assert said[0].endswith("backward() begins at loss[1].")
    assert said[3].endswith("Cuts 6, 8, 9 stop the gradient on its path to w.v[0], w.m[0], w[0].")
    assert any("arrives at beta2[1], beta1[1], alpha[1]: norm " in text for text in said)
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        (th.tanh(x) * th.tanh(x * 2.0)).backward()
    assert captions(tape.frames())[1] == "Stop 2 of 4. The gradient of loss[0] arrives at tanh."


@given(st.sampled_from([1, 2, 3]))
def test_a_window_is_shown_as_far_as_its_gradient_goes(horizon):
    for step in range(4):
        assert len(captions(windowed(horizon, True).frames(step))) > 1


@given(st.lists(st.sampled_from([1.0, np.nan, np.inf]), min_size=1, max_size=4))
def test_frames_of_a_pass_whose_step_was_skipped_say_so(factors):
    tape = skipping(factors=factors, ghosts=True)
    for step, factor in enumerate([*factors, 1.0]):
        said = captions(tape.frames(step))
        assert all((f"; step {step + 1} was skipped." in text) == (factor != 1.0) for text in said)
        assert factor == 1.0 or any("nan" in text or "inf" in text for text in said)


def test_a_step_written_by_hand_has_frames():
    assert captions(by_hand().frames(1))[0].endswith("backward() begins at loss[1].")


def test_frames_are_refused_where_no_pass_began():
    with pytest.raises(ArgumentError, match=r"frames: no backward pass began in step=7; some began in the steps 0, 1"):
        trained("sgd/sgd").frames(7)
    with pytest.raises(ArgumentError, match="frames: step"):
        trained("sgd/sgd").frames(-1)
    with th.record() as tape:
        th.tensor(1.0, requires_grad=True) * 2.0
    with pytest.raises(ArgumentError, match="holds no backward pass"):
        tape.frames()
