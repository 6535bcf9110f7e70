"""Derivatives of functions: `grad(f)` is a function again, so it can be differentiated in turn.

Arguments and results may be tensors, arrays, floats, or mappings, lists and tuples of these, nested as one likes; a
derivative has the structure and the types of what it is taken by. What is given for a structure is matched by its keys.
Nothing here touches `.grad` or changes an argument.

A function is called with copies of its arguments that share their memory and stand on a graph of their own. Where an
argument (or a tensor the function closes over) is on a graph already, the derivative stays on that graph too: so
`grad(grad(f))` works, and so does a `grad` inside a loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .core.rules import positive, reshape
from .core.tape import Node, reachable, recording
from .core.tensor import FLOATS, Tensor, as_tensor, in_dtype, leaf
from .derivatives import gradients
from .errors import ArgumentError, DtypeError, ShapeError, TinyhyperError
from .operands import recorded
from .ops.shape import stack
from .structures import copied, leaves, mapped, matching, nested, rebuilt

Argnums = int | tuple[int, ...] | list[int]


def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The gradient of f, a function of one-element output, as a function of the same arguments.

    f: a function of tensors, arrays or floats, of any shape and of float32 or float64, or of dicts, lists and tuples of
    these. The gradient has the structure, shapes and dtypes of the argument.
    argnums: the position of the argument to differentiate with respect to, or a tuple or list of positions, which gives
    a tuple.
    Raises DtypeError for anything but a function. The derivative raises ShapeError if the output has more than one
    element, DtypeError for an argument or an output of integers or booleans, ArgumentError for a position that does not
    exist or stands twice.
    """
    both = value_and_grad(_function("grad", f), argnums)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """As grad, but the derivative gives a pair: the value of f, and its gradient.

    f, argnums: as of grad. Raises DtypeError, and the derivative ShapeError, DtypeError or ArgumentError, as grad does.
    """

    _function("value_and_grad", f)

    @functools.wraps(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        call = _Call(f, args, kwargs, argnums, "grad")
        out = call.single_output()
        if out.size != 1:
            raise ShapeError(
                f"grad: the function must return one number, not shape {out.shape}. Sum it, or use jacobian or vjp"
            )
        return call.results[0], call.mirrored(call.pull([out], [None]))

    return both


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """f(*primals), and the pullback: from a cotangent, structured as the output, to a tuple of one for each primal.

    f: as of grad, of any output.
    primals: its arguments, of any shape, float32 or float64, or structures of such.
    The pullback can be called more than once. It raises ShapeError for a cotangent that does not fit the output,
    DtypeError for one of another dtype.
    Raises DtypeError for an f that is no function, and for a primal or an output of integers or booleans.
    """
    call = _Call(_function("vjp", f), primals, {}, tuple(range(len(primals))), "vjp")
    pattern, call.structure = copied(call.result), copied(call.structure)  # which may change before the pullback's call

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        cotangents = matching(cotangent, pattern, "vjp", "cotangent")
        return call.mirrored(call.pull(call.outputs, cotangents, retain=True))

    return rebuilt(pattern, iter(call.results)), pullback


def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """f(*primals), and its derivative along the tangents; both are tuples of one for each argument of f.

    f: as of grad, of any output.
    primals: its arguments, of any shape, float32 or float64, or structures of such. A tuple or list has an argument in
    each place; all else, a named tuple too, is the only argument.
    tangents: of the same structure, each of its primal's shape, floats.
    Computed by two reverse passes (see `_Call.forward`).
    Raises ShapeError for tangents that do not fit the primals, DtypeError as vjp does and for tangents of other dtypes.
    """
    args, given = _arguments(primals, tangents)
    directions = matching(given, primals, "jvp", "tangents")
    call = _Call(_function("jvp", f), args, {}, tuple(range(len(args))), "jvp")
    return rebuilt(call.result, iter(call.results)), rebuilt(call.result, iter(call.forward()(directions)))


def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
    """The Hessian of f, a function of one-element output, times vectors.

    f: as of grad.  primals: as of jvp.  vectors: of the structure and shapes of the primals, floats.
    The result has the structure, shapes and dtypes of the primals. The Hessian is never formed: it costs about two
    gradients.
    Raises ShapeError for vectors that do not fit the primals and for an output of more than one element, DtypeError as
    grad does.
    Source: Pearlmutter, Fast Exact Multiplication by the Hessian, 1994.
    """
    args, given = _arguments(primals, vectors)
    matching(given, primals, "hvp", "vectors")
    _, pullback = vjp(grad(f, tuple(range(len(args)))), *args)
    products = pullback(given if _several(primals) else (given,))  # the Hessian is symmetric
    return type(primals)(products) if _several(primals) else products[0]


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The derivative of each element of f's output with respect to each of an argument: a function of f's arguments.

    Of shape output.shape + argument.shape, in the argument's dtype; where output or argument are structures, the outer
    one is the output's. Costs one pass for each element of the output, or of the arguments where these are far fewer.
    f: as of grad, of any output.  argnums: as of grad.
    Raises DtypeError for anything but a function. The derivative raises DtypeError for an argument or an output of
    integers or booleans, ArgumentError for a position that does not exist or stands twice.
    """

    _function("jacobian", f)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, args, kwargs, argnums, "jacobian")
        inputs, outputs = (sum(t.size for t in tensors) for tensors in (call.variables, call.outputs))
        blocks = call.by_columns() if 4 * inputs <= outputs else call.by_rows()  # a column costs as much as three rows
        return rebuilt(call.result, iter(map(call.mirrored, blocks)))

    return derivative


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The second derivatives of f, of one-element output: the jacobian of its gradient.

    Of shape argument.shape + argument.shape, in the argument's dtype.
    f, argnums: as of grad. Raises DtypeError, and the derivative ShapeError, DtypeError or ArgumentError, as grad does.
    """
    return jacobian(grad(f, argnums), argnums)


def _function(name: str, f: Any) -> Callable[..., Any]:
    """The function itself. Raises DtypeError for anything else."""
    if not callable(f):
        raise DtypeError(f"{name}: the first argument must be a function, not a {type(f).__name__}")
    return f


class _Variable(Node):
    """The leaf under a variable of a call. open: whether the function still runs."""

    open = True


class _Call:
    """One call of a function on copies of its arguments, recorded.

    variables: the copies differentiated by.  result: what the function gave; outputs: the tensors in it.
    results: the outputs as the caller gets them.
    """

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], argnums: Argnums, name: str
    ) -> None:
        self.name = name
        numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
        for n in numbers:
            whole = type(n) is int or isinstance(n, (int, np.integer)) and not isinstance(n, bool)
            if not whole or not -len(args) <= n < len(args):
                raise ArgumentError(
                    f"{name}: argnums={argnums!r} must number some of the {len(args)} positional arguments"
                )
        if len({n % len(args) for n in numbers}) < len(numbers):
            raise ArgumentError(f"{name}: argnums={argnums!r} names one of the {len(args)} positional arguments twice")
        self.began = Node().serial
        self.variables: list[Tensor] = []
        arguments = list(args)
        for n in numbers:
            arguments[n] = mapped(args[n], self._variable)
        with recording():
            self.result = f(*arguments, **kwargs)
            self.outputs = [self._output(out) for out in leaves(self.result)]
        by = tuple([args[n] for n in numbers])  # as the caller has them: the function may change its copies
        self.structure = by if numbers is argnums else by[0]
        for x in self.variables:
            if x.edge and isinstance(node := x.edge[0], _Variable):
                node.open = False
        nodes = reachable(out.edge[0] for out in self.outputs if out.edge and recorded(out))
        older = bool(nodes) and nodes[-1].serial < self.began
        self.results = self.released(self.outputs) if older else [Tensor(out.array) for out in self.outputs]

    def _variable(self, value: Any) -> Tensor:
        if not isinstance(value, (Tensor, np.ndarray, np.generic, float, int)):
            raise DtypeError(
                f"{self.name}: cannot differentiate with respect to a {type(value).__name__}; give a float, an array "
                "or a tensor"
            )
        x = as_tensor(value)
        if x.dtype not in FLOATS:
            raise DtypeError(
                f"{self.name}: cannot differentiate with respect to {x.dtype} values; make them float32 or float64"
            )
        variable = positive(x) if recorded(x) else Tensor(x.array, (_Variable(), 0)).retain_grad()
        self.variables.append(variable)
        return variable

    def _output(self, value: Any) -> Tensor:
        try:
            out = as_tensor(value)
        except TinyhyperError as error:
            raise type(error)(f"{self.name}: the function returned a {type(value).__name__} ({error})") from None
        if out.dtype not in FLOATS:
            raise DtypeError(
                f"{self.name}: the function returned {out.dtype}, which has no derivative, as counts and comparisons. "
                "Differentiate a smooth function, or cast a constant to float64"
            )
        return out

    def single_output(self) -> Tensor:
        if nested(self.result):
            raise ShapeError(f"{self.name}: the function must return one number, not a {type(self.result).__name__}")
        return self.outputs[0]

    def pull(
        self, outputs: Sequence[Tensor], cotangents: Sequence[Any], retain: bool = False, linear: bool = False
    ) -> list[Tensor]:
        """The variables' cotangents; linear: recorded, so that they can be differentiated by those of the outputs."""
        pairs = [(out, c) for out, c in zip(outputs, cotangents) if out.edge is not None]
        if not pairs or not self.variables:
            return [*map(_zeros_like, self.variables)]
        outs, given = [out for out, _ in pairs], [c for _, c in pairs]
        nodes = [c.edge[0] for c in given if c is not None and c.edge]
        create = linear or self._recorded(given)
        found = list(gradients(outs, self.variables, given, retain_graph=retain, create_graph=create))
        return self.released(found, nodes) if create and not linear else found

    def forward(self) -> Callable[[Sequence[Tensor | None]], list[Tensor]]:
        """From directions, one for each variable or None, to the outputs' derivatives along them.

        The pullback is linear in its cotangents, so its derivative by these is the same for all, and is the answer.
        """
        with recording():
            cotangents = [leaf(_zeros_like(out)) if out.edge else None for out in self.outputs]
            pulled = self.pull(self.outputs, cotangents, linear=True)
        by = [c for c in cotangents if c is not None]

        def along(directions: Sequence[Tensor | None]) -> list[Tensor]:
            pairs = [(p, d) for p, d in zip(pulled, directions) if p.edge is not None and d is not None]
            slopes = [*map(_zeros_like, by)]
            if pairs:
                outs, given = zip(*pairs)
                create = self._recorded(given)
                slopes = [*gradients(outs, by, given, retain_graph=True, create_graph=create)]
            found = iter(self.released(slopes))
            return [_zeros_like(out) if c is None else next(found) for c, out in zip(cotangents, self.outputs)]

        return along

    def by_rows(self) -> Iterator[list[Tensor]]:
        """Of each output its derivatives by the variables, from a pass for each of its elements."""
        for out in self.outputs:
            rows = [self.pull([out], [unit], retain=True) for unit in _units(out)]
            yield [_stacked([row[n] for row in rows], 0, out, x) for n, x in enumerate(self.variables)]

    def by_columns(self) -> Iterator[list[Tensor]]:
        """As by_rows, from a pass for each element of the variables."""
        along = self.forward()
        columns = [[along([None] * n + [unit]) for unit in _units(x)] for n, x in enumerate(self.variables)]
        for k, out in enumerate(self.outputs):
            yield [_stacked([c[k] for c in found], -1, out, x) for x, found in zip(self.variables, columns)]

    def _recorded(self, given: Sequence[Tensor | None]) -> bool:
        """Whether derivatives are to be on the graph: a result is, or one of the cotangents or directions given."""
        return any(tensor is not None and recorded(tensor) for tensor in (*self.results, *given))

    def released(self, tensors: Sequence[Tensor], given: Sequence[Node] = ()) -> list[Tensor]:
        """Tensors as the caller gets them: on the graph only where they depend on given nodes or on older leaves."""
        there, absent = {*given}, set[Node]()
        return [t if t.edge and leads(t.edge[0], self._older, there, absent) else Tensor(t.array) for t in tensors]

    def _older(self, node: Node) -> bool:
        """Whether a node ended a graph before the call. The variables of a call that has ended are constants."""
        if node.serial >= self.began or (node.op is not None and not node.released):
            return False
        return not isinstance(node, _Variable) or node.open

    def mirrored(self, values: Sequence[Any]) -> Any:
        """One value for each variable, in the structure of the arguments differentiated by."""
        return rebuilt(self.structure, iter(values))


def _zeros_like(tensor: Tensor) -> Tensor:
    return Tensor(np.zeros(tensor.shape, tensor.dtype))


def _units(tensor: Tensor) -> Iterator[Tensor]:
    """For each element a tensor that is 1 there and else 0."""
    for place in np.ndindex(tensor.shape):
        unit = _zeros_like(tensor)
        unit.array[place] = 1.0
        yield unit


def _stacked(parts: Sequence[Tensor], axis: int, out: Tensor, x: Tensor) -> Tensor:
    """Rows or columns as a Jacobian."""
    shape = out.shape + x.shape
    return in_dtype(reshape(stack(parts, axis), shape), x) if parts else Tensor(np.zeros(shape, x.dtype))


def _several(primals: Any) -> bool:
    """Whether there is an argument in each place; else it is one argument, a named tuple too."""
    return type(primals) in (tuple, list)


def _arguments(primals: Any, vectors: Any) -> tuple[tuple[Any, ...], Any]:
    """The arguments, and what is to be matched with the primals: a lone vector stands for a tuple of it."""
    if not _several(primals):
        return (primals,), vectors
    return tuple(primals), vectors if isinstance(vectors, (tuple, list)) else (vectors,)


def leads(node: Any, fits: Callable[[Any], bool], yes: set[Any], no: set[Any]) -> bool:
    """Whether a node is or depends on one that fits. yes, no: nodes of which this is known; more of them afterwards."""
    came: dict[Any, Any] = {node: None}
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node in yes or fits(node):
            while node is not None:
                yes.add(node)
                node = came[node]
            return True
        for edge in node.inputs:
            if edge is not None and edge[0] not in came and edge[0] not in no:
                came[edge[0]] = node
                waiting.append(edge[0])
    no.update(came)
    return False
