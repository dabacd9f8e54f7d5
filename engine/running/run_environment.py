"""What a run needs besides its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine import events
from weft.engine.artifact import Artifact
from weft.engine.limits import Limits
from weft.engine.planning.planner import Step
from weft.engine.running.delivery import Delivered
from weft.engine.running.emitter import Emitter
from weft.engine.running.in_progress import InProgress
from weft.engine.running.joint_calls import JointCalls
from weft.engine.running.run_devices import RunDevices
from weft.engine.spec.context import Context
from weft.engine.store import Store
from weft.engine.weights.resources import HashedResource

Deliver = Callable[[Artifact, Step, int | None], Delivered]


@dataclass(frozen=True)
class RunEnvironment:
    """Where a plan runs, and what it is given.

    Args:
        store: where results are kept.
        context: makes a node's context from its files, progress callback and lane.
        deliver: delivers one artifact of a sink; where there are several, it is given which one.
        devices: those that nodes of the `gpu` lane take turns on.
        in_progress: what other runs over the same store compute; None where this run waits for nobody.
        joint: the calls of the engine's runs that wait for a device, and may be made together; None where each is made
            by itself.
        emit: gives the events of the run to its listener.
        cancelled: asked before each node and in each step.
        trace: what is recorded with each result.
        resident: whether the weights of all recipes in some values are on the device; None without a budget.
        guarded: whether a node that changes a value on a link is caught.
        limits: that values of nodes are held to.
        verify: raises `ChangedFile` where the files of a resource are no longer what they were when they were hashed.
        final: whether the run is not planned again for a changed file: the node that read it has failed then.
        node_timeout: seconds that a call of a node may take (`weft.engine.running.time_limit`); None without a limit.
        checkpoint_every: seconds after which a call that asks for it has its state kept.
    """

    store: Store
    context: Callable[..., Context]
    deliver: Deliver
    devices: RunDevices
    in_progress: InProgress | None = None
    joint: JointCalls | None = None
    emit: Emitter = field(default_factory=Emitter)
    cancelled: Callable[[], bool] = lambda: False
    trace: Mapping[str, Any] = field(default_factory=dict)
    resident: Callable[[Iterable[Any]], bool] | None = None
    guarded: bool = False
    limits: Limits = field(default_factory=Limits)
    verify: Callable[[HashedResource], None] = lambda found: None
    final: bool = False
    node_timeout: float | None = None
    checkpoint_every: float = 60.0

    def report(self, event: Callable[..., events.Event], step: Step, **details: Any) -> None:
        """Give an event about a step to the listener of the run."""
        if not self.emit.unheard:
            self.emit(event(node=step.call.id, type=step.call.type.name, **details))
