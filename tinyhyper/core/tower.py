"""Towers: an optimizer is one equation and a table; everything else about it is written here, once.

A level moves the weights, or the hyperparameters of the level below, by

    new_w, *new_state = rule(w.detach(), g.detach(), *(s.detach() for s in state), **hyperparameters)

where everything but the hyperparameters is cut from the graph (`apply_cut` below). So the next `loss.backward()` gives
each hyperparameter its gradient, and the level above can move it by the same line. (Chandra et al., "Gradient Descent:
The Ultimate Optimizer", NeurIPS 2022.)
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from .coordinates import Coordinate, Hyperparameter, coordinate_of
from .errors import ArgumentError, CallError, DtypeError
from .operation import Number
from .tape import UNWATCHED, current, recording, unwatched
from .tensor import Tensor, in_dtype, leaf

RATE = "_alpha"  # what the name of a rate by parameter name ends with
KEYWORDS = {"optimizer": None, "tune": None, "coordinates": None}  # beside those of hooks
Coordinates: TypeAlias = "tuple[tuple[str, Coordinate | None], ...]"
Options: TypeAlias = "tuple[tuple[str, Any], ...]"


class Absent:
    """A zero that removes what it multiplies: a momentum or a weight decay that is not in use."""

    __array_ufunc__ = None  # an operand beside it leaves the word to it

    def __add__(self, other: Any) -> Any:
        return other

    def __sub__(self, other: Any) -> Any:
        return -other

    def __mul__(self, other: Any) -> Absent:
        return self

    def __neg__(self) -> Absent:
        return self

    __radd__ = __rsub__ = __add__
    __rmul__ = __truediv__ = __mul__


class Update:
    """The rule of an optimizer, called on a weight, its gradient, its states, and hyperparameters by name.

    It takes hyperparameters out of their coordinates; one that has none is absent.
    kept: the states that the rule reads.  names: the hyperparameters that it reads, and `t` if it does.
    """

    def __init__(self, optimizer: type[Optimizer], coordinates: Coordinates, options: Options) -> None:
        self._rule, self._coordinates, self._options = optimizer.rule, dict(coordinates), dict(options)
        self.kept = tuple(optimizer.state)
        self.names = tuple([name for name, coordinate in coordinates if coordinate is not None])
        self.names += ("t",) * ("t" in inspect.signature(optimizer.rule).parameters)

    def __call__(self, w: Tensor, g: Tensor, *state: Tensor, **hyperparameters: Tensor) -> Sequence[Tensor]:
        numbers = {name: Number(tensor.array, tensor.edge) for name, tensor in hyperparameters.items()}
        values = {
            name: Absent() if coordinate is None else coordinate.value(numbers.pop(name))
            for name, coordinate in self._coordinates.items()
        }
        results = self._rule(w, g, *state, **values, **numbers, **self._options)
        return results if isinstance(results, tuple) else (results,)


class Move(NamedTuple):
    """What a level's step would change: the moved targets and their new states, made before anything is changed."""

    level: Optimizer
    targets: MutableMapping[str, Tensor]
    moved: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]

    def apply(self) -> None:
        self.level.t += 1
        self.level._states = {**self.level._states, **self.states}
        self.targets.update(self.moved)


class Hook:
    """What an outer ring adds to optimizers: keywords of the constructor, and what happens around a step.

    Each level has its own. A step asks the hooks of the level whose `step` is called, but for `gradients`, which each
    level asks of its own. The hook that is added last is the first before a step.
    cuts: whether this step cuts. If not, the weights alone move, and nothing is cut.
    """

    keywords: ClassVar[Mapping[str, Any]] = {}
    cuts: Any = True

    def __init__(self, level: Optimizer, **values: Any) -> None:
        """values: those of the keywords. Raises ArgumentError for what makes no sense."""

    @classmethod
    def defined(cls, optimizer: type[Optimizer]) -> None:
        """A class of optimizers is defined."""

    @classmethod
    def given(cls, optimizer: type[Optimizer], arguments: dict[str, Any]) -> None:
        """The constructor's arguments, by name, before anything is made of them."""

    @classmethod
    def tunes(cls, **values: Any) -> bool:
        """Whether gradients flow to the hyperparameters though no level is above."""
        return False

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        """A step begins."""

    def gradients(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradients as the level's rule reads them."""
        return gradients

    def accepts(
        self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor], moves: Sequence[Move]
    ) -> bool:
        """Whether a step that is made, and has not changed anything yet, is to be."""
        return True

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        """A step has changed what it moves."""

    def __str__(self) -> str:
        """How a level shows it; nothing where it is as by default."""
        return ""


class Numbers(dict[str, float]):
    """Hyperparameters' values, to read."""


class Optimizer:
    """A level of a tower. A subclass gives `rule`, `table` and `state`; its arguments are the table's names, in order.

    A hyperparameter's value is a float; alpha may be a mapping of rates by parameter name, and a name without a rate
    stays put. Keyword arguments of the rule that have a default are options, such as SGD's nesterov.

    optimizer: the level above, which tunes this level's hyperparameters.
    tune: the names it tunes; by default all that are in use.
    coordinates: by name, "linear", "log", "sqrt" or "unit" instead of the table's.
    squares: in a subclass, the states that add up or average squares, which are never below 0.
    `parameters` are the tensors that the level above tunes, by name, each in its coordinate; `t` is how many steps this
    level has made.
    Raises ArgumentError for unknown names and for values outside their coordinate's range.
    """

    table: ClassVar[Mapping[str, Any]]
    state: ClassVar[Mapping[str, float | str]] = {}
    squares: ClassVar[tuple[str, ...]] = ()
    rule: ClassVar[Callable[..., Any]]
    updates: ClassVar[list[Callable[[type[Optimizer], Coordinates, Options], Any]]] = [Update]

    if TYPE_CHECKING:  # attached by outer rings
        skipped: int

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls) -> None:
        for hook in HOOKS:
            hook.defined(cls)
        cls.table = {n: row if isinstance(row, Hyperparameter) else Hyperparameter(row) for n, row in cls.table.items()}

    @classmethod
    def signature(cls) -> inspect.Signature:
        """The constructor's: the table's names, the rule's options, and the keywords of every optimizer."""
        one, named = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
        keywords = [p for p in inspect.signature(cls.rule).parameters.values() if p.kind is named]
        return inspect.Signature(
            [one(name, one.POSITIONAL_OR_KEYWORD, default=row.default) for name, row in cls.table.items()]
            + [p for p in keywords if p.default is not p.empty]
            + [one(name, named, default=value) for name, value in keywords_of_all().items()]
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name, signature = type(self).__name__, self.signature()
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise CallError(f"{name}: {error}. It is {name}{signature}{other_names(kwargs)}") from None
        bound.apply_defaults()
        given = bound.arguments
        self._above: Optimizer | None = None
        self._below: Callable[[], Optimizer | None] = nobody
        above = self._above = self._checked(given["optimizer"])
        for hook in HOOKS:
            hook.given(type(self), given)
        del given["optimizer"]
        tune, coordinates = given.pop("tune"), given.pop("coordinates") or {}
        added = {hook: {key: given.pop(key) for key in hook.keywords} for hook in HOOKS}
        values = {row: given.pop(row) for row in self.table}
        for row in (*(tune or ()), *coordinates):
            if row not in self.table:
                raise ArgumentError(f"{name} has no hyperparameter {row!r}; it has {', '.join(self.table)}")
        self._options: Options = tuple(given.items())
        self._rates = dict(values["alpha"]) if isinstance(values.get("alpha"), Mapping) else None
        self._in_use = {n for n, row in self.table.items() if not row.optional or values[n] != 0 or n in (tune or ())}
        chosen = {n for n in self._in_use if self.table[n].tuned} if tune is None else set(tune)
        self._rows = dict(self._keys())
        tuning = above is not None or any(hook.tunes(**keywords) for hook, keywords in added.items())
        self._tuned = tuple([key for key, row in self._rows.items() if row in chosen]) if tuning else ()
        self._coordinates = {n: coordinate_of(coordinates.get(n, row.coordinate)) for n, row in self.table.items()}
        self._coordinates |= {row: self._coordinates[row].inside() for row in chosen if self._tuned}
        self.parameters: dict[str, Tensor] = {}
        for key, row in self._rows.items():
            value = self._rates[key.removesuffix(RATE)] if self._rates is not None and row == "alpha" else values[row]
            try:
                constant = Tensor(np.array(self._coordinates[row].locate(value, key, key in self._tuned)))
                self.table[row].check(key, value)
            except ArgumentError as error:
                raise ArgumentError(f"{name}: {error}") from None
            self.parameters[key] = leaf(constant) if key in self._tuned else constant
        self._initial = {key: values[value] if isinstance(value, str) else value for key, value in self.state.items()}
        self._states: dict[str, dict[str, Tensor]] = {}
        self._updates: dict[str, tuple[Any, dict[str, str]]] = {}
        self.t = 0
        self.hooks: dict[type[Hook], Any] = {hook: hook(self, **keywords) for hook, keywords in added.items()}
        self.optimizer = above  # now that nothing can fail, it belongs to this level

    @property
    def optimizer(self) -> Optimizer | None:
        """The level above, which belongs to this level alone. Raises ArgumentError for one that is another's."""
        return self._above

    @optimizer.setter
    def optimizer(self, above: Optimizer | None) -> None:
        self._above = self._checked(above)
        if above is not None:
            above._below = weakref.ref(self)

    def _checked(self, above: Any) -> Any:
        """A level above, if it is an optimizer, above no other level, and not above itself."""
        name = type(self).__name__
        if above is None:
            return None
        if not isinstance(above, Optimizer):
            raise DtypeError(f"{name}: optimizer={above!r} is not an optimizer")
        if self in above.levels:
            raise ArgumentError(
                f"{name}: optimizer= is this optimizer, or a level below it; a tower cannot be a circle"
            )
        if (other := above.below) is not None and other is not self:
            raise ArgumentError(
                f"{name}: optimizer= is the level above another {type(other).__name__} already. It has one state and "
                "one count of steps, which two towers would mix: make one for each, or copy.deepcopy() this one"
            )
        return above

    @property
    def below(self) -> Optimizer | None:
        """The level that this one is above of, if there is one."""
        found = self._below()
        return found if found is not None and found._above is self else None

    @property
    def levels(self) -> tuple[Optimizer, ...]:
        """The tower, bottom first."""
        found = [self]
        while (above := found[-1]._above) is not None:
            found.append(above)
        return tuple(found)

    @property
    def hyperparameters(self) -> Numbers:
        """The values a person means, by name."""
        return Numbers({key: self.meaning(key, p.item()) for key, p in self.parameters.items()})

    def meaning(self, key: str, internal: float) -> float:
        """The value a person means by the internal number of a hyperparameter."""
        with unwatched():
            return float(self._coordinates[self._rows[key]].value(Tensor(np.array(internal))).item())

    def step(self, params: MutableMapping[str, Tensor] = None) -> None:  # type: ignore[assignment]
        """Move every level by its gradients, top first, and put the moved tensors into `params`.

        params: tensors by name, with the gradients of `loss.backward()`; a missing gradient counts as zero. Inside a
        window of the horizon only the weights move, and their gradients are those of a recorded `backward()`.
        Raises GraphError, ShapeError or TypeError before anything has changed; so does AnomalyError, which comes with
        on_nonfinite="raise" alone.
        """
        levels, hooks = self.levels, self.hooks
        for hook in reversed(ASKED["before"]):
            hooks[hook].before(levels, params)
        cuts = all(hooks[hook].cuts for hook in ASKED["cuts"])
        levels = levels if cuts else (self,)
        watcher = current().tape
        with recording(), UNWATCHED if watcher is None else watcher.stepping(self):
            moves: list[Move] = []
            for height in reversed(range(len(levels))):
                below, fresh = levels[height - 1], moves[-1].moved if moves else {}
                names, targets = (below._tuned, below.parameters) if height else (params, params)
                moves.append(levels[height]._move(names, targets, fresh, height, cuts))
            if all(hooks[hook].accepts(levels, params, moves) for hook in ASKED["accepts"]):
                for move in moves:
                    move.apply()
                for hook in ASKED["after"]:
                    hooks[hook].after(levels, params)

    def _move(
        self,
        names: Iterable[str],
        targets: MutableMapping[str, Tensor],
        fresh: Mapping[str, Tensor],
        height: int,
        cuts: bool,
    ) -> Move:
        """Where this level's rule moves its targets, by hyperparameters that have just moved; changes nothing."""
        watcher, moved, states = current().tape, {}, {}
        hyperparameters = {**self.parameters, **fresh, "t": Tensor(np.array(self.t + 1.0))}
        gradients = {name: gradient_of(targets[name]) for name in names}
        for hook in ASKED["gradients"]:
            gradients = self.hooks[hook].gradients(gradients)
        for name, g in gradients.items():
            w, (rule, keys) = targets[name], self._update(name)
            kept = self._states.get(name) or {key: self._start(key, w, cuts) for key in rule.kept}
            state, used = [kept[key] for key in rule.kept], {row: hyperparameters[key] for row, key in keys.items()}
            if watcher is not None:
                named = dict(zip(keys.values(), used.values()))
                watcher.moving(self, height, name, (w, g, dict(zip(rule.kept, state)), named))
            new_w, *new_state = apply_cut(rule, w, g, state, used) if cuts else rule(w, g, *state, **used)
            moved[name] = new_w.retain_grad() if new_w.edge is not None else leaf(new_w)
            states[name] = dict(zip(rule.kept, new_state))
            if watcher is not None:
                watcher.moved(self, height, name, moved[name], states[name])
        return Move(self, targets, moved, states)

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
            rule = self.updates[-1](type(self), tuple(coordinates.items()), self._options)
            self._updates[name] = rule, {row: keys.get(row, row) for row in rule.names}
        return self._updates[name]

    def _start(self, key: str, w: Tensor, cuts: bool) -> Tensor:
        """The state before the first step. Where nothing is cut, a hyperparameter at which it starts is not either."""
        row = self.state[key]
        if row in self._tuned and not cuts:
            start = self._coordinates[row].value(self.parameters[row])
            return (start + np.zeros(w.shape)).astype(w.dtype)
        return Tensor(np.full(w.shape, self._initial[key], w.dtype))

    def _keys(self) -> Iterator[tuple[str, str]]:
        """The parameters' names, each with its row of the table: rates by name have a parameter each."""
        for row in self.table:
            if row == "alpha" and self._rates is not None:
                yield from [(name + RATE, row) for name in self._rates]
            else:
                yield row, row

    def __str__(self) -> str:
        return " / ".join(level._described() for level in self.levels)

    def _described(self) -> str:
        values = self.hyperparameters
        shown = [
            f"{key}={values[key]:.6g}"
            for key, row in self._rows.items()
            if row in self._in_use and (self.table[row].tuned or key in self._tuned)
        ]
        shown += [f"{key}={value}" for key, value in self._options if value]
        shown += filter(None, map(str, self.hooks.values()))
        return f"{type(self).__name__}({', '.join(shown)})"

    __repr__ = __str__


def apply_cut(
    rule: Update, w: Tensor, g: Tensor, state: Sequence[Tensor], hyperparameters: Mapping[str, Tensor]
) -> Sequence[Tensor]:
    """The whole algorithm: everything but the hyperparameters is cut from the graph."""
    return rule(w.detach("weights"), g.detach("gradient"), *(s.detach("state") for s in state), **hyperparameters)


def gradient_of(target: Tensor) -> Tensor:
    """What `backward` left in `.grad`, in the target's dtype; a missing gradient counts as zero."""
    if (gradient := target.grad) is None:
        return Tensor(np.zeros(target.shape, target.dtype))
    return gradient if gradient.array.dtype is target.array.dtype else in_dtype(gradient, target)


def nobody() -> None:
    """The level below one that is below none."""


HOOKS: list[type[Hook]] = []
ASKED: dict[str, list[type[Hook]]] = {name: [] for name in ("before", "cuts", "gradients", "accepts", "after")}


def keywords_of_all() -> dict[str, Any]:
    """The keywords that every optimizer takes, with their defaults."""
    found = dict(KEYWORDS)
    for hook in HOOKS:
        found |= hook.keywords
    return found


def extend(hook: type[Hook]) -> None:
    """Let an outer ring add a hook to every optimizer. Raises ArgumentError if a keyword of it is there already."""
    if taken := keywords_of_all().keys() & hook.keywords.keys():
        raise ArgumentError(f"{hook.__name__}: {', '.join(taken)} is a keyword of every optimizer already")
    HOOKS.append(hook)
    for name, asked in ASKED.items():
        if getattr(hook, name) is not getattr(Hook, name):
            asked.append(hook)
    waiting = Optimizer.__subclasses__()
    for cls in waiting:
        hook.defined(cls)
        waiting += cls.__subclasses__()


# What other libraries call it, and what it is called here.
OTHER_NAMES = {
    "lr": "alpha", "learning_rate": "alpha", "step_size": "alpha", "momentum": "mu", "betas": "beta1 and beta2",
    "b1": "beta1", "b2": "beta2", "epsilon": "eps", "wd": "weight_decay",
}  # fmt: skip


def other_names(names: Iterable[str]) -> str:
    """What names of other libraries are called here, to end a message with."""
    return "".join(f". {name} is called {OTHER_NAMES[name]} here" for name in names if name in OTHER_NAMES)
