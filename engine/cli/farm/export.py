"""The commands for existing render farms: `export` writes their job descriptions, which call `run-chunk`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.farm.app import FolderArgument, JobArgument, Out, app, job_folder, setup_of, stopping
from weft.engine.cli.farm.work import TERMINATED, BatchSize, ItemTimeout, read_job
from weft.engine.cli.output import Exit, json_line, write_file
from weft.engine.errors import InputError
from weft.engine.farm.launchers import openjd
from weft.engine.farm.launchers.chunk import Ended, numbers, run_chunk
from weft.engine.farm.launchers.slurm import array_script
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.submit import prepare
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.farm.work.worker import chunk_size

ItemNumbers = Annotated[str, typer.Argument(metavar="ITEMS", help="Item numbers, counted from 0: 0-9,12.")]
Template = Annotated[
    Path | None, typer.Option("--openjd", metavar="FILE", help="Write an Open Job Description template.")
]
Script = Annotated[Path | None, typer.Option("--slurm", metavar="FILE", help="Write a job array script for sbatch.")]
Chunk = Annotated[
    int | None,
    typer.Option("--chunk", min=1, metavar="N", help="Items of one task. Default: as many as take half a minute."),
]


@app.command("export")
@options.expanded
def export(
    job: JobArgument,
    engine: EngineOptions,
    openjd_file: Template = None,
    slurm_file: Script = None,
    chunk: Chunk = None,
    out: Out = None,
    batch: BatchSize = None,
    item_timeout: ItemTimeout = None,
    partial: options.Partial = False,
    debug: options.Debug = False,
) -> int:
    """Write a job into its folder and a job description for another farm, whose tasks call `run-chunk`."""
    if not openjd_file and not slurm_file:
        raise InputError("no file to write", "give --openjd FILE or --slurm FILE")
    folder = job_folder(job, out)
    read = read_job(job, engine, batch, item_timeout, partial)
    made = prepare(read, folder, setup_of(engine, read))
    tasks = read_tasks(folder)
    seconds = made.plan.seconds
    size = chunk or max(read.batch, chunk_size(seconds and seconds / len(made.plan.items), len(tasks.lines), 1))
    if openjd_file:
        template = openjd.job_template(tasks, size, openjd_file.parent)
        write_file(openjd_file, _template_text(template))
    if slurm_file:
        (folder / HIDDEN / "logs").mkdir(exist_ok=True)
        write_file(slurm_file, os.fsencode(array_script(tasks, size)))
    print(f"{folder}: {len(tasks.lines)} items, {size} per task")
    return Exit.DONE


def _template_text(template: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(template, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        message = "the path of the job's folder is not UTF-8, and a job template has only such paths"
        raise InputError(message, "choose another folder with --out", "malformed-path") from None


@app.command("run-chunk")
def run_items(
    folder: FolderArgument,
    items: ItemNumbers,
    device: Annotated[str, typer.Option("--device", help="Replaces the device of the job.")] = "",
    key: Annotated[str, typer.Option("--key", help="Refuse to run if the items of the job have changed since.")] = "",
    protocol: Annotated[bool, typer.Option("--openjd", help="Print progress as Open Job Description expects.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Run items of a job that was exported to its folder. Published items are not run again."""
    chosen = tuple(dict.fromkeys(numbers(items)))
    counts: Counter[str] = Counter()

    def end(ended: Ended) -> None:
        """End this process because of an item that does not end in time; nothing else ends it."""
        _report(ended, (counts.total() + 1) / len(chosen), protocol, json)
        os._exit(Exit.FAILED)

    with stopping() as asked:
        chunk = run_chunk(read_tasks(folder, key), chosen, device, asked.is_set, end)
        for count, ended in enumerate(chunk, 1):
            counts[ended.state] += 1
            _report(ended, count / len(chosen), protocol, json)
    if counts["stopped"] and asked.is_set():
        return TERMINATED
    return Exit.FAILED if counts["failed"] + counts["stopped"] else Exit.DONE


def _report(ended: Ended, part: float, protocol: bool, json: bool) -> None:
    entry, lines = ended.entry, [*openjd.task_lines(ended, part)] if protocol else []
    if json:
        item = {"number": ended.task, "id": entry.id, "name": entry.name, "state": ended.state}
        json_line({"event": "item", **item, "error": ended.error, "seconds": ended.seconds, "part": part})
    elif not protocol:
        lines = [f"{100 * part:5.1f} %  item {ended.task}  {ended.state}  {entry.name}  {ended.error}".rstrip()]
    for line in lines:
        print(line, flush=True)
