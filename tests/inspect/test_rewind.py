"""From any recorded step a run begins anew, to the same bits; and what cannot be begun anew is refused."""

import copy
import pickle
import re
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from drawn_towers import snapshot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recordings import by_hand
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.checkpoint import archive
from tinyhyper.inspect import Recording
from tinyhyper.optim import SGD, Adam
from tinyhyper.optim.horizon import Window
from tinyhyper.testing.tower import Level, Tower

ACTIONS = ("nothing", "set", "alpha", "replace", "load", "load alone", "nan")
SEEDS = st.integers(0, 10_000)
ABOVE = Level(SGD, {"alpha": 0.001}, {})
SHORT = Tower((Level(SGD, {"alpha": 0.01}, {}), ABOVE))
LONG = Tower((Level(SGD, {"alpha": 0.01, "mu": 0.5}, {"horizon": 2, "objective": "sum"}), ABOVE))


def act(action, params, optimizer):
    """What a user may do between a step and the next loss."""
    if action == "set":
        params["w"].data = params["w"].numpy() * 0.5
    elif action == "alpha":
        for name in optimizer._tuned[:1]:
            optimizer.parameters[name].data = optimizer.parameters[name].numpy() * 0.75
    elif action == "replace" and optimizer.hooks[Window].horizon == 1:
        params["b"] = th.tensor(params["b"].numpy() + 0.1, requires_grad=True)
    elif action.startswith("load"):
        optimizer.load_state_dict(optimizer.state_dict())
        for name, w in params.items() if action == "load" else ():
            params[name] = th.tensor(w.numpy(), requires_grad=True)


def made(optimizer, params, batch, action):
    """A step: the loss, and all numbers after the backward pass and after the step."""
    loss = loss_of(params, batch[0] * np.nan if action == "nan" else batch[0], batch[1])
    loss.backward(create_graph=not optimizer.hooks[Window].cuts)
    between = snapshot(optimizer, params)
    optimizer.step(params)
    return repr(loss.item()), between, snapshot(optimizer, params), optimizer.skipped


def begins_anew(optimizer, recorded):
    """Whether a run can be rewound to where it is now. recorded: whether the last step that was made is."""
    window = optimizer.hooks[Window]
    return window.horizon == 1 or window.steps == 0 or (recorded and window.steps % window.horizon == 1)


@pytest.mark.either_backend
@pytest.mark.filterwarnings("ignore:.*step is skipped")
@settings(max_examples=25)
@given(
    tower=testing.towers(("w", "b")), dtype=st.sampled_from([np.float32, np.float64]), seed=SEEDS,
    earlier=st.integers(0, 3), actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5),
)  # fmt: skip
@example(LONG, np.float64, 0, 0, ["nothing", "nan", "nothing", "nothing"])
@example(LONG, np.float64, 0, 1, ["nothing", "nan", "nan", "nothing", "nothing"])
@example(SHORT, np.float64, 0, 2, ["nothing", "nan", "set", "load", "nothing"])
@example(SHORT, np.float64, 0, 2, ["nothing", "load alone", "nan", "nothing", "nothing"])
@example(LONG, np.float64, 0, 1, ["nothing", "load alone", "nan", "nothing", "nothing"])
def test_a_run_goes_on_from_any_step_to_the_same_bits(tower, dtype, seed, earlier, actions):
    """Whatever is set by hand before a loss, skipped, and made before the recording; the recorded run stays."""
    bottom, *above = tower.levels
    bottom = bottom._replace(options=bottom.options | {"on_nonfinite": "skip"})
    params, optimizer = make(Tower((bottom, *above)).build(), dtype, seed)
    given = batches(earlier + len(actions) + 2, dtype, seed)
    for batch in given[:earlier]:
        eager_step(loss_of, params, optimizer, batch)
    given = given[earlier:]
    before, found, anew, first = [], [], [], optimizer.t
    with th.record() as tape:
        for batch, action in zip(given, actions):
            act(action, params, optimizer)
            before.append(snapshot(optimizer, params))
            anew.append(begins_anew(optimizer, optimizer.t > first))
            found.append(made(optimizer, params, batch, action))
        before.append(snapshot(optimizer, params))
        anew.append(begins_anew(optimizer, optimizer.t > first))
    rewound = []
    for step in range(len(actions) + 1):
        if anew[step]:
            rewound.append((step, *tape.rewind(step)))
        else:
            with pytest.raises(th.GraphError, match=rf"step {step} (is within|follows a step that was made before)"):
                tape.rewind(step)
    assert snapshot(optimizer, params) == before[-1]
    for batch in given[len(actions) :]:
        found.append(made(optimizer, params, batch, "nothing"))
    for step, others, other in rewound:
        assert snapshot(other, others) == before[step]
        for n in range(step, len(given)):
            action = actions[n] if n < len(actions) else "nothing"
            if n > step:
                act(action, others, other)
            assert made(other, others, given[n], action) == found[n]


def moments(params, optimizer, given, folder):
    """All numbers of a run before each loss and before each step, and what a file holds; None where there is none."""
    found = []
    for n, batch in enumerate(given):
        for half in ("loss", "step"):
            path = Path(folder) / f"{half}{len(given) - n}"
            try:
                th.save(path, params, optimizer)
            except th.GraphError:
                path.unlink(missing_ok=True)
            found.append((snapshot(optimizer, params), path.read_bytes() if path.exists() else None))
            if half == "loss":
                loss_of(params, *batch).backward(create_graph=not optimizer.hooks[Window].cuts)
            else:
                optimizer.step(params)
    return found


@pytest.mark.either_backend
@settings(max_examples=20)
@given(tower=testing.towers(("w", "b")), seed=SEEDS)
@example(LONG, 0)
def test_it_goes_on_as_from_a_file(tower, seed):
    """And to the same files."""
    params, optimizer = make(tower.build(), np.float64, seed)
    given = batches(4, seed=seed)
    with TemporaryDirectory() as folder, TemporaryDirectory() as other:
        with th.record() as tape:
            found = moments(params, optimizer, given, folder)
        loaded = 0
        for step in range(4):
            if (file := Path(folder) / f"loss{4 - step}").exists():
                goes_on = tower.build()
                assert moments(th.load(file, goes_on).params, goes_on, given[step:], other) == found[2 * step :]
                loaded += 1
            try:
                rewound = tape.rewind(step)
            except th.GraphError:
                assert not file.exists()
            else:
                assert moments(*rewound, given[step:], other) == found[2 * step :]
        assert loaded >= 1 + 3 * (optimizer.hooks[Window].horizon == 1)


def recorded(optimizer, steps=3):
    """A tape of a few steps, and the run."""
    params, optimizer = make(optimizer)
    with th.record() as tape:
        for batch in batches(steps):
            eager_step(loss_of, params, optimizer, batch)
    return tape, params, optimizer


def tower(**how):
    return SGD(0.1, optimizer=SGD(0.01), **how)


def test_no_array_is_copied():
    params, optimizer = make(Adam(0.1, optimizer=SGD(1e-3)))
    weights, states = [], []
    with th.record() as tape:
        for batch in batches(3):
            weights.append(params["w"].array)
            states.append(optimizer._states["w"]["m"].array if optimizer._states else None)
            eager_step(loss_of, params, optimizer, batch)
    for step in range(3):
        own, mine = tape.rewind(step)
        assert own["w"].array is weights[step]
        assert step == 0 or mine._states["w"]["m"].array is states[step]


def test_a_recording_holds_no_graph_and_no_run():
    with testing.nothing_alive():
        tape, params, optimizer = recorded(tower())
        held = [weakref.ref(thing) for thing in (optimizer, params["w"], params["w"].edge[0])]
        del params, optimizer
        assert [ref() for ref in held] == [None] * 3
        assert tape.rewind(3)[0]["w"].edge is not None
        del tape


def test_without_rewinding_a_recording_is_the_same_and_holds_no_array():
    said = []
    for held in (True, False):
        params, optimizer = make(Adam(0.1, optimizer=SGD(1e-3)))
        arrays = []
        with th.record(rewind=held) as tape:
            for batch in batches(4):
                eager_step(loss_of, params, optimizer, batch)
                arrays += [weakref.ref(tensor.array) for tensor in (params["w"], optimizer._states["w"]["m"])]
        said.append((re.sub(r"test_\w+.py:\d+", "", str(tape)), str(th.inspect.checkpoint(tape))))
        del params, optimizer
        assert [ref() is not None for ref in arrays] == [held] * 8
    assert said[0] == said[1]
    with pytest.raises(th.ArgumentError, match=r"rewind: th.record\(rewind=False\) held no arrays of the run"):
        tape.rewind(1)


def test_a_tape_can_be_copied_and_pickled():
    tape, params, optimizer = recorded(tower())
    assert tape.nodes  # what has not been read yet cannot be pickled
    for other in (copy.deepcopy(tape), pickle.loads(pickle.dumps(tape))):
        own, mine = other.rewind(3)
        assert snapshot(mine, own) == snapshot(optimizer, params)


def test_a_rewound_run_can_be_replayed():
    tape, params, optimizer = recorded(tower())
    train = th.replay(loss_of, *(run := tape.rewind(1)), exact=True)
    for batch in batches(3)[1:]:
        train(*batch)
    assert snapshot(run[1], run[0]) == snapshot(optimizer, params)
    for batch in batches(20):
        assert train(*batch) == eager_step(loss_of, params, optimizer, batch)
    assert train.program is not None


def test_it_rewinds_in_the_block_too():
    params, optimizer = make(tower())
    given = batches(3)
    with th.record() as tape:
        for step, batch in enumerate(given):
            eager_step(loss_of, params, optimizer, batch)
            for back in range(step + 2):
                own, mine = tape.rewind(back)
                with th.record():
                    for again in given[back : step + 1]:
                        eager_step(loss_of, own, mine, again)
                assert snapshot(mine, own) == snapshot(optimizer, params)
    assert tape.steps == 3


def test_two_towers_take_turns():
    """Each step gives the tower that moves next."""
    one, other = make(tower()), make(Adam(0.05, optimizer=SGD(1e-3)), seed=1)
    found = []
    with th.record() as tape:
        for batch in batches(2):
            for params, optimizer in (one, other):
                found.append((type(optimizer), snapshot(optimizer, params)))
                eager_step(loss_of, params, optimizer, batch)
    for step, (kind, numbers) in enumerate(found):
        own, mine = tape.rewind(step)
        assert type(mine) is kind and snapshot(mine, own) == numbers


def test_steps_that_another_recording_saw_are_not_missed():
    """A window that began in an inner recording leads back to what the outer one has not seen."""
    params, optimizer = make(tower(horizon=2))
    given = batches(5)
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, given[0])
        with th.record() as inner:
            for batch in given[1:3]:
                eager_step(loss_of, params, optimizer, batch)
        eager_step(loss_of, params, optimizer, given[3])
    with pytest.raises(th.GraphError, match="step 1 follows a step that was made before the recording. Rewind to st"):
        tape.rewind(1)
    own, mine = inner.rewind(2)
    assert repr(eager_step(loss_of, own, mine, given[3]))
    assert snapshot(mine, own) == snapshot(optimizer, params)


def test_a_step_that_another_recording_saw_is_not_taken_for_one_before_a_load():
    params, optimizer = make(tower(horizon=2))
    given = batches(3)
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, given[0])
        act("load", params, optimizer)
        for batch in given[1:]:
            with th.record():
                eager_step(loss_of, params, optimizer, batch)
            before = snapshot(optimizer, params)
            if optimizer.hooks[Window].steps == 1:
                with pytest.raises(th.GraphError, match="step 1 follows a step that was made before the recording"):
                    tape.rewind(1)
    assert snapshot(optimizer, params) == before


def test_after_a_load_no_step_of_the_window_before_is_made_again(tmp_path):
    params, optimizer = make(tower(horizon=2))
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, batches(1)[0])
        act("load", params, optimizer)
        th.save(tmp_path / "recorded", params, optimizer)
    th.save(tmp_path / "rewound", *tape.rewind(1))
    recorded, rewound = (archive.read(tmp_path / name)["tower"] for name in ("recorded", "rewound"))
    assert recorded["last"] is rewound["last"] is None


def test_a_recording_that_an_error_ends_can_be_rewound():
    params, optimizer = make(tower())
    with pytest.raises(ZeroDivisionError), th.record() as tape:
        eager_step(loss_of, params, optimizer, batches(1)[0])
        loss_of(params, *batches(1)[0]).backward()
        1 / 0  # noqa: B018
    own, mine = tape.rewind(1)
    eager_step(loss_of, own, mine, batches(1)[0])
    optimizer.step(params)
    assert snapshot(mine, own) == snapshot(optimizer, params)


def computed(params, optimizer):
    params["w"] = params["w"] * 0.5


def scaled(params, optimizer):
    optimizer.parameters["alpha"] = optimizer.parameters["alpha"] * 0.5


def partly(params, optimizer):
    del params["b"]


def taller(params, optimizer):
    optimizer.optimizer.optimizer = SGD(0.1)


@pytest.mark.parametrize("change, message", [
    (computed, r"begins with params\['w'\] made by <multiply #\d+( released)?>, not by a step of the tower that"),
    (partly, "follows a step of other weights: it moved 'w', 'b'"),
    (scaled, "begins with alpha of level 0 made by <multiply #"),
    (taller, "follows a step of other levels"),
])  # fmt: skip
def test_more_than_the_last_step_is_refused(change, message):
    params, optimizer = make(tower())
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, batches(1)[0])
        change(params, optimizer)
        sum(th.sum(w**2) for w in params.values()).backward()
        optimizer.step(params)
    with pytest.raises(th.GraphError, match=f"rewind: step 1 {message}.*. Rewind to step 0, and make the steps from"):
        tape.rewind(1)
    tape.rewind(0)


def test_a_run_that_begins_with_computed_weights_is_refused():
    params, optimizer = make(tower())
    computed(params, optimizer)
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, batches(1)[0])
    known = "that is known. This recording can be rewound to step 1$"
    with pytest.raises(th.GraphError, match=rf"rewind: step 0 begins with params\['w'\] made by .* {known}"):
        tape.rewind(0)


def test_a_window_is_begun_again_where_it_cuts():
    tape, _, _ = recorded(tower(horizon=3), 5)
    for step in (2, 3, 5):
        earlier = 4 if step == 5 else 1
        again = f"Rewind to step {earlier}, and make the steps from there again"
        told = rf"step {step} is within a window .*{again}. This recording can be rewound to steps 0, 1, 4$"
        with pytest.raises(th.GraphError, match=told):
            tape.rewind(step)
    tape, _, _ = recorded(SGD(0.1, horizon=None), 2)
    tape.rewind(0)
    for step in (1, 2):
        with pytest.raises(th.GraphError, match=f"step {step} is within a window .*Rewind to step 0, and make"):
            tape.rewind(step)


@pytest.mark.parametrize("step, message", [
    (4, "step=4: this recording holds steps 0 to 3 of an optimizer"),
    (-1, "must be an integer >= 0, not -1"), (True, "not True"), (1.0, "not 1.0"), ("last", "not 'last'"),
])  # fmt: skip
def test_a_step_that_is_not_there(step, message):
    with pytest.raises(th.ArgumentError, match=re.escape(message)):
        recorded(tower())[0].rewind(step)


def test_a_recording_without_steps_of_an_optimizer():
    with th.record() as tape:
        th.sum(th.tensor([1.0], requires_grad=True)).backward()
    for own in (tape, by_hand()):
        for step in range(2):
            with pytest.raises(th.ArgumentError, match=f"rewind: step={step}: this recording holds no steps of an opt"):
                own.rewind(step)


def test_a_step_by_hand_may_have_moved_anything():
    params, optimizer = make(tower())
    with th.record() as tape:
        eager_step(loss_of, params, optimizer, batches(1)[0])
        with tape.stepping():
            params = {name: th.tensor(w.numpy() + 1.0, requires_grad=True) for name, w in params.items()}
        eager_step(loss_of, params, optimizer, batches(1)[0])
    with pytest.raises(th.ArgumentError, match="step=1: this recording holds steps 0 to 3"):
        tape.rewind(1)
    assert [len(tape.rewind(step)[0]) for step in (0, 2, 3)] == [2, 2, 2]


def test_json_holds_no_arrays():
    tape = Recording.from_json(recorded(tower())[0].to_json())
    with pytest.raises(th.ArgumentError, match="rewind: this recording was read from JSON"):
        tape.rewind(0)
