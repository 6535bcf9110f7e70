"""From an expression to one numba kernel: a nest of loops that reads every operand and writes every output once.

Adjacent axes along which every operand behaves alike are merged first, so nearly every call is a nest of
one to three loops. A value is computed in the outermost loop in which all it depends on is known: what
only depends on scalars is computed once, before the loops. An operand that is broadcast is read where it
lies; an output that is smaller than the loops is summed down in the same pass, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import cache
from .expression import Expression, value_dtypes
from .special import SPECIAL

INDEX = "ijklmnpq"


class Layout(NamedTuple):
    """How arrays lie along the merged loops.

    views: the shape to give each array; varies: along which loops each one varies.
    """

    views: list[tuple[int, ...]]
    varies: list[tuple[bool, ...]]


def merge_axes(
    shape: tuple[int, ...], shapes: Sequence[tuple[int, ...]], strides: Sequence[tuple[int, ...]]
) -> Layout:
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
    return Layout(views, varies)


def _joins(sizes: tuple[int, ...], steps: tuple[int, ...], outer: int, inner: int) -> bool:
    if sizes[outer] == 1 or sizes[inner] == 1:
        return sizes[outer] == sizes[inner]
    return steps[outer] == steps[inner] * sizes[inner]


def kernel(
    expression: Expression,
    dtypes: Sequence[np.dtype],
    weak: tuple[bool, ...],
    out_dtypes: Sequence[np.dtype],
    inputs: Sequence[tuple[bool, ...]],
    outputs: Sequence[tuple[bool, ...]],
) -> Callable[..., None]:
    """The compiled kernel, called with the inputs' and then the outputs' views; outputs that are sums start at 0."""
    return cache.load(write(expression, dtypes, weak, out_dtypes, inputs, outputs))


def write(
    expression: Expression,
    dtypes: Sequence[np.dtype],
    weak: tuple[bool, ...],
    out_dtypes: Sequence[np.dtype],
    inputs: Sequence[tuple[bool, ...]],
    outputs: Sequence[tuple[bool, ...]],
) -> str:
    """The kernel's Python source."""
    loops = len((*inputs, *outputs)[0])
    types, loose = value_dtypes(expression, dtypes, weak)
    text = [f"v{n}" for n in range(len(types))]
    depths = [_depth(varies) for varies in inputs] + [0] * len(expression.constants)
    blocks: list[list[str]] = [[] for _ in range(loops + 1)]
    after: list[list[str]] = [[] for _ in range(loops + 1)]

    for n, varies in enumerate(inputs):
        blocks[depths[n]].append(f"v{n} = a{n}{_index(varies)}")
    for n, constant in enumerate(expression.constants, expression.inputs):
        text[n] = repr(constant)
    for n, (formula, args) in enumerate(expression.lines, len(depths)):
        dtype = types[n].name
        wide = types[n] if types[n].kind == "f" else _meeting([types[arg] for arg in args], [loose[arg] for arg in args])
        terms = [text[arg] if types[arg] == wide and text[arg][0] == "v" else _cast(text[arg], types[arg], wide) for arg in args]
        call = SPECIAL.get(formula.name, {}).get(dtype)
        body = f"special.{call}({', '.join(terms)})" if call else formula.source.format(*terms)
        depths.append(max([depths[arg] for arg in args], default=0))
        blocks[depths[n]].append(f"v{n} = {_convert(body, dtype)}")
    for n, (number, varies) in enumerate(zip(expression.outputs, outputs)):
        place, value = f"o{n}{_index(varies)}", _convert(text[number], out_dtypes[n].name)
        if all(varies):
            blocks[loops].append(f"{place} = {value}")
        elif _depth(varies) == loops:
            blocks[loops].append(f"{place} += {text[number]}")
        else:
            blocks[_depth(varies)].append(f"s{n} = 0.0")
            blocks[loops].append(f"s{n} = add(s{n}, float64({text[number]}))")
            after[_depth(varies)].append(f"{place} += s{n}")

    names = [f"a{n}" for n in range(len(inputs))] + [f"o{n}" for n in range(len(outputs))]
    sizes = [_size(loop, names, (*inputs, *outputs)) for loop in range(loops)]
    return "\n".join([f"def kernel({', '.join(names)}):", *_nest(blocks, after, sizes), ""])


def _nest(blocks: list[list[str]], after: list[list[str]], sizes: list[str]) -> list[str]:
    lines = []
    for depth, block in enumerate(blocks):
        lines += ["    " * (depth + 1) + line for line in block]
        if depth < len(sizes):
            lines.append("    " * (depth + 1) + f"for {INDEX[depth]} in range({sizes[depth]}):")
    for depth in reversed(range(len(sizes))):
        lines += ["    " * (depth + 1) + line for line in after[depth]]
    return lines or ["    pass"]


def _size(loop: int, names: list[str], varies: Sequence[tuple[bool, ...]]) -> str:
    name, vary = next((name, vary) for name, vary in zip(names, varies) if vary[loop])
    return f"{name}.shape[{sum(vary[:loop])}]"


def _depth(varies: tuple[bool, ...]) -> int:
    return max((loop + 1 for loop, vary in enumerate(varies) if vary), default=0)


def _index(varies: tuple[bool, ...]) -> str:
    return f"[{', '.join(INDEX[loop] for loop, vary in enumerate(varies) if vary) or '()'}]"


def _meeting(dtypes: Sequence[np.dtype], weak: Sequence[bool]) -> np.dtype:
    """The dtype in which values are compared: a weak one takes on that of the others (NEP 50)."""
    return np.result_type(*[np.ones((), d).item() if w and not all(weak) else d for d, w in zip(dtypes, weak)])


def _cast(text: str, dtype: np.dtype, wide: np.dtype) -> str:
    """An argument in the dtype that its line computes in; conditions stay as they are."""
    return text if dtype.kind == "b" else _convert(text, wide.name)


def _convert(text: str, dtype: str) -> str:
    return f"{'boolean' if dtype == 'bool' else dtype}({text})"
