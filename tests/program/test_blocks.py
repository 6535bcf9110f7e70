"""Instructions that run block after block make the very same numbers."""

import ctypes

import numpy as np
import pytest
from backends import kernels
from drawn_towers import snapshot
from emulated import FUNCTION, emulate
from guarded import guard_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replayed import eager_step

import tinyhyper as th
from tinyhyper.inspect import drawing
from tinyhyper.optim import SGD
from tinyhyper.program import blocks
from tinyhyper.program.sheet import sheet

driver = kernels("driver")

BLOCK, STEPS = 256, 9  # bytes; so a block has 32 elements of float64
UNARY = {"square": th.square, "negative": th.negative, "abs": th.abs, "tanh": th.tanh, "flip": th.flip}
BINARY = {"add": th.add, "subtract": th.subtract, "multiply": th.multiply}
OPERANDS = "whole", "row", "column", "number", "weights", "constant"
FIXED = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    emulate(monkeypatch)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)


@st.composite
def shapes(draw):
    """Of several blocks, of about as many elements as a block has, and of few."""
    if draw(st.booleans()):
        return (draw(st.integers(1, 40) | st.integers(120, 300)),)
    return draw(st.integers(1, 40)), draw(st.integers(1, 33))


STEP = st.sampled_from([*UNARY]) | st.tuples(st.sampled_from([*BINARY]), st.sampled_from(OPERANDS))


def trained(chain, shape, dtype, eager=False):
    """The losses of some steps, how all is afterwards, and the program. chain: operations, each of the last result."""
    rng = np.random.default_rng(len(chain))

    def some(*lengths):
        return rng.uniform(0.5, 1.5, (STEPS, *lengths)).astype(dtype)

    constant = th.tensor(some(*shape)[0])
    stacks = some(*shape), some(shape[-1]), some(*shape[:-1], 1), some()
    params, tower = {"weights": th.tensor(some(*shape)[0], requires_grad=True)}, SGD(1e-3)

    def loss(params, whole, row, column, number):
        z = params["weights"]
        given = {"whole": whole, "row": row, "column": column, "number": number, "constant": constant, **params}
        for step in chain:
            z = UNARY[step](z) if isinstance(step, str) else BINARY[step[0]](z, given[step[1]])
        return th.sum(z)

    if eager:
        losses = [eager_step(loss, params, tower, batch) for batch in zip(*stacks)]
        return losses, snapshot(tower, params), None
    train = th.replay(loss, params, tower)
    losses = train.over(*stacks)
    return [*losses], snapshot(tower, params), train.program


@settings(max_examples=25, **FIXED)
@given(chain=st.lists(STEP, min_size=2, max_size=6), shape=shapes(), dtype=st.sampled_from([np.float32, np.float64]))
def test_chains_have_the_same_bits_as_without_blocks_and_eagers(chain, shape, dtype, monkeypatch):
    with guard_bytes():
        losses, after, program = trained(chain, shape, dtype)
    monkeypatch.setattr(blocks, "BLOCK", 1 << 60)
    whole, left, plain = trained(chain, shape, dtype)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    assert losses == whole and after == left
    assert not sheet(plain).groups
    size = np.prod(shape) * np.dtype(dtype).itemsize
    if size <= blocks.FEW * BLOCK:
        assert not sheet(program).groups
    elif len(shape) == 1 and "flip" not in chain:
        assert sheet(program).groups
    expected, end, _ = trained(chain, shape, dtype, eager=True)
    np.testing.assert_allclose(losses, expected, rtol=1e-4 if dtype == np.float32 else 1e-12)
    if "tanh" not in chain:  # of which NumPy has another loop for few elements
        assert after == end


@settings(max_examples=30)
@given(
    rounds=st.integers(2, 6),
    calls=st.integers(1, 4),
    moves=st.lists(st.tuples(st.integers(0, 3), *[st.integers(-99, 99)] * 4), max_size=4, unique_by=lambda m: m[0]),
)
def test_functions_are_called_round_after_round_with_words_that_move(rounds, calls, moves):
    words, noted = np.arange(4) * 1000, []
    functions = [FUNCTION(lambda place, n=n: noted.append((n, place, words.tolist()))) for n in range(calls)]
    called = np.array([[ctypes.cast(function, ctypes.c_void_p).value, n] for n, function in enumerate(functions)])
    told = np.array([[words.ctypes.data + 8 * place, *changes] for place, *changes in moves], np.int64).reshape(-1, 5)
    own = np.array([rounds, called.ctypes.data, *called.shape, told.ctypes.data, *told.shape])
    FUNCTION(driver.blocks())(own.ctypes.data)
    expected = np.arange(4) * 1000
    for turn in range(rounds):
        for place, first, later, last, _ in moves:
            expected[place] += first if turn == 0 else last if turn == rounds - 1 else later
        assert noted[turn * calls : (turn + 1) * calls] == [(n, n, expected.tolist()) for n in range(calls)]
    assert len(noted) == rounds * calls
    for place, *_, after in moves:
        expected[place] += after
    assert words.tolist() == expected.tolist()


def program_of(chain, length=200):
    return trained(chain, (length,), np.float64)[2]


def test_what_runs_block_after_block_is_shown(monkeypatch):
    program = program_of(["square", "negative", "tanh", "flip", "square", "abs"])
    assert sheet(program).groups[:2] == [[1, 2, 3], [5, 6]]  # 5 writes where 4 reads from the end on
    rows = {line.split()[0]: line[4:6] for line in str(program).splitlines() if line[:3].strip().isdigit()}
    assert [rows[number] for number in "1234567"] == ["┌=", "│=", "└~", " =", "┌=", "└=", " ~"]
    assert "┌ to └" in str(program) and program.svg().count("th-bracket") == len(sheet(program).groups)
    assert '"group":1' in program.to_json().replace(" ", "")
    monkeypatch.setattr(drawing, "MOST", 3)
    assert program.svg().count("th-bracket") == 1
    alone = program_of(["square", "negative"], 2)
    assert "┌" not in str(alone) and "block after block" not in alone.svg()


def test_what_a_group_alone_reads_stays_where_the_cache_has_it(monkeypatch):
    """Backward reads the result of the first line, and the sum that of the last; nobody else reads that of abs."""
    given = []

    def noted(*args):
        given.append(args)
        return blocks_of(*args)

    blocks_of = blocks.in_blocks
    monkeypatch.setattr("tinyhyper.program.native.in_blocks", noted)
    program_of(["negative", "abs", "negative"])
    group = given[0][0][0][0]
    steps = [move[3] for move in group.moves.tolist() if move[2] == 0]
    assert group.rounds == 7 and steps == [BLOCK, BLOCK, BLOCK, 0, 0, BLOCK]


def test_lines_of_groups_are_timed_one_by_one():
    params = {"w": th.tensor(np.ones(500), requires_grad=True)}
    train = th.replay(lambda params: th.sum(th.square(th.negative(params["w"]))), params, SGD(1e-3))
    train.over(steps=8)
    assert sheet(train.program).groups
    assert [row[1] for row in train.profile(repeat=1).rows][:2] == ["negative", "square"]


def test_a_window_has_groups_of_its_own_in_each_step():
    params = {"w": th.tensor(np.ones(500), requires_grad=True)}
    tower = SGD(1e-3, optimizer=SGD(1e-6), horizon=2)
    train = th.replay(lambda params: th.sum(th.square(th.negative(params["w"]))), params, tower)
    train.over(steps=20)
    firsts = [group[0] for group in sheet(train.program).groups]
    assert len(train.program.bodies) == 2 and firsts[0] == 1 and len(train.program.bodies[0].instructions) + 1 in firsts
    numbers = [n for body in train.program.groups for n in body if n]
    assert sorted({*numbers}) == [*range(1, max(numbers) + 1)] and numbers == sorted(numbers)


def test_runs_of_a_sweep_have_words_of_their_own():
    def run():
        return {"w": th.tensor(np.linspace(0.0, 1.0, 500), requires_grad=True)}

    def loss(params):
        return th.sum(th.square(th.negative(params["w"])))

    train = th.replay(loss, run(), SGD(1e-3))
    train.over(steps=8)
    losses, _ = train.sweep([(run(), SGD(alpha)) for alpha in (1e-3, 1e-2)], steps=30)
    for row, alpha in zip(losses, (1e-3, 1e-2)):
        np.testing.assert_array_equal(row, th.replay(loss, run(), SGD(alpha)).over(steps=30))


def test_what_is_read_column_by_column_goes_by_itself():
    """Its function finds the columns by the length that a block would change."""
    first = np.arange(600.0).reshape(20, 30)
    eager, replayed = [({"w": th.tensor(first, requires_grad=True)}, SGD(1e-6)) for _ in range(2)]

    def loss(params):
        return th.sum(th.abs(th.square(th.transpose(params["w"]))))

    train = th.replay(loss, *replayed)
    train.over(steps=STEPS)
    for _ in range(STEPS):
        eager_step(loss, *eager, ())
    np.testing.assert_array_equal(replayed[0]["w"].numpy(), eager[0]["w"].numpy())
    grouped = {number for group in sheet(train.program).groups for number in group}
    assert grouped and not grouped & {line.number for line in sheet(train.program).lines if line.op == "transpose"}


def test_only_what_computes_as_many_elements_goes_together():
    params = {"w": th.tensor(np.ones(300), requires_grad=True)}

    def loss(params):
        return th.sum(th.abs(th.square(th.negative(th.square(params["w"]))[:200])))

    train = th.replay(loss, params, SGD(1e-6))
    train.over(steps=STEPS)
    assert sheet(train.program).groups[:2] == [[1, 2], [3, 4, 5]]
