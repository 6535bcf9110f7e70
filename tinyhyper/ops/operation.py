"""Where a user's own operation is made; it stands in `core.operation`."""

from ..core.operation import OPERATIONS, ArraySpec, Operation, fit, operation

__all__ = ["OPERATIONS", "Operation", "ArraySpec", "fit", "operation"]
