"""What the commands of `weft farm` share: their group, their arguments, and how they stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from weft.engine.cli.engine_options import EngineOptions
from weft.engine.errors import InputError
from weft.engine.farm.sweep.job import Job
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.settings import resolve

app = typer.Typer(help="Run jobs: one graph with many prompts, seeds and other values.", no_args_is_help=True)

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="A job file.")]
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a job, as given with `--out`.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The job's folder. Default: output/NAME, with the name of the job file."),
]
Items = Annotated[
    list[str] | None, typer.Argument(metavar="ITEM...", help="Item ids, or their first characters. Default: all items.")
]


def job_folder(job: Path, out: Path | None) -> Path:
    """The folder of a job, with its ledger and its published pictures."""
    return out or resolve().output / job.stem


def opened(folder: Path) -> Ledger:
    """The ledger of a job's folder.

    Raises:
        InputError: if there is none.
    """
    if not ledger_path(folder).is_file():
        raise InputError(
            f"there is no job in {folder}", "make one with `weft farm run` or `weft farm submit`", "no-job"
        )
    return Ledger(ledger_path(folder))


def setup_of(engine: EngineOptions, job: Job, *inputs: Path) -> Setup:
    """The arguments of the workers' engines; paths are absolute, so that they hold in any working directory.

    Args:
        inputs: folders that are searched after those of the options and before the working directory.
    """
    settings = engine.settings(job.graph.path)
    return Setup(
        store=str(engine.store.resolve()) if engine.store else "",
        shared=settings.shared_store,
        device=settings.device,
        precision=settings.precision,
        models=_absolute(settings.models),
        inputs=(*_absolute([*settings.inputs, *inputs]), str(Path.cwd())),
        nodes=_absolute(engine.nodes or ()),
        comfy_nodes=_absolute(settings.comfy_nodes),
        metadata=settings.metadata,
        node_timeout=settings.node_timeout,
        weights=settings.weights,
        reserve=settings.reserve,
        offload=settings.offload,
    )


def _absolute(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(str(path.resolve()) for path in paths)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that leased items are returned to the ledger."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
