"""Every operation: the properties of factory.py, for the table of tinyhyper.testing and what has no gradient.

`pytest -k multiply` runs what is tested of multiply; `pytest -k multiply-second`, one property of it.
"""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from factory import CONSTANT, Row, arranged, property_test, row_of
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.ops import FUNCTIONS
from tinyhyper.ops.elementwise import BY_NAME
from tinyhyper.testing.arrangements import axis_or_none, only_options
from tinyhyper.testing.operations import ELEMENTWISE, OPERATIONS

# Where an operation of many options has rows of its own: elsewhere the table draws a few of them.
OF_THEIR_OWN = {
    "getitem": "index",
    "linear": "linear",
    "conv2d": "convolution",
    "batch_norm": "normalization",
    "lstm": "recurrent",
    "max_pool2d": "pooling",
    "avg_pool2d": "pooling",
}
PLACES = OPERATIONS["max"]._replace(
    arrange=only_options(lambda draw, shape: {**axis_or_none(draw, shape), "keepdims": draw(st.booleans())})
)
WITHOUT_GRADIENT = [
    *CONSTANT,
    *[Row(name, getattr(np, name), arranged(PLACES), differentiable=False) for name in ("argmax", "argmin")],
    *[Row(name, getattr(np, name), arranged(OPERATIONS["sum"]), differentiable=False) for name in ("any", "all")],
]
OTHER_NAMES = {
    *("fuse", "gradients", "load", "no_grad", "num_threads", "record", "replay", "save", "set_num_threads", "tensor"),
    *("grad", "value_and_grad", "vjp", "jvp", "hvp", "jacobian", "hessian"),
    "pow",  # another name of power
    "astype",  # its option decides the dtype that a row would promise
}

test_property = property_test([*[row_of(name) for name in OPERATIONS if name not in OF_THEIR_OWN], *WITHOUT_GRADIENT])


def test_every_public_operation_has_a_row():
    public = {name for name in th.__all__ if not isinstance(getattr(th, name), (type, ModuleType))}
    without = {row.name for row in WITHOUT_GRADIENT}
    assert public - OTHER_NAMES == (set(OPERATIONS) - {"getitem"}) | without
    assert set(BY_NAME) <= set(ELEMENTWISE) | without


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_a_row_of_its_own_is_there(name):
    text = Path(__file__).with_name(f"test_{OF_THEIR_OWN[name]}.py").read_text()
    assert f'Row("{name}"' in text


FOLDER = Path(__file__).parents[1]
OVER_OPERATIONS = (  # whose tests are parametrized by operations
    *("ops", "fusion/test_fuse.py", "kernels/test_entries.py", "program/test_random_programs.py"),
    *("testing/test_testing_program.py", "test_differential.py"),
)


@pytest.mark.slow
def test_the_name_of_an_operation_finds_all_tests_of_it():
    """An id of a test that is over operations, ten of them at least, has the name of one."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider"]
    listed = subprocess.run([*command, *OVER_OPERATIONS], cwd=FOLDER, capture_output=True, text=True).stdout
    ids = {}
    for test, parameters in re.findall(r"^(\S+?)\[(.*)\]$", listed, re.MULTILINE):
        ids.setdefault(test, []).append(parameters)
    names = {*OPERATIONS, *th.__all__, *FUNCTIONS}

    def named(parameters):
        return names & set(re.findall(r"[a-z]\w*", parameters))

    for test, all_parameters in ids.items():
        if len(set().union(*map(named, all_parameters))) >= 10:
            assert not [parameters for parameters in all_parameters if not named(parameters)], test
    assert sum("multiply" in named(each) for of_test in ids.values() for each in of_test) > 30
