"""The hyperstep as one function from a carry to the next, compiled or not, for JAX, torch.compile and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import rules
from ..problems import Workload
from . import Result, Training, arrays, floats


def training(
    library: Any,
    workload: Workload,
    convert: Callable[[Any], Any],
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
    looped: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
) -> Training:
    """Steps of `rules.advance` with a library's operations.

    convert: a NumPy array as the library's.  compiled: what makes a function of a carry fast.
    looped: what makes of it a function that takes a number of steps first, and makes them in the library's own loop.
    """
    problem, tower = workload.problem, workload.tower
    inputs, targets = map(convert, problem.data())
    weights = {name: convert(w) for name, w in problem.weights().items()}

    def loss(weights: Any, inputs: Any, targets: Any) -> Any:
        return problem.loss(library, weights, inputs, targets)

    def advance(carry: rules.Carry, inputs: Any, targets: Any) -> rules.Carry:
        return rules.advance(library, tower, lambda weights: loss(weights, inputs, targets), carry)

    fast = compiled(advance)
    held: list[rules.Carry] = []

    def step() -> None:
        if held:
            held[0] = library.wait(fast(held[0], inputs, targets))
        else:
            gradients = library.gradient(lambda weights: loss(weights, inputs, targets), weights)
            held.append(rules.begin(library, tower, weights, gradients))

    def result() -> Result:
        moved, hyperparameters = rules.finish(library, tower, held[0])
        return Result(arrays(moved), floats(hyperparameters) if len(tower) > 1 else {})

    if looped is None:
        return Training(step, result)
    many = looped(advance)

    def loop(count: int) -> None:
        held[0] = library.wait(many(count, held[0], inputs, targets))

    return Training(step, result, loop)
