"""Calls of node types on real values, at once, with nothing kept: `engine.run_now`, and nodes that call nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from weft.engine.errors import Cancelled
from weft.engine.notices import give_notice
from weft.engine.planning.replan import while_files_change
from weft.engine.running.emitter import raise_if_in_listener
from weft.engine.running.engine_devices import EngineDevices
from weft.engine.running.node_call import admitted
from weft.engine.spec.at_once import cancelled_around, running
from weft.engine.spec.context import Context, never
from weft.engine.spec.node import NodeType
from weft.engine.store.codec import laid_out
from weft.engine.weights.header_check import HeaderCheck
from weft.engine.weights.resources import HashedResource
from weft.engine.workspace import Workspace


@dataclass(frozen=True)
class DirectCalls:
    """Calls node types.

    Args:
        workspace: has the node types, and the folders in which files are looked up.
        headers: compares headers with what was hashed after them; hashes files.
        devices: those that nodes of the `gpu` lane take turns on.
        context: makes a node's context from its files, lane and limits.
    """

    workspace: Workspace
    headers: HeaderCheck
    devices: EngineDevices
    context: Callable[..., Context]

    def __call__(self, type: NodeType, given: Mapping[str, Any]) -> Any:
        """Call a node type. Errors are those of `Engine.run_now`."""
        raise_if_in_listener("run a node")
        values = admitted(type, given, self.workspace.catalog)
        return while_files_change(partial(self._called, type, values, cancelled_around() or never))

    def _called(self, type: NodeType, values: dict[str, Any], cancelled: Callable[[], bool]) -> Any:
        resources = self._resources(type, values)
        context = self.context(resources=resources, cancelled=cancelled, limits=self.workspace.limits)
        if cancelled():
            raise Cancelled("the run was cancelled")
        lane = self.devices.lane
        turn = lane.turn(context.look) if type.lane == "gpu" else nullcontext(lane)
        try:
            with running(self, cancelled), turn as taken:
                own = {type.context_name: replace(context, lane=taken)} if type.context_name else {}
                result = type.function(**values, **own)
            return _as_on_links(type, result)
        finally:
            for found in resources.values():
                self.headers.digests.verify(found)

    def _resources(self, type: NodeType, values: Mapping[str, Any]) -> dict[str, HashedResource]:
        """The files that the call names, hashed."""
        digests, found = self.headers.digests, {}
        for name, one in type.inputs.items():
            text = values.get(name, one.default)
            if one.resource is not None and isinstance(text, str):
                found[text] = digests.of(one.resource.resolve(text, self.workspace.places()))
                self.headers.confirm(one.resource, found[text], self.workspace.places())
                self.devices.residency.sources.learn(found[text])
                for notice in found[text].resolved.notices:
                    give_notice(notice)
        digests.save()
        return found


def _as_on_links(type: NodeType, result: Any) -> Any:
    """What a function returned, with tensors as they cross links; as it is where it is nothing that does."""
    try:
        outputs = [laid_out(item) for item in type.outputs_of(result).values()]
    except TypeError:
        return result
    return outputs[0] if type.result is None else type.result(*outputs)
