"""Hooks: what is added to every level of a tower, with keywords and a state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..core.tower import HOOKS, KEYWORDS, Optimizer
from ..errors import ArgumentError

EVENTS = (  # of a step, for which hooks are asked: those of each level for `gradients`, else those of the bottom level
    "before",  # (levels, params); what is added last comes first
    "cuts",  # whether this step cuts; if not, the weights alone move
    "gradients",  # (gradients) -> the gradients as the level's rule reads them
    "accepts",  # (levels, params, moves) -> whether a step that is made, and has changed nothing yet, is to be
    "after",  # (levels, params)
)


class Hook:
    """What is added to a level. A subclass is made with the level and the values of its keywords.

    It has methods for what it needs of EVENTS. Its `__str__` says how its level is shown: empty at default settings.
    keywords: of the constructor, with their defaults.
    in_use: whether it is asked at all; not where its settings leave it idle.
    """

    keywords: ClassVar[Mapping[str, Any]] = {}
    in_use = True

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
    """Raise ArgumentError for a keyword's value that is not one of its choices."""
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
    for event in {*EVENTS}.intersection(dir(hook)):
        HOOKS.setdefault(event, []).append(hook)
