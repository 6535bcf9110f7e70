"""Hooks: what is added to every level of a tower, with keywords and a state of its own."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

from ..core.tensor import Tensor
from ..core.tower import HOOKS, KEYWORDS, Move, Optimizer
from ..errors import ArgumentError


class Hook:
    """What is added to a level. A subclass overrides the methods of its concern.

    In a step the hooks of the bottom level are called, but for `gradients`, which is called at each level.
    keywords: of the constructor, with their defaults.
    """

    keywords: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, level: Optimizer, **values: Any) -> None:
        """values: those of the keywords. Raises ArgumentError for what makes no sense."""

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        """A step begins."""

    def gradients(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradients as the level's rule reads them."""
        return gradients

    def accepts(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor], moves: Sequence[Move]) -> bool:
        """Whether a step that is made, and has not changed anything yet, is to be."""
        return True

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        """A step has changed what it moves."""

    def __str__(self) -> str:
        """How a level shows it; nothing where it is as by default."""
        return ""


def extend(hook: type[Hook]) -> None:
    """Add a hook to every level. Raises ArgumentError if one of its keywords is there already."""
    if taken := KEYWORDS.keys() & hook.keywords.keys():
        raise ArgumentError(f"{hook.__name__}: {', '.join(taken)} is a keyword of every optimizer already")
    KEYWORDS.update(hook.keywords)

    def made(level: Optimizer, keywords: Mapping[str, Any]) -> None:
        level.hooks[hook] = hook(level, **{key: keywords[key] for key in hook.keywords})

    HOOKS["made"].append(made)
    for name in ("before", "accepts", "after"):
        if (method := getattr(hook, name)) is not getattr(Hook, name):
            HOOKS[name].append(lambda levels, *args, method=method: method(levels[0].hooks[hook], levels, *args))
    if hook.gradients is not Hook.gradients:
        HOOKS["gradients"].append(lambda level, gradients: level.hooks[hook].gradients(gradients))
    if hook.__str__ is not Hook.__str__:
        HOOKS["shown"].append(lambda level: str(level.hooks[hook]))
