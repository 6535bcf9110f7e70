"""Nested data as JSON beside numbered arrays, and back, bit by bit.

JSON's own None, booleans, integers, finite floats, texts and lists stand for themselves; everything else is a
dict of JSON with its kind as the only key. An array of one number is told by its bytes, a larger one by its number
and by the order of its axes in memory, since the order in which a kernel adds depends on that. Its elements lie side by
side there: one that reads a part of another's memory, or an element several times, is saved as a copy.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from ..core.tensor import FLOATS, Tensor, leaf
from ..errors import DtypeError, GraphError

Arrays: TypeAlias = "dict[int, tuple[int, np.ndarray, np.ndarray]]"  # by id: the number, the array, what is written
Tensors: TypeAlias = "dict[int, int]"  # their numbers, by id
Fetch: TypeAlias = "Callable[[int, tuple[int, ...] | None], Any]"

NUMBERS = "biufc"  # kinds of dtypes
DEEPEST = 200  # a few of Python's calls each, of which it allows 1,000
LARGEST = 1 << 14284  # integers below have 4,300 digits at most, which is what Python reads


def encode(value: Any, arrays: Arrays, place: str = "", tensors: Tensors | None = None, depth: int = 0) -> Any:
    """The data for JSON; its larger arrays are added to `arrays`.

    place: what to call it in an error.  tensors: those met so far; one that is met again is a reference.
    depth: how many dicts, lists and tuples it is in.
    Raises DtypeError for what no file can hold, GraphError for a computed tensor.
    """
    tensors = {} if tensors is None else tensors
    if depth > DEEPEST:
        raise DtypeError(f"save: {place[:40]}... is nested too deeply, or contains itself")
    if isinstance(value, np.generic):
        return {"scalar": _array(np.array(value), arrays, place)}
    if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
        return {"float": _array(np.array(value), arrays, place)}
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        if abs(value) < LARGEST:
            return value
        raise DtypeError(f"save: {place} is an integer of more than 4,300 digits; save it as text, hex({place})")
    if isinstance(value, np.ndarray):
        return {"array": _array(value, arrays, place)}
    if isinstance(value, Tensor):
        if not value.is_leaf:
            raise GraphError(f"save: {place} was computed, and its graph would be lost; save {place}.detach()")
        if id(value) in tensors:
            return {"same": tensors[id(value)]}
        tensors[id(value)] = len(tensors)
        return {"tensor": [_array(value.array, arrays, place), value.requires_grad]}
    if isinstance(value, Mapping):
        pairs = [
            [
                encode(key, arrays, f"a key of {place}", tensors, depth + 1),
                encode(item, arrays, f"{place}[{key!r}]" if place else str(key), tensors, depth + 1),
            ]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        items = [encode(item, arrays, f"{place}[{n}]", tensors, depth + 1) for n, item in enumerate(value)]
        if isinstance(value, list):
            return items
        if isinstance(fields := getattr(value, "_fields", None), tuple) and len(fields) == len(items):
            return {"named": [type(value).__name__, list(map(str, fields)), items]}
        return {"tuple": items}
    if isinstance(value, bytes):
        return {"bytes": _array(np.frombuffer(value, np.uint8), arrays, place)}
    raise DtypeError(
        f"save: {place} is a {type(value).__name__}, which a checkpoint cannot hold. It holds dicts, lists and tuples "
        "of numbers, texts, bytes, arrays and tensors; of a random generator save rng.bit_generator.state"
    )


def _array(array: np.ndarray, arrays: Arrays, place: str) -> dict[str, Any]:
    if type(array) not in (np.ndarray, np.memmap) or not _plain(array.dtype):
        raise DtypeError(f"save: {place} is a {type(array).__name__} of {array.dtype}; only plain arrays can be saved")
    if not array.ndim and array.dtype.kind in NUMBERS:
        return {"dtype": array.dtype.str, "bytes": array.tobytes().hex()}
    if id(array) not in arrays:
        dense = array if _dense(array.shape, array.strides, array.itemsize) else array.copy("K")
        arrays[id(array)] = len(arrays), array, dense
    number, _, dense = arrays[id(array)]
    return {"number": number, "strides": list(dense.strides)}


@lru_cache
def _plain(dtype: np.dtype) -> bool:
    """Whether an npy file holds arrays of this dtype as they are."""
    if dtype.hasobject or not dtype.itemsize:
        return False
    told = np.lib.format.dtype_to_descr(dtype)
    return max(map(ord, str(told))) < 256 and np.lib.format.descr_to_dtype(told) == dtype


def _dense(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Whether elements lie side by side, whatever the order of the axes: without a gap, and none in another's place."""
    expected, long = itemsize, [(stride, size) for stride, size in zip(strides, shape) if size != 1]
    for stride, size in sorted(long):
        if stride != expected:
            return 0 in shape
        expected *= size
    return 0 in shape or all(stride > 0 for stride in strides)


def decode(data: Any, fetch: Fetch, tensors: list[Tensor] | None = None) -> Any:
    """What was encoded. tensors: those made so far.

    fetch: gives an array by its number and strides, and its bytes where the strides are None; each is made once.
    """
    tensors = [] if tensors is None else tensors
    if isinstance(data, list):
        return [decode(item, fetch, tensors) for item in data]
    if isinstance(data, dict):
        ((kind, inner),) = data.items()
        return KINDS[kind](inner, fetch, tensors)
    return data


def _restored(record: dict[str, Any], fetch: Fetch) -> np.ndarray:
    if "bytes" not in record:
        return fetch(record["number"], tuple(record["strides"]))
    dtype = np.dtype(record["dtype"])
    if dtype.kind not in NUMBERS:
        raise ValueError(f"{dtype} is not a dtype of numbers")
    return np.frombuffer(bytes.fromhex(record["bytes"]), dtype).reshape(()).copy()


def laid_out(values: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """The values as an array with these strides. Raises ValueError unless elements lie side by side there."""
    if values.strides == strides:
        return values
    if not _dense(values.shape, strides, values.itemsize):
        raise ValueError(f"an array of shape {values.shape} cannot have strides {strides}: they leave gaps, or overlap")
    array: np.ndarray = np.ndarray(values.shape, values.dtype, strides=strides)
    array[...] = values
    return array


def constant_or_leaf(array: Any, requires_grad: bool) -> Tensor:
    """A tensor of a saved array. Raises DtypeError for an array that no tensor has."""
    tensor = Tensor(array)
    dtype = array.dtype
    if dtype not in FLOATS and (requires_grad or dtype.kind not in "iub" or not dtype.isnative):
        raise DtypeError(f"a tensor{' that requires a gradient' if requires_grad else ''} cannot be of {dtype}")
    return leaf(tensor) if requires_grad else tensor


def _tensor(inner: Any, fetch: Fetch, tensors: list[Tensor]) -> Tensor:
    record, requires_grad = inner
    tensors.append(constant_or_leaf(_restored(record, fetch), requires_grad))
    return tensors[-1]


@lru_cache
def _named(name: str, fields: tuple[str, ...]) -> Any:
    """The class of named tuples with this name and these fields, which no code of another has to define."""
    made = namedtuple("made", fields, rename=True)  # type: ignore[misc]
    made.__name__ = name  # which need not be one that Python can read
    return made


KINDS: dict[str, Callable[[Any, Fetch, list[Tensor]], Any]] = {
    "array": lambda inner, fetch, tensors: _restored(inner, fetch),
    "tensor": _tensor,
    "same": lambda inner, fetch, tensors: tensors[inner],
    "scalar": lambda inner, fetch, tensors: _restored(inner, fetch)[()],
    "float": lambda inner, fetch, tensors: _restored(inner, fetch).item(),
    "bytes": lambda inner, fetch, tensors: fetch(inner["number"], None),
    "tuple": lambda inner, fetch, tensors: tuple(decode(inner, fetch, tensors)),
    "named": lambda inner, fetch, tensors: _named(inner[0], tuple(inner[1]))(*decode(inner[2], fetch, tensors)),
    "dict": lambda inner, fetch, tensors: {
        decode(key, fetch, tensors): decode(item, fetch, tensors) for key, item in inner
    },
}
