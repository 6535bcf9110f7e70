"""Experiments, one a file: `python -m demos --help`."""
