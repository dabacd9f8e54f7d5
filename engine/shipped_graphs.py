"""The graphs that node libraries ship, found by the entry-point group `weft.graphs`.

Each entry point names a package: a folder with graph files, and the pictures that these name, in a wheel or next to the
code. A graph's name is its path in there without the ending: `text_to_image`, `families/sdxl`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from weft.engine.checking.parameters import target_input
from weft.engine.errors import CatalogError, GraphError, InputError, described, listed, nearest
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.spec.catalog import Catalog
from weft.engine.weights.resources import InputFile, Resource, SearchPaths, find, inside
from weft.engine.word_search import found

GROUP = "weft.graphs"

PICTURES = "pictures"
"""The folder of a library's graphs that has the pictures which they start from."""


@dataclass(frozen=True)
class ShippedGraph:
    """A graph file of an installed library.

    Args:
        name: by which the command line names it.
        folder: that all graphs of the library are in.
    """

    name: str
    path: Path
    folder: Path

    def graph(self) -> Graph:
        """What the file says.

        Raises:
            GraphError: where it is no graph.
        """
        return document.load(self.path)

    def files(self, catalog: Catalog) -> Mapping[str, Path]:
        """The files that the graph and its subgraphs name, each by its name, where they ship with it.

        Of a folder that they name, those files that count.
        """
        places = SearchPaths(self.path.parent, self.folder, (self.folder / PICTURES,))
        named: dict[str, Path] = {}
        for name, resource in _named(self.graph(), catalog):
            named |= _shipped_files(name, resource, places)
        return named


def shipped() -> Mapping[str, ShippedGraph]:
    """The JSON files of all installed libraries by name, those at the top of their folders first; jobs are among them.

    Raises:
        CatalogError: where a library's folder is not there.
    """
    found: dict[str, ShippedGraph] = {}
    for folder in _folders():
        paths = sorted(folder.rglob("*.json"), key=lambda path: (len(path.parts), path))
        for path in paths:
            name = path.relative_to(folder).with_suffix("").as_posix()
            found.setdefault(name, ShippedGraph(name, path, folder))
    return found


def shipped_graph(name: str) -> ShippedGraph:
    """The graph of a name, or of the last part of one: `sdxl` is `families/sdxl`.

    Raises:
        InputError: where there is none, or several.
    """
    known = shipped()
    if name in known:
        return known[name]
    same = [one for one in known if one.rpartition("/")[2] == name]
    if len(same) == 1:
        return known[same[0]]
    if same:
        raise InputError(f"several graphs are called `{name}`", f"name one of {listed(same)}", "unknown-graph")
    parts = {one.rpartition("/")[2]: one for one in reversed([*known])}
    hint = nearest(name, parts) or "`weft graphs` lists them, `weft graphs WORD` searches them"
    raise InputError(f"no graph of the name `{name}` comes with Weft", hint, "unknown-graph")


def graphs_about(words: Sequence[str]) -> Mapping[ShippedGraph, Graph]:
    """The graphs that are about some words, the best first; all of them where there are no words."""
    known = {}
    for one in shipped().values():
        with suppress(GraphError):  # a job is no graph
            known[one] = one.graph()
    return {one: known[one] for one in found(words, {one: _texts(one, graph) for one, graph in known.items()})}


def _texts(one: ShippedGraph, graph: Graph) -> tuple[list[str], list[str]]:
    """What a search looks at: names, and prose."""
    names = [one.name, one.name.rpartition("/")[2], graph.title, *graph.keywords, *graph.parameters, *types_in(graph)]
    return names, [graph.title, graph.description]


def _folders() -> Iterator[Path]:
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError) as fault:
            raise CatalogError(f"the graphs {point.value} cannot be found: {described(fault)}") from fault
        places = spec.submodule_search_locations if spec else None
        if not places:
            raise CatalogError(f"the graphs {point.value} are not installed")
        yield from map(Path, places)


def types_in(graph: Graph) -> set[str]:
    """The names of the node types in a graph and its subgraphs."""
    return {node.type for scope in scopes(graph) for node in scope.nodes.values()}


def scopes(graph: Graph) -> Iterator[Graph]:
    """A graph and all its subgraphs."""
    yield graph
    for inner in graph.graphs.values():
        yield from scopes(inner)


def _named(graph: Graph, catalog: Catalog) -> Iterator[tuple[str, Resource | None]]:
    """What a graph, its defaults and its subgraphs name outside of themselves; graph files have no resource."""
    for scope in scopes(graph):
        for node in scope.nodes.values():
            if node.type.startswith("file:"):
                yield node.type[5:], None
        inputs = [(f"{id}.{name}", given) for id, node in scope.nodes.items() for name, given in node.inputs.items()]
        defaults = [(name, parameter.default) for name, parameter in scope.parameters.items()]
        for target, given in inputs + defaults:
            reached = target_input(scope, target, catalog) if isinstance(given, str) and given else None
            if isinstance(given, str) and reached is not None and reached.resource is not None:
                yield given, reached.resource


def _shipped_files(name: str, resource: Resource | None, places: SearchPaths) -> Mapping[str, Path]:
    """The files that a library ships under a name in a graph: one, those of a folder that count, or none."""
    if resource is None or isinstance(resource, InputFile):
        path = find(name, places.files)
        return {name: path} if path is not None and path.is_file() else {}
    with suppress(InputError):  # most names of models are no files of the library
        found = resource.resolve(name, places)
        if found.root.is_dir() and inside(found.root, places.files):
            return {f"{name.rstrip('/')}/{below}": path for below, path in found.names()}
    return {}
