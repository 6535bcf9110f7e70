"""What a Python function reads beside its arguments, and whether that has changed.

A function that is run once, on symbols, must be run again when a value that it read has changed: a variable of an
enclosing function, a global, a default argument, an attribute of one of these or of a method's object; and the same of
the functions and methods that it calls, and the mode and options of layers. Not seen is an attribute of an object that
is handed to another function which names it, one whose name is computed, and the inside of large containers.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import random
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from .core.tensor import Tensor

PACKAGE = __name__.partition(".")[0]
FOREIGN = {PACKAGE, "numpy", *sys.stdlib_module_names}
GENERATORS = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)
CONTAINERS = (list, tuple, dict, set)
LARGE = 1_000  # elements: arrays with more are told apart by identity alone
ITEMS = 100  # of a container, and of those inside it: what comes later is told apart by identity alone
MOST = 1_000  # functions that are remembered

Read = tuple[Callable[[Any], Any], Any]  # a function, and what to call it with
Names = frozenset[str]

# The attributes that the library's own calls of such an object read, whose code is not searched.
READ: dict[type, Callable[[Any], Iterable[str]]] = {}


class Closure:
    """What a function closes over, as it was when last looked at.

    watched: how to read each value, and what it was; empty for a function that reads nothing which may change.
    generators: the random generators that it reaches.  apart: objects that may change.
    kind: the type of the value that has changed last, by name.
    """

    def __init__(self, function: Any, apart: Sequence[Any] = ()) -> None:
        self._function, self._apart, self.count = function, apart, 0
        self.generators: Sequence[Any] = ()
        self.kind = "nothing"
        self.watched: tuple[tuple[Callable[[Any], Any], Any, Any], ...] = ((Same, None, None),)  # of nothing looked at

    def differs(self) -> bool:
        """Whether a value differs from what it was when `changed` was last asked."""
        try:
            for read, key, value in self.watched:
                if (now := read(key)) is not value and not _same(now, value):
                    self.kind = type(now).__name__
                    return True
        except AttributeError:  # one is there no more
            return True
        return False

    def changed(self) -> bool:
        """Whether a value differs from what it was when this was last asked. True at first."""
        if not self.differs():
            return False
        self.count += 1  # before it is known for unchanged, in this thread or another
        self.watched = tuple([(*how, _kept(value)) for how, value in self._reads()])
        return True

    def _reads(self) -> list[tuple[Read, Any]]:
        search = Search(self._function)
        once = {(read, id(key)): (read, key) for read, key in search.reads}.values()
        self.generators, found = search.generators, [(how, how[0](how[1])) for how in once]
        return [(how, value) for how, value in found if not any(value is one for one in self._apart)]


_closure = functools.lru_cache(maxsize=MOST)(Closure)


def version(function: Any) -> int:
    """A number for a function, another one as soon as something that the function closes over has changed."""
    closure = _closure(function)
    if closure.watched:
        closure.changed()
    return closure.count


def reads(function: Any) -> bool:
    """Whether a function closes over anything that may change."""
    version(function)
    return bool(_closure(function).watched)


class Inside:
    """In place of an array or a tensor, which may change and be the same object: the state that it was in."""

    def __init__(self, value: Any) -> None:
        self.state = _state(value)


class Items:
    """In place of a container: what it held."""

    def __init__(self, value: Any) -> None:
        self.values = [_item(item) for item in _flat(value)]


def _kept(value: Any) -> Any:
    return Items(value) if isinstance(value, CONTAINERS) and not _is_fixed(value) else _item(value)


def _is_fixed(value: Any) -> bool:
    """Whether it is a tuple that holds the same as long as it is the same object."""
    watched = (*CONTAINERS, np.ndarray, Tensor)
    return type(value) is tuple and len(value) <= ITEMS and not any(isinstance(item, watched) for item in value)


def _item(value: Any) -> Any:
    return Inside(value) if isinstance(value, (np.ndarray, Tensor)) else value


def _same(now: Any, value: Any) -> bool:
    """Whether a value is as it was when it was kept."""
    if not isinstance(value, (Items, tuple)):
        return _state(now) == _state(value)
    items, values = _flat(now), (Items(value) if isinstance(value, tuple) else value).values
    if len(items) != len(values):
        return False
    for one, other in zip(items, values):
        if one is not other and _state(one) != _state(other):
            return False
    return True


def _flat(value: Any) -> list[Any]:
    """The items of a container and of those inside it: the outer ones first, and as many as are watched."""
    found: list[Any] = []
    waiting, room = [value], ITEMS
    for item in waiting:
        if isinstance(item, CONTAINERS) and (size := len(item)) <= room:
            room -= 1 + size
            found += type(item), size, *(item if isinstance(item, dict) else ())
            waiting += item.values() if isinstance(item, dict) else item
        else:
            found.append(item)
    return found


class Same:
    """Equal to what is about the very same object."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


def _state(value: Any) -> Any:
    """What is compared of a value: numbers and small arrays by what they hold, other objects by identity."""
    if isinstance(value, (int, float, complex, str, bytes, np.generic)):
        return type(value), repr(value)  # NaN is NaN so, and 0.0 is not -0.0
    if isinstance(value, Inside):
        return value.state
    if isinstance(value, Tensor):
        return Same(value.array)  # it is never written to
    if isinstance(value, np.ndarray) and value.size <= LARGE and not value.dtype.hasobject:
        return value.dtype, value.shape, value.tobytes()
    return Same(value)


class Search:
    """Finds, from a function on, what its code and that of the functions which it reaches read."""

    def __init__(self, function: Any) -> None:
        self.reads: list[Read] = []
        self.generators: list[Any] = []
        self._met: set[Any] = set()
        self._look_into(function, frozenset())

    def _read(self, read: Callable[[Any], Any], key: Any, attributes: Names) -> None:
        value = read(key)
        if not isinstance(value, ModuleType):
            self.reads.append((read, key))
        self._look_into(value, attributes)

    def _look_into(self, value: Any, attributes: Names) -> None:
        """A value that was read by code which reads attributes of these names, of whatever object."""
        if (id(value), attributes) in self._met:
            return
        self._met.add((id(value), attributes))
        owner = value.__self__ if isinstance(value, (MethodType, BuiltinMethodType)) else value
        if isinstance(owner, GENERATORS):
            self.generators.append(owner)
        if isinstance(value, FunctionType):
            self._function(value, None)
            for name in attributes & vars(value).keys():
                self._read(functools.partial(_attribute_of, name), value, attributes)
        elif isinstance(value, MethodType):
            self._function(value.__func__, value.__self__)
        elif isinstance(value, ModuleType):
            for name in () if _foreign(value.__name__) else attributes & vars(value).keys():
                self._read(vars(value).get, name, attributes)
        elif isinstance(value, functools.partial):
            called = getattr(value.func, "__func__", value.func)
            if isinstance(called, FunctionType) and not _foreign(_module(called)):
                attributes |= _names(called.__code__)[1]
            for name in ("func", "args"):
                self._read(attrgetter(name), value, attributes)
            for name in value.keywords:
                self._read(value.keywords.get, name, attributes)
            self._read(len, value.keywords, attributes)
        elif isinstance(value, CONTAINERS) and type(value) in CONTAINERS:
            for item in list(value.values() if isinstance(value, dict) else value)[:ITEMS]:
                self._look_into(item, attributes)
        else:
            attributes = attributes.union(*[names(value) for kind, names in READ.items() if isinstance(value, kind)])
            for name in attributes:
                self._attribute(value, name, attributes, inspect.getattr_static(value, name, None))
            if isinstance(call := inspect.getattr_static(type(value), "__call__", None), FunctionType):
                self._function(call, value)

    def _attribute(self, value: Any, name: str, attributes: Names, found: Any) -> None:
        if isinstance(found, property):
            self._function(found.fget, value)
        elif isinstance(found, functools.cached_property):
            self._function(found.func, value)
        elif isinstance(found, (staticmethod, classmethod)):
            self._function(found.__func__, value)
        elif isinstance(found, FunctionType) and name not in getattr(value, "__dict__", ()):
            self._function(found, value)
        elif found is not None and (
            isinstance(found, (FunctionType, MemberDescriptorType)) or not hasattr(found, "__get__")
        ):
            is_there = hasattr(value, name)
            self._read(_getter(name) if is_there else functools.partial(_attribute_of, name), value, attributes)

    def _function(self, function: Any, owner: Any) -> None:
        """A function that is called; for a method, the object that it belongs to."""
        if not isinstance(function, FunctionType) or (function, id(owner)) in self._met:
            return
        self._met.add((function, id(owner)))
        if _foreign(_module(function)):
            self._function(getattr(function, "__wrapped__", None), owner)
            for cell in function.__closure__ or ():  # of a fused function, the user's own
                self._look_into(_contents(cell), frozenset())
            return
        names, attributes = _names(function.__code__)
        for name in names:
            if name in function.__globals__ or not hasattr(builtins, name):
                self._read(function.__globals__.get, name, attributes)
        for cell in function.__closure__ or ():
            self._read(_contents, cell, attributes)
        for name in ("__defaults__", "__kwdefaults__"):
            if getattr(function, name):
                self._read(attrgetter(name), function, attributes)
        self._look_into(owner, attributes)
        for kind in type(owner).__mro__ if "super" in names else ():
            for name in attributes:
                self._attribute(owner, name, attributes, vars(kind).get(name))


def _module(function: FunctionType) -> str:
    return function.__globals__.get("__name__", "")


def _foreign(module: str) -> bool:
    return module.partition(".")[0] in FOREIGN


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing has been assigned yet
        return None


_getter = functools.lru_cache(maxsize=MOST)(attrgetter)  # the same for the same name


def _attribute_of(name: str, value: Any) -> Any:
    return getattr(value, name, None)


@functools.lru_cache(maxsize=MOST)
def _names(code: CodeType) -> tuple[Names, Names]:
    """The globals and the attributes that code names, with the functions defined inside it."""
    found: dict[str, set[str]] = {"GLOBAL": set(), "ATTR": set()}
    waiting = [code]
    for inner in waiting:
        waiting += [const for const in inner.co_consts if isinstance(const, CodeType)]
        for instruction in dis.get_instructions(inner):
            what = re.sub("METHOD|SUPER_ATTR", "ATTR", instruction.opname).removeprefix("LOAD_")
            found.get(what, set()).add(instruction.argval)
    if "getattr" in found["GLOBAL"]:
        found["ATTR"] |= {const for inner in waiting for const in inner.co_consts if isinstance(const, str)}
    return frozenset(found["GLOBAL"]), frozenset(found["ATTR"])
