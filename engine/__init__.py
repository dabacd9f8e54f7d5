"""Weft's engine: graphs, types, planning, running, storing. It knows no diffusion; nodes come from node libraries.

The way of the data: bytes -> `document.read` -> Graph -> `check` -> `plan` -> `run` -> artifacts. Start reading at
`spec.node`, `graph.graph`, `checking.checker`, `planning.planner` and `running.executor`. `session.Engine` keeps what
outlasts a run: catalogue, store, weights.

What this package exports is imported when it is asked for: `weft check` imports nothing that plans, runs or stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine.lazy_exports import lazy_exports
from weft.engine.mimebundle import register_formatter as _register_formatter
from weft.engine.moved_modules import ENGINE_MODULES as _ENGINE_MODULES
from weft.engine.moved_modules import find_moved_modules as _find_moved_modules
from weft.engine.spec.at_once import register_default as _register_default

if TYPE_CHECKING:
    from weft.engine.artifact import Artifact, media_type, name_fault
    from weft.engine.errors import (
        Cancelled,
        CatalogError,
        CorruptRecord,
        GraphError,
        InputError,
        NodeError,
        Problem,
        SettingsError,
        StoreError,
        WeftError,
        listed,
        nearest,
    )
    from weft.engine.extent import check_pixels, check_text
    from weft.engine.graph.graph import Given, Graph, Link, Node
    from weft.engine.limits import Limits
    from weft.engine.notices import Notice, give_notice
    from weft.engine.planning.planner import Plan
    from weft.engine.running.result import Result
    from weft.engine.session import Engine
    from weft.engine.spec.batched import batched
    from weft.engine.spec.context import INJECTED, Context
    from weft.engine.spec.control_flow import Choose, Collect, Count, JoinLists, Switch
    from weft.engine.spec.node import Advice, Gives, Lazy, NodeProblem, NodeType, named, node
    from weft.engine.spec.upstream import Upstream
    from weft.engine.spec.workload import MemoryUse, Work, Workload, all_but
    from weft.engine.store import Computed, Record, Store
    from weft.engine.submission import Submission
    from weft.engine.types import ADDED_LATER, NOT_ALWAYS, Choices, Range, value
    from weft.engine.verdict import SafetyDemand, Verdict
    from weft.engine.weights.recipes import Loading, Patch, Recipe, RestoreWeights, loader_for, loaders_in, size_for
    from weft.engine.weights.resources import HashedResource, InputFile, Resolved, Resource, SearchPaths, find, inside

    __version__: str
else:
    _exported, __dir__ = lazy_exports(__name__)

    def __getattr__(name: str) -> object:
        if name != "__version__":
            return _exported(name)
        from importlib.metadata import version  # it takes longer than most imports

        return version("weft-engine")


__all__ = [
    "ADDED_LATER",
    "INJECTED",
    "NOT_ALWAYS",
    "Advice",
    "Artifact",
    "Cancelled",
    "CatalogError",
    "Choices",
    "Choose",
    "Collect",
    "Computed",
    "Context",
    "CorruptRecord",
    "Count",
    "Engine",
    "Given",
    "Gives",
    "Graph",
    "GraphError",
    "HashedResource",
    "InputError",
    "InputFile",
    "JoinLists",
    "Lazy",
    "Limits",
    "Link",
    "Loading",
    "MemoryUse",
    "Node",
    "NodeError",
    "NodeProblem",
    "NodeType",
    "Notice",
    "Patch",
    "Plan",
    "Problem",
    "Range",
    "Recipe",
    "Record",
    "Resolved",
    "Resource",
    "RestoreWeights",
    "Result",
    "SafetyDemand",
    "SearchPaths",
    "SettingsError",
    "Store",
    "StoreError",
    "Submission",
    "Switch",
    "Upstream",
    "Verdict",
    "WeftError",
    "Work",
    "Workload",
    "all_but",
    "batched",
    "check_pixels",
    "check_text",
    "find",
    "give_notice",
    "inside",
    "lazy_exports",
    "listed",
    "loader_for",
    "loaders_in",
    "media_type",
    "name_fault",
    "named",
    "nearest",
    "node",
    "size_for",
    "value",
]


def _run_now(type: NodeType, given: Mapping[str, Any]) -> Any:
    from weft.engine.session import run_now

    return run_now(type, given)


def _drawn(value: object) -> Mapping[str, str]:
    from weft.engine.show.notebook import bundle_of

    return bundle_of(value)


_register_default(_run_now)
_register_formatter(_drawn)
_find_moved_modules(_ENGINE_MODULES)
