"""Weights on devices, and the files that a graph names: `resources` digests files, `residency` loads weights."""
