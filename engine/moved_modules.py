"""Modules of version 0.1 under their old names: an import of one gives the module that it became, and a warning.

`weft.engine` is public, the modules in it are not; this lets scripts that imported them go on for one version. What a
module has no longer is listed in the change log.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ENGINE_MODULES = {
    "weft.engine.draw": "weft.engine.show.draw",
    "weft.engine.audit": "weft.engine.running.auditing",
    "weft.engine.batch": "weft.engine.spec.batched",
    "weft.engine.call": "weft.engine.spec.call",
    "weft.engine.catalog": "weft.engine.spec.catalog",
    "weft.engine.check": "weft.engine.checking.checker",
    "weft.engine.cli.progress": "weft.engine.cli.progress_bar",
    "weft.engine.cli.source": "weft.engine.cli.graph_argument",
    "weft.engine.collection": "weft.engine.gc",
    "weft.engine.contained": "weft.engine.graph.bundle",
    "weft.engine.context": "weft.engine.spec.context",
    "weft.engine.deliver": "weft.engine.running.delivery",
    "weft.engine.diff": "weft.engine.checking.graph_diff",
    "weft.engine.display": "weft.engine.show.notebook",
    "weft.engine.document": "weft.engine.graph.document",
    "weft.engine.draft": "weft.engine.checking.draft",
    "weft.engine.draw.layers": "weft.engine.show.draw.layers",
    "weft.engine.draw.layout": "weft.engine.show.draw.placement",
    "weft.engine.draw.png": "weft.engine.show.draw.raster",
    "weft.engine.draw.shapes": "weft.engine.show.draw.shapes",
    "weft.engine.draw.sketch": "weft.engine.show.draw.sketch",
    "weft.engine.draw.svg": "weft.engine.show.draw.svg",
    "weft.engine.draw.tree": "weft.engine.show.draw.tree",
    "weft.engine.edit": "weft.engine.graph.graph",
    "weft.engine.families": "weft.engine.checking.unification",
    "weft.engine.farm.attempt": "weft.engine.farm.work.attempt",
    "weft.engine.farm.batches": "weft.engine.farm.merge.attempt_graph",
    "weft.engine.farm.batching": "weft.engine.farm.merge.batching",
    "weft.engine.farm.chunk": "weft.engine.farm.launchers.chunk",
    "weft.engine.farm.folder": "weft.engine.farm.report.folder_status",
    "weft.engine.farm.items": "weft.engine.farm.sweep.items",
    "weft.engine.farm.job": "weft.engine.farm.sweep.job",
    "weft.engine.farm.launch": "weft.engine.farm.launchers.local",
    "weft.engine.farm.ledger": "weft.engine.farm.work.ledger",
    "weft.engine.farm.library": "weft.engine.farm.api",
    "weft.engine.farm.manifest": "weft.engine.farm.report.manifest",
    "weft.engine.farm.merged": "weft.engine.farm.merge.merged",
    "weft.engine.farm.naming": "weft.engine.farm.sweep.naming",
    "weft.engine.farm.notify": "weft.engine.farm.report.notify",
    "weft.engine.farm.openjd": "weft.engine.farm.launchers.openjd",
    "weft.engine.farm.pool": "weft.engine.farm.launchers.ray_driver",
    "weft.engine.farm.progress": "weft.engine.farm.report.job_progress",
    "weft.engine.farm.publish": "weft.engine.farm.work.publishing",
    "weft.engine.farm.ray": "weft.engine.farm.launchers.ray_actor",
    "weft.engine.farm.schema": "weft.engine.farm.sweep.job_schema",
    "weft.engine.farm.settling": "weft.engine.farm.work.committing",
    "weft.engine.farm.slurm": "weft.engine.farm.launchers.slurm",
    "weft.engine.farm.tasks": "weft.engine.farm.launchers.tasks",
    "weft.engine.farm.values": "weft.engine.farm.sweep.axes",
    "weft.engine.farm.worker": "weft.engine.farm.work.worker",
    "weft.engine.generic": "weft.engine.spec.type_variables",
    "weft.engine.history": "weft.engine.planning.last_run",
    "weft.engine.inline": "weft.engine.checking.inlining",
    "weft.engine.lanes": "weft.engine.running.ready_queue",
    "weft.engine.language": "weft.engine.spec.control_flow",
    "weft.engine.linking": "weft.engine.checking.bind",
    "weft.engine.node": "weft.engine.spec.node",
    "weft.engine.parameters": "weft.engine.checking.parameters",
    "weft.engine.parsing": "weft.engine.graph.parsing",
    "weft.engine.plan": "weft.engine.planning.planner",
    "weft.engine.residency": "weft.engine.weights.residency",
    "weft.engine.resources": "weft.engine.weights.resources",
    "weft.engine.rules": "weft.engine.checking.rules",
    "weft.engine.run": "weft.engine.running.executor",
    "weft.engine.schema": "weft.engine.show.json_schema",
    "weft.engine.store.files": "weft.engine.store.places",
    "weft.engine.store.layout": "weft.engine.store.record_files",
    "weft.engine.upstream": "weft.engine.spec.upstream",
    "weft.engine.watch": "weft.engine.watching",
}


_MOVED: dict[str, str] = {}


class MovedModuleFinder(MetaPathFinder, Loader):
    """Finds modules by their names of version 0.1.

    It is asked first: the finder of paths would load `weft.engine.draw.svg` from the new folder a second time.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        warnings.warn(f"{old} is {_MOVED[old]} now", DeprecationWarning, stacklevel=2)
        # The import system takes what stands in sys.modules after this call, in place of the empty module.
        sys.modules[old] = importlib.import_module(_MOVED[old])


def find_moved_modules(moved: Mapping[str, str]) -> None:
    """Make the old names importable. `moved`: old name of each module -> new name."""
    _MOVED.update(moved)
    if not any(isinstance(finder, MovedModuleFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModuleFinder())
