"""A tape as JSON, and back. docs/inspect.md describes the format."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, NoReturn

from ..errors import ArgumentError
from .links import Linked
from .memory import alive
from .paths import Paths
from .plain import SURROGATES
from .records import Cut, Edge, Inside, Label, Node, Output, Recording
from .schema import TAPE, WORDS, refuse

FORMAT, VERSION = "tinyhyper.tape", 1
FACTS = ("title", "steps", "objective", "horizon", "ends")
PARTS = 24  # of a gradient


def to_json(tape: Recording) -> str:
    """The tape as JSON. Where ghosts were recorded, with the ways of each hyperparameter's gradient."""
    text = json.dumps(_plain(data(tape)), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # which UTF-8 cannot hold


def data(tape: Recording) -> dict[str, Any]:
    """What `to_json` writes, as dicts and lists."""
    return {
        "format": FORMAT,
        "version": VERSION,
        **{key: getattr(tape, key) for key in FACTS},
        **{name: [dataclasses.asdict(row) for row in getattr(tape, name)] for name in ("nodes", "edges", "cuts")},
        "insides": [dataclasses.asdict(inside) for inside in tape.insides],
        "alive": [
            {
                "step": now.step,
                "nodes": len(now.nodes),
                "bytes": now.bytes,
                "holders": [{"name": name, "nodes": len(reached)} for name, reached in now.holders.items()],
            }
            for now in alive(tape)
        ],
        "paths": _paths(tape),
    }


def from_json(text: str) -> Recording:
    """The recording that `to_json` wrote; it cannot be run again. Raises ArgumentError, with the place, for another."""
    loaded = _loaded(text)
    TAPE(loaded, "")
    Linked(loaded)
    tape = Recording()
    tape._nodes = [_node(**row) for row in loaded["nodes"]]
    tape._edges = [Edge(**row) for row in loaded["edges"]]
    tape._cuts = [
        Cut(**{**row, "shape": tuple(row["shape"]), "ghost": _number(row["ghost"])}) for row in loaded["cuts"]
    ]
    tape._insides = [_inside(**row) for row in loaded["insides"]]
    for key in FACTS:
        setattr(tape, key, loaded[key])
    tape.closed, tape.paths = True, loaded["paths"]
    return tape


def _loaded(text: str) -> Any:
    """JSON, which names no key twice and has no numbers but JSON's, of the format and version that is read."""
    try:
        loaded = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"this is not the JSON of a tape: {error!r}") from None
    if type(loaded) is dict and (loaded.get("format", FORMAT), loaded.get("version", VERSION)) != (FORMAT, VERSION):
        raise ArgumentError(
            f"this is {loaded.get('format')!r} version {loaded.get('version')!r}; {FORMAT} version {VERSION} is read"
        )
    return loaded


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        refuse("it", f"has {next(key for key in keys if keys.count(key) > 1)!r} twice in one object")
    return found


def _no_number(word: str) -> NoReturn:
    refuse("it", f"has the number {word}, which JSON has not; it is written as text")


def _paths(tape: Recording) -> list[dict[str, Any]]:
    """For each gradient of a hyperparameter, what came along which way; nothing where no ghosts were recorded."""
    if tape.program is None:
        return tape.paths
    ways = Paths(tape, PARTS)
    found = []
    for node in tape.nodes:
        if node.kind != "gradient" or node.of is None or node.loss is None:
            continue
        label = tape.output(node.of).label
        if label is not None and label.role == "hyperparameter":
            parts = [part for loss in ways.losses((node.number, 0)) for part in ways.parts(node.of, loss)]
            found.append(
                {
                    "target": node.of,
                    "loss": node.loss,
                    "total": sum(float(part.value) for part in parts),
                    "parts": [
                        {"through": part.through, "value": float(part.value), "ways": part.ways} for part in parts
                    ],
                }
            )
    return found


def _plain(value: Any) -> Any:
    """A value with words for the numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def _number(value: Any) -> Any:
    return WORDS[value] if isinstance(value, str) else value


def _pair(value: Any) -> Any:
    return value if value is None else tuple(value)


def _node(outputs: Any, of: Any, loss: Any, saved: Any, depends: Any, **row: Any) -> Node:
    return Node(
        outputs=[_output(**output) for output in outputs],
        of=_pair(of),
        loss=_pair(loss),
        saved=tuple(map(_pair, saved)),
        depends=None if depends is None else tuple(map(tuple, depends)),
        **row,
    )


def _output(shape: Any, value: Any, norm: Any, gradient: Any, label: Any, dtype: str) -> Output:
    return Output(
        tuple(shape),
        dtype,
        _number(value),
        _number(norm),
        _number(gradient),
        None if label is None else _label(**label),
    )


def _label(value: Any, range: Any, **row: Any) -> Label:
    return Label(value=_number(value), range=range and (_number(range[0]), _number(range[1])), **row)


def _inside(constants: Any, lines: Any, outputs: Any, **row: Any) -> Inside:
    return Inside(
        constants=[_number(value) for value in constants],
        lines=[(name, tuple(args)) for name, args in lines],
        outputs=tuple(outputs),
        **row,
    )
