"""The two ways to read a function of one number: into the kernel that calls it, or one NumPy scalar at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Number = Any  # what the functions are read with: an Emitter or a NumPy scalar; constants are plain Python numbers


class Emitter:
    """A number in a kernel that is being written: each operator emits its instruction and gives another such number.

    "contract" permits a fused multiply-add, which only removes a rounding. The other fast-math flags would assume that
    there is no NaN or infinity, or would reorder the operations that the accuracy rests on. An instruction that has a
    flag is left alone by numba even when the kernel around it is compiled with all of them.
    """

    __slots__ = ("builder", "value")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def _operand(self, other: Emitter | float) -> ir.Value:
        return other.value if isinstance(other, Emitter) else ir.Constant(self.value.type, other)

    def _arithmetic(self, name: str, other: Emitter | float) -> Emitter:
        if isinstance(self.value.type, ir.IntType):
            value = getattr(self.builder, name)(self.value, self._operand(other))
        else:
            value = getattr(self.builder, "f" + name)(self.value, self._operand(other), flags=("contract",))
        return Emitter(self.builder, value)

    def _compare(self, sign: str, other: float) -> Emitter:
        if isinstance(self.value.type, ir.IntType):
            return Emitter(self.builder, self.builder.icmp_unsigned(sign, self.value, self._operand(other)))
        value = self.builder.fcmp_ordered(sign, self.value, self._operand(other), flags=("contract",))
        return Emitter(self.builder, value)

    __add__ = partialmethod(_arithmetic, "add")
    __sub__ = partialmethod(_arithmetic, "sub")
    __mul__ = partialmethod(_arithmetic, "mul")
    __truediv__ = partialmethod(_arithmetic, "div")
    __and__ = partialmethod(_arithmetic, "and_")
    __or__ = partialmethod(_arithmetic, "or_")
    __xor__ = partialmethod(_arithmetic, "xor")
    __lshift__ = partialmethod(_arithmetic, "shl")
    __rshift__ = partialmethod(_arithmetic, "lshr")
    __lt__ = partialmethod(_compare, "<")
    __gt__ = partialmethod(_compare, ">")

    def __rsub__(self, other: float) -> Emitter:
        return Emitter(self.builder, self._operand(other)) - self

    def __neg__(self) -> Emitter:
        return Emitter(self.builder, self.builder.fneg(self.value, flags=("contract",)))

    def view(self, dtype: type) -> Emitter:
        """The number of another type that has the same bits."""
        return Emitter(self.builder, self.builder.bitcast(self.value, IR_TYPES[dtype]))

    def rounded(self, dtype: type) -> Emitter:
        """The number in another floating-point format."""
        change = self.builder.fpext if dtype is np.float64 else self.builder.fptrunc
        same = self.value.type == IR_TYPES[dtype]
        return self if same else Emitter(self.builder, change(self.value, IR_TYPES[dtype]))

    def select(self, yes: Number, no: Number) -> Emitter:
        """`yes` where this condition holds, else `no`; one of the two may be a constant."""
        typed = yes if isinstance(yes, Emitter) else no
        return Emitter(self.builder, self.builder.select(self.value, typed._operand(yes), typed._operand(no)))


IR_TYPES: dict[type, ir.Type] = {
    np.float32: ir.FloatType(),
    np.float64: ir.DoubleType(),
    np.uint32: ir.IntType(32),
    np.uint64: ir.IntType(64),
}


def compiled(function: Callable, real: type) -> Callable:
    """The function for use in kernels: its instructions are written straight into the kernel that calls it."""
    number = types.float32 if real is np.float32 else types.float64

    @intrinsic
    def special(typing_context: Any, x: Any) -> tuple[Any, Callable]:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: tuple[ir.Value]) -> ir.Value:
            return function(Emitter(builder, args[0])).value

        return number(number), emit

    return special


def plain(function: Callable, real: type) -> Callable:
    """The function in plain Python, one NumPy scalar at a time; quiet where NumPy would warn, as a kernel is."""

    @np.errstate(all="ignore")
    def special(x: Number) -> Number:
        return real(function(real(x)))

    return special
