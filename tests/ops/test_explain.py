"""What the docstring of an elementwise operation says of dtypes and errors is so."""

import inspect

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.ops.elementwise import BY_NAME
from tinyhyper.ops.explain import FLOATS, PROMOTED

DTYPES = (bool, np.int8, np.int64, np.uint16, np.float32, np.float64)


@pytest.fixture(params=BY_NAME.values(), ids=BY_NAME)
def op(request):
    return request.param


def told(op):
    return " ".join(inspect.getdoc(op).split())


def refusal(op, *operands):
    try:
        op(*operands)
    except th.TinyhyperError as error:
        return type(error).__name__


def test_the_result_has_the_dtype_that_is_told(op):
    several = len(op.inputs) > 1
    for dtype in DTYPES:
        operands = [np.ones(2, dtype)] * len(op.inputs)
        if refusal(op, *operands):
            assert dtype is bool and "and for those of them that NumPy refuses" in told(op)
        elif "as booleans" in told(op):
            assert op(*operands).dtype == bool
        elif FLOATS in told(op):
            assert op(*operands).dtype == (dtype if np.dtype(dtype).kind == "f" else np.float64)
        elif dtype is not bool:
            assert (PROMOTED if several else "Floats and integers keep their dtype.") in told(op)
            assert op(*operands).dtype == dtype
            assert not several or op(*operands[1:], 1).dtype == dtype


@pytest.mark.parametrize("function", [*BY_NAME.values(), th.pow], ids=[*BY_NAME, "pow"])
def test_the_error_for_operands_is_told_once(function):
    assert told(function).count("DtypeError") == 1


def test_what_is_told_is_raised(op):
    one, count = np.ones(2), len(op.inputs)
    for other in (np.complex128, np.float16, object):
        assert refusal(op, *[one.astype(other)] * count) == "DtypeError"
    shapes, large = [*[one] * (count - 1), np.ones(3)], [*[one.astype(np.int8)] * (count - 1), 1000]
    assert ("ShapeError for" in told(op)) == (refusal(op, *shapes) == "ShapeError")
    assert ("ArgumentError for" in told(op)) == (refusal(op, *large) == "ArgumentError")
