"""JAX: the whole hyperstep jitted, its buffers handed on; a call a step, or in JAX's own loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..problems import Workload
from . import Training, functional


class Library:
    """What rules and losses are made of."""

    sqrt, tanh, full_like = staticmethod(jnp.sqrt), staticmethod(jnp.tanh), staticmethod(jnp.full_like)
    wait = staticmethod(jax.block_until_ready)
    scalar = staticmethod(partial(jnp.asarray, dtype=jnp.float32))

    @staticmethod
    def layer(x: Any, weight: Any, bias: Any) -> Any:
        return jnp.tanh(x @ weight + bias)

    @staticmethod
    def cross_entropy(scores: Any, classes: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], axis=1).mean()

    @staticmethod
    def mean_square(x: Any, targets: Any) -> Any:
        return jnp.mean((x - targets) ** 2)

    @staticmethod
    def sum_square(x: Any) -> Any:
        return jnp.sum(x * x)

    @staticmethod
    def gradient(loss: Any, weights: Any) -> Any:
        return jax.grad(loss)(weights)

    @staticmethod
    def vjp(function: Any, x: Any) -> Any:
        """The first output, what pulls its gradient back to x, and the second output."""
        out, pull, extra = jax.vjp(function, x, has_aux=True)
        return out, lambda gradient: pull(gradient)[0], extra


def looped(advance: Callable[..., Any]) -> Callable[..., Any]:
    """Many steps in one call."""

    def many(count: Any, carry: Any, inputs: Any, targets: Any) -> Any:
        return lax.fori_loop(0, count, lambda _, carry: advance(carry, inputs, targets), carry)

    return jax.jit(many, donate_argnums=1)


def hyperstep(workload: Workload, variant: str) -> Training:
    own = looped if variant == "loop" else None
    return functional.training(Library, workload, jnp.array, partial(jax.jit, donate_argnums=0), own)
