"""Errors as JSON values, as answers and runs have them; nothing in them names a folder of the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.engine.errors import GraphError, HintedError, Problem, WeftError, message_of


def plain_fault(fault: BaseException) -> dict[str, Any]:
    """An error of Weft as JSON values: its message, code and problems; of any other that there was one."""
    if isinstance(fault, GraphError):
        return plain_problems(fault.problems)
    if isinstance(fault, HintedError):
        return {"message": fault.message, "hint": fault.hint, "code": fault.code}
    if isinstance(fault, WeftError):
        return {"message": message_of(fault), "code": "failed"}
    return {"message": f"the server failed ({type(fault).__name__}); its log says more", "code": "internal"}


def plain_problems(problems: tuple[Problem, ...]) -> dict[str, Any]:
    """Problems of a graph as one error: the first one's message, and all; of files only their names."""
    found = [replace(one, file=Path(one.file).name, made_at="") for one in problems]
    first = found[0] if found else Problem("the graph cannot run")
    message = f"{first.where}: {first.message}" if first.where else first.message
    return {"message": message, "hint": first.hint, "code": first.code, "problems": [one.plain() for one in found]}
