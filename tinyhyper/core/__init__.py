"""The engine in NumPy alone. Read it in this order: errors, tape, tensor, operation, rules."""
