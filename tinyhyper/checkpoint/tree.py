"""Nested data as JSON beside numbered arrays, and back, bit by bit.

JSON's own None, booleans, whole numbers, finite floats, texts and lists stand for themselves; everything else is a
dict of JSON with its kind as the only key. An array of one number is told by its bytes, a larger one by its number
and by how it lies in memory, since the order in which a kernel adds depends on that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from ..errors import DtypeError, GraphError
from ..tensor import Tensor, leaf

Arrays: TypeAlias = "dict[int, tuple[int, np.ndarray]]"  # by id, each with its number
Tensors: TypeAlias = "dict[int, int]"  # their numbers, by id
Fetch: TypeAlias = "Callable[[int], np.ndarray]"


def encode(value: Any, arrays: Arrays, place: str = "", tensors: Tensors | None = None) -> Any:
    """The data for JSON; its larger arrays are added to `arrays`.

    place: what to call it in an error.  tensors: those met so far; one that is met again is a reference.
    Raises DtypeError for what no file can hold, GraphError for a computed tensor.
    """
    tensors = {} if tensors is None else tensors
    if isinstance(value, np.generic):
        return {"scalar": _array(np.array(value), arrays, place)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": _array(np.array(value), arrays, place)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
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
                encode(key, arrays, f"a key of {place}", tensors),
                encode(item, arrays, f"{place}[{key!r}]" if place else str(key), tensors),
            ]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        items = [encode(item, arrays, f"{place}[{n}]", tensors) for n, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise DtypeError(
        f"save: {place} is a {type(value).__name__}, which a checkpoint cannot hold. It holds dicts, lists and tuples "
        "of numbers, texts, arrays and tensors; of a random generator save rng.bit_generator.state"
    )


def _array(array: np.ndarray, arrays: Arrays, place: str) -> dict[str, Any]:
    if type(array) not in (np.ndarray, np.memmap) or array.dtype.hasobject:
        raise DtypeError(f"save: {place} is a {type(array).__name__} of {array.dtype}; only plain arrays can be saved")
    if not array.ndim and array.dtype.kind in "biufc":
        return {"dtype": array.dtype.str, "bytes": array.tobytes().hex()}
    number, _ = arrays.setdefault(id(array), (len(arrays), array))
    return {"number": number, "strides": list(array.strides)}


def decode(data: Any, fetch: Fetch, tensors: list[Tensor] | None = None) -> Any:
    """What was encoded. fetch: gives an array by its number.  tensors: those made so far."""
    tensors = [] if tensors is None else tensors
    if isinstance(data, list):
        return [decode(item, fetch, tensors) for item in data]
    if isinstance(data, dict):
        ((kind, inner),) = data.items()
        return KINDS[kind](inner, fetch, tensors)
    return data


def _restored(record: dict[str, Any], fetch: Fetch) -> np.ndarray:
    if "bytes" in record:
        return np.frombuffer(bytes.fromhex(record["bytes"]), record["dtype"]).reshape(()).copy()
    found, strides = fetch(record["number"]), tuple(record["strides"])
    return found if found.strides == strides else _laid_out(found, strides)


def _laid_out(values: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """The values as an array with these strides."""
    ends = [(size - 1) * stride for size, stride in zip(values.shape, strides)] if values.size else []
    below = -sum(end for end in ends if end < 0)
    above = sum(end for end in ends if end > 0)
    room = np.empty(below + above + values.itemsize, np.uint8)
    array: np.ndarray = np.ndarray(values.shape, values.dtype, room, below, strides)
    array[...] = values
    return array


def _tensor(inner: Any, fetch: Fetch, tensors: list[Tensor]) -> Tensor:
    record, requires_grad = inner
    tensor = Tensor(_restored(record, fetch))
    tensors.append(leaf(tensor) if requires_grad else tensor)
    return tensor


KINDS: dict[str, Callable[[Any, Fetch, list[Tensor]], Any]] = {
    "array": lambda inner, fetch, tensors: _restored(inner, fetch),
    "tensor": _tensor,
    "same": lambda inner, fetch, tensors: tensors[inner],
    "scalar": lambda inner, fetch, tensors: _restored(inner, fetch)[()],
    "float": lambda inner, fetch, tensors: _restored(inner, fetch).item(),
    "tuple": lambda inner, fetch, tensors: tuple(decode(inner, fetch, tensors)),
    "dict": lambda inner, fetch, tensors: {
        decode(key, fetch, tensors): decode(item, fetch, tensors) for key, item in inner
    },
}
