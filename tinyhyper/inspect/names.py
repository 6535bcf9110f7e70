"""What the values of a recording are called, and how one asks for them.

A value is called as its optimizer calls it: `w`, `alpha`, `level1.alpha`, `w.m`. Where two would be called alike, each
is called by its role as well: `weights["alpha"]`, `hyperparameter["alpha"]`. A step follows in brackets: `alpha[2]`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

from ..errors import ArgumentError, DtypeError
from .plain import plain
from .records import Label, Output, Place, Recording

STEP = re.compile(r"(?P<name>.*)\[(?P<step>[0-9]{1,18})\]", re.DOTALL)
NESTED = 2  # gradients of gradients are told so deep


class Name(NamedTuple):
    """What a value is to an optimizer, the same at each step. A loss is a role of its own."""

    role: str
    level: int
    name: str

    @property
    def title(self) -> str:
        """The name, with its level where it belongs to a level above the first."""
        level = self.level - 1 if self.role == "state" else self.level
        return f"level{level}.{plain(self.name)}" if level > 0 else plain(self.name)

    @property
    def exact(self) -> str:
        """The name that no other value has."""
        return f'{f"level{self.level}." if self.level else ""}{self.role}["{plain(self.name)}"]'


LOSS = Name("loss", 0, "loss")


def titled(label: Label) -> str:
    """A label's name, with its level where it belongs to a level above the first."""
    return named(label).title


def named(label: Label) -> Name:
    """What a label says; for a gradient, what it is the gradient of."""
    if label.role != "gradient":
        return Name(label.role, label.level, label.name)
    return Name("hyperparameter" if label.level else "weights", max(label.level - 1, 0), label.name)


class Names:
    """What to call the values of a recording. places: the values by name, oldest first."""

    def __init__(self, tape: Recording) -> None:
        self.nodes = tape.nodes
        self.losses = {node.loss for node in tape.nodes if node.loss is not None}
        self.places: dict[Name, list[Place]] = defaultdict(list)
        for node in tape.nodes:
            for n, output in enumerate(node.outputs):
                if output.label is not None and output.label.role != "gradient":
                    self.places[named(output.label)].append((node.number, n))
        if self.losses:
            self.places[LOSS] += sorted(self.losses)
        self.titles: dict[str, set[Name]] = defaultdict(set)
        for name in self.places:
            self.titles[name.title].add(name)
        self.exact = {name.exact: name for name in self.places}
        self.unclear = {name for title in self.titles for name in self._alike(title)}

    def known(self, number: int, output: int, timeless: bool = False, depth: int = 0) -> str | None:
        """The name of a value with the step that made it, or None if it has none. timeless: without steps."""
        node = self.nodes[number]
        if node.of is not None:
            inner = depth + 1
            loss = self.known(*node.loss, timeless, inner) if node.loss is not None and depth < NESTED else None
            of = self.known(*node.of, timeless, inner) if depth < NESTED else None
            return f"∂{loss or 'loss'}/∂{of or 'leaf' + sized(self.nodes[node.of[0]].outputs[node.of[1]])}"
        label = node.outputs[output].label
        if label is not None and label.role == "gradient":
            return f"∂loss/∂{self.title(named(label))}"
        if label is None and (number, output) not in self.losses:
            return None
        title = self.title(LOSS if label is None else named(label))
        fixed = label is not None and label.role == "hyperparameter" and node.kind == "constant"
        return title if fixed or timeless else f"{title}[{node.step}]"

    def any(self, number: int, output: int) -> str:
        """The name of a value, or a word for what it is."""
        node = self.nodes[number]
        return self.known(number, output) or (node.op if node.op is not None else node.kind)

    def title(self, name: Name) -> str:
        """What a value is called at any step: what cannot be taken for another."""
        return name.exact if name in self.unclear else name.title

    def _alike(self, title: str) -> set[Name]:
        """The names that a title may stand for, where these are several: at a step or exactly too."""
        names, step = set(self.titles[title]), STEP.fullmatch(title)
        for asked in (title, step["name"]) if step else (title,):
            names |= {self.exact[asked]} if asked in self.exact else set()
        if step:
            names |= self.titles.get(step["name"], set())
        return names if len(names) > 1 else set()

    def find(self, asked: str) -> list[Place]:
        """The values of a name, oldest first: "alpha" for every step, "alpha[2]" for one, "level1.alpha", "w.m".

        Raises ArgumentError with the names there are, and for a name that is of several values.
        """
        if not isinstance(asked, str):
            raise DtypeError(f"a value is asked for by its name, not by a {type(asked).__name__}")
        asked = plain(asked)
        match = STEP.fullmatch(asked)
        wanted, step = (match["name"], int(match["step"])) if match else (asked, None)
        readings: list[tuple[Name, int | None]]
        if asked in self.exact:
            readings = [(self.exact[asked], None)]
        elif wanted in self.exact:
            readings = [(self.exact[wanted], step)]
        else:
            readings = [(name, None) for name in self.titles.get(asked, ())]
            if match:
                at_step = self.titles.get(wanted, ())
                readings += [(name, step) for name in at_step if not readings or self._at(name, step)]
        if not readings:
            raise self._absent(asked)
        if len(readings) > 1:
            ways = sorted(name.exact + ("" if step is None else f"[{step}]") for name, step in readings)
            raise ArgumentError(f"{asked!r} may be one of several values here: ask for {' or '.join(map(repr, ways))}")
        name, step = readings[0]
        found = self._at(name, step)
        if not found:
            steps = sorted({self.nodes[number].step for number, _ in self.places[name]})
            raise ArgumentError(
                f"{wanted} is in this recording at the steps {', '.join(map(str, steps))}, not at {step}"
            )
        return found

    def _at(self, name: Name, step: int | None) -> list[Place]:
        """The values of a name at a step, or at all. What is fixed has no step."""
        fixed = {"constant"} if name.role == "hyperparameter" else ()
        return [
            (number, n)
            for number, n in self.places[name]
            if step is None or (self.nodes[number].kind not in fixed and self.nodes[number].step == step)
        ]

    def _absent(self, asked: str) -> ArgumentError:
        there = ", ".join(sorted(map(self.title, self.places)))
        there = there or "nothing with a name, which an optimizer or tape.label gives"
        absent = " A momentum or weight decay of 0 is absent: name it in tune=(...) to tune it from 0."
        hint = absent if asked.rpartition(".")[2] in ("mu", "weight_decay") else ""
        return ArgumentError(f"no operation of this recording read or made {asked!r}; it holds {there}.{hint}")


def sized(output: Output) -> str:
    """The shape of a value, in brackets."""
    return f"[{'×'.join(map(str, output.shape))}]"
