"""An optimizer's rule as one fused operation: it applies each coordinate, and drops hyperparameters not in use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import Any

from ..closures import reads, version
from ..core.tensor import Tensor, apply
from ..core.tower import Coordinates, Optimizer, Options
from ..errors import DtypeError, MissingAttributeError, UnsupportedError
from ..fusion.fuse import repeated
from ..fusion.fusion import Fusion
from ..fusion.symbols import Absent, Scalar, Symbol, used
from .hooks import Hook
from .vanishing import vanishing


class RuleFusion(Fusion):
    """A rule as a fusion. remedy: what to do where its edge to the hyperparameters has been consumed."""

    remedy = (
        "It leads from moved weights to their hyperparameters, for one backward pass. If a loop was interrupted "
        "between backward() and step(params), call step(params) before the next backward(). To leave that batch out, "
        "begin anew from values: params = {name: th.tensor(w.numpy(), requires_grad=True) for name, w in "
        "params.items()}, optimizer.load_state_dict(optimizer.state_dict()). If another optimizer moves these weights "
        "(as in a GAN), detach() them in this loss. To add up two losses of one optimizer, pass retain_graph=True to "
        "the first backward()."
    )


class FusedUpdate:
    """A rule as a fusion: called on a weight, its gradient, the state it keeps, and hyperparameters by name.

    states: the names of those that the rule really reads.
    names: the hyperparameters it reads, which take on the dtype of the others.
    """

    def __init__(self, fusion: Fusion, names: tuple[str, ...], states: tuple[str, ...]) -> None:
        self.fusion, self.names, self.states = fusion, names, states

    def __call__(self, w: Tensor, g: Tensor, *state: Tensor, **hyperparameters: Tensor) -> list[Tensor]:
        operands = [w, g, *state]
        for name in self.names:
            operands.append(hyperparameters[name])
        return apply(self.fusion, operands)


class Closures(Hook):
    """Forgets what was made of a rule that closes over something which has changed."""

    def __init__(self, level: Optimizer) -> None:
        self._closes_over, self._seen = reads(type(level).rule), 0

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        for level in levels:
            closures = level.hooks[Closures]
            if closures._closes_over and (seen := version(type(level).rule)) != closures._seen:
                closures._seen, level._updates = seen, {}


def trace_rule(optimizer: type[Optimizer], coordinates: Coordinates, options: Options) -> FusedUpdate:
    """Run the rule on symbols. A hyperparameter whose coordinate is None is absent; those of a loss are left out.

    Raises DtypeError where the rule does not return a new weight and one new value for each state, UnsupportedError
    where it does something else at each run.
    """
    coordinates = tuple([(name, coordinate) for name, coordinate in coordinates if name in optimizer.table])
    versions = (version(optimizer.rule), *[version(c.value) for _, c in coordinates if c is not None])
    return _traced(optimizer.__name__, optimizer.rule, tuple(optimizer.state), coordinates, options, versions)


@cache
def _traced(
    name: str,
    rule: Callable[..., Any],
    state: tuple[str, ...],
    coordinates: Coordinates,
    options: Options,
    versions: tuple[int, ...],
) -> FusedUpdate:
    def run() -> tuple[Fusion, tuple[tuple[str, ...], tuple[str, ...]]]:
        w, g = Symbol(), Symbol()
        states = {key: Symbol() for key in state}
        inputs = {key: Scalar() for key, coordinate in coordinates if coordinate is not None}
        values = {key: Absent() if c is None else c.value(inputs[key]) for key, c in coordinates}
        if "t" in inspect.signature(rule).parameters:
            values["t"] = inputs["t"] = Scalar()
        try:
            result = rule(w, g, *states.values(), **values, **dict(options))
        except (UnsupportedError, MissingAttributeError) as error:
            raise type(error)(f"{name}.rule, which is run as a fused function: {error}") from None
        new_w, *new_state = result if isinstance(result, (tuple, list)) else (result,)
        if len(new_state) != len(state):
            raise DtypeError(
                f"{name}.rule must return the new weight and one value for each state in its table "
                f"({', '.join(state) or 'there is none'}); the number of values it returned is {1 + len(new_state)}"
            )
        for value in (new_w, *new_state):
            if not isinstance(value, (Symbol, float, int)):
                kind = type(value).__name__
                raise DtypeError(f"{name}.rule returned a {kind} where a new weight or state was expected")
        new_w, *new_state = vanishing([new_w, *new_state], [w, g, *states.values()])
        read = used(
            [new_w, *[new for new, old in zip(new_state, states.values()) if new is not old]], list(states.values())
        )
        kept = {key: new for key, new, is_read in zip(state, new_state, read) if is_read}
        symbols = [w, g, *[states[key] for key in kept], *inputs.values()]
        return RuleFusion(f"{name}.rule", symbols, [new_w, *kept.values()], eager=False), (tuple(inputs), tuple(kept))

    fusion, (names, kept) = repeated(f"{name}.rule", run, rule, *[c.value for _, c in coordinates if c is not None])
    return FusedUpdate(fusion, names, kept)
