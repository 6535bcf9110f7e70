"""The same functional hyperstep under torch.compile, as one graph."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch

from ..problems import Workload
from . import Training, functional

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class Library:
    """What rules and losses are made of."""

    sqrt, full_like = torch.sqrt, torch.full_like
    cross_entropy, mean_square = torch.nn.functional.cross_entropy, torch.nn.functional.mse_loss
    scalar = partial(torch.tensor, dtype=torch.float32)

    @staticmethod
    def tanh(x: Any) -> Any:
        """Also of a number: the hyperparameters of the top level."""
        return torch.tanh(torch.as_tensor(x, dtype=torch.float32))

    @staticmethod
    def wait(carry: Any) -> Any:
        return carry

    @staticmethod
    def layer(x: Any, weight: Any, bias: Any) -> Any:
        return torch.tanh(torch.addmm(bias, x, weight))

    @staticmethod
    def sum_square(x: Any) -> Any:
        return (x * x).sum()

    @staticmethod
    def gradient(loss: Any, weights: Any) -> Any:
        return torch.func.grad(loss)(weights)

    @staticmethod
    def vjp(function: Any, x: Any) -> Any:
        """The first output, what pulls its gradient back to x, and the second output."""
        out, pull, extra = torch.func.vjp(function, x, has_aux=True)
        return out, lambda gradient: pull(gradient)[0], extra


def hyperstep(workload: Workload, variant: str) -> Training:
    torch._dynamo.reset()
    return functional.training(Library, workload, torch.tensor, partial(torch.compile, fullgraph=True, dynamic=False))
