"""Hooks: what is added to every level of a tower, with keywords and a state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..core.tower import HOOKS, KEYWORDS, Optimizer
from ..errors import ArgumentError


class Hook:
    """What is added to a level. A subclass is made with the level and the values of its keywords.

    It may have any of these methods: `before(levels, params)`, `accepts(levels, params, moves)` and
    `after(levels, params)` of the bottom level are called in a step, `gradients(gradients)` at each level; `HOOKS` says
    what they mean. A hook's `__str__` says how its level is shown: empty at default settings.
    keywords: of the constructor, with their defaults.
    """

    keywords: ClassVar[Mapping[str, Any]] = {}

    def __str__(self) -> str:
        return ""


def at_the_bottom(hook: type[Hook], level: Optimizer, why: str) -> None:
    """Raise ArgumentError if the level above has a hook, not at default settings, that is for the bottom level."""
    if level.optimizer is not None and (shown := str(level.optimizer.hooks[hook])):
        keywords = " and ".join(hook.keywords)
        raise ArgumentError(
            f"{type(level).__name__}: the level above has {shown}, but {why}: give {keywords} to the bottom level alone"
        )


def one_of(choices: Sequence[Any], level: Optimizer, keyword: str, value: Any) -> None:
    """Raise ArgumentError for a keyword's value that is no choice."""
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ArgumentError(f"{type(level).__name__}: {keyword}={value!r} is not one of {known}")


def extend(hook: type[Any]) -> None:
    """Add a hook to every level. Raises ArgumentError if one of its keywords is there already."""
    if taken := KEYWORDS.keys() & hook.keywords.keys():
        raise ArgumentError(f"{hook.__name__}: {', '.join(taken)} is a keyword of every optimizer already")
    KEYWORDS.update(hook.keywords)

    def made(level: Optimizer, keywords: Mapping[str, Any]) -> None:
        level.hooks[hook] = hook(level, **{key: keywords[key] for key in hook.keywords})

    HOOKS["made"].append(made)
    for name in ("before", "accepts", "after"):
        if (method := getattr(hook, name, None)) is not None:
            HOOKS[name].append(lambda levels, *args, method=method: method(levels[0].hooks[hook], levels, *args))
    if (method := getattr(hook, "gradients", None)) is not None:
        HOOKS["gradients"].append(lambda level, gradients: method(level.hooks[hook], gradients))
