"""The commands that plan and run jobs: `plan`, `submit`, `work`, `run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.farm.app import JobArgument, Out, app, job_folder, opened, setup_of, stopping
from weft.engine.cli.farm.board import changes, shown_on
from weft.engine.cli.graph_argument import whole_part
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.device import dealt_devices
from weft.engine.errors import InputError, WeftError
from weft.engine.farm.launchers.local import Launcher
from weft.engine.farm.launchers.ray_driver import Pool
from weft.engine.farm.merge.merged import JobPlan, planned
from weft.engine.farm.report.folder_status import held_back
from weft.engine.farm.report.job_progress import JobProgress, progress
from weft.engine.farm.report.manifest import write_contact_sheet, write_manifest
from weft.engine.farm.report.notify import Notifier
from weft.engine.farm.submit import submit as submitted
from weft.engine.farm.sweep.job import Job, load
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.worker import Worker
from weft.engine.workspace import Workspace

TERMINATED = 143
"""The exit code of a worker that was ended by SIGTERM."""

Workers = Annotated[int, typer.Option("--workers", min=1, help="Number of worker processes.")]
Devices = Annotated[str, typer.Option("--devices", metavar="D,D", help="One worker for each device: cuda:0,cuda:1.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        metavar="N",
        help="Sample up to N items together if only their texts and seeds differ; replaces `batch` of the job file. "
        "Item ids depend on it; pictures are equal up to rounding.",
    ),
]
ItemTimeout = Annotated[
    float | None,
    typer.Option(
        "--item-timeout",
        min=0.001,
        metavar="SECONDS",
        help="An attempt at an item that takes longer has failed; replaces `item_timeout` of the job file.",
    ),
]
Ray = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="Run workers on a Ray cluster: local, auto or HOST:PORT.")
]
Resource = Annotated[
    list[str] | None,
    typer.Option(
        "--resource", metavar="NAME=AMOUNT", help="Ray resources of one worker: GPU=0.5, CPU=2, or a custom resource."
    ),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="COMMAND|URL",
        help="Send the first failure and the end of the job, as JSON, to the stdin of a command or to a URL.",
    ),
]
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of jobs, as given with `--out`.")]
Price = Annotated[float, typer.Option("--price", min=0, help="Price of one worker for one hour.")]


def read_job(
    path: Path,
    engine: EngineOptions,
    batch: int | None,
    item_timeout: float | None = None,
    partial: bool = False,
    json: bool = False,
) -> Job:
    """The job of a file, with its batch size and its time limit replaced if they are given.

    Args:
        engine: has the folders of classes that a graph of another program may name.
        partial: whether of such a graph what has no counterpart here is left out, which is reported.
        json: whether it is reported as JSON lines too.
    """
    types = Workspace(comfy_nodes=engine.comfy_nodes or ()).catalog
    job = load(path, types, lambda graph: whole_part(graph, partial, json))
    return replace(job, batch=batch or job.batch, item_timeout=item_timeout or job.item_timeout)


@app.command("plan")
@options.expanded
def plan(
    job: JobArgument,
    engine: EngineOptions,
    batch: BatchSize = None,
    workers: Workers = 1,
    price: Price = 0.0,
    partial: options.Partial = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Show how many items, node executions and cache hits a job has, and its time and cost. Nothing is run."""
    read = read_job(job, engine, batch, partial=partial, json=json)
    found = planned(read, setup_of(engine, read, job.parent).engine())
    if json:
        json_line({"event": "job_plan", **_figures(found, workers, price)})
    else:
        print(_summary(found, workers, price))
    return Exit.DONE


def _figures(found: JobPlan, workers: int, price: float) -> dict[str, object]:
    seconds, pictures = found.seconds, len({*found.ids})
    return {
        "items": len(found.items),
        "pictures": pictures,
        "executions": dict(found.executions),
        "cached": found.cached,
        "seconds": None if seconds is None else seconds / workers,
        "cost": None if seconds is None else seconds / 3600 * price,
        "cost_each": None if seconds is None else seconds / 3600 * price / pictures,
    }


def _summary(found: JobPlan, workers: int, price: float) -> str:
    figures = _figures(found, workers, price)
    runs = table([(str(count), name) for name, count in sorted(found.executions.items())], indent="  ")
    total = sum(found.executions.values())
    head = f"{figures['items']} items, {figures['pictures']} different"
    lines = [head, f"at most {total} node executions, {found.cached} cached", *([runs] if runs else [])]
    if found.seconds is None:
        lines.append("time: unknown, because some node types never ran with this store")
    else:
        lines.append(f"time: about {found.seconds / workers:,.0f} s with {workers} worker{'s' if workers > 1 else ''}")
        lines += [f"cost: about {figures['cost']:,.2f}, {figures['cost_each']:.2g} a picture"] if price else []
    return "\n".join(lines)


@app.command("submit")
@options.expanded
def submit(
    job: JobArgument,
    engine: EngineOptions,
    out: Out = None,
    batch: BatchSize = None,
    item_timeout: ItemTimeout = None,
    partial: options.Partial = False,
    debug: options.Debug = False,
) -> int:
    """Write a job into its folder, for `weft farm work`. Pictures that are published there already are kept."""
    folder, read = job_folder(job, out), read_job(job, engine, batch, item_timeout, partial)
    submitted(read, folder, setup_of(engine, read))
    ledger = opened(folder)
    print(progress(ledger))
    ledger.close()
    return Exit.DONE


@app.command("work")
def work(
    folders: Folders,
    device: Annotated[str | None, typer.Option("--device", help="Replaces the device of the job.")] = None,
    parent: Annotated[int, typer.Option("--parent", hidden=True, help="End when this process ends.")] = 0,
    debug: options.Debug = False,
) -> int:
    """Run items of jobs until none is left, highest priority first. Several such processes can share a job."""
    with stopping() as asked:
        for folder in by_priority(folders):
            Worker(
                folder, device, lambda: asked.is_set() or bool(parent and os.getppid() != parent), ends_process=True
            ).work()
    return TERMINATED if asked.is_set() else Exit.DONE


def by_priority(folders: Iterable[Path]) -> list[Path]:
    """The folders of jobs, highest priority first; equal priorities keep their order.

    Raises:
        InputError: if there is no job in one.
    """
    return sorted(folders, key=_priority, reverse=True)


def _priority(folder: Path) -> int:
    ledger = opened(folder)
    found = ledger.facts().priority
    ledger.close()
    return found


@app.command("run")
@options.expanded
def run(
    job: JobArgument,
    engine: EngineOptions,
    out: Out = None,
    batch: BatchSize = None,
    item_timeout: ItemTimeout = None,
    partial: options.Partial = False,
    workers: Workers = 1,
    devices: Devices = "",
    ray: Ray = None,
    resource: Resource = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Write contact_sheet.png when the job ends.")
    ] = False,
    notify: Notify = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Submit a job and run it. Run the command again to continue an interrupted job."""
    folder, read = job_folder(job, out), read_job(job, engine, batch, item_timeout, partial, json)
    needs = {**read.resources, **amounts(resource or ())}
    refuse_what_ray_decides(ray, devices, resource)
    setup = setup_of(engine, read)
    submitted(read, folder, setup)
    notifier = Notifier(engine.settings(notify=notify).notify, folder, say)
    lines = changes(json)
    with stopping() as asked:
        seen = _progress(folder)

        def look(ledger: Ledger) -> None:
            nonlocal seen
            seen = current = progress(ledger)
            notifier.look(current)
            show(current, ledger)

        try:
            with nullcontext(lines) if json else shown_on(sys.stderr, lines) as show:
                if ray:
                    Pool(folder, ray, workers, needs, look, asked.is_set, say).run()
                else:
                    places = devices.split(",") if devices else dealt_devices(setup.device, workers)
                    Launcher(folder, places, look, asked.is_set).run()
        except WeftError as fault:
            notifier.end(seen, cause=str(fault))  # the ledger may be what is at fault
            raise
    notifier.end(_progress(folder), asked.is_set())
    return _ended(folder, contact_sheet, json, asked.is_set())


def amounts(given: Iterable[str]) -> dict[str, float]:
    """The amounts of `--resource`, by name.

    Raises:
        InputError: if one is no amount.
    """
    found = {}
    for one in given:
        name, _, amount = one.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = 0.0
        if not name or not 0 < found[name] < inf:
            raise InputError(f"--resource {one!r}: expected NAME=AMOUNT", "write GPU=0.5 or CPU=2")
    return found


def refuse_what_ray_decides(ray: str | None, devices: str, resource: list[str] | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        InputError: names them.
    """
    if ray and devices:
        raise InputError("--devices cannot be combined with --ray", "give what a worker needs: --resource GPU=1")
    if resource and not ray:
        raise InputError("--resource needs --ray", "add --ray ADDRESS")


def _progress(folder: Path) -> JobProgress:
    with closing(opened(folder)) as ledger:
        return progress(ledger)


def _ended(folder: Path, contact_sheet: bool, json: bool, interrupted: bool) -> int:
    ended = replace(_progress(folder), held=len(held_back(folder)))
    write_manifest(folder)
    if contact_sheet:
        write_contact_sheet(folder)
    if not json:
        print(ended)
        print(folder / "manifest.jsonl")
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.FAILED if ended.failures or ended.state == "stopped" else Exit.DONE
