"""What an operation gives where calculus does not say: one table, which the tests run and docs/conventions.md shows.

A row is an expression and the point at which it is computed, both as text: the same text is read by tinyhyper, NumPy,
PyTorch and JAX, each with functions of its own. `observe` gives the value, the first derivatives of the sum of what
comes out, and the unmixed second ones (the diagonal of the Hessian), all in float64.

What PyTorch and JAX give is stored in reference/conventions.json. `PYTHONPATH=. python tests/helpers/conventions.py`
writes the page anew, and where both are installed the file as well.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hard_points import GROUPS, Group, Row

import tinyhyper as th
from tinyhyper.fusion.fuse import trace
from tinyhyper.testing.operations import OPERATIONS

REFERENCE = Path(__file__).parents[1] / "reference" / "conventions.json"
PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"
BEGIN = "<!-- From here on, tests/helpers/conventions.py writes this page. -->\n"
HEAD = "| expression | at | value | first | second | NumPy | PyTorch | JAX |\n|" + 8 * " --- |"
PARTS = ("value", "first", "second")
ERROR = "error"
OPERATORS = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power",
    ast.MatMult: "matmul", ast.USub: "negative",
}  # fmt: skip

Functions = dict[str, Any]


class Observed(NamedTuple):
    """value: nested lists of numbers.  first, second: one such for each variable; None where a library has none."""

    value: Any
    first: list[Any] | None
    second: list[Any] | None


def points(row: Row) -> tuple[np.ndarray, ...]:
    """The arrays that the variables x, y, ... are."""
    found = eval(row.at, {"inf": math.inf, "nan": math.nan, "zeros": np.zeros})
    return tuple([np.asarray(point, float) for point in (found if isinstance(found, tuple) else (found,))])


def operators(row: Row) -> list[str]:
    """The names of the operations that the expression has as Python's operators."""
    nodes = ast.walk(ast.parse(row.expression))
    return [OPERATORS[type(node.op)] for node in nodes if isinstance(node, ast.BinOp | ast.UnaryOp)]


def reading(row: Row, functions: Functions) -> Callable[..., Any]:
    """The expression as a function of its variables."""
    return lambda *xs: eval(row.expression, {**functions, "inf": math.inf, "nan": math.nan}, dict(zip("xyz", xs)))


# ---- The four libraries, each as a function from a row to what it gives.


TINYHYPER = {name: getattr(th, name) for name in th.__all__}


def by_tinyhyper(row: Row, fused: bool = False) -> Observed | str:
    """What tinyhyper gives, as one fused operation if that is wanted; the class of the error that it raises instead."""
    xs = [th.tensor(point, requires_grad=True) for point in points(row)]
    f = reading(row, TINYHYPER)
    try:
        out = (th.fuse(f) if fused else f)(*xs)
    except th.TinyhyperError as error:
        return type(error).__name__
    first = th.gradients(th.sum(out), xs, create_graph=True)

    def second(g: th.Tensor, x: th.Tensor, n: int) -> float:
        if not g.requires_grad:
            return 0.0
        return th.gradients(g.ravel()[n], x, retain_graph=True)[0].data.flat[n]

    return Observed(out.data.tolist(), [g.data.tolist() for g in first], _diagonals(first, xs, second))


def elementwise(row: Row) -> bool:
    """Whether it can be fused: whether it can be run on symbols."""
    try:
        trace(reading(row, TINYHYPER), len(points(row)))
    except th.UnsupportedError:
        return False
    return True


def by_numpy(row: Row) -> Observed | str | None:
    """What NumPy gives, which has no derivatives; None for a function that it does not have."""
    functions = {name: getattr(np, name) for name in th.__all__ if hasattr(np, name)} | {"norm": np.linalg.norm}
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a mean of nothing
            return Observed(np.asarray(reading(row, functions)(*points(row))).tolist(), None, None)
    except NameError:
        return None
    except (ValueError, IndexError):
        return ERROR


def by_pytorch(row: Row) -> Observed | str:
    """What PyTorch gives."""
    import torch

    def along(whole: Callable[..., Any], one: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, axis=None: whole(x) if axis is None else one(x, axis)

    functions = vars(torch) | {
        name: row.of(torch, name, row.torch) for name, row in OPERATIONS.items() if row.torch or row.spelled
    }
    functions |= {
        "cumsum": lambda x: torch.cumsum(x, 0),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "logsumexp": lambda x: torch.logsumexp(x, 0),
        "max": along(torch.max, torch.amax),
        "maximum": lambda x, y: torch.maximum(x, torch.as_tensor(y)),
        "min": along(torch.min, torch.amin),
        "softmax": lambda x: torch.softmax(x, -1),
        "std": lambda x, ddof=0: torch.std(x, correction=ddof),
        "var": lambda x, ddof=0: torch.var(x, correction=ddof),
    }
    xs = [torch.tensor(point, requires_grad=True) for point in points(row)]
    try:
        out = reading(row, functions)(*xs)
    except (RuntimeError, IndexError):
        return ERROR
    options = {"allow_unused": True, "materialize_grads": True, "create_graph": True}
    first = torch.autograd.grad(out.sum(), xs, **options)

    def second(g: Any, x: Any, n: int) -> float:
        return torch.autograd.grad(g.flatten()[n], x, **options)[0].flatten()[n].item() if g.requires_grad else 0.0

    return Observed(out.tolist(), [g.tolist() for g in first], _diagonals(first, xs, second))


def by_jax(row: Row) -> Observed | str:
    """What JAX gives."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    functions = vars(jnp) | {
        name: row.of(jax if row.jax else jnp, name, row.jax)
        for name, row in OPERATIONS.items()
        if row.jax or row.spelled
    }
    xs = [jnp.asarray(point) for point in points(row)]
    f = reading(row, functions)
    try:
        value = f(*xs)
    except (ValueError, TypeError, IndexError):
        return ERROR
    places = tuple(range(len(xs)))
    first = jax.grad(lambda *xs: jnp.sum(f(*xs)), places)(*xs)
    full = [jax.hessian(lambda *xs: jnp.sum(f(*xs)), n)(*xs) for n in places]

    def second(whole: Any, x: Any, n: int) -> float:
        return whole.reshape(x.size, x.size)[n, n].item()

    return Observed(value.tolist(), [g.tolist() for g in first], _diagonals(full, xs, second))


def _diagonals(firsts: Any, xs: Any, second: Callable[[Any, Any, int], float]) -> list[Any]:
    """The unmixed second derivatives, in the shapes of the variables."""
    return [
        np.reshape([second(g, x, n) for n in range(math.prod(x.shape))], tuple(x.shape)).tolist()
        for g, x in zip(firsts, xs)
    ]


PEERS = {"PyTorch": by_pytorch, "JAX": by_jax}


# ---- The page.


def rows() -> list[Row]:
    return [row for group in GROUPS for row in group.rows]


def stored() -> dict[str, dict[str, Any]]:
    """By library and row what it gave; and the versions that gave it."""
    return json.loads(REFERENCE.read_text())


def restored(entry: Any) -> Observed | str:
    return entry if isinstance(entry, str) else Observed(*entry)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two numbers, or structures of such, are equal but for rounding."""
    if np.shape(ours) != np.shape(theirs):
        return False
    return bool(np.allclose(ours, theirs, rtol=1e-9, atol=0, equal_nan=True))


def apart(ours: Observed | str, theirs: Observed | str | None) -> list[str]:
    """The parts in which another library differs, those of them that it has."""
    if theirs is None or isinstance(ours, str) or isinstance(theirs, str):
        return [] if theirs is None or isinstance(ours, str) is isinstance(theirs, str) else [ERROR]
    pairs = zip(PARTS, ([ours.value], *ours[1:]), ([theirs.value], *theirs[1:]))
    return [part for part, mine, other in pairs if other is not None and not all(map(same, mine, other))]


def number(value: Any) -> str:
    """A number, or a structure of such, as the page shows it."""
    if isinstance(value, list):
        return f"[{', '.join(map(number, value))}]"
    return f"{value + 0.0:.6g}"  # -0 is shown as 0


def shown(part: str, observed: Observed) -> str:
    found = getattr(observed, part)
    return number(found) if part == "value" else ", ".join(map(number, found))


def beside(ours: Observed | str, theirs: Observed | str | None) -> str:
    """What the page says of another library."""
    if theirs is None:
        return "–"
    found = apart(ours, theirs)
    if ERROR in found:
        return "an error" if isinstance(theirs, str) else f"value {shown('value', theirs)}"
    return ", ".join(f"{part} {shown(part, theirs)}" for part in found) or "same"


def line(row: Row, reference: dict[str, dict[str, Any]]) -> str:
    """A row of the page's table."""
    ours = by_tinyhyper(row)
    parts = [f"`{ours}`", "–", "–"] if isinstance(ours, str) else [shown(part, ours) for part in PARTS]
    peers = [beside(ours, restored(reference[name][row.key])) for name in PEERS]
    return f"| {' | '.join([f'`{row.expression}`', row.at, *parts, beside(ours, by_numpy(row)), *peers])} |"


def section(group: Group, reference: dict[str, dict[str, Any]]) -> str:
    """A group's table, and its reasons, each with all that it is the reason of."""
    reasons: dict[str, list[str]] = {}
    for row in group.rows:
        if row.why:
            reasons.setdefault(row.why, []).append(f"`{row.expression}` at {row.at}")
    table = "\n".join([HEAD, *[line(row, reference) for row in group.rows]])
    listed = "\n".join([f"- {'; '.join(places)}: {why}" for why, places in reasons.items()])
    return "\n\n".join(filter(None, [f"## {group.title}", group.words, table, listed]))


def page(before: str) -> str:
    """The page with this beginning, which is written by hand."""
    reference = stored()
    versions = " and ".join(f"{name} {version}" for name, version in reference["versions"].items())
    told = f"{versions} computed the columns of the others."
    return before + BEGIN + "\n" + "\n\n".join([told, *[section(group, reference) for group in GROUPS]]) + "\n"


def computed() -> dict[str, Any]:
    """What the reference holds, computed anew. Raises ImportError where a library is not installed."""
    import jax
    import torch

    found = {name: {row.key: peer(row) for row in rows()} for name, peer in PEERS.items()}
    return {"versions": {"PyTorch": torch.__version__.partition("+")[0], "JAX": jax.__version__}, **found}


if __name__ == "__main__":
    try:
        REFERENCE.write_text(json.dumps(computed(), indent=0) + "\n")
    except ImportError as error:
        print(f"the reference stays as it is: {error}")
    PAGE.write_text(page(PAGE.read_text().partition(BEGIN)[0]))
