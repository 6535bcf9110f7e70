"""Wrong calls over the whole public surface: of each, the error that is promised and words that its message has.

A row is code. All but its last statement is preparation; the last one is the mistake. It runs in a `world` of its own,
in which names stand for tensors, parameters, layers, a tower and a recording, and of which nothing may have changed.
"""

from .calls import CALLS
from .checking import CHECKING
from .data import DATA
from .layers import LAYERS
from .operations import OPERATIONS
from .rows import Bad
from .tensors import TENSORS
from .towers import TOWERS
from .world import snapshot, world

ROWS: list[Bad] = [*TENSORS, *OPERATIONS, *CALLS, *CHECKING, *LAYERS, *TOWERS, *DATA]

__all__ = ["ROWS", "Bad", "snapshot", "world"]
