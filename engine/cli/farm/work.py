"""The verbs that plan and work: `plan`, `submit`, `work`, `run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.farm.app import JobArgument, Out, app, job_folder, opened, setup_of, stopping
from weft.engine.cli.farm.board import changes, shown_on
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.errors import InputError, WeftError
from weft.engine.farm.launchers.local import Launcher
from weft.engine.farm.launchers.ray_driver import Pool
from weft.engine.farm.merge.merged import JobPlan, planned
from weft.engine.farm.report.job_progress import JobProgress, progress
from weft.engine.farm.report.manifest import write_contact_sheet, write_manifest
from weft.engine.farm.report.notify import Notifier, listeners
from weft.engine.farm.submit import submit as submitted
from weft.engine.farm.sweep.job import Job, load
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.worker import Worker

TERMINATED = 143
"""The exit code of a worker that SIGTERM ended."""

Workers = Annotated[int, typer.Option("--workers", min=1, help="How many worker processes.")]
Devices = Annotated[str, typer.Option("--devices", metavar="D,D", help="One worker for each: cuda:0,cuda:1.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        metavar="N",
        help="Sample up to N items at once that differ in texts and seeds alone, instead of the job's `batch`. It is "
        "part of the keys: items have other ids than without it, and pictures differ by rounding alone.",
    ),
]
Ray = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="Workers on Ray: local, auto, HOST:PORT.")]
Resource = Annotated[
    list[str] | None,
    typer.Option("--resource", metavar="NAME=AMOUNT", help="What a worker takes on Ray: GPU=0.5, CPU=2, a name."),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="COMMAND|URL",
        help="Tell of the first failure and of the end: JSON on the command's input, or posted (WEFT_NOTIFY too).",
    ),
]
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="The folders of jobs, as `--out` named them.")]
Price = Annotated[float, typer.Option("--price", min=0, help="What an hour of one worker costs.")]


def read_job(path: Path, batch: int | None) -> Job:
    """A job, with the batch that a call asks for."""
    job = load(path)
    return replace(job, batch=batch) if batch else job


@app.command("plan")
def plan(
    job: JobArgument,
    batch: BatchSize = None,
    workers: Workers = 1,
    price: Price = 0.0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Say what a job will do: items, node executions after sharing, cache hits, time and cost; nothing runs."""
    read = read_job(job, batch)
    setup = setup_of(store, shared_store, device, precision, models, [*(inputs or ()), job.parent], nodes)
    found = planned(read, setup.engine())
    if json:
        json_line({"event": "job_plan", **_figures(found, workers, price)})
    else:
        print(_told(found, workers, price))
    return Exit.DONE


def _figures(found: JobPlan, workers: int, price: float) -> dict[str, object]:
    seconds = found.seconds
    return {
        "items": len(found.items),
        "pictures": len({*found.ids}),
        "executions": dict(found.executions),
        "cached": found.cached,
        "seconds": None if seconds is None else seconds / workers,
        "cost": None if seconds is None else seconds / 3600 * price,
    }


def _told(found: JobPlan, workers: int, price: float) -> str:
    figures = _figures(found, workers, price)
    runs = table([(str(count), name) for name, count in sorted(found.executions.items())], indent="  ")
    total = sum(found.executions.values())
    head = f"{figures['items']} items, {figures['pictures']} different"
    lines = [head, f"{total} node executions at the most, {found.cached} cached", *([runs] if runs else [])]
    if found.seconds is None:
        lines.append("time: not known yet, some node types never ran in this store")
    else:
        lines.append(f"time: about {found.seconds / workers:,.0f} s with {workers} worker{'s' if workers > 1 else ''}")
        lines += [f"cost: about {found.seconds / 3600 * price:,.2f}"] if price else []
    return "\n".join(lines)


@app.command("submit")
def submit(
    job: JobArgument,
    out: Out = None,
    batch: BatchSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    debug: options.Debug = False,
) -> int:
    """Put a job into its folder for `weft farm work`; what is published there already stays."""
    folder = job_folder(job, out)
    submitted(read_job(job, batch), folder, setup_of(store, shared_store, device, precision, models, inputs, nodes))
    ledger = opened(folder)
    print(progress(ledger))
    ledger.close()
    return Exit.DONE


@app.command("work")
def work(
    folders: Folders,
    device: Annotated[str | None, typer.Option("--device", help="Instead of the job's.")] = None,
    parent: Annotated[int, typer.Option("--parent", hidden=True, help="End when this process does.")] = 0,
    debug: options.Debug = False,
) -> int:
    """Work at jobs until nothing is left to do, the greatest priority first; many of these may work at one job."""
    with stopping() as asked:
        for folder in by_priority(folders):
            Worker(folder, device, lambda: asked.is_set() or bool(parent and os.getppid() != parent)).work()
    return TERMINATED if asked.is_set() else Exit.DONE


def by_priority(folders: Iterable[Path]) -> list[Path]:
    """The folders of jobs, the greatest priority first; equal ones stay as they are given.

    Raises:
        InputError: where there is no job in one.
    """
    return sorted(folders, key=_priority, reverse=True)


def _priority(folder: Path) -> int:
    ledger = opened(folder)
    found = ledger.facts().priority
    ledger.close()
    return found


@app.command("run")
def run(
    job: JobArgument,
    out: Out = None,
    batch: BatchSize = None,
    workers: Workers = 1,
    devices: Devices = "",
    ray: Ray = None,
    resource: Resource = None,
    contact_sheet: Annotated[bool, typer.Option("--contact-sheet", help="Write contact_sheet.png at the end.")] = False,
    notify: Notify = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Submit a job and work at it; run it again to go on where it was."""
    folder, read = job_folder(job, out), read_job(job, batch)
    needs = {**read.resources, **amounts(resource or ())}
    refuse_what_ray_decides(ray, devices, resource)
    submitted(read, folder, setup_of(store, shared_store, device, precision, models, inputs, nodes))
    notifier = Notifier(listeners(notify or ()), folder, say)
    lines = changes(json)
    with stopping() as asked:

        def look(ledger: Ledger) -> None:
            told = progress(ledger)
            notifier.look(told)
            show(told, ledger)

        try:
            with nullcontext(lines) if json else shown_on(sys.stderr, lines) as show:
                if ray:
                    Pool(folder, ray, workers, needs, look, asked.is_set, say).run()
                else:
                    Launcher(folder, devices.split(",") if devices else [device] * workers, look, asked.is_set).run()
        except WeftError as fault:
            notifier.end(_progress(folder), cause=str(fault))
            raise
    notifier.end(_progress(folder), asked.is_set())
    return _ended(folder, contact_sheet, json, asked.is_set())


def amounts(given: Iterable[str]) -> dict[str, float]:
    """What `--resource` says, by name.

    Raises:
        InputError: for what is no amount.
    """
    found = {}
    for one in given:
        name, _, amount = one.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = 0.0
        if not name or not 0 < found[name] < inf:
            raise InputError(f"--resource {one!r} is no amount of a resource", "write GPU=0.5 or CPU=2")
    return found


def refuse_what_ray_decides(ray: str | None, devices: str, resource: list[str] | None) -> None:
    """Options that mean nothing beside each other.

    Raises:
        InputError: naming them.
    """
    if ray and devices:
        raise InputError("--devices and --ray do not go together", "say what a worker takes: --resource GPU=1")
    if resource and not ray:
        raise InputError("--resource is for workers on Ray", "give --ray ADDRESS too")


def _progress(folder: Path) -> JobProgress:
    ledger = opened(folder)
    told = progress(ledger)
    ledger.close()
    return told


def _ended(folder: Path, contact_sheet: bool, json: bool, interrupted: bool) -> int:
    told = _progress(folder)
    write_manifest(folder)
    if contact_sheet:
        write_contact_sheet(folder)
    if not json:
        print(told)
        print(folder / "manifest.jsonl")
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.FAILED if told.failures or told.state == "stopped" else Exit.DONE
