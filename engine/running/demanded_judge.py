"""Has every picture that is delivered judged, where the settings demand it, whatever the graph is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weft.engine.artifact import Artifact
from weft.engine.errors import InputError
from weft.engine.spec.node import NodeType
from weft.engine.verdict import PictureJudge, SafetyDemand
from weft.engine.workspace import Workspace


@dataclass(frozen=True)
class DemandedJudge:
    """Judges pictures and clips by the node library's judge.

    Args:
        demand: what the settings demand.
        workspace: has the node types.
        run_now: calls a node type on values.
    """

    demand: SafetyDemand
    workspace: Workspace
    run_now: Callable[[NodeType, Mapping[str, Any]], Any]

    def check(self) -> None:
        """Raise `InputError` where no installed library judges pictures, or the classifier is missing."""
        self._judge().check(self.demand.model, self.workspace.places())

    def judged(self, artifact: Artifact) -> Artifact:
        """What is given out of a picture or a clip, with the verdict."""
        data, verdict = self._judge().judge(artifact.data, artifact.media_type, self.demand, self._call)
        if artifact.verdict and artifact.verdict.held and not verdict.held:
            verdict = artifact.verdict  # the graph itself held it back, and what is judged here is what it put in place
        return replace(artifact, data=data, verdict=verdict)

    def _judge(self) -> PictureJudge:
        found = next(filter(None, (one.trait(PictureJudge) for one in self.workspace.catalog.values())), None)
        if found is None:
            message = "the setting `safety` has every picture judged, and no installed node library can do that"
            raise InputError(message, "install one that can, or remove the setting", "no-judge")
        return found

    def _call(self, name: str, given: Mapping[str, Any]) -> Any:
        return self.run_now(self.workspace.catalog[name], given)
