"""Quicker ways for operations that exist: products, convolutions, rows, and the compiler from expressions to kernels.

The inner rings offer the doors, and nothing but the package itself imports this one. Array kernels know no tape.
"""

from ..folders import cache_dir, set_cache_dir
from . import fusions, quicker, recurrent, softmax  # noqa: F401  they register
from .convolution import convolution_backend
from .matmul import matmul_backend
from .plan import elementwise_backend
from .threads import num_threads, set_num_threads

__all__ = [
    "cache_dir", "convolution_backend", "elementwise_backend", "matmul_backend", "num_threads", "set_cache_dir",
    "set_num_threads",
]  # fmt: skip
