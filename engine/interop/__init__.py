"""Graph files of other programs, read into one small intermediate form: nodes by class, inputs by name.

What the classes mean is the matter of node libraries (`weft.nodes.interop`), which map them to node types. Nothing here
is imported by a check or a run of a Weft graph.
"""
