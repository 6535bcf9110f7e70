"""The engine in NumPy alone: errors, tape, tensor, operation, rules, coordinates, tower, optimizers, in this order."""
