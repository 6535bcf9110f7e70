"""The life of a graph: sweeps, release, retention, cuts, and what holds memory when."""

import copy
import gc
import pickle
import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.testing import collector_off


def leaf(*values, dtype=float):
    return th.tensor(values[0] if len(values) == 1 else values, requires_grad=True, dtype=dtype)


# ---- Leaves and constants.


def test_an_edge_is_one_of_as_many_outputs_as_its_node_has():
    w, z = leaf(1.0, 2.0), leaf(0.0)
    for x in (w, z, w * z, th.sum(w)):
        assert x.edge[0].width == 1 and x.edge[1] == 0


def test_a_tensor_shows_its_values_and_what_is_not_usual_of_it():
    assert repr(th.tensor([0.5, 2.0])) == "tensor([0.5, 2. ])"
    assert repr(leaf(0.5, dtype="f4")) == "tensor(0.5, dtype=float32, requires_grad=True)"


def test_what_is_a_leaf():
    x, c = leaf(1.0), th.tensor(1.0)
    y = x * c
    assert x.requires_grad and x.is_leaf
    assert not c.requires_grad and c.is_leaf
    assert y.requires_grad and not y.is_leaf
    assert not (c * 2).requires_grad and (c * 2).is_leaf


def test_tensor_copies_what_it_is_given():
    array = np.ones(3)
    x = th.tensor(array, requires_grad=True)
    array[:] = 5
    assert x.data.tolist() == [1, 1, 1] and th.tensor(np.ones(2, ">f4")).dtype == np.float32


def test_the_graph_keeps_the_values_that_it_saw():
    """Assigning to data gives a tensor new values; a gradient is still that of the old ones."""
    x = leaf(3.0)
    y = x * x
    x.data = 100.0
    y.backward()
    assert x.grad.item() == 6.0 and x.item() == 100.0
    with pytest.raises(th.ShapeError):
        x.data = [1.0, 2.0]


def test_numpy_does_not_cut_the_graph_silently():
    with pytest.raises(TypeError, match="detach"):
        np.asarray(leaf(1.0))
    assert np.asarray(th.tensor([1.0])).tolist() == [1.0]


# ---- Backward.


def test_gradients_accumulate():
    x = leaf(3.0)
    (x * x).backward()
    first = x.grad
    (2 * x).backward()
    assert x.grad.item() == 8.0
    assert first.item() == 6.0, "the first gradient was written to"


def test_backward_of_a_leaf():
    x = leaf(2.0)
    x.backward()
    x.backward()
    assert x.grad.item() == 2.0


def test_backward_with_a_cotangent():
    for cotangent in ([1.0, 10.0], np.array([1, 10]), th.tensor([1.0, 10.0])):
        x = leaf(1.0, 2.0)
        (x * x).backward(cotangent)
        assert x.grad.data.tolist() == [2.0, 40.0]


@pytest.mark.parametrize("cotangent", [1.0, [1.0, 2.0, 3.0], [[1.0, 2.0]]])
def test_a_cotangent_of_another_shape_is_refused(cotangent):
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(th.ShapeError, match=r"\(2,\)"):
        y.backward(cotangent)
    assert x.grad is None
    y.backward([1.0, 1.0])  # nothing was consumed


def test_a_cotangent_takes_the_dtype_of_its_tensor():
    x = leaf(1.0, 2.0, dtype=np.float32)
    (x * x).backward(np.array([1.0, 2.0]))
    assert x.grad.dtype == np.float32
    with pytest.raises((th.DtypeError, th.ArgumentError)):
        (x * x).backward(np.array([1j, 2.0]))


@pytest.mark.parametrize(
    "constant",
    [
        lambda: th.tensor(1.0),
        lambda: th.tensor(1.0) * 2,
        lambda: leaf(1.0).detach(),
        lambda: leaf(1.0) > 0,
        lambda: th.sign(leaf(1.0)),
        lambda: th.argmax(leaf(1.0, 2.0)),
        th.no_grad()(lambda: leaf(1.0) * 2),
    ],
)
def test_backward_of_a_constant_is_refused(constant):
    with pytest.raises(th.GraphError, match="no gradient is recorded"):
        constant().backward()


def test_detach_shares_memory_and_stops_the_gradient():
    x = leaf(1.0, 2.0)
    cut = x.detach()
    assert not cut.requires_grad and np.shares_memory(cut.data, x.data)
    (x * cut).sum().backward()
    assert x.grad.data.tolist() == [1.0, 2.0]


def test_retain_grad():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    assert y.retain_grad() is y
    z.backward()
    assert (x.grad.item(), y.grad.item(), z.grad) == (12.0, 3.0, None)
    with pytest.raises(th.GraphError, match="retain_grad"):
        th.tensor(1.0).retain_grad()


def test_retain_grad_does_not_keep_the_tensor_alive():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    watch = weakref.ref(y.retain_grad())
    del y
    assert watch() is None
    z.backward()
    assert x.grad.item() == 12.0


def test_gradients_given_to_two_tensors_are_two_tensors():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    middle = (x + y).retain_grad()
    seed = th.tensor([1.0, 1.0])
    (+middle).backward(seed)
    tensors = [x.grad, y.grad, middle.grad, seed]
    x.grad.data = [5.0, 5.0]
    assert [t.data.tolist() for t in tensors] == [[5.0, 5.0], *[[1.0, 1.0]] * 3]


@given(order=st.permutations(range(3)))
def test_a_gradient_lies_in_rows_if_it_is_a_view(order):
    x = th.tensor(np.zeros((2, 3, 4)), requires_grad=True)
    y = x.transpose(order)
    y.backward(cotangent := np.arange(24.0).reshape(y.shape))
    assert x.grad.array.base is None or x.grad.array.flags.c_contiguous
    np.testing.assert_array_equal(x.grad.data, cotangent.transpose(np.argsort(order)))


# ---- Release.


def test_no_gradient_changes_if_any_part_was_released():
    """The released part lies deep in the graph, and other leaves would have been reached before it."""
    x, fresh = leaf(2.0), leaf(1.0)
    shared = th.exp(x)
    (shared * 1.0).backward()
    before = x.grad
    total = fresh * 3 + th.sin(shared)
    with pytest.raises(th.GraphReleasedError, match="exp"):
        total.backward()
    assert x.grad is before and fresh.grad is None


def test_retain_graph():
    x = leaf(2.0)
    y = x * x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 36.0
    with pytest.raises(th.GraphReleasedError):
        y.backward()


def test_what_was_saved_is_free_after_backward():
    x = leaf(np.ones(10_000))
    y = th.exp(x)
    z = th.sum(y)
    watch = weakref.ref(y)
    del y
    assert watch() is None
    z.backward()
    node = z.edge[0]
    assert node.released and not node.saved and not node.inputs and node.context is None
    assert "released" in repr(node)


# ---- Higher orders.


def test_create_graph_through_backward():
    x = leaf(0.5)
    th.sin(x).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward(create_graph=True)
    second = x.grad
    x.grad = None
    second.backward()
    assert [first.item(), second.item(), x.grad.item()] == pytest.approx([np.cos(0.5), -np.sin(0.5), -np.cos(0.5)])


def test_a_recorded_gradient_accumulates_on_the_graph():
    x = leaf(3.0)
    (x * x).backward(create_graph=True)
    (x * x * x).backward(create_graph=True)
    total = x.grad
    x.grad = None
    total.backward()
    assert total.item() == 6.0 + 27.0 and x.grad.item() == 2.0 + 18.0


def test_without_create_graph_a_gradient_is_a_constant():
    x = leaf(3.0)
    (x * x).backward()
    assert not x.grad.requires_grad


# ---- th.gradients.


def test_gradients_touches_no_grad():
    x, y = leaf(2.0), leaf(3.0)
    middle = (x * y).retain_grad()
    dx, dmiddle = th.gradients(middle * middle, [x, middle])
    assert (dx.item(), dmiddle.item()) == (36.0, 12.0)
    assert x.grad is y.grad is middle.grad is None


def test_gradients_of_several_outputs_is_that_of_their_sum():
    x = leaf(1.0, 2.0)
    (found,) = th.gradients([x * x, th.sum(x)], x, [[1.0, 10.0], None])
    assert found.data.tolist() == [3.0, 41.0]
    with pytest.raises(th.ShapeError, match="2 outputs, but 1"):
        th.gradients([x * x, x], x, [[1.0, 1.0]])


def test_an_input_that_was_not_reached_gets_zeros():
    x, other = leaf(2.0), leaf(1.0, 2.0, dtype=np.float32)
    _, zeros = th.gradients(x * x, [x, other])
    assert zeros.data.tolist() == [0.0, 0.0] and zeros.dtype == np.float32
    (zeros,) = th.gradients(x * x, other)
    assert zeros.data.tolist() == [0.0, 0.0]


def test_gradients_goes_no_further_than_its_inputs():
    """What lies below the input is neither swept nor released, and may even have been released before."""
    x = leaf(2.0)
    below = x * x
    middle = below * 3
    middle.backward(retain_graph=True)
    with counting_pullbacks() as done:
        (found,) = th.gradients(th.sin(middle), middle)
    assert found.item() == pytest.approx(np.cos(12.0)) and len(done) == 1
    x.grad = None
    middle.backward()  # not released above
    assert x.grad.item() == 12.0
    (found,) = th.gradients(th.sin(middle), middle)
    assert found.item() == pytest.approx(np.cos(12.0))
    with pytest.raises(th.GraphReleasedError):
        th.gradients(th.sin(middle), x)


def test_gradients_leaves_branches_without_inputs_alone():
    x, y = leaf(2.0), leaf(3.0)
    branch = y * y
    out = x * x + branch
    th.gradients(out, x)
    branch.backward()
    assert y.grad.item() == 6.0


def test_the_same_input_twice():
    x = leaf(2.0)
    first, second = th.gradients(x * x, [x, x])
    assert first.item() == second.item() == 4.0
    assert first is not second


# ---- no_grad.


def test_no_grad_as_a_block_nested_and_after_an_exception():
    x = leaf(2.0)
    with th.no_grad():
        assert not (x * x).requires_grad
        with th.no_grad():
            pass
        assert not (x * x).requires_grad
    assert (x * x).requires_grad
    with pytest.raises(ZeroDivisionError), th.no_grad():
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_no_grad_as_a_decorator_that_recurses():
    x = leaf(2.0)

    @th.no_grad()
    def f(depth):
        """Documented."""
        assert not (x * x).requires_grad
        return f(depth - 1) if depth else x * x

    assert not f(3).requires_grad and f.__doc__ == "Documented."
    assert (x * x).requires_grad


def test_backward_inside_no_grad():
    x = leaf(2.0)
    y = x * x
    with th.no_grad():
        y.backward(create_graph=True)
        assert x.grad.requires_grad
        assert not (x * x).requires_grad


# ---- What is not done.


@contextmanager
def counting_pullbacks():
    """The calls of every node's pullback within: pairs of node name and what was wanted."""
    done, original = [], Node.pullback

    def spy(self, cotangents, wanted):
        done.append((self.op.name, list(wanted)))
        return original(self, cotangents, wanted)

    Node.pullback = spy
    try:
        yield done
    finally:
        Node.pullback = original


def test_a_gradient_that_nobody_needs_is_not_computed():
    batch, weights, bias = th.tensor(np.ones((4, 3))), leaf(np.ones((3, 2))), leaf(np.ones(2))
    with counting_pullbacks() as done:
        th.sum(th.tanh(batch @ weights + bias)).backward()
    assert ("matmul", [False, True]) in done and len(done) == 4
    with counting_pullbacks() as done:
        th.gradients(th.sum(th.tanh(batch @ weights + bias)), bias)
    assert ("add", [False, True]) in done
    assert not any(name == "matmul" for name, _ in done)


def test_what_only_depends_on_constants_is_not_recorded():
    c = th.tensor(np.ones(3))
    assert (th.exp(c) * c).edge is None
    x = leaf(1.0, 2.0, 3.0)
    assert (x * th.exp(c)).edge[0].inputs[1] is None


# ---- Size and memory.


def test_a_chain_of_100_000_operations():
    x = leaf(1.0)
    with collector_off():
        y = x
        for _ in range(100_000):
            y = y * 1.00001
        y.backward()
        assert x.grad.item() == pytest.approx(np.exp(1.0), rel=1e-5)
        del y


def test_a_long_chain_may_be_dropped_without_a_sweep():
    """Nodes are freed by their reference counts, one freeing the next: that must not overflow the stack."""
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    del y


@th.fuse
def _fused(a):
    return a * a + 1


def _step(x):
    y = th.sum(th.tanh(x * 2 + 1) ** 2)
    (first,) = th.gradients(y, x, create_graph=True)
    (th.sum(first * first) + th.sum(_fused(x))).backward()
    x.grad = None
    with th.no_grad():
        th.sum(x)
    th.gradients(th.concatenate([x, x])[1:].reshape(-1, 1).sum(), x)


def test_no_reference_cycles():
    """With the garbage collector off, everything is gone when the last user is; on, it finds nothing of the engine."""
    x = leaf(np.linspace(0, 1, 4))
    for _ in range(3):
        _step(x)
    gc.collect()
    with collector_off():
        _step(x)
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            found = [type(o).__module__ + "." + type(o).__name__ for o in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not [name for name in found if name.startswith("tinyhyper")], found
        assert not found


@pytest.mark.slow
def test_memory_is_flat():
    x = leaf(np.linspace(0, 1, 4))
    for _ in range(50):
        _step(x)
    gc.collect()
    with collector_off():
        for _ in range(2_500):  # Python keeps up to 2,000 freed tuples of a length for their next use
            _step(x)
        tracemalloc.start()
        try:
            _step(x)
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(300):
                _step(x)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert grown < 4_000, f"{grown} bytes more after 300 steps"


# ---- Random graphs against a reference that recurses.

OPERATIONS = {
    "add": (lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "mul": (lambda a, b: a * b, lambda a, b: (b, a)),
    "sub": (lambda a, b: a - b, lambda a, b: (1.0, -1.0)),
    "sin": (lambda a, b: th.sin(a), lambda a, b: (np.cos(a), 0.0)),
    "tanh": (lambda a, b: th.tanh(a * b), lambda a, b: (b / np.cosh(a * b) ** 2, a / np.cosh(a * b) ** 2)),
    "cut": (lambda a, b: a.detach() * b, lambda a, b: (0.0, a)),
    "max": (lambda a, b: th.maximum(a, b), lambda a, b: (0.5 * (a == b) + (a > b), 0.5 * (a == b) + (a < b))),
}


def _reference(steps, values, place):
    """d last / d values[place], by the chain rule along every path."""
    last = len(values) - 1
    if last == place:
        return 1.0
    if not steps:
        return 0.0
    name, (i, j) = steps[-1]
    partials = OPERATIONS[name][1](values[i], values[j])
    total = 0.0
    for source, partial in zip((i, j), partials):
        before = steps[: max(len(steps) - (last - source), 0)]  # those that made the values up to the source
        total += partial * _reference(before, values[: source + 1], place)
    return total


@st.composite
def _graphs(draw):
    """Leaves, and steps that each read two earlier values."""
    leaves = draw(st.lists(st.floats(-2, 2).filter(lambda v: abs(v) > 0.1), min_size=1, max_size=3))
    steps = []
    for n in range(draw(st.integers(1, 9))):
        place = st.integers(max(0, len(leaves) + n - 4), len(leaves) + n - 1)
        steps.append((draw(st.sampled_from(sorted(OPERATIONS))), (draw(place), draw(place))))
    return leaves, steps


def _run(leaves, steps):
    values = list(leaves)
    for name, (i, j) in steps:
        values.append(OPERATIONS[name][0](values[i], values[j]))
    return values


@given(graph=_graphs())
def test_random_graphs(graph):
    """backward() and gradients() agree with the chain rule along every path, for leaves and for values between."""
    leaves, steps = graph
    xs = [leaf(v) for v in leaves]
    tensors = _run(xs, steps)
    values = [t.item() for t in tensors]
    expected = [_reference(steps, values, place) for place in range(len(values))]
    out = tensors[-1]
    if not out.requires_grad:
        return
    asked = [n for n, t in enumerate(tensors) if t.requires_grad]
    found = th.gradients(out, [tensors[n] for n in asked], retain_graph=True)
    for n, grad in zip(asked, found):
        assert grad.item() == pytest.approx(expected[n], rel=1e-9, abs=1e-12)
    for t in tensors:
        if t.requires_grad:
            t.retain_grad()
    out.backward()
    for n in asked:
        grad = tensors[n].grad
        assert (0.0 if grad is None else grad.item()) == pytest.approx(expected[n], rel=1e-9, abs=1e-12)


def test_a_copy_of_a_leaf_is_a_leaf_of_its_own():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        th.sum(twin * twin).backward()
        np.testing.assert_array_equal(twin.grad.data, [2.0, 4.0])
        assert x.grad is None and not np.shares_memory(twin.array, x.array)


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_lies_in_memory_as_the_leaf_does_and_needs_no_more(twin_of):
    whole = np.arange(24.0).reshape(4, 6)
    for array, strides in (
        (whole, (48, 8)), (whole.T, (8, 48)), (whole[:, 1], (8,)), (np.broadcast_to(1.5, (3,)), (8,)),
        (whole[0, ::-1], (8,)),
    ):  # fmt: skip
        twin = twin_of(th.Tensor(array))
        assert twin.array.strides == strides and twin.array.base is None and twin.array.tolist() == array.tolist()
