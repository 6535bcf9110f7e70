"""Random programs and towers, replayed: with eager's bits, and in memory within rounding, between guard bytes."""

from unittest import mock

import numpy as np
import pytest
from backends import compiler_is_off
from drawn_towers import snapshot
from guarded import guard_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.optim import SGD
from tinyhyper.program import blocks, handles
from tinyhyper.program.compare import distance
from tinyhyper.testing.operations import OPERATIONS
from tinyhyper.testing.program import Program, Step
from tinyhyper.testing.tower import Level, Tower

STEPS = 12
CLOSE = 1e-9  # of the largest element: a chain of a few operations loses some of the 16 digits
QUICK = "add", "multiply", "tanh", "matmul", "sum", "transpose", "maximum", "getitem"  # whose kernels are soon compiled


class Run:
    """A program as a loss: the inputs are weights, and how much each output counts comes with the batch."""

    def __init__(self, program):
        self.program = program
        self.params = {f"x{n}": th.tensor(x, requires_grad=True) for n, x in enumerate(program.inputs)}
        self.tower = SGD(1e-7, optimizer=SGD(1e-9))  # so short steps that all stays smooth

    def loss(self, params, *shares):
        outputs = self.program.run([*params.values()])
        return sum(th.sum(out * share) for out, share in zip(outputs, shares))

    def batches(self):
        with th.no_grad():
            shapes = [out.shape for out in self.program.run([*self.params.values()])]
        rng = np.random.default_rng(len(self.program.steps))
        return [[rng.standard_normal(shape) for shape in shapes] for _ in range(STEPS)]


def compare(program, exact=False, side_by_side=False):
    """Make the same steps by the eager engine and replayed, some one by one and some at once."""
    eager, replayed = Run(program), Run(program)
    given = eager.batches()
    expected = [eager_step(eager.loss, eager.params, eager.tower, batch) for batch in given]
    train = th.replay(replayed.loss, replayed.params, replayed.tower, exact=exact, side_by_side=side_by_side)
    losses = [train(*batch) for batch in given[:6]]
    losses += [*train.over(*map(np.array, zip(*given[6:])))]
    assert train.program is not None
    if exact:
        assert losses == expected
        assert snapshot(replayed.tower, replayed.params) == snapshot(eager.tower, eager.params)
    assert distance(np.array(losses), np.array(expected)) <= CLOSE
    for name, w in replayed.params.items():
        assert distance(w.numpy(), eager.params[name].numpy()) <= CLOSE, name


def compare_tower(tower, seed, side_by_side=False):
    """The same of a tower, over a loss of its own."""
    eager, replayed = (make(tower.build(), seed=seed) for _ in range(2))
    given = batches(16, seed=seed)
    expected = [eager_step(loss_of, *eager, batch) for batch in given]
    train = th.replay(loss_of, *replayed, side_by_side=side_by_side)
    losses = [train(*batch) for batch in given[:11]]
    losses += [*train.over(*map(np.array, zip(*given[11:])))]
    assert train.program is not None
    assert distance(np.array(losses), np.array(expected)) <= 1e-12
    for name, w in replayed[0].items():
        assert distance(w.numpy(), eager[0][name].numpy()) <= 1e-12, name


FIXED = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@pytest.mark.parametrize("small", [handles.SMALL, 8], ids=["as it is", "all arrays but numbers may go"])
@settings(max_examples=25)
@given(program=testing.programs(max_steps=5))
def test_programs_have_the_bits_of_the_eager_engine(small, program):
    with mock.patch.object(handles, "SMALL", small):
        compare(program, exact=True)


@settings(max_examples=15, **FIXED)
@given(program=testing.programs(max_steps=5), side_by_side=st.booleans())
def test_programs_run_by_python_stay_in_their_buffers(by_python, program, side_by_side):
    with guard_bytes() as guards:
        compare(program, side_by_side=side_by_side)
    assert guards


@settings(max_examples=8)
@given(
    program=testing.programs(max_steps=4, operations=QUICK),
    side_by_side=st.booleans(),
    block=st.sampled_from([blocks.BLOCK, 16]),
)
def test_programs_run_by_c_functions_stay_in_their_buffers(program, side_by_side, block):
    with guard_bytes() as guards, mock.patch.object(blocks, "BLOCK", block):
        compare(program, side_by_side=side_by_side)
    assert guards or compiler_is_off()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=3)
@given(data=st.data())
def test_every_operation_stays_in_its_buffers(name, data):
    with guard_bytes(), mock.patch.object(blocks, "BLOCK", data.draw(st.sampled_from([blocks.BLOCK, 16]))):
        compare(data.draw(testing.programs(max_steps=2, operations=[name])), side_by_side=data.draw(st.booleans()))


@settings(max_examples=2, **FIXED)
@given(tower=testing.towers(("w", "b"), max_height=2), seed=st.integers(0, 99), side_by_side=st.booleans())
def test_towers_stay_in_their_buffers(either, tower, seed, side_by_side):
    with guard_bytes() as guards:
        compare_tower(tower, seed, side_by_side)
    assert guards or compiler_is_off()


def test_a_byte_outside_is_seen(by_python):
    with pytest.raises(AssertionError, match="beside a buffer"), guard_bytes() as guards:
        compare_tower(Tower((Level(SGD, {"alpha": 0.1}, {}),)), 0)
        guards[-1][-1] ^= 1


@pytest.mark.parametrize("channels", [1, 2])
def test_a_normalization_by_the_batch_is_replayed(channels):
    """Its guess of the means is an operation too, else it would be taken for a constant wherever two steps agree."""
    inputs = np.array([0.55, -0.92, -1.84, -1.93]).repeat(channels).reshape(4, channels), *np.ones((2, channels))
    compare(Program(inputs, (Step("batch_norm", (0, 1, 2), {}),)), exact=True)
