"""Slurm: a job as an array script for `sbatch`, each task a chunk of items."""

from __future__ import annotations

import math
import re
import shlex

from weft.engine.farm.launchers.tasks import Tasks
from weft.engine.farm.work.publishing import HIDDEN

MAX_TASKS = 1_000
"""The most tasks of an array; Slurm's own setting allows 1,001 unless it was changed."""

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{tasks}
#SBATCH --output={log}
first=$((SLURM_ARRAY_TASK_ID * {chunk}))
last=$((first + {chunk} - 1 < {last} ? first + {chunk} - 1 : {last}))
exec "${{WEFT:-weft}}" farm run-chunk {folder} "$first-$last" --key {key}
"""


def array_script(tasks: Tasks, chunk: int) -> str:
    """The script of a job; resources are for who submits it to say: `sbatch --gres=gpu:1 FILE`.

    Args:
        chunk: how many items a task runs; more where there would be more than `MAX_TASKS` tasks.
    """
    count = len(tasks.lines)
    chunk = max(chunk, math.ceil(count / MAX_TASKS))
    folder = tasks.folder.resolve()
    return _SCRIPT.format(
        name=re.sub(r"[^\w.+-]+", "_", tasks.facts.title) or "weft",
        tasks=math.ceil(count / chunk) - 1,
        log=shlex.quote(f"{folder / HIDDEN / 'logs'}/slurm-%A_%a.log"),
        chunk=chunk,
        last=count - 1,
        folder=shlex.quote(str(folder)),
        key=tasks.key,
    )
