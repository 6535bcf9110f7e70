"""Conventions at hard points: the page shows what is computed, in every way of computing it, and why others differ."""

import numpy as np
import pytest
from backends import elementwise_backend
from conventions import (
    BEGIN,
    PAGE,
    PEERS,
    apart,
    by_tinyhyper,
    computed,
    elementwise,
    line,
    operators,
    page,
    restored,
    rows,
    stored,
)


def named(rows):
    """The parameter of a test; also an operation that is written as an operator is named."""
    return pytest.mark.parametrize("row", rows, ids=lambda row: " ".join([row.key, *operators(row)]))


ROWS, ELEMENTWISE = named(rows()), named([*filter(elementwise, rows())])
REFERENCE = stored()


def text_of(page):
    """What is written by hand, and the lines that are not."""
    before, _, after = page.partition(BEGIN)
    return before, after.splitlines()


@ROWS
def test_the_page_shows_what_is_computed(row):
    assert line(row, REFERENCE) in text_of(PAGE.read_text())[1]


def test_the_page_is_as_it_is_written():
    text = PAGE.read_text()
    assert page(text_of(text)[0]) == text


@ROWS
def test_what_differs_from_pytorch_or_jax_has_a_reason_and_what_does_not_has_none(row):
    ours = by_tinyhyper(row)
    different = [name for name in PEERS if apart(ours, restored(REFERENCE[name][row.key]))]
    assert bool(row.why) == bool(different), different


def equal(first, second):
    """Whether two observations are the same but for rounding; errors, if they are of one class."""
    return first == second if isinstance(first, str) or isinstance(second, str) else not apart(first, second)


@ELEMENTWISE
def test_a_fused_function_has_the_same_conventions(row):
    """Its derivative is written over symbols, for the whole expression."""
    elementwise_backend("numpy")
    assert equal(by_tinyhyper(row, fused=True), by_tinyhyper(row))


@pytest.mark.slow
@ELEMENTWISE
def test_kernels_have_the_same_conventions(row):
    expected = by_tinyhyper(row)
    elementwise_backend("numba")
    assert equal(by_tinyhyper(row), expected)


@ROWS
def test_nothing_warns_or_is_raised_by_numpy(row):
    with np.errstate(all="raise"):
        by_tinyhyper(row)


def test_the_reference_is_what_the_libraries_give():
    for package in ("torch", "jax"):
        pytest.importorskip(package)
    found = computed()
    if found["versions"] != REFERENCE["versions"]:
        pytest.skip(f"made by {REFERENCE['versions']}, not by {found['versions']}")
    for name in PEERS:
        for key, entry in REFERENCE[name].items():
            assert equal(restored(found[name][key]), restored(entry)), (name, key)
