"""`weft serve`: graphs behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.output import Exit, say
from weft.engine.errors import InputError
from weft.engine.quantities import size

Folder = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="A folder of graphs. Default: those that come with Weft.")
]
Host = Annotated[str, typer.Option("--host", help="The address to answer at. Others than the loopback need --tokens.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")]
HostNames = Annotated[
    list[str] | None,
    typer.Option("--host-name", metavar="NAME", help="A name by which callers reach this server. Can be repeated."),
]
Tokens = Annotated[
    Path | None, typer.Option("--tokens", metavar="FILE", help="Who may call: a TOML file; without one, this machine.")
]
AddToken = Annotated[
    str | None,
    typer.Option("--add-token", metavar="NAME", help="Add a caller to --tokens, print their token once, and exit."),
]
Scopes = Annotated[
    str, typer.Option("--scopes", help="With --add-token: run, graphs, results, work, admin; several with commas.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of queue, uploads and results. Default: in your data folder."),
]
Jobs = Annotated[
    list[Path] | None, typer.Option("--jobs", metavar="DIR", help="A folder of jobs to show. Can be repeated.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="TYPE", help="Node type or category that posted graphs may have. Can be repeated."),
]
AtOnce = Annotated[
    int, typer.Option("--at-once", min=1, max=64, help="Runs that are under way at a time; they take turns on devices.")
]
NoRun = Annotated[
    bool, typer.Option("--no-run", help="Run nothing here: workers (weft work) run everything, with their own models.")
]
Lease = Annotated[
    float,
    typer.Option("--lease", min=1, metavar="SECONDS", help="After which a silent worker's run is given to another."),
]
ResultSize = Annotated[
    str, typer.Option("--result", metavar="SIZE", help="All files that a worker may send for one run.")
]
Waiting = Annotated[int, typer.Option("--waiting", min=1, help="Runs that may wait; more are answered with 429.")]
Followers = Annotated[
    int, typer.Option("--followers", min=1, help="Requests that follow a run or wait for its end; 429 beyond it.")
]
TimeLimit = Annotated[float, typer.Option("--time-limit", min=0.1, metavar="SECONDS", help="What a run may take.")]
Grace = Annotated[
    float, typer.Option("--grace", min=0, metavar="SECONDS", help="What runs have to end in when the server stops.")
]
Keep = Annotated[str, typer.Option("--keep", metavar="SIZE", help="Files of runs that are kept; the oldest go first.")]
UploadSize = Annotated[str, typer.Option("--upload", metavar="SIZE", help="The largest file that may be sent.")]
UploadsSize = Annotated[str, typer.Option("--uploads", metavar="SIZE", help="All files that were sent, together.")]


def command(
    engine: EngineOptions,
    folder: Folder = None,
    host: Host = "127.0.0.1",
    port: Port = 8420,
    host_names: HostNames = None,
    tokens: Tokens = None,
    add_token: AddToken = None,
    scopes: Scopes = "run",
    data: Data = None,
    jobs: Jobs = None,
    allow: Allow = None,
    at_once: AtOnce = 8,
    no_run: NoRun = False,
    lease: Lease = 15.0,
    result: ResultSize = "2G",
    waiting: Waiting = 1000,
    followers: Followers = 1000,
    time_limit: TimeLimit = 3600.0,
    grace: Grace = 30.0,
    keep: Keep = "10G",
    upload: UploadSize = "256M",
    uploads: UploadsSize = "4G",
    download: options.Download = False,
    debug: options.Debug = False,
) -> int:
    r"""Answer HTTP: each graph of a folder is an endpoint with its parameters; runs wait in a queue that outlasts the
    process. `weft-engine\[serve]` has what it needs. engine/serve/README.md describes it all."""
    try:
        from weft.engine.serve.callers import Callers
        from weft.engine.serve.callers import add_token as added
        from weft.engine.serve.http_server import serve
        from weft.engine.serve.service import UPLOADS, ServeOptions, Service
    except ModuleNotFoundError as fault:
        message = f"the package {fault.name} is not installed"
        raise InputError(message, 'install it with: pip install "weft-engine[serve]"', "missing-package") from None
    if add_token is not None:
        if tokens is None:
            raise InputError("--add-token needs a file", "name it with --tokens FILE", "malformed-value")
        print(added(tokens, add_token, scopes.split(",")))
        say(f"{add_token} may: {scopes}; {tokens} has a digest of the token, which is shown this once")
        return Exit.DONE
    kept = data or _data_folder()
    made = ServeOptions(
        data=kept.absolute(),
        graphs=folder,
        hosts=tuple(host_names or ()),
        jobs=tuple(jobs or ()),
        allowed=frozenset(allow or ()),
        at_once=0 if no_run else at_once,
        lease=lease,
        result_bytes=_bytes("--result", result),
        waiting=waiting,
        followers=followers,
        time_limit=time_limit,
        grace=grace,
        keep_bytes=_bytes("--keep", keep),
        upload_bytes=_bytes("--upload", upload),
        uploads_bytes=_bytes("--uploads", uploads),
    )
    settings = engine.settings(download=download or None)
    longest = time_limit if settings.node_timeout is None else settings.node_timeout
    callers = Callers() if tokens is None else Callers.load(tokens)
    runner = engine.engine(settings, working=made.data / UPLOADS, node_timeout=longest)
    serve(Service(runner, made, callers), host, port)
    return Exit.DONE


def _data_folder() -> Path:
    """Where a server keeps what it has, unless another folder is named."""
    from platformdirs import user_data_path

    return user_data_path("weft") / "serve"


def _bytes(option: str, text: str) -> int:
    try:
        return size(text)
    except ValueError:
        message = f"{option} is `{text}`, expected a size such as 500M or 6G"
        raise InputError(message, f"write {option} 6G", "malformed-setting") from None
