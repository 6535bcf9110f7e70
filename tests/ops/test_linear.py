"""The linear layer: the factory's properties, and that it is what its parts are, on the tape and in numbers."""

import numpy as np
import pytest
from factory import SEEDS, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th


@th.fuse
def _swish(z):
    return z * th.sigmoid(z)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


# Of tanh and sigmoid the derivative reads the result, of swish the product and the bias, of None nothing.
ACTIVATIONS = {None: lambda z: z, th.tanh: np.tanh, th.sigmoid: _sigmoid, _swish: lambda z: z * _sigmoid(z)}
SIDE = st.integers(1, 4)


@st.composite
def _layers(draw):
    rows, inputs, outputs = draw(st.lists(SIDE, max_size=2)), draw(SIDE), draw(SIDE)
    bias = draw(st.sampled_from([(outputs,), (1,), (), (rows[-1], 1) if rows else (outputs,)]))
    if len(bias) > len(rows) + 1:
        bias = (outputs,)
    options = {"activation": draw(st.sampled_from([*ACTIVATIONS]))}
    return example([(*rows, inputs), (inputs, outputs), bias], options, draw(SEEDS))


def _reference(x, weight, bias, activation=None):
    return ACTIVATIONS[activation](x @ weight + bias)


ROWS = [Row("linear", _reference, _layers(), integers=False)]

test_property = pytest.mark.slow(property_test(ROWS))  # each activation is a kernel, and its derivatives are more


def _in_parts(x, weight, bias, activation):
    z = x @ weight if bias is None else x @ weight + bias
    return z if activation is None else activation(z)


@given(
    seed=SEEDS,
    sizes=st.tuples(*[st.sampled_from([1, 3, 10, 33, 130])] * 3),
    dtype=st.sampled_from([np.float32, np.float64]),
    activation=st.sampled_from([*ACTIVATIONS, th.relu]),
    biased=st.booleans(),
)
def test_it_is_the_sum_of_its_parts(seed, sizes, dtype, activation, biased):
    """Values and gradients, at sizes at which NumPy, BLAS and the kernels take their turns."""
    rng = np.random.default_rng(seed)
    rows, inputs, outputs = sizes
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in [(rows, inputs), (inputs, outputs), (outputs,)]]
    found = []
    for layer in (th.linear, _in_parts):
        x, weight, bias = (th.tensor(array, requires_grad=True) for array in arrays)
        out = layer(x, weight, bias if biased else None, activation)
        assert out.dtype == dtype and out.shape == (rows, outputs)
        found.append([out, *th.gradients(th.sum(out * out), [x, weight, *[bias] * biased])])
    tolerance = 200 * np.finfo(dtype).eps
    for one, other in zip(*found):
        np.testing.assert_allclose(one.data, other.data, rtol=tolerance, atol=tolerance * (1 + abs(other.data).max()))


def test_only_what_the_derivative_reads_is_kept():
    x, weight, bias = (th.tensor(np.ones(shape), requires_grad=True) for shape in [(3, 4), (4, 2), (2,)])
    node = th.linear(x, weight, bias, th.tanh).edge[0]
    assert [array.shape for array in node.saved] == [(3, 2), (2,)]  # the argument of tanh: the product, and the bias
    assert len(th.linear(x, weight, bias).edge[0].saved) == 0
    with th.no_grad():
        assert th.linear(x, weight, bias, th.tanh).edge is None
    frozen = th.linear(x.detach(), weight.detach(), bias, th.tanh)
    assert frozen.edge[0].inputs[0] is None and frozen.edge[0].inputs[1] is not None


def test_a_second_derivative_through_the_layer():
    x = th.tensor(np.array([[0.3, -0.2]]), requires_grad=True)
    weight = th.tensor(np.array([[0.5], [1.5]]), requires_grad=True)
    (first,) = th.gradients(th.linear(x, weight, None, th.tanh), weight, create_graph=True)
    (second,) = th.gradients(th.sum(first), x)
    y = np.tanh(x.data @ weight.data)[0, 0]
    slope, bend = 1 - y**2, -2 * y * (1 - y**2)
    expected = slope + bend * x.data.sum() * weight.data[:, 0]
    np.testing.assert_allclose(second.data[0], expected, rtol=1e-12)


def test_vectors_stacks_and_integers_take_the_plain_way():
    weight, bias = th.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True), th.tensor(np.ones(2))
    assert th.linear([1, 2, 3], weight, bias).data.tolist() == [17.0, 23.0]
    stack = np.ones((4, 2, 3))
    assert th.linear(stack, weight, bias, th.tanh).shape == (4, 2, 2)
    assert th.linear(stack, np.ones((4, 3, 2)), bias).shape == (4, 2, 2)


def test_a_number_as_bias_keeps_the_dtype():
    x, weight = np.ones((2, 3), np.float32), np.ones((3, 5), np.float32)
    found = th.linear(x, weight, 1.0, th.tanh)
    assert found.dtype == np.float32
    after = th.fuse(lambda product, bias: th.tanh(product + bias))
    np.testing.assert_array_equal(found.data, after(th.matmul(x, weight), 1.0).data)


def test_scalar_biases_of_every_kind_in_turn():
    x, weight = np.ones((40, 3), np.float32), np.ones((3, 50), np.float32)  # enough elements for a kernel
    small, large = th.tensor(np.float32(2)), th.tensor(np.float64(2))
    for bias, dtype in [(2.0, "f4"), (large, "f8"), (small, "f4"), (2.0, "f4"), (small, "f4"), (large, "f8")]:
        assert th.linear(x, weight, bias, th.tanh).dtype == dtype


def test_a_recording_sees_the_parts_where_nothing_goes_on_the_graph():
    x, weight = np.ones((2, 3)), np.ones((3, 5))
    th.linear(x, weight, None, th.tanh)
    with th.record() as tape, th.no_grad():
        th.linear(x, weight, None, th.tanh)
    assert {"matmul", "tanh"} <= {node.op for node in tape.nodes}
