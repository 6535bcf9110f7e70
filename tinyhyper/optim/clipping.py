"""Gradients held within limits before a rule reads them.

What is clipped is what the level moves by. So a hypergradient is the derivative of the clipped step: where a step cuts,
the clipped gradient is the constant; in a window of the horizon the clipping is on the graph, like all else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import real
from ..core.operation import ArraySpec, Operation
from ..core.rules import equal, reciprocal, sqrt, square, where
from ..core.tensor import Tensor, apply
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError
from ..fusion.fuse import composite, trace
from ..ops.elementwise import clip, minimum
from .hooks import Hook

NUMBER = ArraySpec((), np.dtype(np.float64))
SAFE = 1e-140, 1e140  # between these, no square that matters has overflowed or underflowed
SQUARE, _ = trace(lambda g, inverse: square(g * inverse), 2, eager=True)  # a 0-d float64 makes it float64
SCALED, _ = trace(lambda g, inverse, factor, unit: where(equal(factor, unit), g, g * inverse * factor), 4, eager=True)


class Unit(Operation):
    """A power of two, of which arrays are multiples whose squares neither overflow nor underflow; no gradient flows.

    It is 1 where there is no need for another, and infinite where an element is.
    """

    def __init__(self) -> None:
        super().__init__("unit", lambda *arrays: 1.0, {})

    def compute(self, arrays: Sequence[np.ndarray], call: Any) -> tuple[list[np.ndarray], Any]:
        largest = float(np.max([np.max(np.abs(array), initial=0.0) for array in arrays], initial=0.0))
        safe = largest == 0.0 or SAFE[0] < largest < SAFE[1] or not math.isfinite(largest)
        unit = 1.0 if safe else math.ldexp(1.0, min(max(math.frexp(largest)[1], -1000), 1000))
        return [np.array(largest if math.isinf(largest) else unit)], None

    def node(self, edges: Any, arrays: Any, results: Any, memo: Any) -> list[Any]:
        return [None]


UNIT = Unit()


@composite
def _within(g: Any, limit: Any) -> Any:
    return clip(g, -limit, limit)


@composite
def _factor(total: Any, limit: Any, unit: Any) -> Any:
    """The factor of gradients that are given as multiples of the unit, and so is the root of their total.

    Where it is the unit itself, the gradients stay as they are.
    """
    zero = equal(total, 0.0)
    norm = where(zero, 0.0, sqrt(where(zero, 1.0, total)))
    return where(equal(unit, math.inf), unit, minimum(limit / (norm + 1e-6 / unit), unit))


def clip_by_value(gradients: Mapping[str, Tensor], limit: float) -> dict[str, Tensor]:
    """The gradients with each element between -limit and limit. Differentiable.

    gradients: a dict of tensors, of any shape, float32 or float64; so is the result.  limit: a number > 0.
    Raises ArgumentError for a limit that is not above 0, DtypeError for gradients that are no tensors by name.
    """
    limit = checked("clip_by_value: limit", limit)
    _check("clip_by_value", gradients)
    return {name: _within(g, limit) for name, g in gradients.items()}


def clip_by_norm(gradients: Mapping[str, Tensor], limit: float) -> dict[str, Tensor]:
    """The gradients, all times min(1, limit / (norm + 1e-6)), where the norm is that of all of them as one vector.

    As PyTorch's clip_grad_norm_, but in float64, and no square overflows or underflows. A NaN makes everything NaN.
    Gradients of which one is infinite stay as they are: no factor would make them finite, and an `on_nonfinite` or the
    loss is to show them. Differentiable.
    gradients, limit: as of optim.clip_by_value. Raises ArgumentError and DtypeError as it does.
    Source: Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks, 2013.
    """
    limit = checked("clip_by_norm: limit", limit)
    _check("clip_by_norm", gradients)
    [unit] = apply(UNIT, [*gradients.values()], None)
    inverse = reciprocal(unit)
    total = Tensor(np.array(0.0))
    for g in gradients.values():
        total = total + SQUARE([g, inverse], like=(NUMBER,))[0]
    factor = _factor(total, limit, unit)
    return {
        name: SCALED([g, inverse, factor, unit], like=(ArraySpec(g.shape, g.dtype),))[0]
        for name, g in gradients.items()
    }


def _check(what: str, gradients: Any) -> None:
    if not isinstance(gradients, Mapping):
        raise DtypeError(f"{what}: gradients must be a dict of named tensors, not a {type(gradients).__name__}")
    for name, g in gradients.items():
        if not isinstance(g, Tensor):
            raise DtypeError(f"{what}: the gradient {name!r} must be a tensor, not a {type(g).__name__}")


def checked(what: str, limit: Any) -> float:
    """A limit that gradients can be held to. Raises ArgumentError for any other."""
    number = real(limit)
    if not 0.0 < number < math.inf:
        raise ArgumentError(f"{what} must be a number > 0, not {number if math.isinf(number) else limit!r}")
    return number


class Limits(Hook):
    """What a level holds the gradients to that it reads; None for no limit. Values are clipped first, then the norm."""

    keywords = {"clip_value": None, "clip_norm": None}

    def __init__(self, level: Optimizer, **given: Any) -> None:
        name = type(level).__name__
        self._limits = {key: v if v is None else checked(f"{name}: {key}", v) for key, v in given.items()}
        self.in_use = any(self._limits.values())

    def gradients(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        clip_value, clip_norm = self._limits.values()
        if clip_value is not None:
            gradients = clip_by_value(gradients, clip_value)
        if clip_norm is not None:
            gradients = clip_by_norm(gradients, clip_norm)
        return gradients

    def __str__(self) -> str:
        return ", ".join(f"{name}={limit:g}" for name, limit in self._limits.items() if limit is not None)
