"""A property in a short form for every run, and in a long one for the slow tests."""

import pytest
from backends import compiler_is_off
from hypothesis import given, settings


def for_all(few, many, **strategies):
    """As `given`: of few examples, and where slow tests run of many. Without the compiler always of many."""
    lengths = [many] if compiler_is_off() else [few, pytest.param(many, marks=pytest.mark.slow)]

    def decorate(test):
        @pytest.mark.parametrize("examples", lengths)
        def at_length(examples):
            settings(max_examples=examples)(given(**strategies)(test))()

        return at_length

    return decorate
