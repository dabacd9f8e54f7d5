"""Graphs of other programs as Weft's: ComfyUI's node classes, mapped to node types.

`comfyui` reads a file, `writing` composes the graph, and the modules `comfy_*` have an entry for each class. Nothing
here is imported by a check or a run of a Weft graph.
"""
