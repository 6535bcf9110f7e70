"""Lesson 11: towers by hand, SGD under SGD, each with one mistake."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.rules import sum as total
from ..core.tensor import Tensor, leaf, tensor
from ..errors import ArgumentError
from ..inspect import Recording, record
from .exercise import Exercise, three

SUSPECTS = ("uphill", "in the loop", "alpha cut", "nothing cut", "state not cut", "in place")
ORDER = (None, *[SUSPECTS[n] for n in (0, 3, 1, 5, 4, 2)])  # shuffled: the table of the lesson has another order
STEPS, KAPPA, MU = 5, 0.01, 0.5


def exhibit(number: int) -> Recording:
    """The tape of five steps of a tower with a mistake; of number 0, of the tower without one.

    number: from 0 to 6. Raises ArgumentError for another.
    """
    if number not in range(len(ORDER)):
        raise ArgumentError(f"exhibit: number must be an integer from 0 to {len(ORDER) - 1}, not {number!r}")
    tower = _Tower(ORDER[number])
    with record() as tape:
        for _ in range(STEPS):
            total(tower.w["a"] * tower.w["a"] + 0.5 * tower.w["b"] * tower.w["b"]).backward(retain_graph=True)
            with tape.stepping("a tower by hand"):
                tower.step(tape)
    return tape


class _Tower:
    """Two weights with a velocity each, an alpha that a second SGD moves, and a mistake."""

    def __init__(self, mistake: str | None) -> None:
        self.mistake = mistake
        self.alpha = leaf(tensor(0.05))
        self.w = {"a": leaf(tensor([1.0, -2.0])), "b": leaf(tensor([0.5, 1.0]))}
        self.velocity = {name: tensor(np.zeros(2)) for name in self.w}

    def step(self, tape: Recording) -> None:
        """Move alpha, then the weights."""
        slope = tensor(0.0) if self.alpha.grad is None else self.alpha.grad
        if self.mistake != "in the loop":
            self._move_alpha(tape, slope)
        for name, w in self.w.items():
            if self.mistake == "in the loop":
                self._move_alpha(tape, slope)
            assert w.grad is not None
            self.w[name] = self._moved(tape, name, w, w.grad)

    def _move_alpha(self, tape: Any, slope: Tensor) -> None:
        way = 1.0 if self.mistake == "uphill" else -1.0
        self.alpha = leaf(self.alpha.detach("hyperparameter") + way * KAPPA * slope.detach("gradient"))
        tape.label(self.alpha, "alpha", "hyperparameter", 0, None, (0.0, np.inf))

    def _moved(self, tape: Any, name: str, w: Tensor, g: Tensor) -> Tensor:
        alpha = self.alpha.detach("hyperparameter") if self.mistake == "alpha cut" else self.alpha
        before = self.velocity[name] if self.mistake == "state not cut" else self.velocity[name].detach("state")
        if self.mistake == "in place":
            self.velocity[name] = tensor(MU * before.numpy() + alpha.item() * g.numpy())
            w.data, w.grad = w.numpy() - self.velocity[name].numpy(), None
            return w
        self.velocity[name] = MU * before + alpha * g.detach("gradient")
        old = w if self.mistake == "nothing cut" else w.detach("weights")
        moved = old - self.velocity[name]
        new = moved.retain_grad() if moved.requires_grad else leaf(moved)
        tape.label(self.velocity[name], f"{name}.velocity", "state", 0)
        tape.label(new, name, "weights", 0)
        return new


def _exhibits(first: int) -> Any:
    """What is wrong with an answer for three exhibits."""

    def wrong(found: list[str]) -> str:
        for number, name in enumerate(found, first):
            if name not in SUSPECTS:
                return f"{name!r} is not a name in the table."
            if name != ORDER[number]:
                return f"Exhibit {number} is not {name!r}. {EVIDENCE[name]}"
        return ""

    return wrong


# What is seen of a mistake: a hint says it of the name that was guessed, not of the one that is right.
EVIDENCE = {
    "uphill": "Then moved would show steps of alpha that have the sign of its gradient.",
    "in the loop": "Then check would count more than one move of alpha in a step.",
    "alpha cut": "Then check would name the line that cuts alpha.",
    "nothing cut": "Then check would name weights that are computed from those of the step before.",
    "state not cut": "Then check would name a velocity that is computed from that of the step before.",
    "in place": "Then no loss would depend on alpha, and the tape would have no operation that makes the new weights.",
}

EXERCISES = {
    "11.1": Exercise("three names", three, _exhibits(1), "You found all three."),
    "11.2": Exercise("three names", three, _exhibits(4), "You found the others, too."),
}
