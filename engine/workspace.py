"""What graphs are checked with: node types, the folders in which their files are looked up, limits.

An `Engine` is a workspace that plans and runs too. What only checks or lists, such as `weft check`, makes a workspace,
which imports nothing of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.checking.checker import Checked, check
from weft.engine.file_stamp import FileStamp
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.limits import Limits
from weft.engine.model_paths import model_folders
from weft.engine.one_or_many import one_or_many
from weft.engine.settings import default, resolve
from weft.engine.spec.catalog import Catalog, installed
from weft.engine.weights.resources import SearchPaths, working_folder


@dataclass(kw_only=True)
class Workspace:
    """Checks graphs. What is not given is as the user's settings have it.

    Args:
        models: folders in which models are looked up, before those of the settings; also the folder of a ComfyUI, or
            an `extra_model_paths.yaml` of its.
        inputs: folders in which files named by graphs are looked up, after the graph's and the working one and before
            those of the settings.
        nodes: Python files with node types of the user's own.
        comfy_nodes: folders with node classes that are written for ComfyUI, which are run as node types.
        working: the folder in which they are looked up next to those, in place of the working one; a program that runs
            graphs of others names one that has nothing of its own.
        download: whether a run may fetch models that are named by hub id.
        limits: of graphs, files and values.
    """

    models: Sequence[str | Path] = ()
    inputs: Sequence[str | Path] = ()
    nodes: Sequence[str | Path] = ()
    comfy_nodes: Sequence[str | Path] = ()
    working: str | Path | None = None
    download: bool = field(default_factory=default("download"))
    limits: Limits = field(default_factory=default("limits"))
    catalog: Catalog = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.models, self.inputs, self.nodes = (one_or_many(one) for one in (self.models, self.inputs, self.nodes))
        settings = resolve()
        self._class_folders = tuple(dict.fromkeys([*map(Path, one_or_many(self.comfy_nodes)), *settings.comfy_nodes]))
        self.reload_nodes()
        self._inputs = tuple(dict.fromkeys([*map(Path, self.inputs), *settings.inputs]))
        named = [*map(Path, self.models), *settings.models]
        self._models = tuple(dict.fromkeys(folder for path in named for folder in model_folders(path)))

    def reload_nodes(self) -> None:
        """Read the user's node files again, after one of them has changed.

        Raises:
            CatalogError: where one cannot be loaded; the node types stay as they were.
        """
        self._node_files: dict[Path, FileStamp | None] = {}
        catalog = installed()
        if self.nodes:
            from weft.engine.spec.node_file_loading import joined_with_files

            catalog = joined_with_files(catalog, map(Path, self.nodes), self._node_files)
        if self._class_folders:
            from weft.engine.spec.foreign_classes import joined_with_classes

            catalog = joined_with_classes(catalog, self._class_folders, self._node_files)
        self.catalog = catalog

    @property
    def node_files(self) -> Mapping[Path, FileStamp | None]:
        """The user's node files and the modules that they import from their folders, as they were read last."""
        return self._node_files

    def places(self, graph: Graph | None = None) -> SearchPaths:
        """Where files that a graph names are looked up."""
        return SearchPaths(
            base=graph.path.parent if graph and graph.path else None,
            working=working_folder() if self.working is None else Path(self.working),
            inputs=self._inputs,
            models=self._models,
            download=self.download,
            contents=graph.contents if graph else {},
        )

    def check(self, graph: Graph | str | Path, only: Iterable[str] = ()) -> Checked:
        """Every static problem of a graph, in `.problems`; nothing is hashed or run.

        Args:
            graph: a graph, or the path of a graph file or of a picture that carries its graph.
        """
        graph = as_graph(graph, self.limits.max_file_bytes, self.catalog)
        return check(graph, self.catalog, self.places(graph), self.limits, one_or_many(only))
