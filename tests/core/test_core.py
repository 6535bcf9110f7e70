"""The core alone: a copy of its folder, in a Python that has nothing but NumPy, is a whole engine."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import numpy as np
import pytest
from backends import THERE
from golden_towers import towers

import tinyhyper as th
from tinyhyper.core import rules
from tinyhyper.core.errors import ArgumentError
from tinyhyper.core.operation import OPERATIONS, READERS, Operation, attach, hand_over, quicken
from tinyhyper.core.tape import no_grad
from tinyhyper.core.tensor import Protocol, leaf, take_over
from tinyhyper.ops.index import scatter

CORE = Path(th.__file__).parent / "core"
TESTS = Path(__file__).parents[1]
FILES = sorted(CORE.glob("*.py"))
of_kernels = pytest.mark.skipif(not THERE, reason="kernels/ is not there")

ALONE = """
import gc, sys, weakref

class OnlyNumPy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = (*sys.stdlib_module_names, "numpy", "core", "golden_towers")
        if top not in known and not top.startswith("_sysconfigdata"):
            raise ImportError(f"the core imports {name}")

sys.meta_path.insert(0, OnlyNumPy())
import numpy as np
from core import rules
from core.errors import GraphReleasedError, UnsupportedError
from core.optimizers import SGD, AdaGrad, Adam, RMSProp
from core.tensor import tensor
from golden_towers import follow, towers

def derivatives(function, at):
    '''The value and three derivatives, each by a sweep over the one before.'''
    x = tensor(at, requires_grad=True)
    found = [function(x)]
    for _ in range(3):
        x.grad = None
        rules.sum(found[-1]).backward(create_graph=True)
        found.append(x.grad)
    return [y.item() for y in found]

print(derivatives(lambda x: rules.tanh(x) * x ** 3 + rules.exp(x), 0.5))

rng = np.random.default_rng(0)
w, b = (tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(3, 2), (2,)])
x = tensor(rng.standard_normal((5, 3)))
y = (x.data[:, 0] > 0).astype(int)
losses = []
for _ in range(30):
    out = rules.tanh(x @ w + b)
    loss = rules.mean(rules.log(rules.sum(rules.exp(out), 1)) - out[np.arange(5), y])
    losses.append(loss.item())
    loss.backward()
    w, b = (tensor(p.data - 0.5 * p.grad.data, requires_grad=True) for p in (w, b))
print(losses)

try:
    loss.backward()
except GraphReleasedError as error:
    print("refused:", error)
try:
    np.ones(2) * w[:2, 0]
except UnsupportedError as error:
    print("refused:", error)
kept = weakref.ref(loss.edge[0])
del loss, out
gc.collect()
gc.disable()
for _ in range(20):
    rules.sum(rules.tanh(x @ w + b)).backward()
print(kept(), gc.collect())
gc.enable()
assert not tensor(1.0) < 0.0 and tensor([2.0]) > 0.0

def loss_of(params, x, y):
    hidden = rules.tanh(x @ params["layer1.weight"].T + params["layer1.bias"])
    out = rules.tanh(hidden @ params["layer2.weight"].T + params["layer2.bias"])
    return rules.mean(rules.log(rules.sum(rules.exp(out), 1)) - out[np.arange(len(y)), y])

for name, tower in towers(SGD, AdaGrad, RMSProp, Adam).items():
    follow(np.load(f"golden/{name}.npz"), tower(), tensor, loss_of)
    print(name, tower().hyperparameters)

params, optimizer = {"w": tensor([1.0, -2.0], True, "f4")}, Adam(0.1, optimizer=SGD(1e-4))
for _ in range(5):
    rules.sum(params["w"] ** 2).backward()
    optimizer.step(params)
print(params["w"].dtype, optimizer.parameters["beta2"].dtype, params["w"].data.tolist())
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the core says when it is all that there is."""
    folder = tmp_path_factory.mktemp("alone")
    copytree(CORE, folder / "core", ignore=ignore_patterns("__pycache__"))
    copytree(TESTS / "golden", folder / "golden")
    copy(TESTS / "helpers" / "golden_towers.py", folder)
    run = subprocess.run([sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_it_differentiates_any_number_of_times(alone):
    x, t = 0.5, np.tanh(0.5)
    s = 1 - t * t
    tanh = [t, s, -2 * t * s, -2 * s * (1 - 3 * t * t)]
    cube = [x**3, 3 * x**2, 6 * x, 6]
    wanted = [
        sum(c * tanh[k] * cube[n - k] for k, c in enumerate(row)) + np.exp(x)
        for n, row in enumerate([[1], [1, 1], [1, 2, 1], [1, 3, 3, 1]])
    ]
    np.testing.assert_allclose(ast.literal_eval(alone[0]), wanted, rtol=1e-12)


def test_it_learns(alone):
    losses = ast.literal_eval(alone[1])
    assert losses[-1] < 0.8 * losses[0]


def test_it_refuses_a_second_pass_and_an_array_on_the_left(alone):
    assert "released by an earlier backward()" in alone[2] and alone[3].startswith("refused: numpy.multiply")


def test_it_leaves_nothing_for_the_garbage_collector(alone):
    assert alone[4] == "None 0"


def test_it_follows_every_recorded_tower(alone):
    assert [line.split()[0] for line in alone[5:18]] == [*towers(*[None] * 4)]
    assert alone[5] == "sgd {'alpha': 0.1, 'mu': 0.0, 'weight_decay': 0.0}"


def test_hyperparameters_meet_float32_without_widening_it(alone):
    """The rule by itself, without a kernel, moves as the fused rule does."""
    dtype, hyperparameter, moved = alone[18].split(" ", 2)
    params, optimizer = {"w": th.tensor([1.0, -2.0], True, "f4")}, th.optim.Adam(0.1, optimizer=th.optim.SGD(1e-4))
    for _ in range(5):
        th.sum(params["w"] ** 2).backward()
        optimizer.step(params)
    assert (dtype, hyperparameter) == ("float32", "float64")
    np.testing.assert_allclose(ast.literal_eval(moved), params["w"].data, rtol=1e-6)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_numpy_and_itself_only(path):
    own = {file.stem for file in FILES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            top = (node.module or "").partition(".")[0]
            fits = top in own if node.level == 1 else top in sys.stdlib_module_names or top == "numpy"
            assert fits and node.level < 2, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Import):
            tops = {alias.name.partition(".")[0] for alias in node.names}
            assert tops <= {"numpy", *sys.stdlib_module_names}, f"{path.name}:{node.lineno}"


# ---- Doors to the outer rings.


@of_kernels
def test_a_door_of_kernels_opens_once():
    with pytest.raises(ArgumentError, match="matmul has a quicker way already"):
        quicken("matmul", np.matmul)
    with pytest.raises(ArgumentError, match="another way carries out large"):
        hand_over(lambda op, operands: None, 10, {})


def test_a_door_opens_once():
    with pytest.raises(ArgumentError, match="Tensor has reshape already"):
        attach(th.Tensor, {"reshape": None})
    with pytest.raises(ArgumentError, match="Optimizer has _trace already"):
        attach(th.optim.Optimizer, {"_trace": None})
    for kind in READERS:
        with pytest.raises(ArgumentError, match="the table has .* already"):
            attach(READERS, {kind: None})
    with pytest.raises(ArgumentError, match="NumPy's calls are answered by NumPy already"):
        take_over(Protocol())


def test_without_an_outer_ring_the_calls_of_numpy_are_refused():
    with pytest.raises(th.UnsupportedError, match="numpy.add: put the tensor on the left"):
        Protocol().ufunc(np.add, "__call__", (), {})
    with pytest.raises(th.UnsupportedError, match="numpy.sum of a tensor"):
        Protocol().function(np.sum, (), (), {})


def test_without_an_outer_ring_numbers_and_arrays_are_operands_and_errors_name_the_operation(monkeypatch):
    monkeypatch.delitem(READERS, object)
    monkeypatch.setattr(th.Tensor, "protocol", Protocol())
    x = th.tensor(np.float32([1.0, 2.0]))
    assert (2 * x + [1.0, 2.0] + True).dtype == np.float64 and (2 * x).dtype == np.float32
    assert th.where(np.array([True, False]), x, 0.0).data.tolist() == [1.0, 0.0]
    assert th.where(np.array([1.0, 0.0]), x, 0.0).dtype == np.float32  # a condition decides no dtype
    with pytest.raises(th.ShapeError, match=r"add\(x \(2,\), y \(3,\)\): .*broadcast"):
        x + np.ones(3)


def test_without_an_outer_ring_an_index_is_a_copy_too():
    rows = np.array([0, 1])
    kept = Protocol().index((rows, ..., None, slice(2)))
    rows[:] = 5
    assert kept[0].tolist() == [0, 1] and kept[1:] == (..., None, slice(2))


@of_kernels
def test_a_quicker_way_gives_what_the_core_gives():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape).astype("f4") for shape in [(130, 90), (130, 110)])
    rows, some = rng.integers(0, 7, 130), slice(0, 130)
    calls = [
        ("matmul", rules._matmul, (x.T, y)),
        ("sum", rules.sum, (x, None, False)),
        ("scatter", scatter, ([x], [rows], (7, 90))),
        ("scatter", scatter, ([x, x], [some, rows], (140, 90))),
    ]
    for name, core, arguments in calls:
        found, wanted = OPERATIONS[name].forward(*arguments), core.__wrapped__(*arguments)
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("index", [slice(1, 3), [2, 0, 2], (..., [1, 1])], ids=str)
def test_pieces_give_what_the_core_gives(index):
    x, index = th.tensor(np.ones((4, 3)), requires_grad=True), Protocol().index(index)
    out = x[index]
    out.backward(cotangent := np.cos(np.arange(out.size)).reshape(out.shape))
    pieces = th.tensor(cotangent, requires_grad=True)
    added = rules.add_at(pieces, index, x.shape)
    np.testing.assert_array_equal(added.data, x.grad.data)
    added.backward(weights := np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(pieces.grad.data, weights[index])


SHAPES = [(3,), (2, 3), (4, 2, 3), (5, 1, 2, 3)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("right", [(3,), (3, 6), (4, 3, 6), (5, 4, 3, 6)])
@pytest.mark.parametrize("left", SHAPES)
def test_a_quicker_derivative_gives_what_the_core_gives(left, right, turned):
    """Vectors, matrices, stacks that broadcast, and matrices that lie by columns."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype("f4") for shape in (left, right)]
    if turned:
        arrays = [np.asfortranarray(array) for array in arrays]
    core = Operation("product", rules._matmul.__wrapped__, {"x": rules._matmul_x, "y": rules._matmul_y})
    found = []
    for product in (lambda x, y: core([x, y], {}), th.matmul):
        x, y = (leaf(th.Tensor(array)) for array in arrays)
        out = product(x, y)
        out.backward(np.cos(np.arange(out.size)).reshape(out.shape))
        found.append([out, x.grad, y.grad])
    for ours, quick in zip(*found):
        assert ours.shape == quick.shape and ours.dtype == quick.dtype == np.float32
        np.testing.assert_allclose(ours.data, quick.data, rtol=1e-5, atol=1e-5)


def test_a_mode_decorates_a_function():
    @no_grad()
    def double(x):
        return 2.0 * x

    assert not double(th.tensor(1.0, requires_grad=True)).requires_grad


def lines_of_code(text):
    """How many lines hold code: no docstring, comment or blank line."""
    docs, code = set(), set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            docs.update(range(body[0].lineno, body[0].end_lineno + 1))
    without = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in without:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docs)


def test_it_can_be_read_in_one_sitting():
    texts = [path.read_text() for path in FILES]
    assert len(FILES) <= 9  # __init__ names the order of the others
    assert sum(map(lines_of_code, texts)) <= 996 and sum(text.count("\n") for text in texts) <= 1590
