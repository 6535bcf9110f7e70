"""LLVM instructions on whole vector registers, for loops that compilers do not vectorize as one would by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features

BIT, BYTE, INT, LONG = (ir.IntType(n) for n in (1, 8, 32, 64))
POINTER = BYTE.as_pointer()


class Shape(NamedTuple):
    """What a matrix product is cut into, by the processor's registers.

    rows: a tile's height, a multiple of `step`, in which smaller tiles are made; bytes: of a vector; fused: whether the
    processor multiplies and adds in one instruction.
    """

    rows: int
    step: int
    bytes: int
    fused: bool


# By what the processor has, the best first: 32 registers of 512 bits, 16 of 256, 32 of 128, and what all have.
SHAPES = {
    "avx512f": Shape(12, 4, 64, True),
    "fma": Shape(6, 2, 32, True),
    "neon": Shape(8, 4, 16, True),
    "": Shape(4, 2, 16, False),
}


def shape() -> Shape:
    """The shape of tiles for the processor that numba compiles for."""
    features = numba.config.CPU_FEATURES
    has = set((get_host_cpu_features() if features is None else features).split(","))
    return next(shape for name, shape in SHAPES.items() if not name or f"+{name}" in has)


SHAPE = shape()


def lanes(size: int) -> int:
    """How many elements of this many bytes a vector holds."""
    return SHAPE.bytes // size


class LLVMFunction:
    """One LLVM function being written, for elements of the type `real`."""

    def __init__(self, module: ir.Module, real: ir.Type, name: str, arguments: Sequence[ir.Type]) -> None:
        self.module, self.real = module, real
        self.size, self.name = (4, "f32") if isinstance(real, ir.FloatType) else (8, "f64")
        self.lanes = lanes(self.size)
        self.vector = ir.VectorType(real, self.lanes)
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.mask_type = ir.VectorType(BIT, self.lanes)
        self.nothing = ir.Constant(self.mask_type, [0] * self.lanes)

    def times(self, x: ir.Value, n: int) -> ir.Value:
        return self.builder.mul(x, LONG(n))

    def at(self, place: ir.Value, offset: ir.Value | int) -> ir.Value:
        """The place so many bytes further."""
        return self.builder.gep(place, [LONG(offset) if isinstance(offset, int) else offset], source_etype=BYTE)

    def load(self, place: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        kind = kind or self.vector
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()), align=self.size, typ=kind)

    def store(self, value: ir.Value, place: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer()), align=self.size)

    def splat(self, x: ir.Value) -> ir.Value:
        """A vector of one number."""
        kind = ir.VectorType(x.type, self.lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), x, INT(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def shuffle(self, x: ir.Value, y: ir.Value, lanes: Sequence[int]) -> ir.Value:
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT, self.lanes), list(lanes)))

    def multiply_add(self, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
        if not SHAPE.fused:
            return self.builder.fadd(self.builder.fmul(x, y), total)
        return self._intrinsic("llvm.fma", "", self.vector, x, y, total)

    def first(self, count: ir.Value, start: int) -> ir.Value:
        """Which lanes of a vector that begins at element `start` lie among the first `count`."""
        numbers = ir.Constant(ir.VectorType(LONG, self.lanes), [start + lane for lane in range(self.lanes)])
        return self.builder.icmp_signed("<", numbers, self.splat(count))

    def masked_load(self, place: ir.Value, mask: ir.Value) -> ir.Value:
        place = self.builder.bitcast(place, self.vector.as_pointer())
        return self._intrinsic("llvm.masked.load", ".p0", self.vector, place, INT(self.size), mask, self.zero)

    def masked_store(self, value: ir.Value, place: ir.Value, mask: ir.Value) -> None:
        place = self.builder.bitcast(place, self.vector.as_pointer())
        self._intrinsic("llvm.masked.store", ".p0", ir.VoidType(), value, place, INT(self.size), mask)

    def _intrinsic(self, name: str, suffix: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        kind = ir.FunctionType(result, [arg.type for arg in args])
        full = f"{name}.v{self.lanes}{self.name}{suffix}"
        return self.builder.call(cgutils.get_or_insert_function(self.module, kind, full), args)


class Loop:
    """A loop that is run `count` times, at least once; `values` begin as `starts`. `close(following)` ends it."""

    def __init__(self, code: LLVMFunction, count: ir.Value, starts: Sequence[ir.Value]) -> None:
        self.builder, before = code.builder, code.builder.block
        self.body = code.function.append_basic_block()
        self.builder.branch(self.body)
        self.builder.position_at_end(self.body)
        self.phis = [self.builder.phi(start.type) for start in (count, *starts)]
        for phi, start in zip(self.phis, (count, *starts)):
            phi.add_incoming(start, before)
        self.values = self.phis[1:]

    def close(self, following: Sequence[ir.Value]) -> None:
        left = self.builder.sub(self.phis[0], LONG(1))
        for phi, value in zip(self.phis, (left, *following)):
            phi.add_incoming(value, self.builder.block)
        after = self.builder.function.append_basic_block()
        self.builder.cbranch(self.builder.icmp_signed(">", left, LONG(0)), self.body, after)
        self.builder.position_at_end(after)
