"""The result of a run: its status, outputs, files, and which nodes ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError, NodeError, Problem, message_of, printable
from weft.engine.mimebundle import Displayed
from weft.engine.output_value import plain_output
from weft.engine.quantities import shown_size
from weft.engine.verdict import Verdict


@dataclass(frozen=True)
class Result(Displayed):
    """The result of a run.

    Args:
        status: `done`, `failed` (a node raised) or `cancelled`.
        outputs: the graph's named outputs.
        paths: the files that were delivered, in order.
        failures: one error for each node that raised.
        ran: the nodes that ran, in order; `cached`: those that came from the store.
        unstable: the nodes whose results differed when they were computed again (`audit`).
        peak: the most bytes that tensors held on the device in any node; 0 where it is not counted, as on the CPU.
        warnings: what is worth knowing and kept nothing from running: what files hold that nothing reads.
        verdicts: what was found out about each file that was judged.
    """

    status: str
    outputs: Mapping[str, Any]
    paths: tuple[Path, ...]
    failures: tuple[NodeError, ...]
    ran: tuple[str, ...]
    cached: tuple[str, ...]
    seconds: float
    unstable: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
    peak: int = 0
    verdicts: Mapping[Path, Verdict] = field(default_factory=dict)

    @property
    def held(self) -> tuple[Path, ...]:
        """The files that are held back."""
        return tuple(path for path, verdict in self.verdicts.items() if verdict.held)

    @property
    def plain_verdicts(self) -> list[dict[str, Any]]:
        """What was found out about the files, as JSON values."""
        return [{"file": path.name, **verdict.plain()} for path, verdict in self.verdicts.items()]

    @property
    def summary(self) -> str:
        """`done: 2 ran, 5 cached in 1.30 s`."""
        peak = f", {shown_size(self.peak)} of memory at most" if self.peak else ""
        held = f", {len(self.held)} held back" if self.held else ""
        return f"{self.status}: {len(self.ran)} ran, {len(self.cached)} cached in {self.seconds:.2f} s{peak}{held}"

    def plain(self) -> dict[str, Any]:
        """The result as JSON values.

        Outputs are in the form of `output_value.plain_output`; a failure has `node`, `type`, `error` (the message that
        names both), and of what was raised its class (`raised`), `message`, `hint` and `code`.
        """
        return {
            "status": self.status,
            "outputs": {name: plain_output(item) for name, item in self.outputs.items()},
            "paths": [str(path) for path in self.paths],
            "failures": [_plain_failure(failure) for failure in self.failures],
            "ran": list(self.ran),
            "cached": list(self.cached),
            "seconds": round(self.seconds, 6),
            "unstable": list(self.unstable),
            "warnings": [warning.plain() for warning in self.warnings],
            **({"peak": self.peak} if self.peak else {}),
            **({"safety": self.plain_verdicts} if self.verdicts else {}),
        }

    def __str__(self) -> str:
        outputs = (f"{name} = {item!r}" for name, item in self.outputs.items())
        warnings = (f"warning: {warning}" for warning in self.warnings)
        return "\n".join([self.summary, *map(str, self.failures), *warnings, *outputs, *map(str, self.paths)])

    def __repr__(self) -> str:
        return f"Result({self.summary})"


def _plain_failure(failure: NodeError) -> dict[str, str]:
    cause = failure.cause
    message = printable(cause.message) if isinstance(cause, InputError) else message_of(cause)
    hint = cause.hint if isinstance(cause, InputError) else ""
    code = cause.code if isinstance(cause, InputError) else ""
    details = {"raised": type(cause).__name__, "message": message, "hint": hint, "code": code}
    return {"node": failure.node, "type": failure.type, "error": str(failure), **details}
