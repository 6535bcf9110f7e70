"""Kernels: the cache on disk, forced backends, and agreement with NumPy's reading of the same expression."""

import os
import py_compile
import sys
import zipfile
from contextlib import nullcontext
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kernel_runs import KERNEL, PROGRAM, output_of, run

import tinyhyper as th
from tinyhyper import files
from tinyhyper.core.operation import OPERATIONS, Elementwise, quicken
from tinyhyper.fusion.fusion import fused, plan_by
from tinyhyper.kernels import cache, compiler, disk
from tinyhyper.kernels.notation import is_written
from tinyhyper.kernels.plan import MEDIUM, SMALL, KernelPlan, elementwise_backend
from tinyhyper.ops.elementwise import at_least, at_most
from tinyhyper.optim import vanishing

slow = pytest.mark.slow

@pytest.fixture(scope="module")
def expected():
    """What the program prints, by NumPy: a and b are exact here and only tanh is rounded otherwise."""
    x = np.linspace(-1, 1, 7)
    return 2 * np.tanh(x) + (2 * x + 0.25) * (1 - np.tanh(x) ** 2)


def assert_expected(text, expected):
    np.testing.assert_allclose(np.frombuffer(bytes.fromhex(text.strip())), expected, rtol=1e-14)


# ---- The cache.


@slow
def test_kernels_are_kept_for_the_next_process(tmp_path, expected):
    first = run(tmp_path)
    assert_expected(first, expected)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert any(path.suffix == ".py" for path in files) and any(path.suffix == ".nbc" for path in files)
    assert run(tmp_path) == first
    assert {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "__pycache__"
    }.items() <= files.items()
    assert not list(tmp_path.rglob("*.tmp"))


@slow
def test_two_processes_may_start_at_once(tmp_path, expected):
    processes = [run(tmp_path, wait=False) for _ in range(4)]
    outputs = {output_of(process) for process in processes}
    assert len(outputs) == 1
    assert_expected(outputs.pop(), expected)
    assert not list(tmp_path.rglob("*.tmp"))
    run(tmp_path)


def packed(kind, folder):
    """The package without its sources as files: what to put on the path."""
    package = Path(th.__file__).parent
    if kind == "zip":
        with zipfile.ZipFile(folder / "library.zip", "w") as archive:
            for file in package.rglob("*.py"):
                archive.write(file, file.relative_to(package.parent))
        return folder / "library.zip"
    for file in package.rglob("*.py"):
        target = folder / "library" / file.relative_to(package.parent).with_suffix(".pyc")
        target.parent.mkdir(parents=True, exist_ok=True)
        py_compile.compile(str(file), str(target), doraise=True)
    return folder / "library"


ELSEWHERE = "import sys; del sys.path[0]\n"  # which is the folder that the tests are run in
OTHERS = """
print(th.__file__)
assert (th.tensor(np.ones((120, 120))) @ np.ones((120, 120))).numpy()[0, 0] == 120.0
"""


@slow
@pytest.mark.parametrize("kind", ["zip", "no sources"])
def test_the_library_without_files_of_source(tmp_path, expected, kind):
    """As zipimport and some bundlers install it; kernels are kept on the disk all the same."""
    library, kernels = packed(kind, tmp_path), tmp_path / "kernels"
    path = os.pathsep.join([str(library), *sys.path])
    for _ in range(2):
        text, place = run(kernels, ELSEWHERE + PROGRAM + OTHERS, PYTHONPATH=path).split()
        assert place.startswith(str(library))
        assert_expected(text, expected)
        assert len(list(kernels.rglob("*.nbc"))) == 3


@slow
@pytest.mark.parametrize("kind", ["zip", "no sources"])
def test_first_kernels_of_the_library_without_files_of_source(tmp_path, expected, kind):
    """The same without a compiler."""
    path = os.pathsep.join([str(packed(kind, tmp_path)), *sys.path])
    assert_expected(run(tmp_path / "kernels", ELSEWHERE + PROGRAM, PYTHONPATH=path, NUMBA_DISABLE_JIT="1"), expected)


def test_a_module_without_source_is_told_by_its_code(monkeypatch):
    with_source = cache.text_of("loops", "special")
    assert with_source.decode() == "".join(
        Path(cache.__file__).with_name(f"{name}.py").read_text() for name in ("loops", "special")
    )
    monkeypatch.setattr(SourceFileLoader, "get_source", lambda loader, name: None)
    codes = [cache.text_of(name) for name in ("loops", "special", "loops")]
    assert codes[0] == codes[2] != codes[1]


def flipped(content):
    """One bit of the machine code is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@slow
def test_a_damaged_binary_is_compiled_anew(tmp_path, expected):
    """A machine may lose power while numba writes, and a disk may err; the code of a damaged file never runs."""
    run(tmp_path)
    damaged = {path: flipped(path.read_bytes()) for path in tmp_path.rglob("*.nbc")}
    for path, content in damaged.items():
        path.write_bytes(content)
    assert_expected(run(tmp_path), expected)
    assert damaged and all(path.read_bytes() != content for path, content in damaged.items())


# ---- Without the compiler.


def test_everything_runs_without_the_compiler(tmp_path, expected):
    assert_expected(run(tmp_path, NUMBA_DISABLE_JIT="1"), expected)


def test_plain_kernels_answer_nan_and_infinity_where_python_raises(tmp_path):
    program = """
import numpy as np, tinyhyper as th
from tinyhyper.kernels.plan import elementwise_backend
elementwise_backend("numba")
for function, value in [(th.sqrt, -2.0), (th.arcsin, 2.0), (th.sin, np.inf), (th.cosh, 800.0), (th.erf, np.inf)]:
    print(function(th.tensor([value])).item())
"""
    assert run(tmp_path, program, NUMBA_DISABLE_JIT="1").split() == ["nan", "nan", "nan", "inf", "1.0"]


# ---- What is imported when.

SMALL_WORK = """
import sys
import numpy as np
import tinyhyper as th
x = th.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True)
loss = th.sum(th.tanh(x * 2.0 + 1.0) @ np.ones((3, 2))) + th.cross_entropy(x, [0, 2])
loss.backward()
print(sorted({"numba", "llvmlite"} & set(sys.modules)))
"""


def test_small_arrays_do_without_the_compiler(tmp_path):
    """Importing numba takes as long as importing everything else."""
    assert run(tmp_path, SMALL_WORK) == "[]\n"


@slow
def test_a_loaded_kernel_does_without_the_compilers_tables(tmp_path):
    """numba makes its compiler ready before it reads its cache; the kernels need none of that."""
    program = PROGRAM + "import sys\nprint('numba.np.arraymath' in sys.modules)\n"
    assert run(tmp_path, program).endswith("True\n")
    assert run(tmp_path, program).endswith("False\n")


# ---- Backends.


@pytest.fixture
def loaded(monkeypatch):
    """The kernels asked for, in order; none is compiled."""
    asked = []
    original = compiler.kernel
    monkeypatch.setattr(compiler, "kernel", lambda *args: asked.append(args) or original(*args))
    return asked


@slow
def test_which_backend_runs(loaded):
    """A single operation on few elements, and anything in integers, is NumPy's; a force goes either way."""

    def kernels(backend, call, *arrays):
        elementwise_backend(backend)
        loaded.clear()
        call(*map(th.tensor, arrays))
        return len(loaded)

    small, large, whole = np.ones(3), np.ones(SMALL), np.ones(SMALL, int)
    fused = th.fuse(lambda a: a * 3.0 + 1.0)
    assert kernels("auto", th.negative, small) == 0
    assert kernels("auto", th.exp, large) == 1
    assert kernels("auto", th.negative, large) == 0
    assert kernels("auto", th.negative, np.ones(MEDIUM)) == 1
    assert kernels("auto", fused, np.ones(4)) == 1
    assert kernels("auto", th.negative, whole) == 0
    assert kernels("numpy", th.negative, np.ones(SMALL + 1)) == 0
    assert kernels("numpy", fused, np.ones(5)) == 0
    assert kernels("numba", th.negative, np.ones(6)) == 1
    assert kernels("numba", th.negative, np.ones((2, 0))) == 0


# ---- Values.

EXACT = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "sqrt": lambda a, b: th.sqrt(a),
}
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@slow
@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(EXACT)),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_exact_operations_equal_numpy_bit_for_bit(name, dtype, data):
    shape = data.draw(hnp.array_shapes(max_dims=2, max_side=5, min_side=1).filter(lambda s: s != (1,)))
    a, b = (data.draw(hnp.arrays(dtype, shape, elements=FLOATS)) for _ in range(2))
    found = []
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        found.append(EXACT[name](th.tensor(a), th.tensor(b)).data)
    assert np.array_equal(*found, equal_nan=True)
    numbers = ~np.isnan(found[0])
    assert np.array_equal(np.signbit(found[0][numbers]), np.signbit(found[1][numbers]))


@slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kernel_does_not_fuse_roundings(dtype):
    """a * b + c rounds twice, as NumPy does: runs give the same bits on every machine and backend."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(1000).astype(dtype) for _ in range(3))
    function = th.fuse(lambda x, y, z: x * y + z)
    assert np.array_equal(function(*map(th.tensor, (a, b, c))).data, a * b + c)


LAYOUTS = {
    "rows": lambda a: a,
    "columns": lambda a: np.asfortranarray(a),
    "gaps": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1, :, ::-1][::-1, :, ::-1],
    "transposed": lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    "one number": lambda a: a[:1, :1, :1],
    "a row": lambda a: a[0, 0],
    "a column": lambda a: a[:, :, :1],
    "a plane": lambda a: a[:, :1, :],
}


@slow
@pytest.mark.parametrize("second", LAYOUTS)
@pytest.mark.parametrize("first", ["rows", "columns", "gaps", "one number", "a row", "a plane"])
def test_every_pair_of_layouts(first, second):
    """Operands that lie or broadcast in any way; the cotangents are summed down to them."""
    whole = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4))
    a, b = LAYOUTS[first](whole), LAYOUTS[second](whole + 0.125)
    found = []
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        xs = [th.tensor(a, requires_grad=True), th.tensor(b, requires_grad=True)]
        out = xs[0] / xs[1]
        plain = th.Tensor(a) / th.Tensor(b)  # in the very layout
        assert np.array_equal(plain.data, out.data)
        found.append([out, *th.gradients(out, xs, np.ones(out.shape))])
    for plain, kernel in zip(*found):
        np.testing.assert_allclose(kernel.data, plain.data, rtol=1e-14)


@slow
@given(st.integers(1, 40), st.integers(0, 100))
def test_sums_do_not_hang_on_where_memory_is_free(size, seed):
    """A kernel with arrays and a sum among its outputs; with two loops to choose from, small neighbours change it."""
    generator = np.random.default_rng(seed)
    x, y, s = generator.normal(size=size), generator.normal(size=size), generator.normal()
    u, v = generator.normal(size=size), generator.normal(size=size)
    found, kept = set(), []
    for _ in range(12):
        kept += [np.empty(int(n)) for n in generator.integers(1, 2 * size + 2, size=3)]
        leaves = [th.tensor(value, requires_grad=True) for value in (x, y, s)]
        gradients = th.gradients(scaled(*leaves), leaves, [u, v])
        found.add(tuple(g.numpy().tobytes() for g in gradients))
    assert len(found) == 1


@th.fuse
def scaled(x, y, s):
    return x * s + y * s * s, y - s * x


def kept(array, way):
    """The same values in memory that may not be written to, or that begins between two numbers."""
    found = array.copy()
    if way == "unaligned":
        found = np.frombuffer(bytearray(b" ") + array.tobytes(), array.dtype, offset=1)
    found.flags.writeable = way != "read-only"
    return found


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["writeable", "read-only", "unaligned"]), min_size=2, max_size=6))
def test_a_plan_takes_arrays_however_they_are_kept(ways):
    """Whatever it was first called with."""
    values = np.linspace(-2.0, 3.0, 7, dtype=np.float32)
    elementwise_backend("numba")
    function = th.fuse(lambda x, y: x * y - y)
    for way in ways:
        found = function(th.Tensor(kept(values, way)), th.Tensor(values[::-1].copy()))
        np.testing.assert_array_equal(found.numpy(), values * values[::-1] - values[::-1])


def test_more_loops_than_a_kernel_has_are_left_to_numpy():
    """Axes that broadcast in turn, so that no two of them are one."""
    for ndim, by_kernel in ((len(compiler.INDEX), True), (len(compiler.INDEX) + 1, False)):
        shapes = [tuple(1 + (axis % 2 == turn) for axis in range(ndim)) for turn in (0, 1)]
        arrays = [np.arange(float(np.prod(shape))).reshape(shape) for shape in shapes]
        elementwise_backend("numba")
        plan = KernelPlan(fused(th.add).expression, arrays, (2,) * ndim, None, eager=True)
        assert (plan.kernel is not None) == by_kernel
        np.testing.assert_array_equal(plan.run(arrays)[0], arrays[0] + arrays[1])


# ---- The cache, in this process.

@pytest.fixture
def folder(tmp_path):
    th.kernels.set_cache_dir(tmp_path / "kernels")
    yield tmp_path / "kernels"
    th.kernels.set_cache_dir(None)


def computed(serial):
    out = np.zeros(1)
    cache.load(KERNEL.format(serial=serial))(np.ones(1), out)
    return out[0]


def test_a_kernel_is_a_file_in_the_folder_and_is_loaded_once(folder, monkeypatch):
    monkeypatch.setattr(cache, "_loaded", {})
    assert computed(25) == 1.25
    (file,) = folder.glob("*.py")
    assert "0.25" in file.read_text()
    file.unlink()
    assert computed(25) == 1.25 and not list(folder.glob("*.py"))


def test_where_no_file_can_be_kept_a_kernel_is_in_memory(folder, monkeypatch):
    def refused(*args, **options):  # permissions would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(files, "_temporary", refused)
    assert computed(5) == 1.5
    kernel = cache._loaded[KERNEL.format(serial=5)]
    kernel = getattr(kernel, "args", [kernel])[0]
    kernel = getattr(kernel, "py_func", kernel)
    assert kernel.__code__.co_filename == f"<{kernel.__module__}>"
    assert sys.modules[kernel.__module__].__doc__


# ---- The files of compiled kernels.


def test_what_was_saved_under_a_key_is_loaded_again_and_nothing_else(tmp_path):
    store = disk.Store(str(tmp_path), "kernel", "stamp")
    assert store.load("key") is None
    store.save("key", [1, "code"])
    store.save("other", [2])
    assert store.load("key") == [1, "code"] and store.load("other") == [2] and store.load("third") is None
    assert disk.Store(str(tmp_path), "kernel", "later").load("key") is None
    assert disk.Store(str(tmp_path), "another", "stamp").load("key") is None
    assert disk.Store(str(tmp_path), "kernel", "stamp").load("key") == [1, "code"]
    strange = tmp_path / "another.nbc"
    strange.write_bytes(b"")
    store.flush()
    assert store.load("key") is None and list(tmp_path.iterdir()) == [strange]


@given(at=st.integers(0, 200), to=st.sampled_from(["cut", "flipped"]))
def test_a_damaged_file_counts_as_missing(at, to, tmp_path_factory):
    store = disk.Store(str(tmp_path_factory.mktemp("store")), "kernel", "stamp")
    store.save("key", list(range(20)))
    (path,) = store._folder.iterdir()
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + (bytes([content[at] ^ 1]) + content[at + 1 :] if to == "flipped" else b""))
    assert store.load("key") is None


def test_a_file_under_anothers_name_counts_as_missing(tmp_path):
    store = disk.Store(str(tmp_path), "kernel", "stamp")
    store.save("key", 1)
    store._path("key").rename(store._path("other"))
    assert store.load("other") is None


class Result:
    """A compiled kernel, as far as it is saved."""

    class library:
        has_dynamic_globals = False

    class codegen:
        @staticmethod
        def magic_tuple():
            return "this processor"

    def _reduce(self):
        return "machine code", 1


@pytest.mark.parametrize("error", [None, OSError(28, "no space left"), th.ArgumentError("shared"), KeyError("other")])
def test_a_full_disk_is_no_reason_to_stop_and_other_errors_are(tmp_path, monkeypatch, error):
    kept = disk.DiskCache(str(tmp_path), "kernel")
    if error is not None:

        def fails(*args):
            raise error

        monkeypatch.setattr(disk, "publish", fails)
    with pytest.raises(KeyError) if isinstance(error, KeyError) else nullcontext():
        kept.save_overload("signature", Result())
    found = None if error else ("machine code", 1)
    assert kept.cache_path == str(tmp_path) and kept.load(("signature", "this processor")) == found


def test_what_holds_an_address_of_this_process_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(Result.library, "has_dynamic_globals", True)
    disk.DiskCache(str(tmp_path), "kernel").save_overload("signature", Result())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["numpy", "numba", "llvmlite"])
def test_what_another_version_has_compiled_counts_as_missing(tmp_path, monkeypatch, package):
    disk.DiskCache(str(tmp_path), "kernel").save("key", 1)
    assert disk.DiskCache(str(tmp_path), "kernel").load("key") == 1
    monkeypatch.setattr(f"{package}.__version__", "another")
    assert disk.DiskCache(str(tmp_path), "kernel").load("key") is None


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "kernel.py"
    files.publish(path, b"old")

    def fails(*args):
        raise OSError(28, "no space left")

    monkeypatch.setattr(files.os, "replace", fails)
    with pytest.raises(OSError, match="no space left"):
        files.publish(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_an_output_that_is_stored_and_summed_is_summed_from_where_it_is_stored():
    """A layer's VJP gives the cotangent of the product and, summed, of the bias. The numbers added are the same."""
    x, b = np.linspace(-2.0, 2.0, 12, dtype=np.float32).reshape(3, 4), np.zeros(4, np.float32)
    found = []
    for backend in ("numba", "numpy"):
        elementwise_backend(backend)
        layer = th.fuse(lambda x, b: th.tanh(x + b))
        inputs = [th.tensor(values, requires_grad=True) for values in (x, b)]
        found.append([g.data for g in th.gradients(th.sum(layer(*inputs)), inputs)])
    for ours, wanted in zip(*found):
        np.testing.assert_allclose(ours, wanted, rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[0][0].sum(0, dtype=np.float64), rtol=1e-7)


# ---- What kernels are registered for.


def test_another_way_cannot_take_over_from_kernels():
    with pytest.raises(th.ArgumentError, match="another planner is set already"):
        plan_by(lambda *arguments: None, "mine")


@pytest.mark.parametrize("name", ["conv2d", "softmax", "lstm", "lstm.vjp"])
def test_a_quicker_way_comes_once(name):
    with pytest.raises(th.ArgumentError, match=f"{name} has a quicker way already"):
        quicken(name, lambda *arguments: None)


def _by_python(x):
    return np.array([value**3 for value in np.ravel(x).tolist()], np.result_type(x, 1.0)).reshape(np.shape(x))


def test_every_elementwise_operation_of_the_library_is_written_for_kernels():
    others = (at_least, at_most, *[op for op, _ in vanishing.REPLACED.values()])  # which have the names of others
    for op in (*OPERATIONS.values(), *others):
        if isinstance(op, Elementwise):
            assert is_written(fused(op).expression), op.name


STEPS = (
    lambda x, y: x * y + 0.5,
    lambda x, y: np.tanh(x) - y,
    lambda x, y: 2.0 / np.cosh(x),
    lambda x, y: np.where(x > y, x, -y),
    lambda x, y: np.maximum(np.abs(x), 0.25) ** 0.5,
    lambda x, y: np.where(y == 0, 1.0, np.sinh(y) / np.where(y == 0, 1.0, y)),
)


@settings(max_examples=10)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=4),
    values=hnp.arrays(np.float64, (2, 5), elements=st.sampled_from((0.0, -0.0, 1.0, -1.5, 0.75, 3.0))),
    dtype=st.sampled_from((np.float32, np.float64)),
)
def test_a_kernel_computes_an_operation_that_is_nowhere_else_as_numpy_does(steps, values, dtype):
    def forward(x, y):
        for step in steps:
            x, y = step(x, y), x
        return x

    elementwise_backend("numba")
    x, y = (th.tensor(row, dtype=dtype) for row in values)
    op = Elementwise("drawn", forward, "What was drawn.")
    assert fused(op).plan([x.data, y.data]).kernel is not None
    np.testing.assert_allclose(op(x, y).data, forward(x.data, y.data), rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("forward, held", [(lambda x: x**3, True), (_by_python, False)])
def test_an_operation_that_no_kernel_holds_is_computed_by_numpy(forward, held):
    elementwise_backend("numba")
    cube = Elementwise("cube", forward, "x ** 3.", x=lambda g, x: 3.0 * g * x * x)
    x = th.tensor([1.0, 2.0], requires_grad=True)
    y = cube(x)
    th.sum(y).backward()
    assert y.data.tolist() == [1, 8] and x.grad.data.tolist() == [3, 12]
    assert (fused(cube).plan([x.data]).kernel is not None) == held


def test_an_operation_with_the_name_of_another_is_not_taken_for_it():
    elementwise_backend("numba")
    double = Elementwise("negative", lambda x: x + x, "x + x.")
    assert double(th.tensor([1.0, 2.0])).data.tolist() == [2.0, 4.0]
    assert fused(double).plan([np.ones(2)]).kernel is not None
