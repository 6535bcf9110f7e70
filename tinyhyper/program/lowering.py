"""A program lowered for the machine: what the rules of many targets compute of the same scalars is computed once.

An optimizer's rule, and its VJP, begin with arithmetic of hyperparameters alone, such as 1 - beta2**t, which for a
small weight takes longer than the weight's own. Each value has the bits that it had before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from ..core.operation import ArraySpec
from ..fusion.expression import value_dtypes, weak_values
from ..fusion.fusion import Fusion, Mask
from ..fusion.symbols import Symbol, needed, substitute, used
from .program import Body, Instruction, Program, Slot

Call = tuple[Mask, Any]  # of a fusion


class Split(NamedTuple):
    """A fusion in two. Numbers are those of its operands.

    scalars: what it computes of scalars alone, and of no constants alone; read: these scalars, and which are weak.
    rest: the rest; kept: the operands that it reads before what `scalars` gives, and which of all these are weak.
    """

    scalars: Fusion
    read: tuple[int, ...]
    read_weak: Mask
    rest: Fusion
    kept: tuple[int, ...]
    kept_weak: Mask


class Lowered(NamedTuple):
    """A program, and for each instruction of the one it was made of, by body, the number of the one that gives it."""

    program: Program
    numbers: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=1024)
def split(fusion: Fusion, scalar: Mask, weak: Mask) -> Split | None:
    """A fusion in two; None where that gains nothing. scalar, weak: which operands are so."""
    alone = {symbol for symbol, flag in zip(fusion.inputs, scalar) if flag}
    order = needed(fusion.outputs, fusion.inputs)
    for symbol in order:
        given = [arg for arg in symbol.args if isinstance(arg, Symbol)]
        if given and all(arg in alone for arg in given):
            alone.add(symbol)
    rest = [symbol for symbol in order if symbol not in alone]
    met = {symbol for symbol in (*fusion.outputs, *[arg for r in rest for arg in r.args]) if isinstance(symbol, Symbol)}
    edge = [symbol for symbol in order if symbol in alone and symbol in met]
    if not rest or not edge:
        return None
    fresh = [Symbol() for _ in edge]
    outputs = substitute(fusion.outputs, dict(zip(edge, fresh)))
    kept = tuple([n for n, flag in enumerate(used(outputs, fusion.inputs)) if flag])
    read = tuple([n for n, flag in enumerate(used(edge, fusion.inputs)) if flag])
    inputs, read_weak = [fusion.inputs[n] for n in read], tuple([weak[n] for n in read])
    scalars = Fusion(f"{fusion.name}.scalars", inputs, edge, fusion.eager)
    loose = weak_values(scalars.expression, read_weak)
    kept_weak = (*[weak[n] for n in kept], *[loose[n] for n in scalars.expression.outputs])
    remains = Fusion(fusion.name, [*[fusion.inputs[n] for n in kept], *fresh], outputs, fusion.eager)
    return Split(scalars, read, read_weak, remains, kept, kept_weak)


def lowered(program: Program) -> Lowered:
    """The same program for the machine."""
    slots = [*program.slots]
    pairs = [_lower(body, slots) for body in program.bodies]
    bodies, numbers = zip(*pairs)
    return Lowered(program._replace(slots=tuple(slots), bodies=bodies), numbers)


def _lower(body: Body, slots: list[Slot]) -> tuple[Body, tuple[int, ...]]:
    """A body, with new slots added to the slots; and where its instructions have gone."""
    splits = [_split(instruction, slots) for instruction in body.instructions]
    keys: list[Any] = [s and (s.scalars, *[i.reads[n] for n in s.read]) for s, i in zip(splits, body.instructions)]
    shared = Counter(key for key in keys if key)
    instructions: list[Instruction] = []
    numbers: list[int] = []
    given: dict[Any, tuple[int, ...]] = {}
    last: dict[Any, int] = {}
    for instruction, found, key in zip(body.instructions, splits, keys):
        if found and shared[key] > 1:
            if key not in given:
                given[key] = tuple(_add_slots(found, instruction, slots))
                reads = tuple([instruction.reads[n] for n in found.read])
                alone = instruction._replace(op=found.scalars, call=(found.read_weak, None), reads=reads, frees=())
                instructions.append(alone._replace(writes=given[key], cuts=(None,) * len(reads)))
            reads = (*[instruction.reads[n] for n in found.kept], *given[key])
            instruction = instruction._replace(op=found.rest, call=(found.kept_weak, instruction.call[1]), reads=reads)
            last[key] = len(instructions)
        numbers.append(len(instructions))
        instructions.append(instruction)
    for key, number in last.items():
        instructions[number] = instructions[number]._replace(frees=(*instructions[number].frees, *given[key]))
    return body._replace(instructions=tuple(instructions)), tuple(numbers)


def _split(instruction: Instruction, slots: list[Slot]) -> Split | None:
    if not isinstance(instruction.op, Fusion) or any(slots[n].spec.dtype.kind != "f" for n in instruction.reads):
        return None
    return split(instruction.op, tuple([slots[n].spec.shape == () for n in instruction.reads]), instruction.call[0])


def _add_slots(found: Split, instruction: Instruction, slots: list[Slot]) -> Iterator[int]:
    """New slots for what the scalars give."""
    dtypes = [slots[instruction.reads[n]].spec.dtype for n in found.read]
    types, _ = value_dtypes(found.scalars.expression, dtypes, found.read_weak)
    for number in found.scalars.expression.outputs:
        slots.append(Slot("made", found.scalars.name, ArraySpec((), types[number])))
        yield len(slots) - 1
