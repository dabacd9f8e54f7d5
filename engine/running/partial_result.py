"""The result of a run so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.engine.errors import NodeError, Problem
from weft.engine.running.result import Result
from weft.engine.verdict import Verdict


@dataclass
class PartialResult:
    """The result of a run so far. `faulty` maps each failed or blocked node to the node that failed."""

    outputs: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    failures: list[NodeError] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    faulty: dict[str, str] = field(default_factory=dict)
    status: str = "done"
    warnings: list[Problem] = field(default_factory=list)
    peak: int = 0
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def continued(self) -> PartialResult:
        """A copy for a later part of the same run to add to; each part has outputs of its own."""
        lists = ([*self.paths], [*self.failures], [*self.ran], [*self.cached])
        return PartialResult(
            {}, *lists, {**self.faulty}, warnings=[*self.warnings], peak=self.peak, verdicts={**self.verdicts}
        )

    def finished(self, seconds: float, unstable: tuple[str, ...] = ()) -> Result:
        """The result of the whole run."""
        paths = tuple(map(Path, self.paths))
        lists = (tuple(self.failures), tuple(self.ran), tuple(self.cached))
        verdicts = {Path(path): verdict for path, verdict in self.verdicts.items()}
        rest = (tuple(self.warnings), self.peak, verdicts)
        return Result(self.status, self.outputs, paths, *lists, seconds, unstable, *rest)
