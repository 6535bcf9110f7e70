"""Gradients by chosen tensors: what `backward` computes, given back instead of added to `.grad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from .core.tape import backward
from .core.tensor import Tensor, distinct, seed_for
from .errors import ArgumentError, GraphError, ShapeError


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """The gradient of the sum of the outputs by each input; touches no `.grad`, sweeps no further than the inputs.

    grad_outputs: the outputs' cotangents, needed where an output has more than one element.
    An input that the outputs do not depend on gets zeros. Raises as `Tensor.backward`.
    """
    several = isinstance(outputs, Iterable) and not isinstance(outputs, Tensor)
    outs: list[Any] = list(outputs) if several else [outputs]
    ins = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, Tensor) else [inputs]
    given = [grad_outputs]
    if several:
        if isinstance(grad_outputs, (Mapping, Set, Tensor, str)) or not isinstance(grad_outputs, Iterable | None):
            raise ArgumentError(
                f"gradients: grad_outputs is a {type(grad_outputs).__name__}; several outputs need a list or tuple "
                "of cotangents, in the order of the outputs"
            )
        given = [None] * len(outs) if grad_outputs is None else list(grad_outputs)
    if len(given) != len(outs):
        raise ShapeError(f"gradients: {len(outs)} outputs, but {len(given)} grad_outputs")
    for n, x in enumerate(ins):
        if not isinstance(x, Tensor):
            raise ArgumentError(
                f"gradients: input {n} is a {type(x).__name__}, not a tensor. A hyperparameter's tensor is "
                'optimizer.parameters["alpha"]; those of a dict are its values()'
            )
        if x.edge is None:
            raise GraphError(f"gradients: input {n} does not require a gradient (make it with requires_grad=True)")
    for n, out in enumerate(outs):
        if not isinstance(out, Tensor):
            raise ArgumentError(f"gradients: output {n} is a {type(out).__name__}, not a tensor")
    seeds = [seed_for(out, gradient, "gradients") for out, gradient in zip(outs, given)]
    edges = [x.edge for x in ins if x.edge]
    found = backward(seeds, edges, retain_graph=retain_graph, create_graph=create_graph)
    owned = distinct([cotangent for _, cotangent in found])
    by_position = dict(zip([position for position, _ in found], owned))
    return tuple(by_position[n] if n in by_position else Tensor(np.zeros(x.shape, x.dtype)) for n, x in enumerate(ins))
