"""What the values of a recording are called, and how one asks for them.

A value is called as its optimizer calls it: `w`, `alpha`, `w.m`; above the first level with its level, `level1.mu`. The
alpha of level 1 is the paper's `kappa`, and can be asked for as `level1.alpha` too. Where two would share a name, each
is called by its role as well: `weights["alpha"]`, `hyperparameter["alpha"]`. A step follows in brackets: `alpha[2]`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from ..errors import ArgumentError, DtypeError
from ..naming import LOSS, Name, own, within
from ..plain import plain
from .records import Label, Output, Place, Recording

STEP = re.compile(r"(?P<name>.*)\[(?P<step>[0-9]{1,18})\]", re.DOTALL)
NESTED = 2  # how deep the name of a gradient of a gradient goes


def named(label: Label) -> Name:
    """What a label says; for a gradient, what it is the gradient with respect to."""
    if label.role != "gradient":
        return Name(label.role, label.level, label.name)
    return Name("hyperparameter" if label.level else "weights", max(label.level - 1, 0), label.name)


def order(tape: Recording) -> dict[Name, int]:
    """What labels name, each with its turn when a step moves it: as in params, or in a rule's table. A loss reads the
    weights in an order of its own.
    """
    labels = [
        (node.kind != "operation", named(output.label))
        for node in tape.nodes
        for output in node.outputs
        if output.label is not None
    ]
    found = dict.fromkeys(name for _, name in sorted(labels, key=lambda label: label[0]))
    return {name: n for n, name in enumerate(found)}


def ordered(names: Iterable[str], lane: int, turns: Mapping[Name, int]) -> list[str]:
    """The names in a box of a lane, by their turns."""
    return sorted(names, key=lambda name: turns.get(own(name, lane), len(turns)))


def sized(output: Output) -> str:
    """The shape of a value, in brackets."""
    return f"[{'×'.join(map(str, output.shape))}]"


class Names:
    """What to call the values of a recording. places: the values by name, oldest first.  losses: where sweeps began."""

    def __init__(self, tape: Recording) -> None:
        self.tape, self.nodes = tape, tape.nodes
        self.losses = {node.loss for node in tape.nodes if node.loss is not None}
        self._turns = {} if tape.steps else {loss: n for n, loss in enumerate(sorted(self.losses))}
        self._by_hand = {} if tape.towers else self._labelled()
        self.places: dict[Name, list[Place]] = defaultdict(list)
        for node in tape.nodes:
            for n, output in enumerate(node.outputs):
                if output.label is not None and output.label.role != "gradient":
                    self.places[named(output.label)].append((node.number, n))
                elif output.label is None and node.called is not None:
                    self.places[self._meant(node.called)].append((node.number, n))
        if self.losses:
            self.places[LOSS] += sorted(self.losses)
        self.titles: dict[str, set[Name]] = defaultdict(set)
        self.exact = {name.exact: name for name in self.places}
        for name in self.places:
            if name.role != "value":
                self.titles[name.title].add(name)
                self.titles[name.by_level].add(name)
        self.unclear = {name for title in self.titles for name in self._alike(title)}
        for name in self.places:
            if name.role == "value":  # what an optimizer has a name for keeps it
                self.titles[name.title].add(name)
                if self._alike(name.title):
                    self.titles[name.title].remove(name)
                    self.unclear.add(name)

    def known(self, place: Place, timeless: bool = False, depth: int = 0) -> str | None:
        """The name of a value with the step that made it, or None if it has none. timeless: without steps."""
        node = self.nodes[place[0]]
        output = node.outputs[place[1]]
        if node.of is not None:
            of = node.of if depth < NESTED else None
            loss = node.loss if depth < NESTED else None
            over = loss and self.known(loss, timeless, depth + 1) or "loss"
            under = of and self.tuned(of, timeless, depth + 1)
            made = self.nodes[node.of[0]]
            return f"∂{over}/∂{under or (made.op or 'leaf') + sized(made.outputs[node.of[1]])}"
        label = output.label
        if label is not None and label.role == "gradient":
            return f"∂loss/∂{within(label.coordinate, self.title(named(label)))}"
        if label is None and place not in self.losses:
            if node.called is None:
                return None
            title = self.title(self._meant(node.called))
            return title if timeless or not self.tape.steps else f"{title}[{node.step}]"
        title = self.title(LOSS if label is None else named(label))
        fixed = label is not None and label.role == "hyperparameter" and node.kind == "constant"
        return title if fixed or timeless else f"{title}[{self._step(place)}]"

    def _labelled(self) -> dict[str, Name]:
        """By title, what labels by hand name; without titles of several."""
        labels = [output.label for node in self.nodes for output in node.outputs if output.label is not None]
        names = {named(label) for label in labels if label.role != "gradient"}
        titles = Counter(name.title for name in names)
        return {name.title: name for name in names if titles[name.title] == 1}

    def _meant(self, name: str) -> Name:
        """What a value is that the user's code has a name for: what labels by hand call so, too, if there is one."""
        return self._by_hand.get(plain(name), Name("value", 0, name))

    def _step(self, place: Place) -> int:
        """The number after a value's name: the step that made it; of a loss without steps, its place among them."""
        return self._turns.get(place, self.nodes[place[0]].step)

    def tuned(self, place: Place, timeless: bool = False, depth: int = 0) -> str | None:
        """What a gradient is with respect to: the name of a value, after the coordinate in which it is tuned."""
        name, coordinate = self.known(place, timeless, depth), self.coordinate(place)
        return within(coordinate, name) if name else None

    def coordinate(self, place: Place) -> str | None:
        """The coordinate in which an optimizer tunes a value; None for the value itself."""
        label = self.nodes[place[0]].outputs[place[1]].label
        return None if label is None or label.role == "gradient" else label.coordinate

    def name(self, place: Place) -> str:
        """What `print(tape)` calls a value: its name, or its operation or kind."""
        node = self.nodes[place[0]]
        return self.known(place) or node.op or node.kind

    def title(self, name: Name) -> str:
        """What a value is called at any step, so that it cannot be taken for another."""
        return name.exact if name in self.unclear else name.title

    def _alike(self, title: str) -> set[Name]:
        """The names that a title may stand for, read with or without a step, if there are several."""
        names, step = set(self.titles[title]), STEP.fullmatch(title)
        for asked in (title, step["name"]) if step else (title,):
            names |= {self.exact[asked]} if asked in self.exact else set()
        if step:
            names |= self.titles.get(step["name"], set())
        return names if len(names) > 1 else set()

    def find(self, asked: str) -> list[Place]:
        """The values of a name, oldest first: "alpha" for every step, "alpha[2]" for one, "kappa", "w.m".

        Raises ArgumentError for an unknown name, with those there are, and for a name of several values, also of
        several towers.
        """
        if not isinstance(asked, str):
            raise DtypeError(f"ask for a value by its name, not by {asked!r} of type {type(asked).__name__}")
        asked = plain(asked or repr(asked))  # as a parameter without a name is called
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
            exact = sorted(name.exact + ("" if step is None else f"[{step}]") for name, step in readings)
            raise ArgumentError(f"{asked!r} names several values here: ask for {' or '.join(map(repr, exact))}")
        name, step = readings[0]
        if name.role == "hyperparameter" and len(self.tape.towers) > 1:
            raise ArgumentError(
                f"{asked!r} is a name in each of the towers of this recording, {' and '.join(self.tape.towers)}; "
                "record the steps of one at a time"
            )
        found = self._at(name, step)
        if not found:
            steps = sorted({*map(self._step, self.places[name])})
            there = ", ".join(map(str, steps))
            raise ArgumentError(f"{wanted} is in this recording at the steps {there}, not at step {step}")
        return found

    def _at(self, name: Name, step: int | None) -> list[Place]:
        """The values of a name at a step, or at all steps. A fixed hyperparameter has no step."""
        fixed = {"constant"} if name.role == "hyperparameter" else ()
        return [
            place
            for place in self.places[name]
            if step is None or (self.nodes[place[0]].kind not in fixed and self._step(place) == step)
        ]

    def _absent(self, asked: str) -> ArgumentError:
        there = ", ".join(sorted(map(self.title, self.places)))
        there = there or "nothing with a name"
        absent = " A momentum or weight decay of 0 is absent: name it in tune=(...) to tune it from 0."
        hint = absent if asked.rpartition(".")[2] in ("mu", "weight_decay") else ""
        return ArgumentError(f"no operation of this recording read or made {asked!r}; its values are {there}.{hint}")
