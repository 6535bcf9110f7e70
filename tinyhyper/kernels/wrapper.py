"""The function around a kernel that makes its arguments of words. numba's own compiler optimizes the two together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import Flags, compile_extra
from numba.np.arrayobj import populate_array

if TYPE_CHECKING:
    from .recipes import Kind

LONG = ir.IntType(64)
Read = Callable[[], ir.Value]


def numba_type(kind: Kind) -> types.Type:
    """What numba calls an argument of this kind."""
    dtype = types.boolean if kind.dtype == "bool" else getattr(types, kind.dtype)
    if kind.layout in ("C", "F", "A"):
        return types.Array(dtype, kind.ndim, kind.layout)
    return types.UniTuple(dtype, 2) if kind.layout == "pair" else dtype


def compiled(kernel: Any, signature: tuple[types.Type, ...]) -> Any:  # pragma: no cover - compiled
    """The kernel for a signature, compiled as for callers in Python, but without what these need."""
    for known, found in kernel.overloads.items():
        if tuple([t.copy(readonly=False) if isinstance(t, types.Array) else t for t in known]) == signature:
            return found
    compiler, flags = kernel._compiler, Flags()
    target = compiler.targetdescr
    target.options.parse_as_flags(flags, compiler.targetoptions)
    flags = compiler._customize_flags(flags)
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return compile_extra(target.typing_context, target.target_context, kernel.py_func, signature, None, flags, {})


def write(name: str, library: Any, kernel: Any, kinds: Sequence[Kind]) -> ir.Module:  # pragma: no cover - compiled
    """A module with the function, which calls the compiled kernel and clears its sums before."""
    context, about = kernel.target_context, kernel.fndesc
    module = library.create_ir_module(name)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [LONG.as_pointer()]), name)
    builder = ir.IRBuilder(function.append_basic_block())
    places = count()

    def read() -> ir.Value:
        place = builder.gep(function.args[0], [LONG(next(places))], source_etype=LONG)
        return builder.load(place, typ=LONG)

    arguments, sums = [], []
    for kind, numba_kind in zip(kinds, about.argtypes):
        if isinstance(numba_kind, types.Array):
            array = _array(context, builder, numba_kind, read)
            arguments.append(array._getvalue())
            if kind.total:
                cgutils.memset(builder, array.data, builder.mul(array.nitems, LONG(8)), 0)
                sums += [(array, read())] if kind.total != kind.dtype else []
        elif kind.layout == "pair":
            arguments.append(cgutils.pack_array(builder, [read(), read()]))
        else:
            arguments.append(builder.trunc(read(), context.get_value_type(numba_kind)))
    callee = ir.Function(
        module, context.call_conv.get_function_type(about.restype, about.argtypes), about.llvm_func_name
    )
    context.call_conv.call_function(builder, callee, about.restype, about.argtypes, arguments)
    for array, result in sums:
        _narrow(builder, array, result)
    builder.ret_void()
    return module


def _array(  # pragma: no cover - compiled
    context: Any, builder: ir.IRBuilder, kind: types.Array, read: Read
) -> Any:
    """An array that lies where words say, and how."""
    array = context.make_array(kind)(context, builder)
    element = context.get_data_type(kind.dtype)
    size = LONG(context.get_abi_sizeof(element))
    place = builder.add(read(), read()) if kind.layout == "A" else read()
    data = builder.inttoptr(place, element.as_pointer())
    shape = [read() for _ in range(kind.ndim)]
    if kind.layout == "A":
        strides = [read() for _ in shape]
    else:
        strides, step = [], size
        for length in reversed(shape) if kind.layout == "C" else shape:
            strides.append(step)
            step = builder.mul(step, length)
        strides = strides[::-1] if kind.layout == "C" else strides
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array


def _narrow(builder: ir.IRBuilder, array: Any, result: ir.Value) -> None:  # pragma: no cover - compiled
    """Put sums in float64 to where results in float32 belong."""
    real = ir.FloatType()
    target = builder.inttoptr(result, real.as_pointer())
    with cgutils.for_range(builder, array.nitems) as loop:
        total = builder.load(builder.gep(array.data, [loop.index], source_etype=ir.DoubleType()), typ=ir.DoubleType())
        builder.store(builder.fptrunc(total, real), builder.gep(target, [loop.index], source_etype=real))
