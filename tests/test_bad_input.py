"""Wrong input: each wrong call raises the error that is promised, names the culprit, and changes nothing."""

import ast

import numpy as np
import pytest
from bad_input import ROWS, Bad, snapshot, world

import tinyhyper as th
from demos.__main__ import main

OWN = (th.TinyhyperError,)


def parts(code):
    """The preparation and the mistake."""
    statements = ast.parse(code).body
    return [compile(ast.Module(part, []), code, "exec") for part in (statements[:-1], statements[-1:])]


def attempt(row):
    """Make the mistake; the error, and everything in its world before and after. An error may be None."""
    names = world()
    prepare, mistake = parts(row.code)
    exec(prepare, names)
    names.pop("__builtins__")
    before, error = snapshot(names), None
    try:
        exec(mistake, names)
    except Exception as found:
        error = found
    names.pop("__builtins__")
    return error, before, snapshot(names)


def check(row):
    error, before, after = attempt(row)
    assert type(error) is row.error, f"{row.code} raised {error!r}"
    missing = [word for word in row.words if word not in str(error)]
    assert not missing, f"{row.code}: {error} has no {missing}"
    changed = [name for name in before if before[name] != after.get(name)]
    assert not changed, f"{row.code} changed {changed}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join([row.code, *row.words[:1]]))  # with the culprit
def test_a_wrong_call_is_told_and_changes_nothing(row):
    check(row)


def test_the_table_is_large_and_of_different_calls():
    assert len({row.code for row in ROWS}) == len(ROWS) >= 150
    assert all(row.words for row in ROWS)
    for row in ROWS:  # NumPy refuses a write by its own error, and Python arguments that are missing or not known
        assert issubclass(row.error, OWN) or "read-only" in row.words or row.error is TypeError, row


@pytest.mark.parametrize(
    "row, words",
    [
        (Bad("x + 1.0", th.ShapeError, ("add",)), "raised None"),
        (Bad("x + y", th.DtypeError, ("add",)), "raised ShapeError"),
        (Bad("x + y", th.ShapeError, ("multiply",)), "has no"),
        (Bad("a.__setitem__(0, 0.0) or x + y", th.ShapeError, ("add",)), r"changed \['a'\]"),
        (Bad("params.clear() or x + y", th.ShapeError, ("add",)), r"changed \['params'\]"),
        (Bad("setattr(x, 'grad', None) or x + y", th.ShapeError, ("add",)), r"changed \['x'\]"),
        (Bad("loss.backward() or x + y", th.ShapeError, ("add",)), r"changed \['x', 'y', 'loss'\]"),
        (Bad("opt.step(params) or x + y", th.ShapeError, ("add",)), r"changed \['params', 'opt'\]"),
        (Bad("bn(weights, images) is not None and x + y", th.ShapeError, ("add",)), r"changed \['bn'\]"),
        (Bad("rng.random() < 2 and x + y", th.ShapeError, ("add",)), r"changed \['rng'\]"),
        (Bad("th.kernels.elementwise_backend('numpy') and x + y", th.ShapeError, ("add",)), r"changed \['th'\]"),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_the_check_notices(row, words):
    """A right call, an error of another class, a message without the culprit, and everything that may change."""
    with pytest.raises(AssertionError, match=words):
        check(row)


@pytest.mark.parametrize("stack", ["adamm/sgd", "sgd(fast)", "sgd(nan)", "sgd/", "sgd(lr=0.1)"])
def test_the_command_line_tells_a_wrong_stack_in_one_line(stack, capsys, tmp_path):
    assert main(["digits", "--stack", stack, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert not told.out and told.err.count("\n") == 1
    assert th.__name__ not in told.err and any(word in told.err for word in (stack, "nan", "lr"))


@pytest.mark.parametrize("size", [3, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [2**63, -(2**63), 2**70, -(2**70)])
def test_an_integer_beyond_64_bits_is_a_float_beside_floats(number, size):
    """As in NumPy; where a kernel computes, a constant of that size has no integer type."""
    x = np.linspace(1.0, 2.0, size)
    for function in (
        lambda a: a * number,
        th.fuse(lambda a: a * number),
        lambda a: th.fuse(lambda a, b: a * b)(a, number),
    ):
        np.testing.assert_array_equal(function(th.tensor(x)).data, x * float(number))
