"""Factors hoisted out of sums: what is the same for all terms multiplies the sum, not every term.

The gradient of a scalar is a sum over all elements, and much of the chain rule behind it is scalar arithmetic. So
sum(a * c + b * c - d / e) over elements a, b and d is rewritten as sum(a + b) * c - sum(d) / e.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..fusion.expression import Expression

Factors = tuple[tuple[str, int], ...]


class Term(NamedTuple):
    """One term: sign * product of `values` * `factors`, pairs of an operator and a value that is fixed."""

    sign: int
    values: tuple[int, ...]
    factors: Factors

    def negated(self) -> Term:
        return self._replace(sign=-self.sign)


class Hoist:
    """Takes factors out of sums in an expression. fixed(n): whether value n is the same for all terms."""

    def __init__(self, expression: Expression, fixed: Callable[[int], bool]) -> None:
        self.lines, self.fixed = expression.lines, fixed
        self.first_line = expression.inputs + len(expression.constants)

    def groups(self, number: int) -> dict[Factors, list[Term]]:
        """The terms of a value, by what multiplies them."""
        found: dict[Factors, list[Term]] = {}
        for term in self._terms(number):
            found.setdefault(term.factors, []).append(term)
        return found

    def _terms(self, number: int) -> list[Term]:
        name, args = self._operation(number)
        if name == "negative":
            return [term.negated() for term in self._terms(args[0])]
        if name in ("add", "subtract"):
            left, right = map(self._terms, args)
            return left + (right if name == "add" else [term.negated() for term in right])
        if name == "multiply" and self.fixed(args[0]) != self.fixed(args[1]):
            inner, outer = sorted(args, key=self.fixed)
            return [term._replace(factors=(*term.factors, ("*", outer))) for term in self._terms(inner)]
        if name == "divide" and self.fixed(args[1]) and not self.fixed(args[0]):
            return [term._replace(factors=(*term.factors, ("/", args[1]))) for term in self._terms(args[0])]
        if name == "multiply" and not self.fixed(number):
            left, right = map(self._terms, args)
            if len(left) == len(right) == 1 and (left[0].factors or right[0].factors):
                (one,), (other,) = left, right
                return [Term(one.sign * other.sign, one.values + other.values, one.factors + other.factors)]
        return [Term(1, (number,), ())]

    def _operation(self, number: int) -> tuple[str, Sequence[int]]:
        if number < self.first_line:
            return "", ()
        op, args = self.lines[number - self.first_line]
        return op.name, args
