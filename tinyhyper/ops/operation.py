"""Where a user's own operation is made; it stands in `core.operation`."""

from ..core.operation import OPERATIONS, Operation, Spec, fit, operation

__all__ = ["OPERATIONS", "Operation", "Spec", "fit", "operation"]
