"""Towers: an optimizer is one rule and a table; everything else about it is written here, once.

A level moves the weights, or the hyperparameters of the level below, by

    new_w, *new_state = rule(w.detach(), g.detach(), *(s.detach() for s in state), **hyperparameters)

where everything but the hyperparameters is cut from the graph (`apply_cut` below). So the next `loss.backward()` gives
each hyperparameter its gradient, and the level above can move it by the same line. (Chandra et al., "Gradient Descent:
The Ultimate Optimizer", NeurIPS 2022.) With a `horizon` of k the cut comes every k steps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..closures import reads, version
from ..core.tape import UNWATCHED, current, recording
from ..core.tensor import Tensor, leaf
from ..errors import ArgumentError, CallError
from . import checks, saving
from .clipping import Limits, gradient_of
from .coordinates import RATE, Hyperparameter, coordinate_of
from .horizon import Window
from .labels import Labels, labels_for
from .level import Level
from .move import Move
from .nonfinite import guard_for
from .ranges import RangeWatch, bounds
from .update import Update, trace_rule

Operands: TypeAlias = "tuple[str, Update, dict[str, Tensor], Tensor, Tensor, list[Tensor]]"


class Optimizer(Level):
    """A level of a tower. A subclass gives `rule`, `table` and `state`; its arguments are the table's names, in order.

    A hyperparameter's value is a float; alpha may be a mapping of rates by parameter name, and a name without a rate
    stays put. Keyword arguments of the rule that have a default are options, such as SGD's nesterov.

    optimizer: the level above, which tunes this level's hyperparameters.
    tune: the names it tunes; by default all that are in use.
    coordinates: by name, "linear", "log", "sqrt" or "unit" instead of the table's.
    horizon: for how many steps nothing is cut and the hyperparameters stand still; None for ever, and then no level
    above is needed. At the bottom level only.
    objective: of what the gradient by the hyperparameters is, "last" or "sum" of the losses up to the horizon.
    clip_value: what each element of the gradients that this level reads is held to, by size; None for no limit.
    clip_norm: what the norm of all of them together is held to; values are clipped first. Hypergradients are those of
    the clipped step.
    on_nonfinite: what becomes of a step in which a gradient, a new value or a new state is not finite. None: it is
    made as any other; "raise": AnomalyError; "skip": nothing moves at any level, as if the batch had not been. At the
    bottom level only.
    squares: in a subclass, the states that add up or average squares, which are never below 0.
    A copy, or a pickle, has values, gradients and states of its own, and no graph: until its next step no gradient
    flows to its hyperparameters.
    `parameters` are the tensors that the level above tunes, by name, each in its coordinate; `t` is how many steps this
    level has made, and `skipped`, at the bottom level, how many were skipped.
    Raises ArgumentError for unknown names and for values outside their coordinate's range.
    """

    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        checks.rule(cls)
        cls.table = {
            name: row if isinstance(row, Hyperparameter) else Hyperparameter(row) for name, row in cls.table.items()
        }
        keywords = [p for p in inspect.signature(cls.rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
        options = [p for p in keywords if p.default is not p.empty]
        parameter = inspect.Parameter
        cls.__signature__ = inspect.Signature(
            [parameter(n, parameter.POSITIONAL_OR_KEYWORD, default=row.default) for n, row in cls.table.items()]
            + options
            + [parameter(n, parameter.KEYWORD_ONLY, default=value) for n, value in checks.RESERVED.items()]
        )
        checks.refuse(cls, cls.__signature__.parameters)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            hint = checks.other_names(kwargs)
            raise CallError(f"{name}: {error}. It is {name}{self.__signature__}{hint}") from None
        bound.apply_defaults()
        given = bound.arguments
        self._below: Callable[[], Optimizer | None] = saving.nobody
        self._above = checks.above(self, given.pop("optimizer"))
        tune, coordinates = given.pop("tune"), given.pop("coordinates") or {}
        horizon, objective = given.pop("horizon"), given.pop("objective")
        on_nonfinite = given.pop("on_nonfinite")
        self._limits = Limits.of(name, clip_value=given.pop("clip_value"), clip_norm=given.pop("clip_norm"))
        tune = tuple(tune) if isinstance(tune, Iterable) and not isinstance(tune, str) else tune
        values = {row: given.pop(row) for row in self.table}
        self._options = tuple(given.items())
        self._rates = dict(values["alpha"]) if isinstance(values.get("alpha"), Mapping) else None
        checks.names(self, tune, coordinates)
        self._coordinates = {row: coordinate_of(coordinates.get(row, self.table[row].coordinate)) for row in self.table}
        in_use = {
            row for row, entry in self.table.items() if not entry.optional or values[row] != 0 or row in (tune or ())
        }
        chosen = {row for row in in_use if self.table[row].tuned} if tune is None else set(tune)
        self._in_use = in_use
        self._rows = dict(self._keys())
        tuning = self.optimizer is not None or horizon is None
        self._tuned = tuple(key for key, row in self._rows.items() if row in chosen) if tuning else ()
        self._coordinates |= {row: self._coordinates[row].inside() for row in chosen if self._tuned}
        checks.horizon(self, horizon, objective)
        self._window = Window(horizon, objective)
        self._guard = guard_for(self, on_nonfinite)
        self._ranges = RangeWatch(strict=bool(self._guard))
        self.skipped = 0
        self.parameters: dict[str, Tensor] = checks.Parameters()
        for key, row in self._rows.items():
            value = self._rates[key.removesuffix(RATE)] if self._rates is not None and row == "alpha" else values[row]
            constant = Tensor(np.array(self._locate(key, row, value)))
            self.parameters[key] = leaf(constant) if key in self._tuned else constant
        self._bounds = tuple(bounds(self))
        self._initial = {key: values[value] if isinstance(value, str) else value for key, value in self.state.items()}
        self._states: Mapping[str, dict[str, Tensor]] = {}
        self._updates: dict[str, tuple[Update, dict[str, str]]] = {}
        self._closes_over, self._seen = reads(type(self).rule), 0
        self.t = 0
        self.optimizer = self._above  # now that nothing can fail, it belongs to this level

    def step(self, params: dict[str, Tensor] = None) -> None:  # type: ignore[assignment]
        """Move every level by its gradients, top first, and put the moved tensors into `params`.

        params: tensors by name, with the gradients of `loss.backward()`; a missing gradient counts as zero. Inside a
        window of the horizon only the weights move, and their gradients are those of a recorded `backward()`.
        Raises GraphError, ShapeError or TypeError before anything has changed; so does AnomalyError, which comes with
        on_nonfinite="raise" alone.
        """
        window, levels = self._window, self.levels
        checks.step(levels, params)
        self._retrace(levels)
        with self._guard(self, levels, params) as check:
            if window.cuts:
                window.gather(retain_graph=bool(self._guard))
            else:
                window.check(params, f"{type(self).__name__}.step")
                levels = (self,)
            tape = current().tape
            with recording(), UNWATCHED if tape is None else tape.stepping(self, window):
                moves = self._moves_above(levels)
                moves.append(self._move(params, params, moves[-1].moved if moves else {}, labels_for(0, self, None)))
                check(levels, params, moves)  # all is made, and nothing has changed yet
                for move in moves:
                    move.apply()
                window.join(params)
        if len(levels) > 1:
            self._ranges.see(levels)

    def _retrace(self, levels: Sequence[Optimizer]) -> None:
        """Forget what was made of a rule that closes over something which has changed."""
        for level in levels:
            if level._closes_over and (seen := version(type(level).rule)) != level._seen:
                level._seen, level._updates = seen, {}

    def _moves_above(self, levels: Sequence[Optimizer]) -> list[Move]:
        """What moves above the bottom, top first."""
        checks.hypergradients(levels)
        moves: list[Move] = []
        for height in reversed(range(1, len(levels))):
            level, below, fresh = levels[height], levels[height - 1], moves[-1].moved if moves else {}
            moves.append(level._move(below._tuned, below.parameters, fresh, labels_for(height, level, below)))
        return moves

    def _move(
        self,
        names: Iterable[str],
        targets: MutableMapping[str, Tensor],
        fresh: Mapping[str, Tensor],
        labels: Labels | None,
    ) -> Move:
        """Where this level's rule moves its targets, by hyperparameters that have just moved; changes nothing."""
        operands = self._operands(names, targets, {**self.parameters, **fresh})
        cuts, moved, states = self._window.cuts, {}, {}
        for name, rule, used, w, g, state in operands:
            if labels is not None:
                labels.before(name, w, g, zip(rule.kept, state), zip(self._update(name)[1].values(), used.values()))
            new_w, *new_state = apply_cut(rule, w, g, state, used) if cuts else rule(w, g, *state, **used)
            moved[name] = new_w.retain_grad() if new_w.edge is not None else leaf(new_w)
            states[name] = dict(zip(rule.kept, new_state))
            if labels is not None:
                labels.after(name, moved[name], states[name].items())
        return Move(self, targets, moved, states)

    def _operands(
        self, names: Iterable[str], targets: Mapping[str, Tensor], hyperparameters: dict[str, Tensor]
    ) -> Iterator[Operands]:
        """What the rule is applied to, one target after the other; those of one rule share their hyperparameters."""
        last: Mapping[str, str] | None = None
        for name, g in self._limits({name: gradient_of(targets[name]) for name in names}).items():
            w, (rule, keys) = targets[name], self._update(name)
            if keys is not last:
                if "t" in keys and "t" not in hyperparameters:
                    hyperparameters["t"] = Tensor(np.array(self.t + 1.0))
                last, used = keys, {row: hyperparameters[key] for row, key in keys.items()}
            yield name, rule, used, w, g, self._state_for(name, rule, w)

    def _update(self, name: str) -> tuple[Update, dict[str, str]]:
        """The rule for one target, and the parameter that each of its hyperparameters is."""
        name = name if self._rates is not None else ""  # all names share one pair
        if name not in self._updates:
            coordinates = {row: c if row in self._in_use else None for row, c in self._coordinates.items()}
            keys = {row: row for row in self.table}
            if self._rates is not None:
                keys["alpha"] = name + RATE
                if name not in self._rates:
                    coordinates["alpha"] = None
            cls, chosen = type(self), tuple(coordinates.items())
            rule = trace_rule(cls.__name__, cls.rule, tuple(self.state), chosen, self._options)
            self._updates[name] = rule, {row: keys.get(row, row) for row in rule.names}
        return self._updates[name]

    def _state_for(self, name: str, rule: Update, w: Tensor) -> list[Tensor]:
        if (kept := self._states.get(name)) is not None:
            return [kept[key] for key in rule.kept]
        return [self._start(key, w) for key in rule.kept]

    def _start(self, key: str, w: Tensor) -> Tensor:
        """The state before the first step. Where nothing is cut, a hyperparameter at which it starts is not either."""
        row = self.state[key]
        if self._window.horizon is None and row in self._tuned:
            start = self._coordinates[row].value(self.parameters[row])
            return (start + np.zeros(w.shape)).astype(w.dtype)
        return Tensor(np.full(w.shape, self._initial[key], w.dtype))

    def _keys(self) -> list[tuple[str, str]]:
        """The parameters' names, each with its row of the table: rates by name have a parameter each."""
        return [
            (key, row)
            for row in self.table
            for key in ([name + RATE for name in self._rates] if row == "alpha" and self._rates is not None else [row])
        ]

    def _locate(self, key: str, row: str, value: Any) -> float:
        try:
            number = checks.number(key, value)
            internal = self._coordinates[row].locate(number, key, key in self._tuned)
            checks.in_range(key, number, self.table[row])
            return internal
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{type(self).__name__}: {error}") from None


def apply_cut(
    rule: Update, w: Tensor, g: Tensor, state: list[Tensor], hyperparameters: dict[str, Tensor]
) -> list[Tensor]:
    """The whole algorithm: everything but the hyperparameters is cut from the graph."""
    return rule(w.detach("weights"), g.detach("gradient"), *(s.detach("state") for s in state), **hyperparameters)
