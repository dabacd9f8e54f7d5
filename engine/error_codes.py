"""The codes of problems: which kind of fault a problem of a graph is, in `--json` and in tests.

A code keeps its meaning from version to version; the wording of messages does not. Node libraries use these where they
mean the same, and codes of their own for the rest (`NodeProblem.code`, `InputError.code`). Read next:
`weft.nodes.problem_codes`, those of Weft's own library.
"""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # reading a file
    "unreadable-file": "The graph file cannot be read, is too large, or is not there.",
    "not-json": "The text is not JSON in UTF-8.",
    "too-deep": "Objects and lists are nested too deep.",
    "too-many-values": "The file, or the graph with its subgraphs inlined, has more values than the limit.",
    "name-too-long": "A name or a link has more characters than the limit.",
    "more-problems": "There are more problems than are listed.",
    "not-a-graph": "The JSON is no graph file.",
    "foreign-graph": "The file is a graph of another program.",
    "unsupported-version": "The version of a file, store or job is one that this Weft does not read.",
    "duplicate-key": "A key or node id is written twice in one object.",
    "unknown-key": "The file has a key that the format does not know.",
    "missing-key": "A key that the format requires is missing.",
    "malformed-value": "A part of the file is not of the form that the format requires.",
    "malformed-id": "An id has characters that ids cannot have.",
    "malformed-input": "An input is an object that is neither a link nor marked as a value.",
    "not-a-number": "A number is not finite, or 64 bits cannot hold it.",
    # composing and editing in Python
    "outside-graph": "A call that composes a graph was made outside of `with Graph():`.",
    "duplicate-id": "The graph has a node of this id already.",
    "duplicate-output": "The graph has an output of this name already.",
    "other-graph": "A link or a parameter of one graph is given to a node of another.",
    "nested-parameter": "A parameter of the graph is an element of a list or an object.",
    "unknown-target": "What is to be replaced is not in the graph.",
    "inside-listener": "A listener runs a graph or a node, or waits for a run.",
    # subgraphs and parameters
    "unknown-subgraph": "There is no subgraph of this name.",
    "unknown-graph-file": "There is no graph file of this name.",
    "recursive-subgraph": "A subgraph contains itself.",
    "too-many-levels": "Subgraphs are nested too deep.",
    "too-many-nodes": "The graph has more nodes than the limit, subgraphs inlined.",
    "no-list": "A repeated subgraph is given no list.",
    "no-values": "An input is to take several values, and none are given.",
    "unknown-column": "A file of values has no column of this name.",
    "unequal-lists": "Lists that are walked together differ in length.",
    "unknown-parameter": "The subgraph has no parameter of this name.",
    "unknown-parameter-type": "A parameter declares a type that parameters cannot have.",
    "unknown-parameter-target": "A parameter sets an input or a node that does not exist.",
    "set-twice": "Two parameters, or two parts of a job, set the same input.",
    # settings
    "missing-settings-file": "The file that `WEFT_CONFIG` names does not exist.",
    "unreadable-settings-file": "A settings file cannot be read.",
    "not-toml": "A settings file is not TOML.",
    "unknown-setting": "There is no setting of this name.",
    "malformed-setting": "The value is not what the setting takes.",
    "setting-not-allowed": "A file next to graphs sets what only the user's own file may set.",
    # nodes, inputs, links
    "unknown-node": "There is no node of this id.",
    "unknown-node-type": "No installed node library has this node type.",
    "unknown-input": "The node type has no input of this name.",
    "unknown-output": "The node type has no output of this name.",
    "ambiguous-output": "A link to a node with several outputs names none of them.",
    "no-outputs": "A link leads to a subgraph without outputs.",
    "missing-input": "A required input is not given.",
    "cycle": "Nodes depend on each other in a circle.",
    "wrong-type": "A literal or a linked output is not of the input's type.",
    "needs-link": "The input takes a value that only nodes make, and was given a literal.",
    "needs-one-output": "The input takes one output, and was given a list of links.",
    "link-in-literal": "A link is inside a literal.",
    "out-of-range": "A number is outside the bounds of the input, or off its grid.",
    "unknown-choice": "The value is none of the choices.",
    "family-mismatch": "Models, latents and conditionings of different families meet.",
    "refused-by-node-type": "The node type's own check refuses the node.",
    "failed-check": "The node type's own check raised an error.",
    "nothing-to-run": "The graph has neither a sink nor outputs.",
    "unknown-picture-format": "A picture was asked for in a format that is not written.",
    # files that nodes name
    "unusable-store": "The store, or a file of it, cannot be read or written.",
    "unusable-input": "A value or a file that a node names cannot be used.",
    "missing-file": "The file is not in the folders of this run.",
    "outside-folders": "The file lies outside the folders that this run may read.",
    "unreadable-resource": "The file cannot be read.",
    "malformed-path": "The name cannot be a path.",
    "unwritable-file": "A file cannot be written.",
    "unknown-media-type": "A node gives a file of a media type that is not written.",
    "no-loader": "No installed node library loads weights of this kind.",
    "unknown-device": "The device is not there.",
    "changed-file": "A file was changed while it was read, each time that the run was planned again.",
    "changed-since-submit": "A file or a node type that a job's items go by is another than when it was submitted.",
    "changed-input": "A node changed a value that it was given.",
    "wrong-kind-of-file": "The file is not of the kind that the input takes.",
    "colliding-names": "Two items of a job would have the same name.",
    "name-taken": "A picture of another item, or another file, has the name already.",
    "malformed-name": "The template of a job's names cannot be used.",
    "too-many-items": "The sweep has more items than `max_items`.",
    "batch-too-large": "A batch is larger than the limit.",
    "nothing-to-batch": "No node of the job's graph can be batched.",
    "no-job": "The folder has no job.",
    "job-changed": "The job was submitted again, and its items are others now.",
    "unknown-item": "The job has no item of this number.",
}
"""What each code means."""
