"""Fusions, and large elementwise operations as fusions, by kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.operation import ArraySpec, Elementwise, hand_over
from ..core.tensor import Tensor
from ..fusion.fusion import Fusion, fused, plan_by, plan_by_numpy
from ..fusion.plan import Plan
from ..ops.normalization import Channelwise
from .backend import compiler_is_off
from .plan import ARITHMETIC, MEDIUM, SMALL, KernelPlan, elementwise_backend
from .short_axis import ShortAxisPlan


def _plan(
    fusion: Fusion, arrays: Sequence[Any], shape: tuple[int, ...], like: tuple[ArraySpec, ...] | None
) -> Plan:
    if elementwise_backend.chosen == "numpy":
        return plan_by_numpy(fusion, arrays, shape, like)
    kind = ShortAxisPlan if isinstance(fusion, Channelwise) else KernelPlan
    return kind(fusion.expression, arrays, shape, like, fusion.eager)


def _by_fusion(op: Elementwise, operands: Sequence[Tensor]) -> Tensor:
    return fused(op)(operands)[0]


def _follow(chosen: str) -> None:
    """Let kernels compute as the backend says."""
    size = {"numba": 0, "numpy": math.inf, "auto": math.inf if compiler_is_off() else SMALL}[chosen]
    plan_by(_plan, chosen)
    hand_over(_by_fusion, size, dict.fromkeys(ARITHMETIC, MEDIUM if size == SMALL else size))


elementwise_backend.follow(_follow)
