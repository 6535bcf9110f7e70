"""Products: the operators, and what einsum takes and refuses. Large ones are tested in kernels/test_matmul.py."""

from operator import attrgetter

import numpy as np
import pytest
from factory import Row, arranged, property_test

import tinyhyper as th
from tinyhyper.ops import FUNCTIONS
from tinyhyper.testing import check_gradients
from tinyhyper.testing.operations import OPERATIONS

PRODUCTS = arranged(OPERATIONS["matmul"])

test_property = property_test(
    [
        Row("matmul: x @ y", np.matmul, PRODUCTS, call=lambda x, y: x @ y, numpy=None, method="__matmul__"),
        Row(
            "matmul: y @ x",
            lambda y, x: x @ y,
            PRODUCTS.map(lambda case: type(case)(case.arrays[::-1], case.options, case.seed)),
            call=lambda y, x: x @ y,
            numpy=None,
            method="__rmatmul__",
        ),
    ]
)


@pytest.mark.parametrize(
    "subscripts, shapes, error, words",
    [
        ("ij", [(2,)], th.ShapeError, r"'ij' in 'ij' does not fit shape \(2,\)"),
        ("...ijk", [(2, 3)], th.ShapeError, r"'\.\.\.ijk' .* does not fit shape \(2, 3\)"),
        ("i", [(2, 3)], th.ShapeError, r"'i' in 'i' does not fit shape \(2, 3\)"),
        ("i,j->i,j", [(2,), (3,)], th.ArgumentError, "may hold letters, commas, one '->', and '...' once a term"),
        ("i...j...->i", [(2, 3)], th.ArgumentError, "may hold letters, commas"),
        ("i->i...i...", [(2,)], th.ArgumentError, "may hold letters, commas"),
        ("i1->i", [(2, 3)], th.ArgumentError, "may hold letters, commas"),
    ],
)
def test_einsum_says_what_is_wrong_with_subscripts(subscripts, shapes, error, words):
    with pytest.raises(error, match=f"^einsum: .*{words}"):
        th.einsum(subscripts, *[th.tensor(np.ones(shape)) for shape in shapes])


@pytest.mark.parametrize("shapes", [((2, 3), (2, 1)), ((1, 3), (2, 3)), ((1, 1), (2, 3)), ((2, 1), (1, 3))])
def test_einsum_repeats_axes_of_length_1_as_numpy_does(shapes):
    x, y = (np.random.default_rng(n).normal(size=shape) for n, shape in enumerate(shapes))
    for subscripts in ("ij,ij->i", "ij,ij->", "ij,ij->ji"):
        np.testing.assert_allclose(th.einsum(subscripts, x, y).data, np.einsum(subscripts, x, y), rtol=1e-13)
        check_gradients(lambda x, y, s=subscripts: th.einsum(s, x, y), x, y)


@pytest.mark.parametrize("subscripts", ["...i->i", "...i,...i->", "i...->i"])
def test_einsum_refuses_to_sum_over_an_ellipsis(subscripts):
    """As NumPy does, unless the ellipsis stands for no axis."""
    x = np.ones((3, 3))
    operands = [x] * subscripts.split("->")[0].count("i")
    with pytest.raises(ValueError):
        np.einsum(subscripts, *operands)
    with pytest.raises(th.ArgumentError, match=r"sums over the axes under '\.\.\.'"):
        th.einsum(subscripts, *map(th.tensor, operands))
    np.testing.assert_array_equal(
        th.einsum(subscripts, *[th.tensor(x[0])] * len(operands)).data, np.einsum(subscripts, *[x[0]] * len(operands))
    )


@pytest.mark.parametrize("options", [{"optimize": True}, {"optimize": "greedy", "order": "C"}, {"optimize": False}])
def test_einsum_takes_the_options_that_change_no_value(options):
    x, y, z = (np.random.default_rng(n).standard_normal((3, 3)) for n in range(3))
    for function in (np.einsum, th.einsum):
        found = function("ij,jk,kl->il", th.tensor(x), y, z, **options)
        np.testing.assert_allclose(found.data, x @ y @ z, rtol=1e-12)
    leaf = th.tensor(x, requires_grad=True)
    np.einsum("ij,jk->", leaf, y, **options).backward()
    np.testing.assert_allclose(leaf.grad.data, np.tile(y.sum(1), (3, 1)), rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_rule_stands_for_a_function_that_numpy_has(name):
    assert callable(attrgetter(name)(np)), "numpy.NAME of a tensor would never come here"


def test_the_products_of_numpys_linear_algebra():
    x = th.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
    for found in (np.linalg.matmul(x, x), np.linalg.tensordot(x, x, axes=1)):
        assert found.requires_grad and np.array_equal(found.data, x.data @ x.data)
