"""What an optimizer refuses, before anything has changed: wrong rules, wrong names, wrong parameters."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..arguments import named
from ..core.operation import attach
from ..core.tensor import Tensor
from ..core.tower import HINTS, HOOKS, KEYWORDS, RATE, Numbers, Optimizer
from ..errors import ArgumentError, DtypeError, GraphError, MissingAttributeError, ShapeError, UnsupportedError
from .hooks import Hook, extend
from .ranges import admits, ends

OTHER_NAMES = {  # what other libraries call it, and what it is called here
    "lr": "alpha", "learning_rate": "alpha", "step_size": "alpha", "momentum": "mu", "betas": "beta1 and beta2",
    "b1": "beta1", "b2": "beta2", "epsilon": "eps", "wd": "weight_decay",
}  # fmt: skip
HINTS.update({name: f". {name} is called {own} here" for name, own in OTHER_NAMES.items()})


class Checks(Hook):
    """What an optimizer refuses. `below` is the level directly below, if there is one."""

    def __init__(self, level: Optimizer) -> None:
        level.parameters = Parameters(level.parameters)
        self.below: weakref.ref[Optimizer] | None = None
        for key, name in level._rows.items():
            coordinate, (low, high) = level._coordinates[name], level.table[name].range
            if coordinate.low < low or coordinate.high > high:
                value = level.meaning(key, level.parameters[key].item())
                if not admits(level.table[name], value):
                    where = ends((low, high))
                    raise ArgumentError(f"{type(level).__name__}: {key}={value} is outside its range, from {where}")

    def before(self, levels: Sequence[Optimizer], params: Any) -> None:
        _step(levels, params)
        _hypergradients(levels)

    def __reduce__(self) -> Any:
        return object.__new__, (Checks,), {"below": None}


def below(level: Optimizer) -> Optimizer | None:
    """The level that a level is above of, if there is one."""
    ref: weakref.ref[Optimizer] | None = level.hooks[Checks].below
    found = None if ref is None else ref()
    return found if found is not None and found.optimizer is level else None


def put_above(level: Optimizer, above: Any) -> None:
    """A level gets one above, if that is an optimizer, above no other level, and not above itself."""
    name = type(level).__name__
    if above is None:
        return
    if not isinstance(above, Optimizer):
        raise DtypeError(f"{name}: optimizer={above!r} is not an optimizer")
    if level in above.levels:
        raise ArgumentError(f"{name}: optimizer= is this optimizer, or a level below it; a tower cannot be a circle")
    if (other := below(above)) is not None and other is not level:
        raise ArgumentError(
            f"{name}: optimizer= is the level above another {type(other).__name__} already. It has one state and one "
            "count of steps, which two towers would mix: make one for each, or copy.deepcopy() this one"
        )
    above.hooks[Checks].below = weakref.ref(level)


def _defined(optimizer: type[Optimizer]) -> None:
    _rule(optimizer)
    keywords = inspect.signature(optimizer.rule).parameters.values()
    options = [p.name for p in keywords if p.kind is p.KEYWORD_ONLY and p.default is not p.empty]
    for name in {"zero_grad", *optimizer.table, *options, *KEYWORDS, *OTHER_NAMES}.difference(dir(optimizer)):
        setattr(optimizer, name, Refused(name))


def _given(optimizer: type[Optimizer], arguments: dict[str, Any]) -> None:
    name, tune, coordinates = optimizer.__name__, arguments["tune"], arguments["coordinates"]
    if (above := arguments["optimizer"]) is not None and not isinstance(above, Optimizer):
        raise DtypeError(f"{name}: optimizer={above!r} is not an optimizer")
    if isinstance(tune, Iterable) and not isinstance(tune, str):
        tune = arguments["tune"] = tuple(tune)
    if tune is not None and not isinstance(tune, tuple):
        raise ArgumentError(f"{name}: tune must be a tuple of names, such as tune=({tune!r},)")
    for key, what in (("coordinates", "coordinates"), ("outside", "numbers")):
        if arguments[key] and not isinstance(arguments[key], Mapping):
            raise ArgumentError(f"{name}: {key} must be a dict from names to {what}, not {arguments[key]!r}")
    known = [*optimizer.table, *(arguments["outside"] or ())]
    for unknown in {*(tune or ()), *(coordinates or ())} - set(known):
        raise ArgumentError(f"{name} has no hyperparameter {unknown!r}; it has {', '.join(map(str, known))}")
    for row in optimizer.table:
        value = arguments[row]
        if row == "alpha" and isinstance(value, Mapping):
            if not value:
                raise ArgumentError(f"{name}: alpha={{}} names no parameter, so nothing would move")
            arguments[row] = {key: number(f"{name}: {key}{RATE}", rate) for key, rate in value.items()}
        else:
            arguments[row] = number(f"{name}: {row}", value)


def _rule(cls: type[Optimizer]) -> None:
    """The rule reads w, g, the state in order; by name the hyperparameters, `t`, and options with a default."""
    for name in ("rule", "table"):
        if name not in dir(cls):
            raise ArgumentError(
                f"{cls.__name__} has no {name}: an optimizer is a rule and a table of its hyperparameters"
            )
    for name in cls.table:
        if name in (*KEYWORDS, "t"):
            raise ArgumentError(
                f"{cls.__name__}: a hyperparameter cannot be called {name!r}, a name that every optimizer uses; rename "
                "it"
            )
    parameters = inspect.signature(cls.rule).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty} - {"t"}
    if len(positional) != 2 + len(cls.state) or required != set(cls.table):
        names = ", ".join(["w", "g", *cls.state, "*", *cls.table])
        raise ArgumentError(
            f"{cls.__name__}.rule{inspect.signature(cls.rule)} does not fit its table and state; it must be a static "
            f"method rule({names}), with t and options with a default if it needs them"
        )
    for key, value in cls.state.items():
        if isinstance(value, str) and value not in cls.table:
            raise ArgumentError(f"{cls.__name__}: state {key!r} starts at {value!r}, which is not in its table")


class Refused:
    """A name that is given to the constructor, or that other libraries use: to set it would change nothing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, level: Optimizer | None, cls: type[Optimizer]) -> Any:
        raise MissingAttributeError(f"{cls.__name__} has no attribute {self._name!r}{_hint(cls, self._name)}")

    def __set__(self, level: Optimizer, value: Any) -> None:
        raise UnsupportedError(
            f"{type(level).__name__} has no attribute {self._name!r} to set{_hint(type(level), self._name)}. To change "
            "a value, make a new optimizer, or change its state_dict() and load that"
        )


def _hint(cls: type[Optimizer], name: str) -> str:
    """What to say instead of an attribute that an optimizer does not have."""
    if name in cls.table:
        return f". Its value is hyperparameters[{name!r}]"
    if name == "zero_grad":
        return ". There is nothing to zero: step(params) puts new tensors, without gradients, into params"
    return HINTS.get(name, "")


def number(key: str, value: Any) -> float:
    """A hyperparameter's value as a float. Raises ArgumentError for anything but a number, and for a tensor."""
    if isinstance(value, Tensor):
        raise ArgumentError(f"{key} must be a float, not a tensor; tensors go into the params of step(params)")
    with suppress(TypeError, ValueError, OverflowError):
        if not isinstance(value, (bool, np.bool_, str, bytes)):  # which float() takes
            return float(value)
    raise ArgumentError(f"{key} must be a number, not {value!r}")


def _read_only(*args: Any, **kwargs: Any) -> Any:
    raise UnsupportedError(
        "hyperparameters shows values, such as alpha; writing here changes none. Make a new optimizer with other "
        "values, or change its state_dict() and load that"
    )


class Parameters(dict[str, Tensor]):
    """The tensors of a level's hyperparameters, each in its coordinate; nothing else can take their place."""

    def __setitem__(self, key: str, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise DtypeError(
                f"parameters[{key!r}] is the tensor that the level above tunes, not a {type(value).__name__}. Make a "
                "new optimizer with other values, or change its state_dict() and load that"
            )
        super().__setitem__(key, value)


def _step(levels: Sequence[Optimizer], params: Any) -> None:
    """The parameters are named tensors that require a gradient and have one, and fit the state and the rates."""
    optimizer = levels[0]
    call = f"{type(optimizer).__name__}.step"
    named(call, params, MutableMapping)
    if (low := below(optimizer)) is not None:
        raise ArgumentError(
            f"{call}: this is the level above {type(low).__name__}, which moves it along. Its state and its count of "
            "steps would mix with those of other parameters: call step() of the bottom level, and make another "
            "optimizer for what else is to be moved"
        )
    if not params:
        raise ArgumentError(f"{call}: params is empty, so there is nothing to move")
    reached, states = False, optimizer._states
    for name, w in params.items():
        if not isinstance(w, Tensor) or w.edge is None:
            what = "does not require a gradient" if isinstance(w, Tensor) else f"is a {type(w).__name__}"
            raise DtypeError(f"{call}: params[{name!r}] {what}; make it with th.tensor(..., requires_grad=True)")
        grad, shape, dtype = w.grad, w.array.shape, w.array.dtype
        if grad is not None:
            reached = True
            if not isinstance(grad, Tensor) or grad.array.shape != shape or grad.array.dtype.kind != "f":
                raise _wrong_gradient(f"{call}: params[{name!r}]", w)
        for key, state in (states[name].items() if name in states else ()):
            if state.array.shape != shape or state.array.dtype != dtype:
                raise ShapeError(
                    f"{call}: params[{name!r}] is {w.dtype} of shape {w.shape}, but its state {key!r} is "
                    f"{state.dtype} of shape {state.shape}; use a new optimizer for other parameters"
                )
    if len(set(map(id, params.values()))) != len(params):
        first, second = _twins(params)
        raise ArgumentError(f"{call}: params[{first!r}] and params[{second!r}] are the same tensor; give it one name")
    if not reached:
        name = next(iter(params))
        raise GraphError(
            f"{call}: no parameter has a gradient; before each step call loss.backward(), with a loss computed from "
            f"params[{name!r}] anew, as each step puts new tensors there"
        )
    for height, level in enumerate(levels):
        if level._rates:
            moves = levels[height - 1]._tuned if height else params
            if moves and not any(name in moves for name in level._rates):
                raise ArgumentError(
                    f"{call}: {type(level).__name__} has rates for {', '.join(level._rates)}, "
                    f"but moves {', '.join(moves)}"
                )


def _twins(params: Mapping[str, Tensor]) -> tuple[str, str]:
    """Two names of one tensor."""
    return next((a, b) for a in params for b in params if a != b and params[a] is params[b])


def _hypergradients(levels: Sequence[Optimizer]) -> None:
    """The gradients of hyperparameters are single numbers, as these are."""
    for level in levels[:-1]:
        for key in level._tuned:
            tensor = level.parameters[key]
            if (grad := tensor.grad) is not None and (
                not isinstance(grad, Tensor) or grad.array.shape != tensor.array.shape or grad.array.dtype.kind != "f"
            ):
                raise _wrong_gradient(f"{type(levels[0]).__name__}.step: {type(level).__name__}'s {key}", tensor)


def _wrong_gradient(what: str, tensor: Tensor) -> ShapeError | DtypeError:
    grad: Any = tensor.grad
    if isinstance(grad, Tensor) and grad.shape == tensor.shape:
        return DtypeError(f"{what} is {tensor.dtype}, its .grad {grad.dtype}; make that {tensor.dtype}")
    found = f"of shape {grad.shape}" if isinstance(grad, Tensor) else f"a {type(grad).__name__}"
    return ShapeError(f"{what} has shape {tensor.shape}, its .grad is {found}")


def register() -> None:
    """Check every optimizer, and let nobody write to the values that it shows."""
    extend(Checks)
    HOOKS["given"].append(_given)
    HOOKS["put_above"].append(put_above)
    HOOKS["defined"].append(_defined)
    for cls in Optimizer.__subclasses__():
        _defined(cls)
    writes = ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear")
    attach(Numbers, {**dict.fromkeys(writes, _read_only), "__reduce__": lambda self: (dict, ({**self},))})
