"""Towers: an optimizer is one equation and a table; everything else about it is written here, once.

A level moves the weights, or the hyperparameters of the level below, by

    new_w, *new_state = rule(w.detach(), g.detach(), *(s.detach() for s in state), **hyperparameters)

where everything but the hyperparameters is cut from the graph (`apply_cut` below). So the next `loss.backward()` gives
each hyperparameter its gradient, and the level above can move it by the same line. (Chandra et al., "Gradient Descent:
The Ultimate Optimizer", NeurIPS 2022.)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from .coordinates import Coordinate, Hyperparameter, coordinate_of
from .errors import CallError
from .operation import Number
from .tape import current, recording, unwatched
from .tensor import Tensor, in_dtype, leaf

RATE = "_alpha"  # what the name of a rate by parameter name ends with
KEYWORDS: dict[str, Any] = {"optimizer": None, "tune": None, "coordinates": None}  # of every optimizer, with defaults
HINTS: dict[str, str] = {}  # what to say of a keyword that does not exist
HOOKS: dict[str, list[Callable[..., Any]]] = {  # outer rings add functions; and to a step's events, classes of hooks
    "defined": [],  # (optimizer class), when it is defined
    "given": [],  # (optimizer class, arguments), before anything is made of them
    "tunes": [],  # (keywords) -> whether gradients flow to hyperparameters though no level is above
    "made": [],  # (level, keywords), when all is made
    "put_above": [],  # (level, level above), before it is there
}
Coordinates: TypeAlias = "tuple[tuple[str, Coordinate | None], ...]"
Options: TypeAlias = "tuple[tuple[str, Any], ...]"
Targets: TypeAlias = "MutableMapping[str, Tensor]"


class Update:
    """The rule of an optimizer, called on a weight, its gradient, its states, and hyperparameters by name.

    It takes hyperparameters out of their coordinates; one without a coordinate is not in use, and is read as 0.
    states: their names.  names: the hyperparameters that it reads, and `t` if it does.
    """

    def __init__(self, optimizer: type[Optimizer], coordinates: Coordinates, options: Options) -> None:
        self._rule, self._coordinates, self._options = optimizer.rule, dict(coordinates), dict(options)
        self.states = tuple(optimizer.state)
        self.names = tuple([name for name, coordinate in coordinates if coordinate is not None])
        self.names += ("t",) * ("t" in inspect.signature(optimizer.rule).parameters)

    def __call__(self, w: Tensor, g: Tensor, *state: Tensor, **hyperparameters: Tensor) -> Sequence[Tensor]:
        numbers = {name: Number(tensor.array, tensor.edge) for name, tensor in hyperparameters.items()}
        values = {
            name: 0.0 if coordinate is None else coordinate.value(numbers.pop(name))
            for name, coordinate in self._coordinates.items()
        }
        results = self._rule(w, g, *state, **values, **numbers, **self._options)
        return results if isinstance(results, tuple) else (results,)


class Move(NamedTuple):
    """What a level's step would change: the moved targets and their new states, made before anything is changed."""

    level: Optimizer
    targets: Targets
    moved: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]
    t: Tensor

    def commit(self) -> None:
        """Change it."""
        self.level._t = self.t
        self.level._states = {**self.level._states, **self.states}
        self.targets.update(self.moved)


class Signature:
    """A constructor's: the table's names, the rule's options, and the keywords that every optimizer has by now."""

    def __get__(self, level: Any, optimizer: type[Optimizer]) -> inspect.Signature:
        one, named = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
        own = [p for p in inspect.signature(optimizer.rule).parameters.values() if p.kind is named]
        return inspect.Signature(
            [one(name, one.POSITIONAL_OR_KEYWORD, default=row.default) for name, row in optimizer.table.items()]
            + [p for p in own if p.default is not p.empty]
            + [one(name, named, default=value) for name, value in KEYWORDS.items()]
        )


class Numbers(dict[str, float]):
    """The values of hyperparameters, to read."""


class Optimizer:
    """A level of a tower. A subclass gives `rule`, `table` and `state`; its arguments are the table's names, in order.

    A hyperparameter's value is a float; alpha may be a mapping of rates by parameter name, and a name without a rate
    stays put. Keyword arguments of the rule that have a default are options, such as SGD's nesterov.

    optimizer: the level above, which tunes this level's hyperparameters.
    tune: the names it tunes; by default all that are in use.
    coordinates: by name, "linear", "log", "sqrt" or "unit" instead of the table's.
    squares: in a subclass, the states that add up or average squares, which are never below 0.
    `parameters` are the tensors that it tunes, each in its coordinate; `hooks` are what outer rings have added.
    Raises CallError for an unknown keyword, ArgumentError for a value outside its coordinate's range.
    """

    table: ClassVar[Mapping[str, Any]]
    state: ClassVar[Mapping[str, float | str]] = {}
    squares: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]
    _trace: ClassVar[Callable[[type[Optimizer], Coordinates, Options], Any]]  # attached, where Update is not what runs
    __signature__ = Signature()

    if TYPE_CHECKING:  # attached by outer rings
        skipped: int

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls) -> None:
        _ask("defined", cls)
        cls.table = {n: row if isinstance(row, Hyperparameter) else Hyperparameter(row) for n, row in cls.table.items()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name, signature = type(self).__name__, self.__signature__
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            hints = [HINTS.get(key, "") for key in kwargs]
            raise CallError(f"{name}: {error}. It is {name}{signature}{''.join(hints)}") from None
        bound.apply_defaults()
        _ask("given", type(self), given := bound.arguments)
        keywords, values = {key: given.pop(key) for key in KEYWORDS}, {row: given.pop(row) for row in self.table}
        self._above: Optimizer | None = keywords["optimizer"]
        tune, coordinates = keywords["tune"], keywords["coordinates"] or {}
        self._options: Options = tuple(given.items())
        self._rates = dict(values["alpha"]) if isinstance(values.get("alpha"), Mapping) else None
        rates: dict[str, Any] = {"alpha": values.get("alpha")}
        if self._rates is not None:
            rates = {name + RATE: rate for name, rate in self._rates.items()}
        self._rows = {key: row for row in self.table for key in (rates if row == "alpha" else [row])}
        self._in_use = {n for n, row in self.table.items() if not row.optional or values[n] != 0 or n in (tune or ())}
        chosen = {n for n in self._in_use if self.table[n].tuned} if tune is None else set(tune)
        tuning = self._above is not None or any(_ask("tunes", keywords))
        self._tuned = tuple([key for key, row in self._rows.items() if row in chosen]) if tuning else ()
        self._coordinates = {n: coordinate_of(coordinates.get(n, row.coordinate)) for n, row in self.table.items()}
        self._coordinates |= {row: self._coordinates[row].inside() for row in chosen if self._tuned}
        self.parameters: dict[str, Tensor] = {}
        for key, row in self._rows.items():
            value = rates[key] if row == "alpha" else values[row]
            internal = self._coordinates[row].locate(value, f"{name}: {key}", key in self._tuned)
            constant = Tensor(np.array(internal))
            self.parameters[key] = leaf(constant) if key in self._tuned else constant
        self._initial = {key: values[value] if isinstance(value, str) else value for key, value in self.state.items()}
        self._states: dict[str, dict[str, Tensor]] = {}
        self._updates: dict[str, tuple[Any, dict[str, str]]] = {}
        self._t = Tensor(np.array(0.0))
        self.hooks: dict[Any, Any] = {}
        _ask("made", self, keywords)
        self.optimizer = self._above  # now that nothing else can fail

    @property
    def optimizer(self) -> Optimizer | None:
        """The level above, which belongs to this level alone."""
        return self._above

    @optimizer.setter
    def optimizer(self, above: Optimizer | None) -> None:
        _ask("put_above", self, above)
        self._above = above

    @property
    def levels(self) -> tuple[Optimizer, ...]:
        """The tower, bottom first."""
        found = [self]
        while (above := found[-1]._above) is not None:
            found.append(above)
        return tuple(found)

    @property
    def t(self) -> int:
        """How many steps this level has made."""
        return int(self._t.item())

    @property
    def hyperparameters(self) -> Numbers:
        """The values a person means, by name."""
        return Numbers({key: self.meaning(key, p.item()) for key, p in self.parameters.items()})

    def meaning(self, key: str, internal: float) -> float:
        """The value a person means by the internal number of a hyperparameter."""
        with unwatched():
            return float(self._coordinates[self._rows[key]].value(Tensor(np.array(internal))).item())

    def step(self, params: Targets = None) -> None:  # type: ignore[assignment]
        """Move every level by its gradients, top first, and put the moved tensors into `params`.

        params: tensors by name, with the gradients of `loss.backward()`; where one has a gradient, a missing one counts
        as zero. Inside a window of a horizon only the weights move, by the gradients of a recorded `backward()`.
        What hooks refuse is an error before anything has changed: gradients, names, shapes; numbers by `on_nonfinite`.
        """
        levels, now = self.levels, current()
        for before in reversed(self._asked("before")):
            before(levels, params)
        cuts = all(self._asked("cuts"))
        levels = levels if cuts else (self,)
        graph = nullcontext() if now.recording else recording()
        with graph, now.watcher.stepping(self):
            moves = moves_of(levels, params, cuts)
            if all(accepts(levels, params, moves) for accepts in self._asked("accepts")):
                for move in moves:
                    move.commit()
                for after in self._asked("after"):
                    after(levels, params)

    def _asked(self, event: str) -> list[Any]:
        """What the level's hooks that are `in_use` have for an event of a step, such as "before"."""
        return [getattr(hook, event) for kind in HOOKS.get(event, ()) if (hook := self.hooks[kind]).in_use]

    def _update(self, name: str) -> tuple[Any, dict[str, str]]:
        """The rule for one target, and the parameter that each of its hyperparameters is."""
        name = name if self._rates is not None else ""  # all names share one pair
        if name not in self._updates:
            coordinates = {row: c if row in self._in_use else None for row, c in self._coordinates.items()}
            keys = {row: row for row in self.table}
            if self._rates is not None:
                keys["alpha"] = name + RATE
                if name not in self._rates:
                    coordinates["alpha"] = None
            rule = vars(Optimizer).get("_trace", Update)(type(self), tuple(coordinates.items()), self._options)
            self._updates[name] = rule, {row: keys.get(row, row) for row in rule.names}
        return self._updates[name]

    def _start(self, key: str, w: Tensor, cuts: bool) -> Tensor:
        """The state before the first step. Without a cut, a hyperparameter at which it starts stays on the graph."""
        row: Any = self.state[key]
        if row in self._tuned and not cuts:
            start = self._coordinates[row].value(self.parameters[row])
            return (start + np.zeros(w.shape)).astype(w.dtype)
        return Tensor(np.full(w.shape, self._initial[key], w.dtype))


def _ask(hook: str, *args: Any) -> list[Any]:
    """What the functions say that outer rings have added."""
    return [function(*args) for function in HOOKS[hook]]


def moves_of(levels: Sequence[Optimizer], params: Targets, cuts: bool) -> list[Move]:
    """What a step of these levels would change, top first; changes nothing."""
    moves: list[Move] = []
    for height in reversed(range(len(levels))):
        moves.append(_move(levels, height, params, moves[-1].moved if moves else {}, cuts))
    return moves


def _move(levels: Sequence[Optimizer], height: int, params: Targets, fresh: Targets, cuts: bool) -> Move:
    """Where a level's rule moves its targets, by hyperparameters that have just moved; changes nothing."""
    level, below, moved, states = levels[height], levels[height - 1], {}, {}
    watcher = current().watcher
    names, targets = (below._tuned, below.parameters) if height else (params, params)
    hyperparameters = {**level.parameters, **fresh}
    gradients = {name: gradient_of(targets[name]) for name in names}
    for function in level._asked("gradients"):
        gradients = function(gradients)
    rule: Any = None
    for name, g in gradients.items():
        w = targets[name]
        if rule is None or level._rates is not None:  # else all targets share a rule and what it reads
            rule, keys = level._update(name)
            if "t" in keys and "t" not in hyperparameters:
                hyperparameters["t"] = level._t + Tensor(np.array(1.0))  # on the tape, where somebody watches
            used = {row: hyperparameters[key] for row, key in keys.items()}
        last, state = level._states.get(name), []
        for key in rule.states:
            state.append(last[key] if last else level._start(key, w, cuts))
        watcher.moving(levels, height, name, w, g, state, used)
        new_w, *new_state = apply_cut(rule, w, g, state, used) if cuts else rule(w, g, *state, **used)
        moved[name] = new_w.retain_grad() if new_w.edge is not None else leaf(new_w)
        states[name] = dict(zip(rule.states, new_state))
        watcher.moved(levels, height, name, moved[name], states[name])
    t = hyperparameters["t"] if "t" in hyperparameters else Tensor(np.array(level._t.array.item() + 1.0))
    return Move(level, targets, moved, states, t)


def apply_cut(rule: Any, w: Tensor, g: Tensor, state: Iterable[Tensor], hyperparameters: Targets) -> Sequence[Tensor]:
    """The whole algorithm: everything but the hyperparameters is cut from the graph."""
    return rule(w.detach("weights"), g.detach("gradient"), *[s.detach("state") for s in state], **hyperparameters)


def gradient_of(target: Tensor) -> Tensor:
    """What `backward` left in `.grad`, in the target's dtype; a missing gradient counts as zero."""
    if (gradient := target.grad) is None:
        return Tensor(np.zeros(target.shape, target.dtype))
    return gradient if gradient.array.dtype is target.array.dtype else in_dtype(gradient, target)
