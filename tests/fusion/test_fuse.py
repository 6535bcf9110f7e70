"""th.fuse: a fused function is one node and has the values and derivatives of the same function eager."""

import numpy as np
import pytest
from backends import elementwise_backend
from factory import assert_close, leaves
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyhyper as th
from tinyhyper.fusion.fuse import trace
from tinyhyper.testing.operations import ELEMENTWISE

MODERATE = np.array([-1.5, -0.2, 0.2, 1.5])


def applied(name, operands, options):
    """An operation of the table; operands that need not be in its domain are led there."""
    row, led = ELEMENTWISE[name], []
    for n, operand in enumerate(operands):
        for guard in () if row.domain(n).holds(MODERATE) else row.domain(n).guard:
            operand = getattr(th, guard)(operand)
        led.append(operand)
    return row.of(th, name)(*led, **options)


def mixed(kind, operands, number):
    """An operation on a number, or several."""
    a, b = operands[0], operands[-1]
    if kind == "scalar":
        return number * a + 0.25 if isinstance(number, float) else a * 0.5 - number
    return th.where(a > b, th.tanh(a), 0.5 * b) if kind == "comparison" else a / (1.0 + b * b)


@st.composite
def programs(draw):
    """A random function of one to three arguments: steps over earlier values and constants, and which are returned."""
    count = draw(st.integers(1, 3))
    steps = []
    for n in range(draw(st.integers(1, 6))):
        place = st.integers(0, count + n - 1)
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(ELEMENTWISE)))
            further, options = ELEMENTWISE[name].arrange(draw, ())
            steps.append((applied, name, [draw(place) for _ in range(1 + len(further))], options))
        else:
            kind, number = draw(st.sampled_from(["scalar", "comparison", "ratio"])), st.sampled_from([0.5, -1.5, 2, 3])
            steps.append((mixed, kind, [draw(place), draw(place)], draw(number)))
    outputs = draw(st.lists(st.integers(0, count + len(steps) - 1), min_size=1, max_size=3))
    return count, steps, [*outputs[:-1], count + len(steps) - 1]


def function_of(program):
    _, steps, outputs = program

    def run(*args):
        values = list(args)
        for apply, name, places, more in steps:
            values.append(apply(name, [values[n] for n in places], more))
        return tuple(values[n] for n in outputs)

    return run


def derivatives(function, arrays, cotangents):
    """Outputs, gradients, and second derivatives."""
    xs = leaves(arrays)
    outs = function(*xs)
    grads = th.gradients(
        list(outs), xs, [np.broadcast_to(c, o.shape) for o, c in zip(outs, cotangents)], create_graph=True
    )
    again = [g for g in grads if g.requires_grad]
    seconds = th.gradients(again, xs, [np.ones(g.shape) for g in again]) if again else ()
    return [t.data for t in (*outs, *grads, *seconds)]


def agree(program, shapes, seed, rtol=1e-12):
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-1.5, 1.5, shape) for shape in shapes]
    cotangents = rng.uniform(0.5, 1.5, 3)
    function, shape = function_of(program), np.broadcast_shapes(*shapes)

    def eager_function(*xs):
        """Every argument of a fused function is an operand of every output: all have the shape of all together."""
        return function(*[th.broadcast_to(x, shape) for x in xs])

    found = (derivatives(f, arrays, cotangents) for f in (th.fuse(function), eager_function))
    for one, eager in zip(*found):
        assert one.dtype == eager.dtype
        assert_close(one, eager, "fused", 1e-2 * (1 + np.abs(eager).max(initial=0.0)), rtol)


@settings(max_examples=150)
@given(program=programs(), data=st.data())
def test_fused_equals_eager(program, data):
    elementwise_backend("numpy")
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=program[0], min_side=0, max_side=3, max_dims=3)
    ).input_shapes
    agree(program, shapes, data.draw(st.integers(0, 1000)))


@pytest.mark.slow
@settings(max_examples=12, derandomize=True)  # always the same programs: their kernels are on disk the next time
@given(program=programs(), transposed=st.booleans())
def test_fused_kernels_equal_eager(program, transposed):
    elementwise_backend("auto")
    shapes = [(3, 4), (4,), (3, 1)][: program[0]]
    agree(program, shapes[::-1] if transposed else shapes, 1)


def test_a_sum_is_not_taken_for_its_terms():
    """The gradient of an operand that was broadcast is a sum; its own derivative must not read it as one element."""

    def function(a, b):
        angle = th.arctan(a)
        return angle, th.tanh(angle)

    a, b = (th.tensor(values, requires_grad=True) for values in (0.4, np.ones(2)))
    outs = th.fuse(function)(a, b)
    (first,) = th.gradients(list(outs), a, [np.ones(2), np.full(2, 0.7)], create_graph=True)
    (second,) = th.gradients(first, a)

    def slope(x):
        return 2 * (1 + 0.7 * (1 - np.tanh(np.arctan(x)) ** 2)) / (1 + x * x)

    assert first.item() == pytest.approx(slope(0.4), rel=1e-12)
    assert second.item() == pytest.approx((slope(0.4 + 1e-5) - slope(0.4 - 1e-5)) / 2e-5, rel=1e-8)


NUMBERS = {
    "power: x ** 3": lambda a: a**3,
    "power: x ** -1.5": lambda a: a**-1.5,
    "power: 2 ** x": lambda a: 2**a,
    "square: x ** 2": lambda a: a**2,
    "divide: 1 / x": lambda a: 1 / a,
    "subtract: 3 - x": lambda a: 3 - a,
    "maximum(x, 1)": lambda a: th.maximum(a, 1),
    "minimum(1, x)": lambda a: th.minimum(1, a),
    "logaddexp(x, 0)": lambda a: th.logaddexp(a, 0),
    "clip(x, 0.5, 1)": lambda a: th.clip(a, 0.5, 1),
    "where(x > 1, x, 0)": lambda a: th.where(a > 1, a, 0),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_operations_with_a_number(name, backend):
    """Also inside the derivatives, where an operation may see nothing but numbers."""
    elementwise_backend(backend)

    def function(a):
        return (NUMBERS[name](a),)

    for dtype in (np.float32, np.float64)[:: 1 if name == "power: x ** 3" else 2]:
        arrays = [np.array([0.25, 0.75, 1.75], dtype)]
        for one, eager in zip(derivatives(th.fuse(function), arrays, [1.0]), derivatives(function, arrays, [1.0])):
            assert one.dtype == eager.dtype == dtype
            np.testing.assert_allclose(one, eager, rtol=1e-6 if dtype == np.float32 else 1e-13)


# ---- One node, and what it saves.


def adam(w, g, m, v, alpha=0.1, beta=0.9):
    m = beta * m + (1.0 - beta) * g
    v = beta * v + (1.0 - beta) * g * g
    return w - alpha * m / (th.sqrt(v) + 1e-8), m, v


def test_a_call_is_one_node():
    xs = leaves([np.full(3, n + 1.0) for n in range(4)])
    w, m, v = th.fuse(adam)(*xs)
    assert w.edge[0] is m.edge[0] is v.edge[0]
    assert [edge and edge[0].op for edge in w.edge[0].inputs[:4]] == [None] * 4
    assert w.edge[0].op.name == "adam"
    assert w.edge[0].width == 3


SHAPES, ORDERS = st.sampled_from([(), (1,), (4,), (4, 4)]), st.sampled_from(["rows", "turned", "apart"])
LAYOUTS = st.tuples(SHAPES, st.sampled_from(["f4", "f8"]), ORDERS)


def lying(shape, dtype, layout):
    """An array that lies so; of a number, and of a row, there are fewer ways."""
    array = np.ones(shape, dtype)
    return array.T if layout == "turned" else np.repeat(array, 2, axis=0)[::2] if layout == "apart" and shape else array


@given(first=LAYOUTS, other=LAYOUTS, rest=LAYOUTS)
@example(first=((), "f4", "rows"), other=((), "f8", "rows"), rest=((), "f4", "rows"))
@example(first=((4,), "f4", "rows"), other=((4,), "f4", "apart"), rest=((4,), "f4", "rows"))
@example(first=((1,), "f4", "rows"), other=((4,), "f4", "rows"), rest=((), "f4", "rows"))
def test_a_plan_is_of_shapes_dtypes_and_how_arrays_lie(first, other, rest):
    product, _ = trace(lambda x, y: x * y, 2, eager=True)
    plans, known = [], []
    for layout in (first, other, first):
        arrays = [lying(*layout), lying(*rest)]
        plans.append(product.plan(arrays))
        known.append([(x.shape, x.dtype, x.strides) for x in arrays])
    assert plans[0] is plans[2]
    assert (plans[0] is plans[1]) == (known[0] == known[1])


def test_arguments_by_name_and_by_default():
    fused = th.fuse(adam)
    arrays = [np.full(3, n + 1.0) for n in range(4)]
    for args, kwargs in [
        ((), {}),
        ((0.5,), {}),
        ((), {"alpha": 0.5}),
        ((0.5, 0.8), {}),
        ((), {"beta": 0.8, "alpha": 0.5}),
    ]:
        expected = adam(*map(th.tensor, arrays), *args, **kwargs)
        for one, eager in zip(fused(*map(th.tensor, arrays), *args, **kwargs), expected):
            np.testing.assert_allclose(one.data, eager.data, rtol=1e-14)


def test_a_keyword_argument_can_be_differentiated():
    alpha = th.tensor(0.1, requires_grad=True)
    w, _, _ = th.fuse(adam)(*[th.tensor(np.full(3, n + 1.0)) for n in range(4)], alpha=alpha)
    th.sum(w).backward()
    assert alpha.grad.shape == () and alpha.grad.item() < 0


def test_an_unused_output_costs_no_cotangent_and_every_subset_is_right():
    arrays = [np.full(3, n + 1.0) for n in range(4)]
    for used in ([0], [1], [2], [0, 2], [1, 2], [0, 1, 2]):
        found = []
        for function in (adam, th.fuse(adam)):
            xs = leaves(arrays)
            outs = function(*xs)
            sum((th.sum(outs[n]) for n in used), th.tensor(0.0)).backward()
            found.append([np.zeros(3) if x.grad is None else x.grad.data for x in xs])
        np.testing.assert_allclose(found[1], found[0], rtol=1e-13)


def test_an_output_that_is_an_input_and_one_that_is_a_number():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    same, number, twice, again = th.fuse(lambda a: (a, 3.0, 2 * a, a))(x)
    assert same.data.tolist() == [1, 2] and np.all(number.data == 3.0) and not number.requires_grad
    (same * twice * again).sum().backward()
    assert x.grad.data.tolist() == [6.0, 24.0]


def test_only_what_the_derivative_reads_is_saved():
    x = th.tensor(np.ones(5), requires_grad=True)
    y = th.fuse(lambda a: 2.0 * a + 1.0)(x)
    assert not y.edge[0].saved
    y = th.fuse(lambda a: th.exp(a))(x)
    assert len(y.edge[0].saved) == 1 and y.edge[0].saved[0] is y.array


def test_fused_functions_nest():
    inner = th.fuse(lambda a, b: a * th.sin(b))
    outer = th.fuse(lambda a, b: inner(a, b) + inner(b, a))
    x, y = leaves([np.array(0.3), np.array(0.7)])
    out = outer(x, y)
    assert [edge[0].op for edge in out.edge[0].inputs] == [None, None]
    out.backward()
    assert x.grad.item() == pytest.approx(np.sin(0.7) + 0.7 * np.cos(0.3))


def test_third_derivative_of_a_fused_function():
    x = th.tensor(0.5, requires_grad=True)
    y = th.fuse(lambda a: th.sin(a) * 2.0)(x)
    for expected in (2 * np.cos(0.5), -2 * np.sin(0.5), -2 * np.cos(0.5)):
        (y,) = th.gradients(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_decorated_functions_keep_their_name_and_docstring():
    @th.fuse
    def f(x):
        """Documented."""
        return x

    assert f.__name__ == "f" and f.__doc__ == "Documented."


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept_around_python_numbers(dtype):
    x = th.tensor(np.ones((2, 3), dtype), requires_grad=True)
    out = th.fuse(lambda a, s: 2.0 * th.tanh(a * s) + 1)(x, 0.5)
    assert out.dtype == dtype
    out.backward(np.ones((2, 3)))
    assert x.grad.dtype == dtype


def test_mixed_dtypes_give_each_gradient_its_own():
    x = th.tensor(np.ones(3, np.float32), requires_grad=True)
    y = th.tensor(np.ones((2, 3)), requires_grad=True)
    k = th.tensor(np.arange(3))
    out = th.fuse(lambda a, b, c: a * b * c)(x, y, k)
    assert out.dtype == np.float64
    out.sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert x.grad.data.tolist() == [0, 2, 4]


def test_sums_into_broadcast_operands_are_wide():
    """The gradient of a float32 number that met a million elements."""
    x = th.tensor(np.float32(1), requires_grad=True)
    terms = np.full(1_000_000, 0.1, np.float32)
    th.fuse(lambda a, b: a * b)(x, terms).sum().backward()
    assert x.grad.item() == pytest.approx(float(np.float64(np.float32(0.1)) * 1_000_000), rel=1e-7)


# ---- Errors.


def test_shapes_are_named():
    with pytest.raises(th.ShapeError, match=r"adam: shapes \(2,\)"):
        th.fuse(adam)(*[th.tensor(np.ones(n + 2)) for n in range(4)])


@pytest.mark.parametrize("constant", [np.inf, -np.inf, np.nan, 1e-320, 2**40, True, np.float64(0.5)], ids=repr)
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_constants_of_every_kind(constant, backend):
    elementwise_backend(backend)
    x = np.array([-1.0, 2.0])
    for function in (lambda a: th.where(a > 0, a, constant), lambda a: a * constant + th.maximum(constant, a)):
        np.testing.assert_array_equal(th.fuse(function)(th.tensor(x)).data, function(th.tensor(x)).data)


def test_a_symbol_in_a_layer_of_tensors_is_refused():
    x = th.tensor(np.ones((2, 2)))
    with pytest.raises(th.UnsupportedError, match="linear: a symbol of a fused function met a tensor"):
        th.fuse(lambda bias: th.linear(x, x, bias))(x)
