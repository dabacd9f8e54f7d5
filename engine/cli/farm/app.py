"""What the verbs of `weft farm` share: their group, their arguments, and how they stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from weft.engine.errors import InputError
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path

app = typer.Typer(help="Run jobs: one graph over many prompts, seeds and settings.", no_args_is_help=True)

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="A job file.")]
FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a job, as `--out` named it.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The job's folder; else output/NAME-OF-THE-JOB.")]
Items = Annotated[list[str] | None, typer.Argument(metavar="ITEM...", help="Beginnings of item ids; else all.")]


def job_folder(job: Path, out: Path | None) -> Path:
    """Where a job works and publishes."""
    return out or Path("output") / job.stem


def opened(folder: Path) -> Ledger:
    """The ledger of a job's folder.

    Raises:
        InputError: where there is none.
    """
    if not ledger_path(folder).is_file():
        raise InputError(f"there is no job in {folder}", "`weft farm run` and `weft farm submit` make one")
    return Ledger(ledger_path(folder))


def setup_of(
    store: Path | None,
    shared: str | None,
    device: str,
    precision: str,
    models: list[Path] | None,
    inputs: list[Path] | None,
    nodes: list[Path] | None,
) -> Setup:
    """What the options of a call make workers' engines with; paths hold in any working directory."""
    here = str(Path.cwd())
    return Setup(
        store=str(store.resolve()) if store else "",
        shared=shared,
        device=device,
        precision=precision,
        models=tuple(str(one.resolve()) for one in models or ()),
        inputs=(*(str(one.resolve()) for one in inputs or ()), here),
        nodes=tuple(str(one.resolve()) for one in nodes or ()),
    )


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Is set by Ctrl-C and by SIGTERM, so that what is leased is given back."""
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
