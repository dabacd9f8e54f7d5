"""ComfyUI's graphs and A1111's parameters as graphs: `read_comfyui`, which an entry point of `weft.formats` names."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.errors import GraphError, Problem, capped
from weft.engine.graph.graph import Graph
from weft.engine.interop.definitions import ClassDefinition, Definitions, definitions_of
from weft.engine.interop.editor_file import OWN_PACKAGE
from weft.engine.interop.foreign_formats import is_foreign, links_of, needed, problems_of, read_foreign
from weft.engine.interop.foreign_graph import ForeignGraph, ForeignLink, ForeignNode
from weft.nodes.interop.a1111 import read_a1111
from weft.nodes.interop.class_entries import write_class
from weft.nodes.interop.comfy_classes import PREFIX, PlainClass, RefusedClass
from weft.nodes.interop.entries import ModelPart, UnmappableError
from weft.nodes.interop.writing import ENTRIES, ForeignDraft, MappedNode

PACKAGE = "comfy_"
MODULES = (
    *("loading", "prompts", "sampling", "latents", "pictures", "values"),
    *("picture_conditions", "picture_sizes", "masks", "qwen", "more_sampling", "video", "refused"),
)
"""The modules of this room with entries."""

MODEL_LOADERS = ("CheckpointLoaderSimple", "CheckpointLoader", "unCLIPCheckpointLoader", "UNETLoader")
NEED_A_MODEL = (
    *("VAELoader", "CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader"),
    "LotusConditioning",
)
"""Classes of loaders whose counterparts here need the model that the part is for."""

UNMAPPED = "unmapped-node"
"""The code of problems of nodes that have no counterpart here."""


@cache
def definitions() -> Definitions:
    """What ComfyUI says of its own node classes."""
    file = Path(__file__).parents[1] / "data" / "comfyui-nodes.json"
    return definitions_of(json.loads(file.read_bytes()))


@cache
def entries() -> Mapping[str, Any]:
    """Every entry of the mapping."""
    for name in MODULES:
        import_module(f"weft.nodes.interop.{PACKAGE}{name}")
    return ENTRIES


class KnownClasses(Mapping[str, ClassDefinition]):
    """What is known of ComfyUI's own classes, and of the user's where no entry maps one of that name.

    Args:
        types: the node types, those of the user's classes among them.
    """

    def __init__(self, types: Mapping[str, object]) -> None:
        self._core = definitions()
        self._types = types

    def own(self, name: str) -> PlainClass | RefusedClass | None:
        """The user's class of a name; None where there is none, or it is mapped."""
        found = None if name in entries() else self._types.get(f"{PREFIX}{name}")
        return next((one for one in getattr(found, "traits", ()) if isinstance(one, (PlainClass, RefusedClass))), None)

    def __getitem__(self, name: str) -> ClassDefinition:
        own = self.own(name)
        return own.definition if isinstance(own, PlainClass) else self._core[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._core)

    def __len__(self) -> int:
        return len(self._core)


def read_comfyui(
    tree: Mapping[str, Any], path: Path | None, types: Mapping[str, object] = MappingProxyType({})
) -> Graph | None:
    """The graph that a ComfyUI file describes, or the parameters that A1111 writes; None where it is neither.

    Args:
        types: the node types, those of the user's own classes among them (`--comfy-nodes`).

    Raises:
        GraphError: where nothing of it can be read.
    """
    if not is_foreign(tree):
        return read_a1111(tree, path)
    known = KnownClasses(types)
    graph = mapped(read_foreign(tree, known), path, known)
    if not graph.nodes:
        raise GraphError(graph.faults or [_empty()])
    return graph


def _empty() -> Problem:
    hint = "add a SaveImage node in ComfyUI"
    return Problem("a ComfyUI workflow in which nothing gives a result", hint, code="foreign-graph")


def mapped(foreign: ForeignGraph, path: Path | None = None, known: KnownClasses | None = None) -> Graph:
    """A graph of ComfyUI's as one of Weft's.

    What has no counterpart is in its faults, and left out with all that needs it.
    """
    file = str(path) if path else ""
    known = KnownClasses({}) if known is None else known
    wanted = needed(foreign, known)
    draft = ForeignDraft(drafted=foreign.drafted, seed=_seed(foreign))
    found = [*problems_of(foreign, known, wanted)]
    faulty = {one.node for one in found}
    used = defaultdict[str, set[int]](set)
    for link in (link for node in foreign.nodes.values() for link in links_of(node)):
        used[link.node].add(link.slot)
    order = list(_ordered(foreign, wanted, draft))
    roles, models = _roles(foreign, wanted), _models(foreign, wanted)
    for id in order:
        node = foreign.nodes[id]
        if id in faulty or any(link.node not in draft.outputs for link in _all_links(id, node, models)):
            draft.keep_inputs(node)
            continue
        _write(id, node, draft, roles.get(id, ""), models.get(id), used[id], known)
    problems = capped(one.within(file) for one in (*foreign.faults, *found, *draft.problems))
    title = foreign.title or (path.stem if path else "")
    draft.keep_used()
    graph = draft.graph(title, "\n\n".join(foreign.notes))
    return replace(graph, path=path, faults=tuple(problems), foreign=True)


def _seed(foreign: ForeignGraph) -> int:
    """The first seed that a node has."""
    given = (node.inputs.get(name) for node in foreign.nodes.values() for name in ("seed", "noise_seed"))
    return next((one for one in given if type(one) is int and 0 <= one < 2**64), 0)


def _write(
    id: str,
    node: ForeignNode,
    draft: ForeignDraft,
    role: str,
    model: str | None,
    uses: set[int],
    classes: KnownClasses,
) -> None:
    """Write what a node is here; a problem where it is nothing."""
    own = classes.own(node.type)
    entry = entries().get(node.type) or (partial(write_class, own) if own else None)
    if entry is None:
        draft.problems.append(_unknown(id, node))
        draft.keep_inputs(node)
        return
    part = draft.outputs[model][0] if model else None
    known = part if isinstance(part, ModelPart) else None
    try:
        draft.outputs[id] = entry(MappedNode(id, node, classes.get(node.type), draft, role, known, sorted(uses)))
    except (UnmappableError, ArithmeticError, LookupError, TypeError, ValueError) as found:
        # A value of another type or size than its class has, which the definitions do not tell.
        fault = found if isinstance(found, UnmappableError) else f"its values are not those of this class ({found})"
        hint = f"change `{node.title or node.type}` in ComfyUI; --partial imports what does not need it"
        draft.problems.append(Problem(f"{node.type}: {fault}", hint, id, code=UNMAPPED))
        draft.keep_inputs(node)


def _unknown(id: str, node: ForeignNode) -> Problem:
    """The problem of a class that has no entry."""
    if node.type.startswith(("workflow>", "workflow/")):
        hint = "convert it to a subgraph, or to its nodes, in ComfyUI, and save the graph again"
        return Problem(f"the group node {node.type} is of an old form that is not read", hint, id, code="group-node")
    without = "--partial imports what does not need it"
    if node.type in definitions():
        return Problem(f"ComfyUI's node class {node.type} has no counterpart here", without, id, code=UNMAPPED)
    if node.package == OWN_PACKAGE:
        message = f"ComfyUI's node class {node.type}, which asks a service in the network or is a newer one, has no "
        return Problem(f"{message}counterpart here", without, id, code=UNMAPPED)
    where = f"the package {node.package}" if node.package else "no package that the file names"
    message = f"the node class {node.type}, of {where}, has no counterpart here"
    hint = f"--comfy-nodes FOLDER runs classes that need nothing of ComfyUI; {without}"
    return Problem(message, hint, id, code=UNMAPPED)


def _all_links(id: str, node: ForeignNode, models: Mapping[str, str]) -> Iterator[ForeignLink]:
    yield from links_of(node)
    if id in models:
        yield ForeignLink(models[id], 0)


def _ordered(foreign: ForeignGraph, wanted: frozenset[str], draft: ForeignDraft) -> Iterator[str]:
    """The nodes that are wanted, each after those that it needs; a problem for each circle."""
    models = _models(foreign, wanted)
    done: dict[str, bool] = {}
    for start in (id for id in foreign.nodes if id in wanted):
        stack = [(start, False)]
        while stack:
            id, left = stack.pop()
            if left:
                done[id] = True
                yield id
            elif id not in done:
                done[id] = False
                stack.append((id, True))
                for link in reversed([*_all_links(id, foreign.nodes[id], models)]):
                    if done.get(link.node) is False:
                        message = f"the nodes `{id}` and `{link.node}` depend on each other in a circle"
                        draft.problems.append(Problem(message, "cut one of the links", id, code="cycle"))
                    elif link.node in wanted and link.node not in done:
                        stack.append((link.node, False))


def _roles(foreign: ForeignGraph, wanted: frozenset[str]) -> dict[str, str]:
    """Ids that follow from how nodes are used: the prompt that every sampler takes as `negative`."""
    used = defaultdict[str, set[str]](set)
    for id in wanted:
        for name, given in foreign.nodes[id].inputs.items():
            if isinstance(given, ForeignLink):
                used[given.node].add(name)
    return {id: next(iter(names)) for id, names in used.items() if names in ({"positive"}, {"negative"})}


def _models(foreign: ForeignGraph, wanted: frozenset[str]) -> dict[str, str]:
    """The loader of the model that each loader of a part is for: the one that is used with it."""
    loaders = [id for id in foreign.nodes if id in wanted and foreign.nodes[id].type in MODEL_LOADERS]
    parts = [id for id in foreign.nodes if id in wanted and foreign.nodes[id].type in NEED_A_MODEL]
    if not loaders or not parts:
        return {}
    if len(loaders) == 1:
        return dict.fromkeys(parts, loaders[0])
    below = defaultdict[str, list[str]](list)
    for id in wanted:
        for link in links_of(foreign.nodes[id]):
            below[link.node].append(id)
    reached = {id: _reached(id, below) for id in (*loaders, *parts)}
    # A checkpoint has parts of its own: of two loaders that are as near, a part is for that of a network alone.
    alone = sorted(loaders, key=lambda id: foreign.nodes[id].type != "UNETLoader")
    return {part: _nearest(part, alone, reached) for part in parts}


def _reached(start: str, below: Mapping[str, list[str]]) -> dict[str, int]:
    """How far each node below one is."""
    found, front, distance = {start: 0}, [start], 0
    while front:
        distance += 1
        front = list(dict.fromkeys(one for id in front for one in below.get(id, ()) if one not in found))
        found |= dict.fromkeys(front, distance)
    return found


def _nearest(part: str, loaders: list[str], reached: Mapping[str, Mapping[str, int]]) -> str:
    """The loader that meets a part first on the way down."""

    def meeting(loader: str) -> int:
        common = reached[part].keys() & reached[loader].keys()
        return min((reached[part][id] + reached[loader][id] for id in common), default=10**9)

    return min(loaders, key=meeting)
