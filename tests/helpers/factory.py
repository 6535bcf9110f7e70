"""What must be true of every operation, stated once.

A `Row` names an operation, its NumPy reference and the inputs it accepts; every function of `PROPERTIES` takes a row
and an example and raises AssertionError if the operation breaks the promise. `property_test(rows)` makes one hypothesis
test for each row and property. Values keep a distance from kinks and ties, where a difference quotient has no meaning;
what happens at those points is pinned by examples in the test files.

The oracle of a gradient is a difference quotient of the *reference*, never of the operation itself.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from backends import elementwise_backend
from hypothesis import given, reject
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper import GraphReleasedError
from tinyhyper.core.operation import Elementwise
from tinyhyper.differences import Function, along, size_of, slope
from tinyhyper.ops.elementwise import BY_NAME
from tinyhyper.testing import broadcastable_shapes, collector_off, operations
from tinyhyper.testing.functions import leaves
from tinyhyper.testing.operations import ELEMENTWISE, OPERATIONS, Operation, Values
from tinyhyper.testing.strategies import SEEDS, SHAPES

SMALL = 12  # inputs and outputs up to this size have their whole Jacobian checked

Array = np.ndarray


# ---- Inputs

REAL, POSITIVE, NONZERO = (domain.draw for domain in (operations.REAL, operations.POSITIVE, operations.NONZERO))


@dataclass(frozen=True)
class Example:
    """Float64 input arrays, the options, and what random directions are drawn from."""

    arrays: tuple[Array, ...]
    options: dict[str, Any]
    seed: int

    def __repr__(self) -> str:
        return f"Example(shapes={[a.shape for a in self.arrays]}, options={self.options}, seed={self.seed})"

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed + 1)


def example(
    shapes: Sequence[tuple[int, ...]], options: dict[str, Any], seed: int, values: Values | Sequence[Values] = REAL
) -> Example:
    """Fill the shapes with values."""
    rng = np.random.default_rng(seed)
    each = values if isinstance(values, Sequence) else [values] * len(shapes)
    return Example(tuple(v(rng, s, n) for n, (v, s) in enumerate(zip(each, shapes))), options, seed)


@st.composite
def broadcasting(draw: Any, values: Sequence[Values]) -> Example:
    """One shape for each of the values, all of which broadcast together."""
    shapes = draw(broadcastable_shapes(len(values)))
    return example(shapes, {}, draw(SEEDS), values)


@st.composite
def arranged(draw: Any, operation: Operation) -> Example:
    """Arrays, some without elements, and options, as the table of operations has them."""
    for _ in range(5):
        shape = draw(SHAPES)
        further, options = operation.arrange(draw, shape) or (None, None)
        if options is not None:
            values = [operation.domain(n).draw for n in range(1 + len(further))]
            case = example([shape, *further], options, draw(SEEDS), values)
            if operation.fits(case.arrays, options):
                return case
    reject()


# ---- Rows


@dataclass(frozen=True)
class Row:
    """One operation.

    name: under which tinyhyper has it.  reference: the same over arrays, by NumPy.  examples: a strategy of Examples.
    call: the operation, if it is not `th.<name>`.
    numpy: the NumPy function that must lead to it, by default the one of that name if there is one; None for none.
    method: the method that must lead to it, by default the one that NumPy's arrays have; None for none.
    differentiable: whether a gradient flows.  integers: whether integer inputs must give what NumPy gives.
    values: of an elementwise operation, how the values of each input are drawn.
    """

    name: str
    reference: Callable[..., Array]
    examples: st.SearchStrategy[Example]
    call: Callable[..., Any] | None = None
    numpy: Any = "same name"
    method: str | None = "same name"
    differentiable: bool = True
    integers: bool = True
    values: tuple[Values, ...] = ()
    id: str = ""

    def __str__(self) -> str:
        return self.id or self.name

    @property
    def function(self) -> Callable[..., Any]:
        return self.call or getattr(th, self.name)

    @property
    def numpy_function(self) -> Callable[..., Any] | None:
        return getattr(np, self.name, None) if self.numpy == "same name" else self.numpy

    @property
    def method_name(self) -> str | None:
        if self.method == "same name":
            return self.name if hasattr(np.ndarray, self.name) else None
        return self.method

    def apply(self, inputs: Sequence[Any], options: dict[str, Any], function: Callable[..., Any] | None = None) -> Any:
        return (function or self.function)(*inputs, **options)

    def expected(self, arrays: Sequence[Array], options: dict[str, Any]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.reference(*arrays, **options))


def row_of(name: str) -> Row:
    """The row of an operation of the table."""
    row = OPERATIONS[name]
    call, numpy, method = None, "same name", "same name"
    if row.call:
        call, numpy, method = partial(row.call, th), partial(row.call, np), None
    bounds_are_options = name == "clip"
    count = len(BY_NAME[name].__signature__.parameters) if name in ELEMENTWISE and not bounds_are_options else 0
    values = tuple([row.domain(n).draw for n in range(count)])
    return Row(name, row.of(np, name), arranged(row), call, numpy, method, integers=row.integers, values=values)


COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
CONSTANT = [  # the elementwise operations through which no gradient flows
    Row(name, getattr(np, name), broadcasting(values), differentiable=False, values=values)
    for names, values in ((COMPARISONS, (REAL, REAL)), (("sign", "floor", "isnan"), (NONZERO,)))
    for name in names
]


# ---- Oracles


def assert_close(actual: Any, expected: Any, what: str, scale: float = 1.0, rtol: float = 1e-7) -> None:
    """Equal to `rtol` of the largest entry expected, beside the rounding errors of a difference quotient of `scale`."""
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if expected.size:
        limit = rtol * np.abs(expected).max() + 1e-10 * scale
        worst = np.abs(actual - expected).max()
        assert worst <= limit, f"{what}: off by {worst:.3g}, allowed {limit:.3g}\n{actual}\nexpected\n{expected}"


def normal_like(rng: np.random.Generator, array: Array) -> Array:
    return np.asarray(rng.standard_normal(array.shape), array.dtype)


# ---- Properties


def value(row: Row, case: Example) -> None:
    """The value, shape and dtype are NumPy's, of arrays and tensors, and a gradient is recorded where it should be."""
    expected = row.expected(case.arrays, case.options)
    given = [(flow, [th.tensor(a, flow) for a in case.arrays]) for flow in (False, True)]
    if row.call is None or callable(row.numpy):  # an operator or a method arrays have of their own
        given.append((False, list(case.arrays)))
    for requires_grad, inputs in given:
        out = row.apply(inputs, case.options)
        assert type(out) is th.Tensor
        assert out.dtype == expected.dtype
        assert out.requires_grad == (requires_grad and row.differentiable)
        if expected.dtype == bool:
            assert np.array_equal(out.data, expected)
        else:
            assert_close(out.data, expected, "value", 1e-4 + 1e-4 * size_of(expected), rtol=1e-13)


def jacobians(function: Function, arrays: Sequence[Array]) -> list[Array]:
    """For each array d function / d array by differences, with the array's axes last."""
    found = []
    for n, array in enumerate(arrays):
        columns = [slope(function, arrays, along(arrays, n, place)) for place in range(array.size)]
        shape = np.shape(function(*arrays))
        found.append(np.stack(columns, -1).reshape(shape + array.shape) if columns else np.zeros(shape + array.shape))
    return found


def gradient(row: Row, case: Example) -> None:
    """The gradient is the slope of the reference: along random directions, and entry by entry if there are few."""
    rng = case.rng()
    xs = leaves(case.arrays)
    out = row.apply(xs, case.options)
    expected = row.expected(case.arrays, case.options)

    def reference(*arrays: Array) -> Array:
        return row.expected(arrays, case.options)

    if expected.size <= SMALL and sum(a.size for a in case.arrays) <= SMALL:
        for x, jacobian in zip(xs, jacobians(reference, case.arrays)):
            for place in np.ndindex(expected.shape):
                seed = np.zeros(expected.shape)
                seed[place] = 1.0
                found = th.gradients(out, x, seed, retain_graph=True)[0]
                assert_close(found.data, jacobian[place], f"d out{list(place)} / d input", 1 + size_of(expected))
    cotangent = normal_like(rng, expected)
    out.backward(cotangent)
    for n, x in enumerate(xs):
        assert x.grad is not None and x.grad.shape == x.shape and x.grad.dtype == x.dtype
        for _ in range(2):
            directions = [normal_like(rng, a) if m == n else np.zeros_like(a) for m, a in enumerate(case.arrays)]
            wanted = np.sum(cotangent * slope(reference, case.arrays, directions))
            assert_close(
                np.sum(x.grad.data * directions[n]), wanted, f"slope along input {n}", 10 + 10 * size_of(expected)
            )


def second(row: Row, case: Example) -> None:
    """The derivative of the gradient, in the inputs and in the cotangent, is the slope of the gradient."""
    rng = case.rng()
    cotangent = normal_like(rng, row.expected(case.arrays, case.options))
    projections = [normal_like(rng, a) for a in case.arrays]

    def first(*arrays: Array) -> Array:
        """The gradient, projected: a number."""
        *inputs, seed = leaves(arrays)
        grads = th.gradients(row.apply(inputs, case.options), inputs, seed)
        return np.asarray(sum(np.sum(g.data * p) for g, p in zip(grads, projections)))

    *xs, seed = leaves([*case.arrays, cotangent])
    grads = th.gradients(row.apply(xs, case.options), xs, seed, create_graph=True)
    recorded = [(g, p) for g, p in zip(grads, projections) if g.requires_grad]
    found = th.gradients([g for g, _ in recorded], [*xs, seed], [p for _, p in recorded])
    scale = 10 + 10 * sum(size_of(g.data) for g in grads)
    for n, derivative in enumerate(found):
        directions = [
            normal_like(rng, a) if m == n else np.zeros_like(a) for m, a in enumerate([*case.arrays, cotangent])
        ]
        wanted = slope(first, [*case.arrays, cotangent], directions)
        assert_close(np.sum(derivative.data * directions[n]), wanted, f"second derivative, input {n}", scale)
    along = slope(lambda *arrays: row.expected(arrays, case.options), case.arrays, projections)
    assert_close(found[-1].data, along, "derivative in the cotangent", 10 * scale)


def ownership(row: Row, case: Example) -> None:
    """No input, cotangent or output is written to. A gradient is its own tensor: assigning to it changes no other."""
    for create_graph in (False, True):
        xs = leaves(case.arrays)
        middles = [(x * 1.0).retain_grad() for x in xs]
        inputs = [*xs, *middles]
        before = [t.data.copy() for t in inputs]
        out = row.apply(middles, case.options).retain_grad()
        seed = th.tensor(normal_like(case.rng(), out.data))
        others = [*inputs, out, seed]
        before += [out.data.copy(), seed.data.copy()]
        out.backward(seed, create_graph=create_graph)
        for tensor, was in zip(others, before):
            assert np.array_equal(tensor.data, was, equal_nan=True), "a tensor was written to"
        holders = list({id(t): t for t in (*xs, *middles, out)}.values())  # nothing to do: the output may be the input
        grads = [t.grad for t in holders]
        assert all(type(grad) is th.Tensor for grad in grads)
        others += grads
        for grad in grads:
            kept = [other.data.copy() for other in others]
            grad.data = grad.data + 1.0
            for other, was in zip(others, kept):
                alone = other is grad or np.array_equal(other.data, was, equal_nan=True)
                assert alone, "a gradient shares a tensor"


def float32(row: Row, case: Example) -> None:
    """Float32 stays float32, with Python numbers around, in the value and in both derivatives."""
    arrays = [a.astype(np.float32) for a in case.arrays]
    wide = [a.astype(np.float64) for a in arrays]
    xs, ys = leaves(arrays), leaves(wide)
    out = row.apply([(2 * x + 0.0) / 2.0 for x in xs], case.options)
    assert out.dtype == row.expected(arrays, case.options).dtype
    if not row.differentiable:
        return
    assert out.dtype == np.float32
    out = 1.0 * out + 0
    assert out.dtype == np.float32
    expected = row.apply(ys, case.options)
    assert_close(out.data, expected.data, "float32 value", 1e5 * size_of(expected.data), rtol=1e-5)
    cotangent = normal_like(case.rng(), out.data)
    grads = th.gradients(out, xs, cotangent, create_graph=True)
    wanted = th.gradients(expected, ys, cotangent)
    for grad, want in zip(grads, wanted):
        assert grad.dtype == np.float32
        assert_close(grad.data, want.data, "float32 gradient", 1e5 * (1 + size_of(want.data)), rtol=1e-4)
    again = [g for g in grads if g.requires_grad]
    for grad in th.gradients(again, xs, again) if again else ():
        assert grad.dtype == np.float32


def integers(row: Row, case: Example) -> None:
    """Integers and booleans are constants: the value and dtype are NumPy's, alone and beside floats."""
    if not row.integers:
        return
    rng = case.rng()
    whole = [rng.integers(0, 4, a.shape).astype(d) for a, d in zip(case.arrays, rng.choice(["i8", "i4", "u1", "?"], 9))]
    mixtures = [whole]
    if len(whole) > 1:
        mixtures += [
            [a if m == n else w for m, (a, w) in enumerate(zip(case.arrays, whole))] for n in range(len(whole))
        ]
    for arrays in mixtures:
        try:
            expected = row.expected(arrays, case.options)
        except TypeError:  # NumPy refuses too: no subtraction of booleans, say
            continue
        if expected.dtype == np.float16:  # NumPy's choice for functions of small integers; not a dtype here
            continue
        xs = [th.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        out = row.apply(xs, case.options)
        assert out.dtype == expected.dtype, f"{[a.dtype for a in arrays]} give {out.dtype}, NumPy {expected.dtype}"
        np.testing.assert_allclose(out.data, expected, rtol=1e-6, atol=1e-6)
        if out.requires_grad:
            out.backward(np.ones(out.shape))
            for x in xs:
                assert (x.grad is not None) == x.requires_grad
    if isinstance(row.function, Elementwise):  # no array of integers reaches what gives floats; Python's integers do
        numbers = rng.integers(1, 4, len(whole)).tolist()
        np.testing.assert_allclose(row.apply(numbers, {}).data, row.expected(numbers, {}), rtol=1e-6)


def release(row: Row, case: Example) -> None:
    """A graph lives for one backward(): a second is refused before any gradient changed, and memory is free at once."""
    xs = leaves(case.arrays)
    with collector_off():
        middles = [x * 1.0 for x in xs]
        out = row.apply(middles, case.options)
        cotangent = np.ones(out.shape)
        node = out.edge[0]
        out.backward(cotangent)
        assert node.inputs == () and not node.saved, "the node still holds on to its inputs"
        kept = [(x.grad, x.grad.data.copy()) for x in xs]
        with pytest.raises(GraphReleasedError):
            out.backward(cotangent)
        for x, (grad, values) in zip(xs, kept):
            assert x.grad is grad and np.array_equal(grad.data, values, equal_nan=True), "a gradient has changed"
        watched = [weakref.ref(t) for t in (*middles, out, *[m.edge[0] for m in middles], node)]
        del middles, out, node
        assert not any(ref() for ref in watched), "the graph outlives its last user"
        out = row.apply([x * 1.0 for x in xs], case.options)  # never swept: it must be gone as well
        watched = [weakref.ref(t) for t in (out, out.edge[0])]
        del out
        assert not any(ref() for ref in watched), "the graph outlives its last user"


def constants(row: Row, case: Example) -> None:
    """An input that needs no gradient gets none, no edge leads to it, and the others' gradients do not change."""
    everything = leaves(case.arrays)
    out = row.apply(everything, case.options)
    cotangent = normal_like(case.rng(), out.data)
    out.backward(cotangent)
    for n, full in enumerate(everything):
        xs = [th.tensor(a, requires_grad=m == n) for m, a in enumerate(case.arrays)]
        out = row.apply(xs, case.options)
        sources = [edge for edge in _edges(out, xs) if edge is not None]
        assert sources and all(node is xs[n].edge[0] for node, _ in sources), "an edge leads to a constant"
        out.backward(cotangent)
        for m, x in enumerate(xs):
            assert (x.grad is not None) == (m == n)
        assert_close(xs[n].grad.data, full.grad.data, "gradient beside constants", 1e-3, rtol=1e-13)
        raw = row.apply([x if m == n else x.numpy() for m, x in enumerate(xs)], case.options)  # arrays are constants
        assert np.array_equal(raw.data, out.data, equal_nan=True)


def second_beside_constants(row: Row, case: Example) -> None:
    """The second derivative by one input and the cotangent does not change where the other inputs are constants."""
    rng = case.rng()
    cotangent = normal_like(rng, row.expected(case.arrays, case.options))
    last = len(case.arrays)
    for n in range(last) if last > 1 else ():
        projection, found = normal_like(rng, case.arrays[n]), []
        for flow in (range(last + 1), (n, last)):
            *xs, seed = [th.tensor(a, requires_grad=m in flow) for m, a in enumerate([*case.arrays, cotangent])]
            (grad,) = th.gradients(row.apply(xs, case.options), xs[n], seed, create_graph=True)
            found.append([g.data for g in th.gradients(grad, [xs[n], seed], projection)] if grad.requires_grad else [])
        assert len(found[0]) == len(found[1])
        for everything, beside in zip(*found):
            assert_close(beside, everything, "second derivative beside constants", 1e-3, rtol=1e-12)


def _edges(out: th.Tensor, xs: Sequence[th.Tensor]) -> Iterator[Any]:
    """The edges that lead to leaves, from all nodes of the operation."""
    if any(out is x for x in xs):
        yield out.edge
    waiting, seen = [out.edge[0]], set()
    while waiting:
        node = waiting.pop()
        for edge in node.inputs:
            if edge is None or edge[0].op is None:
                yield edge
            elif edge[0] not in seen:
                seen.add(edge[0])
                waiting.append(edge[0])


def spellings(row: Row, case: Example) -> None:
    """NumPy's function and the method, where there are such, are the same operation."""
    functions = [row.function]
    if row.numpy_function is not None:
        functions.append(row.numpy_function)
    if row.method_name is not None:
        functions.append(lambda x, *args, **options: getattr(x, row.method_name)(*args, **options))
    results = []
    for function in functions:
        xs = leaves(case.arrays)
        out = row.apply(xs, case.options, function)
        assert type(out) is th.Tensor
        grads = th.gradients(out, xs, normal_like(case.rng(), out.data)) if row.differentiable else ()
        results.append([out.data, *[g.data for g in grads]])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def fused(row: Row, case: Example) -> None:
    """Inside @th.fuse, between other operations, an elementwise operation has the same value and derivatives."""
    if not row.values:
        return

    def chain(*xs: Any) -> Any:
        return 0.5 * row.function(*[x * 1.5 for x in xs]) + xs[-1]

    elementwise_backend(
        "numpy"
    )  # kernels are compared with NumPy elsewhere; here they would be compiled for every shape
    results = []
    for function in (chain, th.fuse(chain)):
        xs = leaves([a / 1.5 for a in case.arrays])
        out = function(*xs)
        grads = th.gradients(out, xs, normal_like(case.rng(), out.data), create_graph=True)
        again = [g for g in grads if g.requires_grad]
        seconds = th.gradients(again, xs, [np.ones(g.shape) for g in again]) if again else ()
        results.append([out, *grads, *seconds])
    assert len(results[0]) == len(results[1])
    for eager, one in zip(*results):
        assert_close(one.data, eager.data, "fused", 1e-2 * size_of(eager.data), rtol=1e-12)


FOR_ALL = (value, float32, integers, spellings)
FOR_DIFFERENTIABLE = (gradient, second, ownership, release, constants, second_beside_constants, fused)
PROPERTIES = FOR_ALL + FOR_DIFFERENTIABLE


def property_test(rows: Sequence[Row]) -> Callable[..., None]:
    """A test of every row for every property that concerns it."""
    pairs = [
        pytest.param(row, prop, id=f"{row}-{prop.__name__}")
        for row in rows
        for prop in PROPERTIES
        if (row.differentiable or prop in FOR_ALL) and (row.values or prop is not fused)
    ]

    @pytest.mark.parametrize("row, prop", pairs)
    @given(data=st.data())
    def test(row: Row, prop: Callable[[Row, Example], None], data: Any) -> None:
        prop(row, data.draw(row.examples))

    return test


def imported_without(missing: str, module: types.ModuleType) -> types.ModuleType:
    """A module once more, as it is where another one cannot be imported."""
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
    again = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {missing: None}):
        spec.loader.exec_module(again)
    return again
