"""Tensor: an array and its place on the tape; and `apply`, the one place where an operation is carried out.

Operators and methods are attached from the tables of rules, so nothing here imports an operation. Arrays that belong to
tensors are never written to, and `data` shows them read-only: what the tape has saved cannot be overwritten.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from .errors import ArgumentError, DtypeError, GraphError, ShapeError, UnsupportedError
from .tape import NOBODY, Edge, Node, backward, current

DType: TypeAlias = "npt.DTypeLike | None"
FLOAT32, FLOAT64 = FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Protocol:
    """What becomes of values, indices, NumPy's calls and errors. An outer ring may say more, once."""

    def array(self, values: Any, name: str, dtype: DType) -> ndarray:
        """A new array of the values."""
        return np.array(values, dtype, order="C")

    def check(self, array: Any) -> None:
        """Raise DtypeError for what a tensor cannot hold."""
        if not isinstance(array, ndarray):
            raise DtypeError(f"Tensor: a {type(array).__name__} is not an array; make tensors with th.tensor(...)")

    def index(self, index: Any) -> Any:
        """An index of our own: an array in it could be overwritten before the backward pass."""
        return copy.deepcopy(index)

    def refusal(self, op: Any, arrays: Sequence[ndarray], options: dict[str, Any], error: Exception) -> Exception:
        """The error for an operation that NumPy, or a user's own function, has refused."""
        shown = [f"{name} {array.shape}" for name, array in zip(op.inputs, arrays)]
        shown += [f"{name}={value!r}" for name, value in options.items() if value is not None]
        kind = ArgumentError if isinstance(error, (TypeError, OverflowError)) else ShapeError
        return kind(f"{op.name}({', '.join(shown)}): {error}")

    def gradient(self, tensor: Any) -> None:
        """An outer ring raises an error here if somebody put into `.grad` what no gradient can be added to."""

    def ufunc(self, ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
        raise UnsupportedError(f"numpy.{ufunc.__name__}: put the tensor on the left, or make both tensors")

    def function(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        raise UnsupportedError(f"numpy.{function.__name__} of a tensor: apply it to x.numpy()")


class Tensor:
    """An n-dimensional array whose operations are recorded, so that `backward` can differentiate them.

    Made by `tensor`. `array` is the engine's own array, `edge` its place on the graph (None for a constant),
    `grad` the gradient that `backward` accumulated, a Tensor or None. `mark` and `called` are of recordings, if set.
    """

    __slots__ = ("array", "edge", "grad", "mark", "called", "__weakref__")
    protocol = Protocol()

    def __init__(self, array: ndarray, edge: Edge | None = None) -> None:
        if type(array) is not ndarray:
            self.protocol.check(array)
        self.array = array
        self.edge = edge
        self.grad: Tensor | None = None

    if TYPE_CHECKING:  # attached from tables, but for mark
        mark: Any

        def __getattr__(self, name: str) -> Any: ...
        def _attached(self, *others: Any) -> Any: ...

        __neg__ = __abs__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _attached
        __rtruediv__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __gt__ = __ge__ = __lt__ = __le__ = _attached
        __getitem__ = __len__ = __iter__ = __float__ = _attached

    @property
    def data(self) -> ndarray:
        """The values, as a read-only view. Assigning gives the tensor a copy; a recorded graph keeps the old values."""
        view = self.array.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        array = array_of(value, "data")
        if array.dtype.kind == "f" != self.dtype.kind:
            raise DtypeError(f"data: the tensor is {self.dtype}, which would round the new values, of {array.dtype}")
        if array.shape != self.shape:
            raise ShapeError(f"data: the tensor has shape {self.shape}, the new values have {array.shape}")
        self.array, self.mark = array.astype(self.dtype, copy=False), None

    def numpy(self) -> ndarray:
        """The values as a read-only array; no gradient flows through it."""
        return self.data

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number. Raises ShapeError for any other size."""
        if self.array.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.array.shape} has {self.array.size} elements, not one")
        return self.array.item()

    shape = property(attrgetter("array.shape"))
    dtype = property(attrgetter("array.dtype"))
    ndim = property(attrgetter("array.ndim"))
    size = property(attrgetter("array.size"))
    requires_grad = property(lambda self: self.edge is not None, doc="Whether gradients flow to this tensor.")
    is_leaf = property(lambda self: self.edge is None or self.edge[0].op is None, doc="Whether no operation made it.")

    def detach(self, reason: str | None = None) -> Tensor:
        """The same values, sharing memory, with no edge to the graph: the cut. A recording shows it and its reason."""
        detached = Tensor(self.array)
        current().watcher.cut(self, detached, reason)
        return detached

    def retain_grad(self) -> Tensor:
        """Keep `.grad` on this tensor though it is not a leaf; returns the tensor. Raises GraphError for a constant."""
        if self.edge is None:
            raise GraphError("retain_grad: this tensor does not require a gradient, so none will ever reach it")
        self.edge[0].deliver_to(self.edge[1], self)
        return self

    def backward(self, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient to the `.grad` of every leaf and every tensor with `retain_grad()`; release the graph.

        gradient: the cotangent of this tensor, of its shape; may be left out for a tensor of one element.
        retain_graph: keep the graph for another pass.  create_graph: record the pass, for derivatives of it; in a
        window of an optimizer's horizon, such a pass goes back to the last step.
        Raises GraphError without a graph, ShapeError for a wrong gradient, GraphReleasedError for a consumed graph;
        nothing has changed then.
        """
        deposit([seed_for(self, gradient, "backward")], self, retain_graph=retain_graph, create_graph=create_graph)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"the truth of a tensor of shape {self.shape} is not one value: say any() or all()")
        return bool(self.item())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        return Tensor.protocol.ufunc(ufunc, method, args, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return Tensor.protocol.function(function, types, args, kwargs)

    def __repr__(self) -> str:
        values = np.array2string(self.array, separator=", ", prefix="tensor(")
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"


def take_over(outer: Protocol) -> None:
    """Let an outer ring answer NumPy's calls. Raises ArgumentError if one does already."""
    if type(Tensor.protocol) is not Protocol:
        raise ArgumentError(f"NumPy's calls are answered by {type(Tensor.protocol).__name__} already")
    Tensor.protocol = outer


def apply(op: Any, operands: Sequence[Tensor], call: Any = None) -> list[Tensor]:
    """Carry out an operation: compute its outputs, put it on the tape, show it to whoever watches.

    op: computes arrays, `compute(arrays, call)`, and makes its node, `node(edges, arrays, results, memo)`, which gives
    an edge for each output.  call: what it is told beside the operands.
    """
    recording, watcher = current()
    began = 0 if watcher is NOBODY else perf_counter_ns()
    outputs: list[Tensor] = []
    arrays, edges = [], []
    for x in operands:  # a comprehension is a call
        arrays.append(x.array)
    if recording:
        for x in operands:
            edges.append(x.edge)
    results, memo = op.compute(arrays, call)
    if any(edges):
        outputs += map(Tensor, results, op.node(tuple(edges), arrays, results, memo))
    else:
        for result in results:
            outputs.append(Tensor(result))
    if watcher is not NOBODY:
        watcher.operation(op, operands, outputs, call, perf_counter_ns() - began)
    return outputs


def saved(node: Node) -> list[Tensor]:
    """What a node has saved, as tensors: on the graph where the sweep is recorded."""
    if not current()[0]:
        return [*map(Tensor, node.saved)]
    edges = (*node.inputs, *[(node, n) for n in range(node.width)])
    return [Tensor(array, edges[place]) for array, place in zip(node.saved, node.op.reads(node))]


def tensor(array_like: Any, requires_grad: bool = False, dtype: DType = None, *, name: str | None = None) -> Tensor:
    """A new leaf with a copy of the values; of a tensor's values too, so that no gradient flows to it.

    dtype: float32, float64, an integer type or bool; what NumPy would choose if None.  name: what a recording calls it.
    Raises DtypeError for any other dtype, for a gradient of integers or booleans, and for a name that is not a string.
    """
    array = array_of(array_like.array if isinstance(array_like, Tensor) else array_like, "tensor", dtype)
    if requires_grad and array.dtype not in FLOATS:
        raise DtypeError(f"tensor: only float32 and float64 can require a gradient, not {array.dtype}")
    if name is not None and not isinstance(name, str):
        raise DtypeError(f"tensor: a name must be a string, such as 'w', not {name!r} of type {type(name).__name__}")
    result = Tensor(array)
    result.called = name  # type: ignore[attr-defined]
    if isinstance(array_like, Tensor):
        current().watcher.cut(array_like, result, "copy")
    return leaf(result) if requires_grad else result


def array_of(values: Any, name: str, dtype: DType = None) -> ndarray:
    """A new array of the values. Raises DtypeError for a dtype that no tensor has."""
    array = Tensor.protocol.array(values, name, dtype)
    check_dtype(array.dtype, name, f", of a {type(values).__name__},")
    return array


def check_dtype(dtype: np.dtype, name: str, of: str = "") -> None:
    """Raise DtypeError for a dtype that no tensor has."""
    if dtype not in FLOATS and dtype.kind not in "iub":
        raise DtypeError(f"{name}: dtype {dtype}{of} is not supported; use float32, float64, an integer type or bool")


def leaf(constant: Tensor) -> Tensor:
    """Let gradients flow to a tensor that has no edge, and collect in its `.grad`."""
    constant.edge = (Node(), 0)
    return constant.retain_grad()


def as_tensor(value: Any) -> Tensor:
    """The value itself if it is a Tensor, else a constant with a copy of it."""
    return value if isinstance(value, Tensor) else tensor(value)


def seed_for(output: Tensor, gradient: Any, name: str) -> tuple[Edge, Tensor]:
    """The edge of an output and the cotangent to start from. Raises before anything has changed."""
    if output.edge is None:
        raise GraphError(
            f"{name}: no gradient is recorded for this tensor. Nothing that it was computed from requires one, "
            "or it was computed under no_grad() or cut by detach()"
        )
    if gradient is None:
        if output.size != 1:
            why = f"{name}: a tensor of shape {output.shape} has no single gradient"
            raise ShapeError(f"{why}. Pass the cotangent (an array of that shape), or sum() first")
        return output.edge, Tensor(np.array(1, output.dtype, ndmin=output.ndim))
    given = as_tensor(gradient)
    if given.shape != output.shape:
        raise ShapeError(f"{name}: the tensor has shape {output.shape}, its gradient has {given.shape}")
    if given.dtype != output.dtype:
        if given.edge is not None or given.dtype == bool:
            raise DtypeError(f"{name}: the tensor is {output.dtype}, its gradient {given.dtype}")
        given = Tensor(given.array.astype(output.dtype))
    return output.edge, given


def deposit(
    seeds: Sequence[tuple[Edge, Tensor]], loss: Tensor | None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Sweep from the seeds, and add what comes to each tensor that keeps a gradient to its `.grad`.

    loss: what a recording is told that these are the gradients of. Raises GraphReleasedError.
    """
    watcher = current().watcher
    found = backward(seeds, None, retain_graph=retain_graph, create_graph=create_graph)
    for tensor, _ in found:
        if tensor.grad is not None:
            Tensor.protocol.gradient(tensor)
    for (tensor, _), gradient in zip(found, distinct([g for _, g in found])):
        if tensor.grad is not None:
            gradient = in_dtype(tensor.grad, tensor) + gradient
        tensor.grad = gradient
        watcher.gradient(tensor, gradient, loss)
    if loss is not None:
        watcher.swept(loss, seeds[0][1])


def distinct(cotangents: Sequence[Tensor]) -> list[Tensor]:
    """The cotangents, each a tensor of its own, of an array that lies in rows if it is not its own."""
    own = [c if c.array.base is None or c.array.flags.c_contiguous else c._in_rows() for c in cotangents]
    return [Tensor(c.array, c.edge) for c in own]


def in_dtype(gradient: Tensor, tensor: Tensor) -> Tensor:
    """A gradient in the dtype of its tensor: one that was scaled by np.float64(0.5), say, is wider than the weight."""
    return gradient if gradient.array.dtype == tensor.array.dtype else gradient.astype(tensor.array.dtype)
