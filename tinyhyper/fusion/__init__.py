"""Elementwise expressions: a function or an optimizer's rule as one node, computed by NumPy.

Read it in this order: expression, plan, symbols, fusion, fuse.
"""
