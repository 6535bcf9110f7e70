"""A recording as JSON, and back. docs/inspect.md describes the format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from ..errors import ArgumentError
from .links import check_links
from .memory import alive
from .paths import Paths
from .records import Cut, Edge, Inside, Node, Place, Recording
from .saved import Saved
from .schema import dumps, read, refuse

FORMAT, VERSION = "tinyhyper.tape", 4
OLDER = 3  # which did not say where the gates are
FACTS = ("title", "steps", "objective", "horizon", "towers", "ends", "skipped")
LISTS = ("nodes", "edges", "cuts", "insides")
PARTS = 24  # of a gradient


@dataclass
class Holder:
    """A named value that keeps nodes alive; None is a tensor in the user's own code."""

    name: str | None
    nodes: int


@dataclass
class AliveRecord:
    """What is alive after a step."""

    step: int
    nodes: int
    bytes: Annotated[int, 2**80]
    holders: list[Holder]


@dataclass
class Contribution:
    """The part of a gradient that came along one path, or along several."""

    through: tuple[Place, ...]
    value: float
    ways: int


@dataclass
class Gradient:
    """The gradient of a loss with respect to a hyperparameter, by path."""

    target: Place
    loss: Place | None
    total: float
    parts: list[Contribution]


@dataclass
class File:
    """The keys of the JSON, in their order."""

    format: str
    version: int
    title: str | None
    steps: int
    objective: Literal["last", "sum"]
    horizon: int | None
    towers: list[str]
    ends: list[int]
    skipped: list[int]
    gates: list[Place]
    nodes: list[Node]
    edges: list[Edge]
    cuts: list[Cut]
    insides: list[Inside]
    alive: list[AliveRecord]
    saved: list[Saved] | None
    refused: str | None
    paths: list[Gradient]


def to_json(tape: Recording) -> str:
    """The recording as JSON; if ghosts were recorded, with the paths of each hypergradient."""
    return dumps(file(tape))


def file(tape: Recording) -> File:
    """What the JSON says."""
    held = [
        AliveRecord(
            now.step, len(now.nodes), now.bytes, [Holder(name, len(nodes)) for name, nodes in now.holders.items()]
        )
        for now in alive(tape)
    ]
    records = {name: getattr(tape, name) for name in (*FACTS, *LISTS)}
    refused = tape.saved if isinstance(tape.saved, str) else None
    saved = None if isinstance(tape.saved, str) else tape.saved
    records["gates"] = sorted(tape.gates)
    return File(FORMAT, VERSION, **records, alive=held, saved=saved, refused=refused, paths=_paths(tape))


def from_json(text: str) -> Recording:
    """The recording that `to_json` wrote as this text; it cannot be run again.

    Raises ArgumentError for any other text, with the place.
    """
    found = read(File, _loaded(text))
    tape = Recording()
    for name in (*FACTS, "paths"):
        setattr(tape, name, getattr(found, name))
    tape.gates = {*found.gates}
    tape.saved = found.saved if found.refused is None else found.refused
    for name in LISTS:
        getattr(tape, name).extend(getattr(found, name))
    tape.closed = True
    check_links(tape)
    return tape


def _loaded(text: str) -> Any:
    """The parsed text. Raises ArgumentError for a key that stands twice, NaN, and another format or version."""
    try:
        loaded = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except ArgumentError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise ArgumentError(f"this is not the JSON of a tape: {error!r}") from None
    if type(loaded) is not dict:
        return loaded
    if loaded.get("format", FORMAT) != FORMAT or loaded.get("version", VERSION) not in (OLDER, VERSION):
        raise ArgumentError(
            f"this is {loaded.get('format')!r} version {loaded.get('version')!r}, but only {FORMAT} version {OLDER} or "
            f"{VERSION} can be read"
        )
    if loaded.get("version") == OLDER:
        loaded |= {"version": VERSION, "gates": loaded.get("gates", [])}
    return loaded


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        refuse("it", f"has {next(key for key in keys if keys.count(key) > 1)!r} twice in one object")
    return found


def _no_number(word: str) -> NoReturn:
    refuse("it", f"has the number {word}, which JSON does not have; write it as text")


def _paths(tape: Recording) -> list[Gradient]:
    """The contribution of each path to each hypergradient; of a recording without ghosts, those read from JSON."""
    if tape.program is None:
        return tape.paths
    paths, found = Paths(tape, PARTS), []
    for node in tape.nodes:
        if node.of is None or node.loss is None:
            continue
        label = tape.output(node.of).label
        if label is not None and label.role == "hyperparameter":
            parts = [
                Contribution(part.through, float(part.value), part.paths)
                for loss in paths.losses((node.number, 0))
                for part in paths.parts(node.of, loss)
            ]
            found.append(Gradient(node.of, node.loss, sum(part.value for part in parts), parts))
    return found
