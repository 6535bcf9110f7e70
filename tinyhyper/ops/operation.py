"""Operations of one's own, which are checked, and operations on a sequence of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.operation import OPERATIONS, ArraySpec, Elementwise, Operation, attach, entered, fit
from ..core.tensor import Tensor
from ..errors import ArgumentError, CallError, DtypeError, ShapeError

__all__ = ["OPERATIONS", "ArraySpec", "Operation", "fit", "operation"]
LONGEST = 64  # items: operations on longer sequences are made anew at each call


class Checked(Operation):
    """An operation whose VJPs were written by somebody who has to be told what does not fit."""

    def check(self) -> Operation:
        """The operation itself. Raises ArgumentError for a VJP that nobody can give what it needs, or of no input."""
        if not self.inputs:
            raise ArgumentError(f"operation: {self.name} has no inputs; put its tensors before a `/`: f(x, y, /)")
        known = (*self.inputs, "out", *self.defaults, "spec", "specs", "position")
        for key, needs in self.needs.items():
            if key not in self.inputs:
                raise ArgumentError(
                    f"operation: {self.name} has no input {key!r}; its inputs are {', '.join(self.inputs)}"
                )
            if unknown := [need for need in needs if need not in known]:
                raise ArgumentError(
                    f"operation: the VJP of {key} in {self.name} has a parameter {unknown[0]!r}; after the cotangent, "
                    f"its first parameter, it may have {', '.join(known)}"
                )
        return self

    def fit(self, key: str, cotangent: Any, spec: Sequence[Any]) -> Any:
        """Raises ShapeError or DtypeError for what cannot be the cotangent of that input."""
        if cotangent is None:
            return None
        if type(cotangent) is not Tensor:
            kind = type(cotangent).__name__
            raise DtypeError(
                f"{self.name}: the VJP of {key} must return a tensor, not a {kind}; write it with functions of th"
            )
        try:
            return super().fit(key, cotangent, spec)
        except ShapeError:
            raise ShapeError(
                f"{self.name}: the VJP of {key} returned a cotangent of shape {cotangent.shape}, which does not fit an "
                f"input of shape {spec[0]}"
            ) from None


class Joined(Checked):
    """An operation on a sequence `xs`: one operation for each length."""

    def __init__(self, name: str, forward: Callable[..., Any], vjps: dict[str, Callable[..., Any]]) -> None:
        super().__init__(name, forward, vjps)
        self.lengths: dict[int, Items] = {}

    def __call__(self, values: Sequence[Any], options: dict[str, Any]) -> Tensor:
        [xs] = values
        if not isinstance(xs, Iterable):
            raise ArgumentError(f"{self.name}: the argument must be a sequence of tensors, not a {type(xs).__name__}")
        xs = [*xs]
        op = self.lengths.get(len(xs)) or Items(self, len(xs))
        if len(xs) <= LONGEST:
            self.lengths[len(xs)] = op
        return op(xs, options)


class Items(Operation):
    """An operation on a sequence of one length, whose items are its inputs."""

    def __init__(self, whole: Joined, count: int) -> None:
        names, asked = tuple([f"x{n}" for n in range(count)]), whole.needs["xs"]
        needs = (*(names if "xs" in asked else ()), *[need for need in asked if need != "xs"])

        def vjp(g: Tensor, *values: Any) -> Any:
            known = dict(zip(needs, values))
            if "xs" in asked:
                known["xs"] = [known[name] for name in names]
            return whole.vjps["xs"](g, *[known[need] for need in asked])

        self.whole, self.name, self.inputs, self.measures = whole, whole.name, names, whole.measures
        self.forward = lambda *xs, **options: whole.forward(xs, **options)
        self.vjps, self.needs, self._saves = dict.fromkeys(names, vjp), dict.fromkeys(names, needs), {}

    def fit(self, name: str, cotangent: Any, spec: Sequence[Any]) -> Any:
        return self.whole.fit("xs", cotangent, spec)


def operation(*forgotten: Any, **vjps: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function over arrays an operation on tensors, with a VJP for each differentiable input.

    vjps: by input, a function of the cotangent and of what else it names: inputs, `out`, options, `spec`.
    The function's positional-only parameters are inputs, the others options; a first parameter `xs` is a sequence.
    Raises CallError for a decorator without VJPs in parentheses, ArgumentError for VJPs that do not fit the function,
    and for the name of an operation of the library.
    """
    if forgotten:
        raise CallError("operation: the VJPs are missing; write @operation(x=lambda g, ...), one for each input x")

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        name = forward.__name__.strip("_")
        if name in OPERATIONS and _own(OPERATIONS[name].forward) and not _own(forward):
            raise ArgumentError(f"operation: the library has an operation {name} already; choose another name")
        op = Checked(name, forward, vjps)
        return entered((Joined(name, forward, vjps) if op.inputs == ("xs",) else op).check())

    return decorate


def _own(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] == __name__.partition(".")[0]


def named(name: str) -> Operation:
    """The operation of a name."""
    return OPERATIONS[name]


attach(Elementwise, {"__reduce__": lambda self: (named, (self.name,))})  # another process has its own table
