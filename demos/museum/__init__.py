"""The bug museum: wrong hyperoptimizers beside right ones, what each breaks, and what the inspector says of it."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import tinyhyper as th
from tinyhyper.optim import SGD, Optimizer

from . import exhibits, properties


class Exhibit(NamedTuple):
    """A mistake.

    right, faulty: an optimizer as it should be, and with the mistake; or a test.  holds: the property that tells them
    apart.  ask: a function of `th.inspect`, and what it is asked of a tape.  says: a part of the answer that only the
    faulty one gets.  rates: alpha and kappa for the small problem.  flags: of its loop's `backward`.
    """

    right: Any
    faulty: Any
    holds: Callable[[Any, np.random.Generator], None]
    ask: tuple[str, ...]
    says: str
    rates: tuple[float, float] = (0.05, 0.01)
    flags: Mapping[str, bool] = {}

    def record(self, kind: Any) -> th.inspect.Recording:
        """The tape of a short run of one of the two; of a test, of the run whose slope it takes."""
        if kind in exhibits.HORIZONS:
            optimizer: Any = SGD(self.rates[0], optimizer=SGD(0.0), horizon=exhibits.HORIZONS[kind])
        else:
            optimizer = built(kind, *self.rates)
        with th.record(ghosts=True) as tape:
            for _ in properties.run(optimizer, np.random.default_rng(0), **self.flags):
                pass
        return tape

    def answer(self, kind: Any) -> str:
        """What the inspector says of one of the two."""
        name, *arguments = self.ask
        try:
            return str(getattr(th.inspect, name)(self.record(kind), *arguments))
        except th.ArgumentError as error:
            return f"ArgumentError: {error}"

    def complaint(self, kind: Any, seed: int = 0) -> str:
        """Where the property does not hold; nothing where it does."""
        try:
            self.holds(built(kind, *self.rates), np.random.default_rng(seed))
        except AssertionError as error:
            return str(error)
        return ""


def built(kind: Any, alpha: float, kappa: float) -> Any:
    """An optimizer whose hyperparameters are tuned by SGD(kappa); a test is as it is."""
    if kind in exhibits.HORIZONS:
        return kind
    return kind(alpha, optimizer=SGD(kappa)) if issubclass(kind, Optimizer) else kind(alpha, kappa)


RETAIN = {"retain_graph": True}
CHECK = ("check",)

EXHIBITS = {
    "alpha in the loop": Exhibit(
        exhibits.Tower, exhibits.AlphaInTheLoop, properties.hypergradient_is_a_slope, CHECK, "moves alpha 2 times"
    ),
    "bias of one step": Exhibit(
        exhibits.Adam, exhibits.BiasOfOneStep, properties.constant_gradient_gives_steps_of_alpha,
        ("moved", "t"), "read or made 't'", rates=(0.05, 1e-6),
    ),
    "v from 0": Exhibit(
        exhibits.Squares, exhibits.VFromZero, properties.hypergradients_are_finite,
        CHECK, "is the first NaN", rates=(0.05, 1e-6),
    ),
    "betas not bounded": Exhibit(
        exhibits.Adam, exhibits.BetasNotBounded, properties.betas_are_fractions,
        CHECK, "outside its range from 0 to 1", rates=(0.05, 0.1),
    ),
    "clipping unseen": Exhibit(
        exhibits.Clipped, exhibits.ClippedUnseen, properties.hypergradient_is_a_slope, CHECK, "was given other values"
    ),
    "weights first": Exhibit(
        exhibits.Tower, exhibits.WeightsFirst, properties.hypergradient_is_a_slope,
        ("moved", "alpha"), "Nothing moved alpha",
    ),
    "slope of the whole run": Exhibit(
        exhibits.slope_with_the_cut_held, exhibits.slope_of_the_whole_run, properties.accepts_what_is_right,
        ("cuts",), "No cut was made", flags={"create_graph": True},
    ),
    "alpha cut": Exhibit(
        exhibits.Tower, exhibits.AlphaCut, properties.hypergradient_is_a_slope,
        CHECK, "a hyperparameter must not be cut",
    ),
    "weights in place": Exhibit(
        exhibits.Tower, exhibits.InPlace, properties.hypergradient_is_a_slope, CHECK, "no gradient ever reaches alpha"
    ),
    "nothing cut": Exhibit(
        exhibits.Tower, exhibits.NothingCut, properties.keeps_one_step,
        CHECK, "w[2] is computed from w[1] along a kept edge", flags=RETAIN,
    ),
    "state not cut": Exhibit(
        exhibits.Momentum, exhibits.StateNotCut, properties.keeps_one_step,
        CHECK, "w.velocity[2] is computed from w.velocity[1] along a kept edge", flags=RETAIN,
    ),
    "no zero_grad": Exhibit(
        exhibits.OneLeaf, exhibits.NoZeroGrad, properties.hypergradient_is_a_slope,
        ("paths", "alpha"), ".grad also holds the gradients of other",
    ),
    "single precision": Exhibit(
        exhibits.Tower, exhibits.SinglePrecision, properties.loses_no_update,
        ("moved", "alpha"), "it stayed the same", rates=(0.05, 1e-12),
    ),
    "uphill": Exhibit(exhibits.Tower, exhibits.Uphill, properties.moves_downhill, ("moved", "alpha"), "(-"),
    "alpha clamped": Exhibit(
        exhibits.Tower, exhibits.AlphaClamped, properties.comes_back,
        ("why_zero", "alpha"), "it contributes 0", rates=(-0.01, 0.001),
    ),
    "state by tensor": Exhibit(
        exhibits.Momentum, exhibits.StateByTensor, properties.remembers,
        ("cuts",), "before[5]", rates=(0.05, 1e-6),
    ),
}  # fmt: skip


# The cards.


def card(name: str) -> str:
    """What docs/bugs.md shows of an exhibit: the lines, the property and its complaint, the inspector's answer."""
    exhibit = EXHIBITS[name]
    call, *arguments = exhibit.ask
    question = f"th.inspect.{call}({', '.join(['tape', *[chr(34) + name + chr(34) for name in arguments]])})"
    return "\n".join([
        f"- {exhibit.right.__name__}",
        f"+ {exhibit.faulty.__name__}",
        "",
        *changes(exhibit.right, exhibit.faulty),
        "",
        f"property: {exhibit.holds.__doc__}",
        f"  {exhibit.complaint(exhibit.faulty)}",
        f"{question}:",
        textwrap.indent(exhibit.answer(exhibit.faulty), "  "),
    ])  # fmt: skip


def changes(right: Any, faulty: Any) -> list[str]:
    """The code that the faulty one has of its own, - as it should be and + as it is."""
    ours = {name: lines for kind in reversed(family(right)) for name, lines in written(kind).items()}
    compared = [difflib.ndiff(ours[name], lines) for name, lines in written(faulty).items() if name in ours]
    return [line.rstrip() for lines in compared for line in lines if not line.startswith("?")]


def family(kind: Any) -> list[Any]:
    """A class and those it is made of that are shown here, nearest first; or a function alone."""
    return [cls for cls in kind.__mro__ if cls.__module__ == kind.__module__] if isinstance(kind, type) else [kind]


def written(kind: Any) -> dict[str, list[str]]:
    """The lines of code of a class by what they define, or of a function."""
    source = textwrap.dedent(inspect.getsource(kind))
    (tree,) = ast.parse(source).body
    if not isinstance(tree, ast.ClassDef):
        return {"": source.splitlines()}
    members = [node for node in tree.body if not isinstance(node, ast.Expr)]  # but the docstring
    found = {}
    for node in members:
        name = node.name if isinstance(node, ast.FunctionDef) else ast.unparse(node).partition(" ")[0]
        first = min([node.lineno, *[mark.lineno for mark in getattr(node, "decorator_list", ())]])
        lines = source.splitlines()[first - 1 : node.end_lineno]
        found[name] = textwrap.dedent("\n".join(lines)).splitlines()
    return found
