"""Single operations, chains of them, and matrix products: what they compute, and on what."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np

OPERATIONS = {"add": 2, "multiply": 2, "exp": 1, "tanh": 1, "sigmoid": 1, "relu": 1, "sqrt": 1, "sum": 1}
SIZES = [10**n for n in range(8)]
CHAIN_SIZES = SIZES[4:]


def operands(name: str, size: int) -> list[np.ndarray]:
    """float32 arrays between 0.1 and 1.1, as many as the operation takes; a chain takes two."""
    rng = np.random.default_rng(size)
    return [rng.random(size, dtype=np.float32) + np.float32(0.1) for _ in range(OPERATIONS.get(name, 2))]


def chain4(library: Any, x: Any, y: Any) -> Any:
    return library.tanh(x * y + x) * y


def chain8(library: Any, x: Any, y: Any) -> Any:
    return library.sqrt(library.exp(-x) * y + 1.0) * library.tanh(x * y)


CHAINS: dict[int, Callable[..., Any]] = {4: chain4, 8: chain8}


class Shape(NamedTuple):
    """(m, k) @ (k, n); `a` and `b` say how each operand lies in memory: "N" as written, "T" transposed."""

    m: int
    k: int
    n: int
    a: str = "N"
    b: str = "N"

    def __str__(self) -> str:
        return f"{self.m}x{self.k}x{self.n} {self.a}{self.b}"


SQUARES = tuple(Shape(n, n, n) for n in (128, 256, 512, 1024))
# The five products of a step of the MLP 784-128-10 on a batch of 256.
STEP_PRODUCTS = (Shape(256, 784, 128), Shape(256, 128, 10), Shape(128, 256, 10, "T", "N"),
                 Shape(256, 10, 128, "N", "T"), Shape(784, 256, 128, "T", "N"))  # fmt: skip
PLAIN = tuple(Shape(*shape[:3]) for shape in (*SQUARES, *STEP_PRODUCTS))
TRANSPOSED = tuple(shape._replace(a=a, b=b) for shape, a, b in product(PLAIN, "NT", "NT"))


def matrices(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """float32 operands of a shape."""
    rng = np.random.default_rng(shape.m * shape.k)
    pairs = ((shape.m, shape.k, shape.a), (shape.k, shape.n, shape.b))
    a, b = (
        rng.random((rows, columns), dtype=np.float32)
        if lies == "N"
        else rng.random((columns, rows), dtype=np.float32).T
        for rows, columns, lies in pairs
    )
    return a, b
