"""Entries: what a program calls gives what the operation gives, and writes nowhere else."""

import numpy as np
import pytest
from factory import CONSTANT, arranged
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from words import calls_of, computed, run, spec

import tinyhyper as th
from tinyhyper.core import operation as engine
from tinyhyper.core.operation import Elementwise
from tinyhyper.kernels import entries, places, recipes
from tinyhyper.kernels.accuracy import LIBRARY, MAX_ULPS, NEAR_ULPS
from tinyhyper.kernels.backend import compiler_is_off
from tinyhyper.kernels.matmul import matmul_backend
from tinyhyper.kernels.plan import SMALL, elementwise_backend
from tinyhyper.ops.operation import operation
from tinyhyper.testing.functions import leaves
from tinyhyper.testing.operations import OPERATIONS

OTHERS = {"conv2d", "avg_pool2d", "max_pool2d", "batch_norm", "lstm"}  # no shapes drawn at random fit them
ROWS = {  # by name, the function and a strategy of examples
    **{
        name: (row.of(th, name), arranged(row))
        for name, row in OPERATIONS.items()
        if name not in OTHERS
    },
    **{row.name: (row.function, row.examples) for row in CONSTANT},
}
ULPS = {**MAX_ULPS, **NEAR_ULPS, **dict.fromkeys(LIBRARY, 1.0)}
# Every signature is compiled, which takes long: with the compiler, few operations are tested unless there is time.
FEW = ("add", "tanh", "where", "less")
slow_if_compiled = pytest.param if compiler_is_off() else lambda name: pytest.param(name, marks=pytest.mark.slow)
EVERY = [name if name in FEW else slow_if_compiled(name) for name in ROWS]


@st.composite
def lying(draw, array, dtype):
    """The values in a dtype, in an array that may lie by columns, backwards or with gaps."""
    array = array.astype(dtype) if array.dtype.kind == "f" else array
    how = draw(st.sampled_from(["rows", "columns", "backwards", "gaps"]))
    if how == "columns":
        return np.array(array, order="F")
    if how == "backwards" and array.ndim:
        return np.array(array[::-1])[::-1]
    return np.repeat(array, 2, axis=-1)[..., ::2] if how == "gaps" and array.ndim else array


def carried_out(function, arrays, options):
    """What the engine carries out for a function: forward, backward, and the backward pass of that."""

    def run():
        xs = [th.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
        out = function(*xs, **options)
        xs = [x for x in xs if x.requires_grad]
        if out.requires_grad:
            seed = th.tensor(np.linspace(0.5, 1.5, out.size, dtype=out.dtype).reshape(out.shape))
            grads = th.gradients(out, xs, seed, create_graph=True)
            grads = [g for g in grads if g.requires_grad]
            th.gradients(grads, xs, [g.detach() for g in grads])

    return calls_of(run)


def same_bits(found, expected):
    if expected.dtype.kind != "f":
        return np.array_equal(found, expected)
    same = found.view(f"u{found.itemsize}") == expected.view(f"u{found.itemsize}")
    return bool(np.all(same | (np.isnan(found) & np.isnan(expected))))


def assert_agrees(op, call, arrays, outputs=None):
    """An entry, if there is one, gives the operation's bits where it says so, else what the kernels' accuracy allows:
    of a single function its ulps and NumPy's own, of more a few roundings of all that is added up."""
    expected, _ = op.compute(arrays, call)
    found = computed(op, call, arrays, outputs or expected)
    if found is None:
        return None
    results, exact, _ = found
    for ours, theirs in zip(results, expected):
        if ours is None:
            continue
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if exact or theirs.dtype.kind != "f":
            assert same_bits(ours, theirs), f"{op.name}:\n{ours}\n{theirs}"
        elif isinstance(op, Elementwise) and op.name in ULPS:
            assert_close(ours, theirs, (ULPS[op.name] + 4) * np.spacing(np.abs(theirs)), op.name)
        else:
            sizes = [np.sum(np.abs(x), dtype=np.float64) for x in (*arrays, *expected) if x.dtype.kind == "f"]
            assert_close(ours, theirs, 16 * np.finfo(ours.dtype).eps * (1 + sum(sizes)) ** 2, op.name)
    return exact


def assert_close(ours, theirs, allowed, name):
    different = ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))
    off = np.abs(np.subtract(ours, theirs, dtype=np.float64))
    assert not np.any(different & ~(off <= allowed)), f"{name} is off by {np.max(off)}:\n{ours}\n{theirs}"


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=30 if compiler_is_off() else 10)
@given(data=st.data())
def test_an_entry_gives_what_the_operation_gives(name, data):
    function, examples = ROWS[name]
    case, dtype = data.draw(examples), data.draw(st.sampled_from([np.float32, np.float64]))
    arrays = [data.draw(lying(array, dtype)) for array in case.arrays]
    for op, call, operands, _ in carried_out(function, arrays, case.options):
        assert_agrees(op, call, operands)


@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=10)
@given(rows=st.integers(1, 60), columns=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_where_eager_runs_a_kernel_the_entry_has_its_bits(dtype, rows, columns, seed):
    """A fusion of the user's, of any size: its own kernel, the one of its gradient, and sums down to a row."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((rows, columns), (columns,), ())]

    def run():
        x, b, c = leaves(arrays)
        out = curved(x, b, c)
        out.backward(th.tensor(rng.standard_normal(out.shape).astype(dtype)))

    threads = th.kernels.num_threads()
    th.kernels.set_num_threads(1)
    try:
        fusions = [made for made in calls_of(run) if made[0].name.startswith("curved")]
        assert len(fusions) == 2
        for op, call, operands, _ in fusions:
            assert assert_agrees(op, call, operands) is True
    finally:
        th.kernels.set_num_threads(threads)


@th.fuse
def curved(x, b, c):
    return th.tanh(x + b) * c + x / (1 + b * b)


@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["tanh", "multiply", "softmax", "log_softmax", "cross_entropy"])
def test_large_operations_have_eagers_bits(name, dtype):
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal((SMALL // 10, 20)).astype(dtype)]
    arrays += {"multiply": [arrays[0] + 1], "cross_entropy": [rng.integers(0, 20, len(arrays[0]))]}.get(name, [])
    made = [each for each in carried_out(ROWS[name][0], arrays, {}) if each[0].name.startswith(name)]
    assert made and all(assert_agrees(op, call, operands) for op, call, operands, _ in made)


@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
def test_a_large_sum_of_float32_has_eagers_bits():
    x = np.random.default_rng(3).standard_normal((50, 40)).astype(np.float32)
    assert assert_agrees(engine.OPERATIONS["sum"], {"axis": None, "keepdims": False}, [x]) is True


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 3, 1], [2, -1, 0], [7, 7, 7]])
def test_a_label_out_of_range_sets_the_flag(labels):
    x, labels, scale = np.random.default_rng(0).standard_normal((3, 3)), np.array(labels), np.ones(())
    wrong = bool(np.any((labels < 0) | (labels > 2)))
    for name, operands, out in (("cross_entropy", [x, labels], scale), ("excess", [scale, x, labels], x)):
        assert computed(engine.OPERATIONS[name], {}, operands, [out])[2] is wrong
    if wrong:
        with pytest.raises(th.ArgumentError):
            th.cross_entropy(x, labels)


@given(
    n=st.integers(1, 6), width=st.lists(st.integers(1, 3), max_size=2), dtype=st.sampled_from(["f4", "f8", "u1", "i8"]),
    numbers=st.lists(st.integers(-9, 9), min_size=1, max_size=8),
)  # fmt: skip
@settings(max_examples=30)
def test_rows_are_copied_by_their_numbers_and_one_out_of_range_sets_the_flag(n, width, dtype, numbers):
    whole = np.arange(n * int(np.prod(width, dtype=int))).reshape(n, *width).astype(dtype)
    numbers, out = np.array(numbers), spec(np.empty((len(numbers), *width), dtype))
    given = spec(whole), spec(numbers)
    getitem = engine.OPERATIONS["getitem"]
    found = places.rows(given, out) if compiler_is_off() else entries.by_numbers(getitem, *given, out)
    [copied], exact, flag = run(found, [whole, numbers], [out], "rows")
    assert exact and flag == bool(np.any((numbers < -n) | (numbers >= n)))
    assert flag or np.array_equal(copied, whole[numbers])


@given(
    n=st.integers(1, 6), width=st.lists(st.integers(1, 3), max_size=2), dtype=st.sampled_from(["f4", "f8"]),
    numbers=hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=4), elements=st.integers(-8, 8)),
    data=st.data(),
)  # fmt: skip
@settings(max_examples=30)
def test_rows_are_added_by_their_numbers_and_one_out_of_range_sets_the_flag(n, width, dtype, numbers, data):
    x = data.draw(hnp.arrays(dtype, (*numbers.shape, *width), elements=st.floats(-9, 9, width=32)))
    out = spec(np.empty((n, *width), dtype))
    scatter, given_ = engine.OPERATIONS["scatter"], (spec(x), spec(numbers))
    found = places.added(given_, out) if compiler_is_off() else entries.by_numbers(scatter, *given_, out)
    [sums], exact, flag = run(found, [x, numbers], [out], "rows")
    assert exact and flag == bool(np.any((numbers < -n) | (numbers >= n)))
    if not flag:
        expected = np.zeros((n, *width))
        np.add.at(expected, numbers, x.astype(float))
        assert sums.tobytes() == expected.astype(dtype).tobytes()


@given(
    x=hnp.arrays(st.sampled_from(["f4", "f8"]), hnp.array_shapes(min_side=1), elements=st.floats(width=32)),
    bad=st.sampled_from([None, np.inf, -np.inf, np.nan]),
)
@settings(max_examples=30)
def test_an_element_that_is_not_finite_sets_the_flag(x, bad):
    x = np.where(np.isfinite(x), x, np.finfo(x.dtype).max)
    if bad is not None:
        x[(-1,) * x.ndim] = bad
    found = places.finite(spec(x)) if compiler_is_off() else entries.finite(spec(x))
    assert run(found, [x], [], "finite")[2] is (bad is not None)


def test_what_is_not_of_floats_or_has_gaps_is_not_checked():
    for x in (np.arange(3), np.ones(6)[::2], np.ones(0)):
        assert places.finite(spec(x)) is None
        assert entries.finite(spec(x)) is None
    gaps = spec(np.ones((4, 4))[:, ::2]), spec(np.arange(2)), spec(np.ones((2, 2)))
    getitem, add = engine.OPERATIONS["getitem"], engine.OPERATIONS["add"]
    masked = spec(np.ones((2, 2))), spec(np.array([True, False])), spec(np.ones((1, 2)))
    whole = spec(np.ones((2, 2), int)), spec(np.arange(2)), spec(np.ones((2, 2), int))
    for make in (places.rows, places.added):
        assert make(gaps[:2], gaps[2]) is None and make(masked[:2], masked[2]) is None
    assert places.added(whole[:2], whole[2]) is None
    assert entries.by_numbers(getitem, *gaps) is None and entries.by_numbers(add, *masked) is None


@pytest.mark.parametrize("name, bounds", [("argmax", [np.nan, 3.0]), ("argmin", [-1.0, np.nan])])
def test_the_first_of_equals_and_a_nan_first_of_all(name, bounds):
    for x in ([1.0, 3.0, 3.0], [2.0, *bounds, np.nan, -1.0], [bounds[0]] * 2):
        assert assert_agrees(engine.OPERATIONS[name], {"axis": None, "keepdims": False}, [np.array(x)]) is True


@pytest.mark.parametrize("count, known", [(2, True), (places.PIECES, True), (places.PIECES + 1, False)])
def test_what_is_joined_of_many_pieces_has_no_entry(count, known):
    [(op, call, operands, _)] = calls_of(lambda: th.stack([th.tensor([1.0, 2.0])] * count))
    found = entries.recipe(op, call, tuple(map(spec, operands)), (spec(np.ones((count, 2))),))
    assert (found is not None) == known


def test_padding_by_a_number_of_its_own():
    for values, known in ((2.5, True), ((1.0, 2.0), False)):
        call = {"pad_width": ((1, 2), (0, 1)), "constant_values": values}
        exact = assert_agrees(engine.OPERATIONS["pad"], call, [np.arange(6.0).reshape(2, 3)])
        assert exact is (True if known else None)


BEYOND = """
def kernel(x, out):
    out[len(out)] = x[0]
"""


def test_the_check_sees_a_write_beyond_an_output_and_one_to_an_operand():
    x = np.ones(3)
    arguments = [recipes.array(recipes.Operand(0), x), recipes.array(recipes.Output(0), x)]
    for source, what in ((BEYOND, "around"), (BEYOND.replace("out[len(out)] = x[0]", "x[0] = out[0]"), "operands")):
        bad = recipes.made(source, arguments, exact=True)
        error = IndexError if compiler_is_off() and what == "around" else AssertionError
        with pytest.raises(error, match="out of bounds" if error is IndexError else what):
            run(bad if compiler_is_off() else entries._entry(bad), [x], [spec(x)], "bad")


def test_rows_of_integers_have_no_entry():
    x = np.arange(6).reshape(2, 3)
    assert assert_agrees(engine.OPERATIONS["softmax"], {"axis": -1}, [x]) is None


MATMUL = engine.OPERATIONS["matmul"]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]), stack=st.sampled_from([(), (), (3,), (2, 3)]))
def test_products_of_any_shapes_that_lie_anyhow(data, dtype, stack):
    rows, inner, columns = (data.draw(st.integers(1, most)) for most in (30, 40, 70))
    left, right = data.draw(st.booleans()), data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shapes = [(*stack, *((inner, rows) if left else (rows, inner))), (columns, inner) if right else (inner, columns)]
    x, y = (data.draw(lying(rng.standard_normal(shape), dtype)) for shape in shapes)
    exact = assert_agrees(MATMUL, {"left": left, "right": right}, [x, y])
    assert exact is False or (exact is None and len(stack) > 1)


@pytest.mark.parametrize("shapes", [((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((2, 1, 3, 2), (5, 2, 4))])
def test_products_of_vectors_and_of_stacks_that_broadcast(shapes):
    arrays = [np.random.default_rng(1).standard_normal(shape) for shape in shapes]
    assert assert_agrees(MATMUL, {"left": False, "right": False}, arrays) is False


def test_a_product_by_tiles_has_eagers_bits():
    arrays = [np.random.default_rng(1).standard_normal(shape) for shape in ((20, 30), (30, 40))]
    matmul_backend("numba")
    try:
        assert assert_agrees(MATMUL, {"left": False, "right": False}, arrays) is True
    finally:
        matmul_backend("auto")


def test_a_stack_that_no_strides_express_has_no_entry():
    x, y = np.ones((2, 3, 4, 5)).swapaxes(0, 1), np.ones((3, 2, 5, 6))
    assert assert_agrees(MATMUL, {"left": False, "right": False}, [x, y]) is None


def test_an_entry_is_exact_to_the_backend_that_is_forced():
    op, call, operands, outputs = calls_of(lambda: curved(*leaves([np.ones((50, 40)), np.ones(40), np.ones(())])))[0]
    try:
        for n, backend in enumerate(("numpy", "numba")):
            elementwise_backend(backend)
            found = entries.recipe(op, call, tuple(map(spec, operands)), tuple(map(spec, outputs)))
            assert found.exact is bool(n)
    finally:
        elementwise_backend("auto")


def test_what_is_not_said_to_lie_otherwise_lies_in_rows():
    lies = spec(np.ones((3, 4)))
    bare = lies._replace(strides=())
    given = [(lies, lies, lies), (bare, bare, bare), (lies, bare, lies), (lies, lies, spec(np.ones((4, 3)).T))]
    found = {entries.recipe(th.core.rules.add, {}, (x, y), (out,)) for x, y, out in given}
    assert len(found) == 1


def both(x, y):
    return x * y, x + y


def test_an_output_that_is_not_wanted_is_not_computed():
    arrays = [np.arange(6.0).reshape(2, 3), np.ones(3)]
    op, call, operands, outputs = calls_of(lambda: th.fuse(both)(*leaves(arrays)))[0]
    assert assert_agrees(op, call, operands, [None, outputs[1]])
    found = computed(op, call, operands, [outputs[0], None])
    assert found[0][1] is None and np.array_equal(found[0][0], outputs[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_operand_that_passes_unchanged_is_copied(dtype):
    arrays = [np.arange(6, dtype=dtype).reshape(2, 3), np.ones(3, dtype)]

    def run():
        out = th.fuse(lambda x, b: x + b)(*leaves(arrays))
        out.backward(th.tensor(np.arange(6, dtype=dtype).reshape(2, 3)))

    backward = calls_of(run)[1]
    assert backward[0].name.endswith(".vjp")
    assert backward[3][0] is backward[2][0]
    assert assert_agrees(*backward[:3]) is False


@pytest.mark.parametrize(
    "op, arrays",
    [
        (th.core.rules.add, [np.arange(3), np.arange(3)]),
        (th.core.rules.add, [np.ones((0, 3)), np.ones(3)]),
        (th.core.rules.tanh, [np.arange(3)]),
        (th.core.rules.add, [np.ones(3, np.dtype("f8").newbyteorder()), np.ones(3)]),
        (th.core.rules.add, [np.zeros(3, [("a", "f8"), ("b", "i1")])["a"], np.ones(3)]),
    ],
    ids=["of integers", "of nothing", "of integers to floats", "of another byte order", "at odd places"],
)
def test_what_no_kernel_computes_has_no_entry(op, arrays):
    outputs, _ = op.compute(arrays, {})
    assert computed(op, {}, arrays, outputs) is None


def test_more_loops_than_a_kernel_has_have_no_entry():
    x = np.ones((2,) * 20).transpose(*range(0, 20, 2), *range(1, 20, 2))
    assert computed(th.core.rules.add, {}, [x, np.ones((2,) * 20)], [x]) is None


def test_an_operation_of_ones_own_has_no_entry():
    @operation(x=lambda g: g)
    def mine(x, /):
        return x + 1

    for made in calls_of(lambda: mine(th.tensor([1.0]))):
        assert computed(*made) is None


@pytest.mark.skipif(not compiler_is_off(), reason="kernels are compiled")
def test_where_nothing_is_compiled_there_are_no_entries():
    given = spec(np.ones(3))
    assert entries.entry(th.core.rules.add, {}, [given, given], [given]) is None


@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
def test_a_function_is_shared_by_all_shapes():
    found = [
        entries.entry(th.core.rules.add, {}, [spec(np.ones(n))] * 2, [spec(np.ones(n))]) for n in (2, 3, 1_000)
    ]
    assert len({e.address for e in found}) == 1
    assert len({e.words for e in found}) == 3


LYING = [np.ones(3, np.float32), np.ones((2, 3), order="F"), np.ones((4, 6))[::2], np.ones(2) > 0]


@pytest.mark.parametrize("array", LYING)
def test_an_argument_has_the_type_that_callers_in_python_give_it(array):
    numba = pytest.importorskip("numba")
    from tinyhyper.kernels import wrapper

    kind, _ = recipes.array(0, array)
    assert wrapper.numba_type(kind) == numba.typeof(array)
    assert wrapper.numba_type(recipes.Kind("int64", layout="pair")) == numba.typeof((1, 2))
