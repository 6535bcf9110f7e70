"""For pytest: random numbers of one's own for each test, and tests that must leave nothing alive.

    pytest_plugins = ["tinyhyper.testing.plugin"]  # in the conftest.py at the root of the tests

`rng` is a fixture, a NumPy Generator: its seed follows from the name of the test and from `--seed N`, so that a test
draws the same numbers alone and among others, and a failure tells how to draw them again.
`nothing_alive` is a marker: no tensor and no node that the test makes may outlive it, with the garbage collector off.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from zlib import crc32

import numpy as np
import pytest

from .alive import nothing_alive


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("tinyhyper").addoption(
        "--seed", type=_seed, default=0, help="other random numbers for the tests that use rng"
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"must be an integer >= 0, not {text!r}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nothing_alive: no tensor and no node that the test makes may outlive it")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy Generator, seeded by the name of the test and --seed."""
    seed = request.config.getoption("--seed")
    request.node.add_report_section("setup", "rng", f"rng drew its numbers with --seed {seed}\n")
    return np.random.default_rng([seed, crc32(request.node.nodeid.encode())])


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and item.get_closest_marker("nothing_alive"):
        item.obj = nothing_alive()(item.obj)
