"""Contexts as decorators, of functions, generators and coroutines, and those whose parentheses were forgotten."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any

from .core.tape import State, current, state
from .errors import CallError, DtypeError


class Parenthesized(type):
    """The class of contexts which say what is missing in `with th.no_grad:` and `@th.no_grad`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and callable(args[0]):
            raise CallError(f"{cls.__name__}: the parentheses are missing; write `@{cls.__name__}()` above a function")
        return super().__call__(*args, **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature:
        """What the context takes, for help(): else this class's own __call__ is shown."""
        return inspect.signature(functools.partial(cls.__init__, None))  # type: ignore[misc]  # of a class, not of one of its objects

    def __enter__(cls) -> None:
        raise CallError(f"{cls.__name__}: the parentheses are missing; write `with {cls.__name__}():`")

    def __exit__(cls, *error: object) -> None:
        """Never reached, but Python looks for it first."""


class Block(metaclass=Parenthesized):
    """A state inside a block, or inside the decorated function, generator or coroutine: the field `name` is `value`."""

    name = "recording"
    value: Any = False

    def __init__(self) -> None:
        self._before: list[State] = []

    def __enter__(self) -> Any:
        before = current()
        self._before.append(before)
        state.set(before._replace(**{self.name: self.value}))

    def __exit__(self, *error: object) -> None:
        state.set(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return inside(type(self), function)


class no_grad(Block):
    """Put nothing on the graph inside the block, or inside the decorated function.

    Raises CallError where the parentheses are missing, DtypeError if it decorates anything but a function.
    """


def inside(context: type[AbstractContextManager[Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs inside a context of its own; a generator or a coroutine does so between its pauses.

    Raises DtypeError for a class, and for anything but a function.
    """
    if isinstance(function, type) or not callable(function):
        what = f"the class {function.__name__}" if isinstance(function, type) else f"a {type(function).__name__}"
        raise DtypeError(f"{context.__name__}: it decorates functions, not {what}; decorate the methods of a class")

    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from _resumed(context(), function(*args, **kwargs)))

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await _awaited(context(), function(*args, **kwargs))

    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        held, body = context(), function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(body.asend, None)
        while True:
            try:
                value = await _awaited(held, resume())
            except StopAsyncIteration:
                return
            try:
                resume = functools.partial(body.asend, (yield value))
            except GeneratorExit:
                await _awaited(held, body.aclose())
                raise
            except BaseException as error:
                resume = functools.partial(body.athrow, error)

    def plain(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    kinds = (
        (inspect.isgeneratorfunction, generator),
        (inspect.iscoroutinefunction, coroutine),
        (inspect.isasyncgenfunction, async_generator),
    )
    return functools.wraps(function)(next((wrapper for fits, wrapper in kinds if fits(function)), plain))


def _resumed(held: AbstractContextManager[Any], body: Any) -> Generator[Any, Any, Any]:
    """What a generator or a coroutine yields and returns. It runs inside a context, which is left at each pause."""
    resume = functools.partial(body.send, None)
    while True:
        try:
            with held:
                value = resume()
        except StopIteration as stop:
            return stop.value
        try:
            resume = functools.partial(body.send, (yield value))
        except GeneratorExit:
            with held:
                body.close()
            raise
        except BaseException as error:
            resume = functools.partial(body.throw, error)


@types.coroutine
def _awaited(held: AbstractContextManager[Any], body: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    return (yield from _resumed(held, body))
