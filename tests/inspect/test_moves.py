"""What moved a value is told as it was: by which level, by hand, or by nothing, where a step was skipped."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.errors import ArgumentError
from tinyhyper.inspect import Recording
from tinyhyper.optim import SGD
from tinyhyper.plain import count, short, steps_told

ACTIONS = st.lists(st.sampled_from(["nothing", "nan", "set"]), min_size=1, max_size=5)
TOWERS = st.sampled_from(["sgd(0.1, on_nonfinite=skip) / sgd(0.01)", "adam(0.1, on_nonfinite=skip) / sgd(0.001)"])


def eventful(actions, text="sgd(0.1, on_nonfinite=skip) / sgd(0.01)", ghosts=False):
    """A run in which losses are NaN and alpha is set by hand: its tape, alpha around each step, those skipped."""
    params, optimizer = {"w": th.tensor(1.0, requires_grad=True)}, th.optim.from_string(text)
    values, skipped = [], []
    with th.record(ghosts) as tape:
        for step, action in enumerate(actions, start=1):
            if action == "set":
                optimizer.parameters["alpha"] = th.tensor(0.3 + 0.1 * step, requires_grad=True)
            before, count = optimizer.hyperparameters["alpha"], optimizer.skipped
            (params["w"] ** 2 * (np.nan if action == "nan" else 1.0)).backward()
            optimizer.step(params)
            values.append((before, optimizer.hyperparameters["alpha"]))
            skipped += [step] * (optimizer.skipped - count)
    return tape, values, skipped


@pytest.mark.filterwarnings("ignore:.*step is skipped")
@given(ACTIONS, TOWERS, st.booleans())
@example(["nothing", "nan", "nothing", "nothing"], "sgd(0.1, on_nonfinite=skip) / sgd(0.01)", True)
@example(["nothing", "nothing", "set", "nothing"], "sgd(0.1, on_nonfinite=skip) / sgd(0.01)", False)
def test_the_moves_are_those_that_were_made(actions, text, ghosts):
    tape, values, skipped = eventful(actions, text, ghosts)
    assert tape.skipped == skipped == Recording.from_json(tape.to_json()).skipped
    answer, kept = inspect.moved(tape, "alpha"), [n for n in range(len(actions)) if n + 1 not in skipped]
    told = {step: (old, new) for step, old, new, *_ in answer.rows}
    assert told.keys() <= {*range(1, len(actions) + 1)} and {n + 1 for n in kept[1:]} <= told.keys()
    assert all(told[step] == values[step - 1] for step in told)
    assert all(("skipped" in row[-1]) == (row[0] in skipped) and np.isfinite(row[3]) for row in answer.rows)
    if kept:
        made = [n for n in kept if n + 1 in told]
        moves = [n for n in made if values[n][0] != values[n][1]]
        counted = f"alpha was moved {count(len(moves), 'time')} by " if moves else "Nothing moved alpha"
        assert answer.text.startswith(counted) and "nan" not in answer.text
        stayed = [n + 1 for n in made if n not in moves]
        assert (f" At {steps_told(stayed)} it stayed the same" in answer.text) == bool(stayed)
        jumps = [(one, two) for one, two in zip(made, made[1:]) if values[one][1] != values[two][0]]
        assert re.findall(r", and set by hand from (\S+) to (\S+) before step (\d+)", answer.text) == [
            (short(values[one][1]), short(values[two][0]), str(two + 1)) for one, two in jumps
        ]
    assert all(f"{step}" in answer.text for step in skipped if step in told)
    assert "lost" not in inspect.left_range(tape, "alpha").text


def called_skipped(picture):
    """What a picture says is skipped: by box, how many of its rows."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(SPACE + "g"):
        rows = [text.text for text in group.findall(SPACE + "text")].count("skipped")
        found |= {group.find(SPACE + "title").text.partition(",")[0]: rows} if rows else {}
    return found


@pytest.mark.filterwarnings("ignore:.*step is skipped")
def test_a_skipped_step_is_called_so():
    tape, *_ = eventful(["nothing", "nan", "nothing", "nothing"], ghosts=True)
    answer = inspect.moved(tape, "alpha")
    stayed = "At step 1 it stayed the same: no loss had sent a gradient yet."
    assert answer.text.endswith(f"from 0.1 to 0.1508 (+0.05084 in all). {stayed} Step 2 was skipped.")
    assert [row[-1] for row in answer.rows][1] == "nothing: the step was skipped"
    assert ("alpha[2]", pytest.approx(np.nan, nan_ok=True), "skipped") in inspect.left_range(tape, "alpha").rows
    assert inspect.left_range(tape, "alpha").text == "It did not: 4 values of alpha are in the range."
    loss = dict.fromkeys(["loss[1]", "∂loss[1]/∂w[1]", "∂loss[1]/∂alpha[1]"], 1)  # not finite, so the step was skipped
    assert called_skipped(inspect.svg(tape, step=1)) == loss | {"w[2]": 1, "alpha[2]": 1}
    told = inspect.ghosts(tape).text
    assert "The largest of these is -1.884" in told and "2 ghosts are not finite: at cut " in told
    alone, *_ = eventful(["nan", "nan"])
    assert inspect.moved(alone, "alpha").text == "Nothing moved alpha. Steps 1, 2 were skipped."
    both, *_ = eventful(["nothing", "nan"], ghosts=True)
    assert " 2 ghosts would have flowed on. 2 ghosts are not finite: at cut " in inspect.ghosts(both).text


@pytest.mark.filterwarnings("ignore:.*step is skipped")
def test_of_several_values_each_is_called_skipped():
    params = {"w": th.tensor(1.0, requires_grad=True)}
    optimizer = SGD(0.1, mu=0.5, on_nonfinite="skip", optimizer=SGD(0.01))
    with th.record() as tape:
        for factor in (1.0, np.nan, 1.0):
            (params["w"] ** 2 * factor).backward()
            optimizer.step(params)
    made = {"w[2]": 1, "(alpha": 2, "loss[1]": 1, "∂loss[1]/∂w[1]": 1, "∂loss[1]/∂(alpha": 2}
    assert called_skipped(inspect.svg(tape, step=1)) == made


@pytest.mark.parametrize("skipped", [[0], [3], [2, 1], [1, 1]])
def test_json_that_skips_no_steps_is_refused(skipped):
    text = json.dumps(json.loads(eventful(["nothing", "nothing"])[0].to_json()) | {"skipped": skipped})
    with pytest.raises(ArgumentError, match="skipped does not hold"):
        Recording.from_json(text)
