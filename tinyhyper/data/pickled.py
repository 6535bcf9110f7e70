"""CIFAR-10 as published for Python: each batch is a pickled dict of an array and a list.

A pickle may call any function of any module. This one is let call what makes arrays and numbers, and nothing else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .formats import CIFAR_PLANES, Bytes, damaged

ARRAY: Any = np.zeros(1, np.uint8)
MAKERS: dict[str, Callable[..., Any]] = {
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "_reconstruct": ARRAY.__reduce__()[0],
    "_frombuffer": ARRAY.__reduce_ex__(5)[0],
    "scalar": ARRAY[0].__reduce__()[0],
    "encode": lambda text, encoding: text.encode("latin1"),  # how Python 3 writes bytes for Python 2
    "bytes": bytes,
}


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] not in ("numpy", "_codecs", "__builtin__", "builtins") or name not in MAKERS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return MAKERS[name]


def records(path: Path | str, raw: bytes | memoryview) -> tuple[Bytes, Bytes]:
    """Labels and images of a CIFAR-10 batch for Python: planes of shape (n, 3, 32, 32).

    Raises DataError for a file that is not such a batch; no code from the file is run.
    """
    try:
        batch = {str(key, "ascii") if isinstance(key, bytes) else key: value for key, value in _loaded(raw).items()}
        images, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
        planes = images.reshape(len(labels), *CIFAR_PLANES)
    except Exception as error:  # there is none that a broken pickle could not raise
        raise damaged(path, f"is not a pickled batch of images and labels ({error!r})") from None
    if images.dtype != np.uint8 or labels.dtype.kind not in "iu" or ((labels < 0) | (labels > 255)).any():
        raise damaged(path, f"must hold images and labels as bytes, not {images.dtype} and {labels.dtype}")
    return labels.astype(np.uint8), planes


def _loaded(raw: bytes | memoryview) -> Any:
    return _Arrays(io.BytesIO(raw), encoding="bytes").load()
