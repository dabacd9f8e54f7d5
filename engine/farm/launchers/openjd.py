"""Open Job Description: a job as a template of version 2023-09 for farms that read one, and the lines they listen to.

Tasks are numbers of items, not values, since lists of values stop at 1,024. Chunks are of a fixed size: those that a
scheduler adapts to a target time grow without a bound after the first one. Trying again is the scheduler's business.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from weft.engine.farm.launchers.chunk import Ended
from weft.engine.farm.launchers.tasks import Tasks

MAX_NAME = 128
"""The most characters of a job's name."""

GRACE = 60
"""Seconds that a task has to end after it was asked to."""

_NO_NAME = re.compile(r"[\x00-\x1f\x7f{}]+")


def job_template(tasks: Tasks, chunk: int, place: Path) -> dict[str, Any]:
    """The template of a job.

    Args:
        chunk: how many items a task runs.
        place: the folder of the template; where the job's folder is not in it, whoever submits the template says
            where that is (`-p Folder=...`), since a template may name no path outside of its own folder.
    """
    folder, here = tasks.folder.resolve(), place.resolve()
    inside = {"default": folder.relative_to(here).as_posix()} if folder.is_relative_to(here) else {}
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        "name": _NO_NAME.sub(" ", tasks.facts.title)[:MAX_NAME].strip() or "Weft",
        "parameterDefinitions": [
            {
                "name": "Folder",
                "type": "PATH",
                "objectType": "DIRECTORY",
                "dataFlow": "INOUT",
                "description": "The job's folder, which all workers see.",
                **inside,
            },
            {"name": "Weft", "type": "STRING", "default": "weft", "description": "The command, as workers find it."},
        ],
        "steps": [_step(tasks, chunk)],
    }


def _step(tasks: Tasks, chunk: int) -> dict[str, Any]:
    items = {
        "name": "Items",
        "type": "CHUNK[INT]",
        "range": f"0-{len(tasks.lines) - 1}",
        "chunks": {"defaultTaskCount": chunk, "rangeConstraint": "NONCONTIGUOUS"},
    }
    verb = ["farm", "run-chunk", "{{Param.Folder}}", "{{Task.Param.Items}}", "--key", tasks.key, "--openjd"]
    run = {
        "command": "{{Param.Weft}}",
        "args": verb,
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": GRACE},
    }
    return {
        "name": "Items",
        "parameterSpace": {"taskParameterDefinitions": [items]},
        "script": {"actions": {"onRun": run}},
    }


def task_lines(ended: Ended, part: float) -> list[str]:
    """What a task says when an item has ended.

    Args:
        part: how much of the chunk is behind, 0 to 1.
    """
    status = f"item {ended.task}, {ended.entry.name}: {ended.state}"
    lines = [f"openjd_progress: {100 * part:.1f}", f"openjd_status: {status}"]
    return [*lines, f"openjd_fail: {status}: {' '.join(ended.error.split())}"] if ended.error else lines
