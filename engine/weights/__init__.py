"""Weights on devices, and the files that a graph names: `resources` digests files, `residency` keeps weights.

`recipes` has the values that name weights and patches.
"""
