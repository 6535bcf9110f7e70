"""Array kernels: matmul, and the compiler from expressions to elementwise kernels. Arrays in, arrays out; no tape."""

from .cache import cache_dir, set_cache_dir
from .matmul import matmul_backend
from .plan import elementwise_backend
from .threads import num_threads, set_num_threads

__all__ = ["cache_dir", "elementwise_backend", "matmul_backend", "num_threads", "set_cache_dir", "set_num_threads"]
