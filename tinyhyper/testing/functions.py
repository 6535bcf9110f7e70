"""A function under test, as the checks call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.tensor import FLOATS, Tensor, tensor
from ..differences import Array
from ..errors import ArgumentError, DtypeError

__tracebackhide__ = True  # pytest shows the line that called, not those in here

Function = Callable[..., list[Tensor]]


def bound(f: Callable[..., Any], args: Sequence[Any]) -> tuple[Function, list[Array], list[str]]:
    """f as a function of its float arguments alone, giving a list of float tensors; these arguments; their names."""
    constants = [tensor(arg) for arg in args]
    places = [n for n, arg in enumerate(constants) if arg.dtype in FLOATS]
    if not places:
        raise ArgumentError(
            "check_gradients: no argument is float32 or float64, so there is nothing to differentiate; "
            f"the arguments are {', '.join(str(arg.dtype) for arg in constants) or 'none'}"
        )

    def function(*tensors: Tensor) -> list[Tensor]:
        given = [Tensor(arg.array.copy()) if arg.dtype not in FLOATS else arg for arg in constants]
        for n, x in zip(places, tensors):
            given[n] = x
        result = f(*given)
        outs = list(result) if isinstance(result, (tuple, list)) else [result]
        for out in outs:
            if not isinstance(out, Tensor):
                why = "Is its return missing?" if out is None else "What NumPy computes from x.numpy() has no gradient"
                raise DtypeError(f"check_gradients: f must return a tensor, not a {type(out).__name__}. {why}")
        floats = [out for out in outs if out.dtype in FLOATS]
        if not floats:
            raise DtypeError(f"check_gradients: f must return floats, not {', '.join(str(out.dtype) for out in outs)}")
        return floats

    return function, [constants[n].array for n in places], [f"argument {n}" for n in places]


def leaves(arrays: Sequence[Array]) -> list[Tensor]:
    """New leaves with copies of the values."""
    return [tensor(a, requires_grad=True) for a in arrays]


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Random weights of nearly the same size: what is wrong in one entry shows in a weighted sum."""
    return rng.choice([-1.0, 1.0], shape) * (0.75 + 0.5 * rng.random(shape))


def signs_like(rng: np.random.Generator, array: Array) -> Array:
    return np.asarray(signs(rng, array.shape), array.dtype)
