"""`weft work`: runs what waits in the queue of a server on another machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.output import Exit, say
from weft.engine.errors import InputError
from weft.engine.folder_lock import only_one
from weft.engine.interrupts import end_signals

Url = Annotated[
    str | None, typer.Argument(metavar="URL", help="The server, such as https://render.example.org. Or WEFT_SERVER.")
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="A file with the worker's token. Or WEFT_TOKEN.")
]
Name = Annotated[
    str | None, typer.Option("--name", help="What the server calls this worker. Default: the host's name.")
]
AtOnce = Annotated[
    int | None, typer.Option("--at-once", min=1, max=64, help="Runs taken at a time. Default: one for each device.")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder of fetched files. Default: in your data folder.")
]
Grace = Annotated[
    float, typer.Option("--grace", min=0, metavar="SECONDS", help="What runs have to end in when the worker stops.")
]


def command(
    engine: EngineOptions,
    url: Url = None,
    token_file: TokenFile = None,
    name: Name = None,
    at_once: AtOnce = None,
    data: Data = None,
    grace: Grace = 30.0,
    debug: options.Debug = False,
) -> int:
    """Run what waits in the queue of `weft serve` on another machine, with the models of this one. The token needs the
    scope `work`; Weft, its libraries and node types must be those of the server. SIGTERM or Ctrl-C lets runs end, or
    hands them back. engine/serve/README.md describes it all."""
    from weft.engine.client.server_calls import ServerCalls
    from weft.engine.leased.fetched_inputs import FetchedInputs
    from weft.engine.leased.lease_calls import LeaseCalls
    from weft.engine.leased.queue_worker import QueueWorker
    from weft.engine.serve.hidden_places import places_of

    address = url or os.environ.get("WEFT_SERVER")
    if not address:
        raise InputError("no server is named", "weft work https://render.example.org", "missing-input")
    calls = ServerCalls(address, _token(token_file), silence=SILENCE)
    kept = (data or _data_folder()).absolute()
    inputs, runs = kept / "inputs", kept / "runs"
    with only_one(kept, "worker"):
        shutil.rmtree(runs, ignore_errors=True)  # of a worker that was killed
        runner = engine.engine(engine.settings(), working=inputs, history=False)
        with runner:
            worker = QueueWorker(
                runner,
                LeaseCalls(calls, lambda: worker.stopping),
                FetchedInputs(inputs),
                runs,
                name or _host_name(),
                at_once or len(runner.resolved_device.split(",")),
                ((kept, "DATA"), *places_of(runner)),
                say,
            )
            _stopped_by_signals(worker.ask_to_stop)
            say(f"works for {address} on {runner.resolved_device} (Ctrl-C ends)")
            worker.until_stopped(grace)
    return Exit.DONE


SILENCE = 20.0
"""Seconds without a byte after which a connection to the server counts as lost."""


def _token(file: Path | None) -> str | None:
    """The token of the file, else of the environment.

    Raises:
        InputError: where the file cannot be read.
    """
    if file is None:
        return os.environ.get("WEFT_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as fault:
        raise InputError(f"the token in {file} cannot be read: {fault}", "name its file", "unreadable-file") from None


def _data_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("weft") / "work"


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "worker"


def _stopped_by_signals(stop: Callable[[], None]) -> None:
    """Stop in order at SIGTERM, Ctrl-C and the end of the terminal; a second Ctrl-C ends at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for one in end_signals():
        signal.signal(one, handle)
