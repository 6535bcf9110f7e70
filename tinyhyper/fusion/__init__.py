"""Elementwise expressions: a function or a rule as one node, computed by NumPy.

Read it in this order: expression, plan, symbols, fusion, fuse.
"""
