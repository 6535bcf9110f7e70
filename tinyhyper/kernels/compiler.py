"""From an expression to one numba kernel: a nest of loops that reads every operand and writes every output once.

Adjacent axes along which every operand behaves alike are merged first, so nearly every call is a nest of
one to three loops. A value is computed in the outermost loop in which all it depends on is known: what
only depends on scalars is computed once, before the loops. An operand that is broadcast is read where it
lies; an output that is smaller than the loops is summed down in the same pass, in float64. Float32 terms of
one long loop are first added up in float32, SHORT of them at a time, which keeps whole vector registers of
them; so few terms lose little more than each has lost by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..fusion.expression import Expression, value_dtypes
from . import cache
from .accuracy import NEAR, near_name, special_name
from .hoist import Hoist
from .notation import source, written

INDEX = "ijklmnpq"
SHORT = 256

Mask: TypeAlias = "tuple[bool, ...]"


class LoopNest(NamedTuple):
    """How arrays lie along the merged loops.

    views: the shape to give each array, and steps, the strides that it then has; varies: along which loops each one
    varies.
    """

    views: list[tuple[int, ...]]
    steps: list[tuple[int, ...]]
    varies: list[tuple[bool, ...]]


def merge_axes(
    shape: tuple[int, ...], shapes: Sequence[tuple[int, ...]], strides: Sequence[tuple[int, ...]]
) -> LoopNest:
    """Merge neighbouring axes of `shape` along which every array is either broadcast or evenly spaced."""
    depth = len(shape)
    full = [(1,) * (depth - len(s)) + s for s in shapes]
    steps = [(0,) * (depth - len(s)) + tuple(s) for s in strides]
    axes: list[list[int]] = []
    for axis in range(depth):
        if shape[axis] == 1:
            continue
        if axes and all(_joins(f, s, axes[-1][-1], axis) for f, s in zip(full, steps)):
            axes[-1].append(axis)
        else:
            axes.append([axis])
    varies = [tuple(f[group[0]] != 1 for group in axes) for f in full]
    views = [
        tuple(int(np.prod([shape[axis] for axis in group])) for group, v in zip(axes, vary) if v) for vary in varies
    ]
    last = [tuple(step[group[-1]] for group, v in zip(axes, vary) if v) for step, vary in zip(steps, varies)]
    return LoopNest(views, last, varies)


def _joins(sizes: tuple[int, ...], steps: tuple[int, ...], outer: int, inner: int) -> bool:
    if sizes[outer] == 1 or sizes[inner] == 1:
        return sizes[outer] == sizes[inner]
    return steps[outer] == steps[inner] * sizes[inner]


class Signature(NamedTuple):
    """What a kernel is written for: an expression, and the dtypes of its inputs and then outputs, and along which
    loops each varies."""

    expression: Expression
    dtypes: tuple[np.dtype, ...]
    varies: tuple[Mask, ...]

    @property
    def outputs(self) -> tuple[Mask, ...]:
        return self.varies[self.expression.inputs :]


def kernel(signature: Signature) -> Callable[..., None]:
    """The compiled kernel, called with the inputs' and then the outputs' views; outputs that are sums start at 0."""
    return cache.load(write(signature))


def write(signature: Signature) -> str:
    """The kernel's Python source.

    Where it has functions that vectorize only for arguments near 0, it takes all of them to be near and notes if one
    was not; then everything is computed once more, with the C library's functions for those that are far.
    """
    signature = signature._replace(expression=written(signature.expression))
    names = [f"a{n}" for n in range(signature.expression.inputs)] + [f"o{n}" for n in range(len(signature.outputs))]
    writer = Writer(signature)
    body = _body(writer, names)
    if any(near_name(line.op.name, "float64") for line in signature.expression.lines):
        totals = [n for n, varies in enumerate(signature.outputs) if not all(varies)]
        clear = [f"    o{n}[{':' if any(signature.outputs[n]) else '()'}] = 0.0" for n in totals]
        again = ["    " + line for line in (*clear, *body)]
        body = ["    far = False", *_body(Writer(signature, near=True), names), "    if far:", *again]
    if writer.runs:
        names = [f"whole_{name}" if any(v) else name for name, v in zip(names, writer.arrays)]
    return "\n".join([f"def kernel({', '.join(names)}):", *body, ""])


def _body(writer: Writer, names: list[str]) -> list[str]:
    stores = [writer.output(n) for n in range(len(writer.signature.outputs))]
    if writer.runs:
        return _runs(writer.values(), stores, [name for name, varies in zip(names, writer.arrays) if any(varies)])
    return _nest(writer.values(), stores, [_size(loop, names, writer.arrays) for loop in range(writer.loops)])


class OutputLines(NamedTuple):
    """What stores one output: lines before the loop at `depth`, in the innermost loop, and after the loop.

    opening, closing: lines around each run of SHORT rounds, where the loop is cut into such.
    """

    before: list[str]
    inner: list[str]
    after: list[str]
    depth: int
    opening: list[str]
    closing: list[str]


class Writer:
    """One kernel being written. Values are numbered as in the expression.

    near: whether the arguments of sines and the like are taken to be near; `far` is then set if one is not.
    arrays: along which loops each input and output varies.  runs: whether a loop is cut into short runs for its sums.
    """

    def __init__(self, signature: Signature, near: bool = False) -> None:
        self.signature, self.near = signature, near
        self.expression = expression = signature.expression
        self.loops = len(signature.varies[0])
        self.types, self.scalars = value_dtypes(expression, signature.dtypes[: expression.inputs])
        self.text = [f"v{n}" for n in range(len(self.types))]
        for n, constant in enumerate(expression.constants, expression.inputs):
            self.text[n] = repr(constant) if math.isfinite(constant) else f"float('{constant}')"
        self.first_line = expression.inputs + len(expression.constants)
        self.varies = [*signature.varies[: expression.inputs], *[(False,) * self.loops] * len(expression.constants)]
        for _, args in expression.lines:
            self.varies.append(tuple(map(any, zip(*[self.varies[arg] for arg in args]))) if self.loops else ())
        self.arrays = signature.varies
        self.live: set[int] = set()
        self.runs = False

    def values(self) -> list[list[str]]:
        """By depth, the lines that compute every value that is live, each as far outside as it can be."""
        blocks: list[list[str]] = [[] for _ in range(self.loops + 1)]
        for n in self._needed():
            if n < self.expression.inputs:
                lines = [f"v{n} = a{n}{_index(self.varies[n])}"]
            else:
                lines = [f"v{n} = {self._line(n)}", *self._watch(n)]
            blocks[_depth(self.varies[n])] += lines
        return blocks

    def output(self, n: int) -> OutputLines:
        """Where and how the n-th output is stored, or summed."""
        number, varies = self.expression.outputs[n], self.signature.outputs[n]
        place = f"o{n}{_index(varies)}"
        depth = _depth(varies)
        if all(varies) or depth == self.loops:
            if not all(varies) and (stored := self._stored(number)):
                head = f"for {INDEX[depth - 1]} in range({stored}.shape[{depth - 1}])"
                sum_it = f"{head}: {place} += {stored}{_index((True,) * depth)}"
                return OutputLines([], [], [sum_it], depth - 1, [], [])
            self.live.add(number)
            value = _convert(self.text[number], self.signature.dtypes[self.expression.inputs + n].name)
            store = f"{place} = {value}" if all(varies) else f"{place} += {self.text[number]}"
            return OutputLines([], [store], [], self.loops, [], [])
        groups = Hoist(self.expression, lambda value: all(o or not v for v, o in zip(self.varies[value], varies)))
        block = OutputLines([], [], [], depth, [], [])
        for k, (factors, terms) in enumerate(groups.groups(number).items()):
            total = f"s{n}_{k}"
            self.live.update(value for _, value in factors)
            self.live.update(value for term in terms for value in term.values)
            summand = " ".join(f"{'-' if term.sign < 0 else '+'} {self._product(term.values)}" for term in terms)
            scaled = total + "".join(f" {operator} float64({self.text[value]})" for operator, value in factors)
            block.before.append(f"{total} = 0.0")
            if self.loops == 1 and all(self.types[value] == np.float32 for term in terms for value in term.values):
                self.runs = True
                block.opening.append(f"{total}_run = float32(0.0)")
                block.inner.append(f"{total}_run = add({total}_run, float32({summand}))")
                block.closing.append(f"{total} += float64({total}_run)")
            else:
                block.inner.append(f"{total} = add({total}, float64({summand}))")
            block.after.append(f"{place} += {scaled}")
        return block

    def _stored(self, number: int) -> str | None:
        """The output from which a loop of its own sums a value, if that pays: a loop that computes functions of float32
        holds half as many of them in a register if it adds up float64 as well."""
        lines, outputs = self.expression.lines, zip(self.expression.outputs, self.signature.outputs)
        if self.types[number] != np.float32 or not any(special_name(line.op.name, "float32") for line in lines):
            return None
        return next((f"o{n}" for n, (other, varies) in enumerate(outputs) if other == number and all(varies)), None)

    def _product(self, values: Sequence[int]) -> str:
        return " * ".join(self.text[value] for value in values)

    def _line(self, n: int) -> str:
        dtype, terms = self.types[n], self._terms(n)
        op = self.expression.lines[n - self.first_line].op
        text = source(op).format(*terms, one=_convert("1", dtype.name))
        if call := special_name(op.name, dtype.name):
            text = f"special.{call}({', '.join(terms)})"
        elif call := near_name(op.name, dtype.name):
            here = f"special.{call}({terms[0]})"
            text = here if self.near else f"({here} if abs({terms[0]}) <= {NEAR} else {text})"
        return _convert(text, dtype.name)

    def _watch(self, n: int) -> list[str]:
        """Set `far` if the argument of a line is not near enough for it."""
        name = self.expression.lines[n - self.first_line].op.name
        watched = self.near and near_name(name, self.types[n].name)
        return [f"far |= abs({self._terms(n)[0]}) > {NEAR}"] if watched else []

    def _terms(self, n: int) -> list[str]:
        """The arguments of a line, in the dtype that it computes in."""
        args, dtype = self.expression.lines[n - self.first_line].args, self.types[n]
        if dtype.kind != "f":
            dtype = _meeting([self.types[arg] for arg in args], [self.scalars[arg] for arg in args])
        return [self._term(arg, dtype) for arg in args]

    def _term(self, n: int, wide: np.dtype) -> str:
        """An argument in the dtype that its line computes in; conditions stay as they are."""
        same = self.types[n] == wide and self.text[n] == f"v{n}"
        return self.text[n] if same or self.types[n].kind == "b" else _convert(self.text[n], wide.name)

    def _needed(self) -> list[int]:
        """The live values and all that they are computed from, in order."""
        found, waiting = set(), list(self.live)
        while waiting:
            n = waiting.pop()
            if n not in found:
                found.add(n)
                waiting += self.expression.lines[n - self.first_line].args if n >= self.first_line else ()
        return sorted(n for n in found if n < self.expression.inputs or n >= self.first_line)


def _nest(values: list[list[str]], stores: Sequence[OutputLines], sizes: list[str]) -> list[str]:
    """The loops, one in the other, with every line at its depth."""
    lines = []
    for depth, block in enumerate(values):
        pad = "    " * (depth + 1)
        before = [line for store in stores if store.depth == depth for line in store.before]
        inner = [line for store in stores for line in store.inner] if depth == len(sizes) else []
        lines += [pad + line for line in (*block, *before, *inner)]
        if depth < len(sizes):
            lines.append(pad + f"for {INDEX[depth]} in range({sizes[depth]}):")
    for depth in reversed(range(len(sizes))):
        lines += ["    " * (depth + 1) + line for store in stores if store.depth == depth for line in store.after]
    return lines


def _runs(values: list[list[str]], stores: Sequence[OutputLines], arrays: list[str]) -> list[str]:
    """One loop in runs of at most SHORT rounds, with these names for the parts of the arrays that a run sees."""

    def each(field: str) -> list[str]:
        return [line for store in stores for line in getattr(store, field)]

    outer = [*values[0], *each("before"), f"for start in range(0, whole_{arrays[0]}.shape[0], {SHORT}):"]
    views = [f"{name} = whole_{name}[start : start + {SHORT}]" for name in arrays]
    run = [*views, *each("opening"), f"for i in range({arrays[0]}.shape[0]):"]
    parts = ((1, outer), (2, run), (3, [*values[1], *each("inner")]), (2, each("closing")), (1, each("after")))
    return ["    " * depth + line for depth, lines in parts for line in lines]


def _size(loop: int, names: list[str], varies: Sequence[tuple[bool, ...]]) -> str:
    name, vary = next((name, vary) for name, vary in zip(names, varies) if vary[loop])
    return f"{name}.shape[{sum(vary[:loop])}]"


def _depth(varies: tuple[bool, ...]) -> int:
    return max((loop + 1 for loop, vary in enumerate(varies) if vary), default=0)


def _index(varies: tuple[bool, ...]) -> str:
    return f"[{', '.join(INDEX[loop] for loop, vary in enumerate(varies) if vary) or '()'}]"


def _meeting(dtypes: Sequence[np.dtype], scalars: Sequence[bool]) -> np.dtype:
    """The dtype in which values are compared: a scalar takes on that of the others (NEP 50)."""
    alone = all(scalars)
    return np.result_type(*[np.ones((), d).item() if s and not alone else d for d, s in zip(dtypes, scalars)])


def _convert(text: str, dtype: str) -> str:
    return f"{'boolean' if dtype == 'bool' else dtype}({text})"
