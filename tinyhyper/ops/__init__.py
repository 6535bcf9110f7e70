"""The rules, by kind. `attach` gives tensors their operators, methods and NumPy functions."""
