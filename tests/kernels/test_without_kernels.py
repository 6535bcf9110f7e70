"""The package without kernels/: NumPy alone computes all that there is, and numba is not asked for."""

import ast
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest

import tinyhyper as th

PACKAGE = Path(th.__file__).parent

PROGRAM = """
import numpy as np

rng = np.random.default_rng(0)

def leaf(*shape):
    return th.tensor(rng.standard_normal(shape), requires_grad=True)

def told(function, *inputs):
    '''The values, the gradients and, by a recorded sweep, a second derivative of a function.'''
    out = function(*inputs)
    first = th.gradients(th.sum(th.sin(out)), inputs, create_graph=True)
    second = th.gradients(th.sum(first[0] * first[0]), inputs)
    return [x.numpy().ravel()[::7].tolist() for x in (out, *first, *second)]

@th.fuse
def fused(a, b):
    return th.exp(-a * a) * th.tanh(b) + th.clip(a, -1.0, 1.0)

found = {
    "elementwise": told(lambda a: th.tanh(a) * a, leaf(40, 40)),
    "fused": told(fused, leaf(40, 40), leaf(40)),
    "convolution": told(lambda x, w: th.conv2d(x, w, padding=1), leaf(4, 12, 12, 8), leaf(3, 3, 8, 16)),
    "softmax": told(th.softmax, leaf(60, 20)),
    "entropy": told(lambda x: th.cross_entropy(x, np.arange(60) % 20), leaf(60, 20)),
    "batch_norm": told(lambda x, w, b: th.batch_norm(x, w, b, activation=th.relu), leaf(8, 12, 12), leaf(12), leaf(12)),
    "lstm": told(lambda *xs: th.lstm(*xs)[0], leaf(6, 5, 4), leaf(4, 64), leaf(16, 64), leaf(64)),
    "product": told(lambda x, w: x @ w, leaf(60, 40), leaf(40, 60)),
    "taken": told(lambda x: th.take(x, np.arange(300) % 40, 0), leaf(40, 40)),
    "sum": told(lambda x: th.sum(x) * th.mean(x), leaf(40, 40)),
}

params = {"w": leaf(20, 30), "b": leaf(30), "v": leaf(30, 5)}
optimizer = th.optim.Adam(0.01, optimizer=th.optim.SGD(1e-4), clip_norm=1.0)
x, labels = th.tensor(rng.standard_normal((40, 20))), np.arange(40) % 5
for _ in range(5):
    loss = th.cross_entropy(th.linear(x, params["w"], params["b"], th.tanh) @ params["v"], labels)
    loss.backward()
    optimizer.step(params)
found["hyperstep"] = [[loss.item(), *optimizer.hyperparameters.values()], params["w"].numpy().ravel().tolist()]
"""

ALONE = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite") or name.startswith("tinyhyper.kernels"):
            raise ImportError(f"{name} is imported")

sys.meta_path.insert(0, Without())
import importlib, pkgutil
import tinyhyper as th
"""

ASKED = """
for module in pkgutil.walk_packages(th.__path__, "tinyhyper."):
    importlib.import_module(module.name)
from tinyhyper import *
for name in ("kernels", "num_threads", "set_num_threads", "nothing"):
    try:
        print(getattr(th, name))
    except AttributeError as error:
        print(type(error).__name__, isinstance(error, th.TinyhyperError), error)
print(found)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the copy says, a line each."""
    folder = tmp_path_factory.mktemp("without")
    copytree(PACKAGE, folder / "tinyhyper", ignore=ignore_patterns("__pycache__", "kernels"))
    program = [sys.executable, "-W", "error", "-c", ALONE + PROGRAM + ASKED]
    run = subprocess.run(program, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.parametrize("number, name", [*enumerate(["kernels", "num_threads", "set_num_threads"])])
def test_what_is_absent_is_told(alone, number, name):
    assert alone[number].startswith(f"MissingAttributeError True tinyhyper.{name}: the folder tinyhyper/kernels is not")


def test_another_name_is_missing_as_ever(alone):
    assert alone[3] == "AttributeError False module 'tinyhyper' has no attribute 'nothing'"


def test_it_computes_what_kernels_compute(alone):
    names = {"th": th}
    exec(PROGRAM, names)
    found = ast.literal_eval(alone[4])
    assert found.keys() == names["found"].keys()
    for name, wanted in names["found"].items():
        for ours, theirs in zip(found[name], wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9, err_msg=name)
