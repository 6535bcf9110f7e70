"""A program lowered for the machine: fewer instructions, and each value has the bits that it had before.

What an array does not add to its one number, an elementwise operation reads of the number.
What the rules of many targets compute of the same scalars is an operation of its own. An optimizer's rule, and its VJP,
begin with arithmetic of hyperparameters alone, such as 1 - beta2**t, which for a small weight takes longer than the
weight's own.
What is computed twice is computed once.
Where that is asked for, operations that are alike become one, in `beside`, where other bits can come of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec, Elementwise
from ..fusion.expression import scalar_values, value_dtypes
from ..fusion.fusion import Fusion, Mask
from ..fusion.symbols import Scalar, Symbol, needed, substitute, used
from .beside import Beside
from .program import Body, Instruction, Program, Slot, freeing
from .readings import Strip, each, slots_in

PLAIN = int, str, type(None), np.dtype  # types of arguments that compare as what they are


class Split(NamedTuple):
    """A fusion in two. Numbers are those of its operands.

    scalars: what it computes of scalars alone, and of no constants alone; read: these scalars.
    rest: the rest; operands: those that it reads before what `scalars` gives.
    """

    scalars: Fusion
    read: tuple[int, ...]
    rest: Fusion
    operands: tuple[int, ...]


class Lowered(NamedTuple):
    """A program for the machine.

    numbers: for each instruction of the one it was made of, by body, the number of the one that does its work.
    strips: the slots that have to follow each other in memory.
    """

    program: Program
    numbers: tuple[tuple[int, ...], ...]
    strips: tuple[Strip, ...] = ()


@lru_cache(maxsize=1024)
def split(fusion: Fusion, scalar: Mask) -> Split | None:
    """A fusion in two; None where that gains nothing. scalar: which operands are so."""
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
    read = tuple([n for n, flag in enumerate(used(edge, fusion.inputs)) if flag])
    scalars = Fusion(f"{fusion.name}.scalars", [fusion.inputs[n] for n in read], edge, fusion.eager)
    are_scalars = scalar_values(scalars.expression)
    fresh = [Scalar() if are_scalars[n] else Symbol() for n in scalars.expression.outputs]
    outputs = substitute(fusion.outputs, dict(zip(edge, fresh)))
    operands = tuple([n for n, flag in enumerate(used(outputs, fusion.inputs)) if flag])
    remains = Fusion(fusion.name, [*[fusion.inputs[n] for n in operands], *fresh], outputs, fusion.eager)
    return Split(scalars, read, remains, operands)


def lowered(program: Program, side_by_side: bool = False) -> Lowered:
    """The same program for the machine. side_by_side: whether operations that are alike become one."""
    slots = [*program.slots]
    beside = Beside(program, slots) if side_by_side else None
    bodies, numbers = zip(*[_lower(n, body, slots, beside) for n, body in enumerate(program.bodies)])
    constants = {**program.constants, **(beside.constants if beside else {})}
    found = replace(program, slots=tuple(slots), constants=constants, bodies=bodies)
    return Lowered(found, numbers, tuple(beside.strips) if beside else ())


def _lower(n: int, body: Body, slots: list[Slot], beside: Beside | None) -> tuple[Body, tuple[int, ...]]:
    """Body n, with new slots added to the slots; and where its instructions have gone."""
    first, loose = len(slots), {slot for instruction in body.instructions for slot in instruction.frees}
    instructions = _split_scalars(_read_numbers(body.instructions, slots), slots)
    instructions, instead = _once(instructions, loose)
    loose |= {*range(first, len(slots))}
    if beside:
        instructions, others = beside.put(n, instructions, loose)
        loose |= {*range(first, len(slots))} - beside.constants.keys()
        instead = others | {slot: others.get(other, other) for slot, other in instead.items()}
    makers = {slot: number for number, i in enumerate(instructions) for slot in each(i.writes)}
    numbers = [makers[instead.get(i.writes[0], i.writes[0])] for i in body.instructions]
    return body._replace(instructions=freeing(instructions, loose)), tuple(numbers)


def _read_numbers(instructions: Sequence[Instruction], slots: Sequence[Slot]) -> list[Instruction]:
    """The same, where elementwise operations read the number that an array is filled with, not the array."""
    found, numbers = list[Instruction](), dict[int, int]()
    for instruction in instructions:
        if instruction.op is OPERATIONS["broadcast_to"] and not slots[instruction.reads[0]].spec.shape:
            numbers[instruction.writes[0]] = instruction.reads[0]
        reads = tuple([numbers.get(slot, slot) for slot in instruction.reads])
        shapes = [[slots[slot].spec.shape for slot in each] for each in (instruction.reads, reads)]
        if isinstance(instruction.op, (Elementwise, Fusion)) and shapes[0] != shapes[1]:
            if np.broadcast_shapes(*shapes[0]) == np.broadcast_shapes(*shapes[1]):
                instruction = instruction._replace(reads=reads)
        found.append(instruction)
    return found


def _split_scalars(instructions: Sequence[Instruction], slots: list[Slot]) -> list[Instruction]:
    """The same, where what several compute of the same scalars is an operation of its own."""
    splits = [_split(instruction, slots) for instruction in instructions]
    keys: list[Any] = [s and (s.scalars, *[i.reads[n] for n in s.read]) for s, i in zip(splits, instructions)]
    shared = Counter(key for key in keys if key)
    found: list[Instruction] = []
    given: dict[Any, tuple[int, ...]] = {}
    for instruction, halves, key in zip(instructions, splits, keys):
        if halves and shared[key] > 1:
            if key not in given:
                given[key] = tuple(_add_slots(halves, instruction, slots))
                reads = tuple([instruction.reads[n] for n in halves.read])
                alone = instruction._replace(op=halves.scalars, call=None, reads=reads)
                found.append(alone._replace(writes=given[key], cuts=(None,) * len(reads)))
            reads = (*[instruction.reads[n] for n in halves.operands], *given[key])
            instruction = instruction._replace(op=halves.rest, reads=reads)
        found.append(instruction)
    return found


def _once(instructions: Sequence[Instruction], loose: set[int]) -> tuple[list[Instruction], dict[int, int]]:
    """Without those that compute again what others have, and for each slot of these the one that is read instead.

    loose: the slots that nobody reads when the step is over.
    """
    found, known, instead = list[Instruction](), dict[Any, Instruction](), dict[int, int]()
    asked = {slot for instruction in instructions for slot in slots_in(instruction.call)}
    for instruction in instructions:
        reads = tuple([instead.get(slot, slot) for slot in instruction.reads])
        call = tuple(instruction.call.items()) if isinstance(instruction.call, dict) else instruction.call
        if _is_plain(call):
            first = known.setdefault((instruction.op, call, reads), instruction)
            if first is not instruction and {*instruction.writes} <= loose - asked:
                instead.update(zip(instruction.writes, first.writes))
                continue
        found.append(instruction._replace(reads=reads))
    return found, instead


def _is_plain(argument: Any) -> bool:
    """Whether two arguments that are equal are the same."""
    return isinstance(argument, PLAIN) or isinstance(argument, tuple) and all(map(_is_plain, argument))


def _split(instruction: Instruction, slots: list[Slot]) -> Split | None:
    if not isinstance(instruction.op, Fusion) or any(slots[n].spec.dtype.kind != "f" for n in instruction.reads):
        return None
    return split(instruction.op, tuple([slots[n].spec.shape == () for n in instruction.reads]))


def _add_slots(found: Split, instruction: Instruction, slots: list[Slot]) -> Iterator[int]:
    """New slots for what the scalars give."""
    dtypes = [slots[instruction.reads[n]].spec.dtype for n in found.read]
    types, _ = value_dtypes(found.scalars.expression, dtypes)
    for number in found.scalars.expression.outputs:
        slots.append(Slot("made", found.scalars.name, ArraySpec((), types[number])))
        yield len(slots) - 1
