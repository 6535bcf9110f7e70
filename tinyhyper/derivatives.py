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
    """The gradient of the sum of the outputs with respect to each input: a tuple of tensors. It touches no `.grad`.

    outputs, inputs: a tensor, or a list or tuple of them, of any shape, float32 or float64. A gradient has its input's
    shape and dtype.
    grad_outputs: the outputs' cotangents, of their shapes and dtypes; needed where an output has more than one element.
    retain_graph, create_graph: as of `Tensor.backward`.
    The sweep goes no further than the inputs. An input that the outputs do not depend on gets zeros.
    Raises ArgumentError or ShapeError for arguments that do not fit, DtypeError for cotangents of another dtype,
    GraphError for an input or an output that requires no gradient, GraphReleasedError for a consumed graph.
    """
    several = isinstance(outputs, Iterable) and not isinstance(outputs, Tensor)
    outs: list[Any] = list(outputs) if several else [outputs]
    ins = list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, Tensor) else [inputs]
    given = [grad_outputs]
    if several:
        if isinstance(grad_outputs, (Mapping, Set, Tensor, str)) or not isinstance(grad_outputs, Iterable | None):
            raise ArgumentError(
                "gradients: grad_outputs must be a list or tuple of cotangents, one for each output in their order, "
                f"not a {type(grad_outputs).__name__}"
            )
        given = [None] * len(outs) if grad_outputs is None else list(grad_outputs)
    if len(given) != len(outs):
        raise ShapeError(f"gradients: {len(outs)} outputs, but {len(given)} grad_outputs; give one for each output")
    for n, x in enumerate(ins):
        if not isinstance(x, Tensor):
            raise ArgumentError(
                f"gradients: input {n} is a {type(x).__name__}, not a tensor. A hyperparameter's tensor is "
                'optimizer.parameters["alpha"]; those of a dict are its values()'
            )
        if x.edge is None:
            raise GraphError(f"gradients: input {n} does not require a gradient; make it with requires_grad=True")
    for n, out in enumerate(outs):
        if not isinstance(out, Tensor):
            raise ArgumentError(f"gradients: output {n} must be a tensor, not a {type(out).__name__}")
    seeds = [seed_for(out, gradient, "gradients") for out, gradient in zip(outs, given)]
    edges = [x.edge for x in ins if x.edge]
    found = backward(seeds, edges, retain_graph=retain_graph, create_graph=create_graph)
    owned = distinct([cotangent for _, cotangent in found])
    by_position = dict(zip([position for position, _ in found], owned))
    return tuple(by_position[n] if n in by_position else Tensor(np.zeros(x.shape, x.dtype)) for n, x in enumerate(ins))
