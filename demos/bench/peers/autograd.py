"""autograd (HIPS): the same functional hyperstep, differentiated as it runs."""

from __future__ import annotations

from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.builtins import dict as traced_dict
from autograd.tracer import getval

from ..problems import Workload
from . import Training, functional


class Library:
    """What rules and losses are made of."""

    sqrt, tanh, full_like = anp.sqrt, anp.tanh, np.full_like
    scalar = float

    @staticmethod
    def wait(carry: Any) -> Any:
        return carry

    @staticmethod
    def layer(x: Any, weight: Any, bias: Any) -> Any:
        return anp.tanh(anp.dot(x, weight) + bias)

    @staticmethod
    def cross_entropy(scores: Any, classes: Any) -> Any:
        highest = anp.max(scores, axis=1, keepdims=True)
        shifted = scores - highest
        chosen = shifted[np.arange(len(classes)), classes]
        return anp.mean(anp.log(anp.sum(anp.exp(shifted), axis=1)) - chosen)

    @staticmethod
    def mean_square(x: Any, targets: Any) -> Any:
        return anp.mean((x - targets) ** 2)

    @staticmethod
    def sum_square(x: Any) -> Any:
        return anp.sum(x * x)

    @staticmethod
    def gradient(loss: Any, weights: Any) -> Any:
        return autograd.grad(loss)(weights)

    @staticmethod
    def vjp(function: Any, x: Any) -> Any:
        """The first output, what pulls its gradient back to x, and the second output."""
        extras = []

        def first(x: Any) -> Any:
            out, extra = function(x)
            extras.append({name: tuple(map(getval, values)) for name, values in extra.items()})
            return traced_dict(out)

        pull, out = autograd.make_vjp(first)(x)
        return out, pull, extras[0]


def hyperstep(workload: Workload, variant: str) -> Training:
    return functional.training(Library, workload, np.asarray)
