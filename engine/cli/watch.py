"""`weft watch`: a graph that runs again at every save."""

from __future__ import annotations

import threading
from pathlib import Path

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_settings
from weft.engine.cli.listen import listening
from weft.engine.cli.output import Exit, say, say_error
from weft.engine.errors import InputError
from weft.engine.running.result import Result
from weft.engine.session import Engine, store_folder
from weft.engine.watching import Watch


def command(
    graph: options.GraphArgument,
    settings: options.Settings = None,
    out: options.Out = Path("output"),
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    no_metadata: options.NoMetadata = False,
    preview: options.Previews = None,
    debug: options.Debug = False,
) -> int:
    """Run a graph, and again whenever it, a file that it names or a --nodes file is saved; Ctrl-C ends it."""
    if not Path(graph).is_file():
        raise InputError(f"`{graph}` is no file that could be watched", "name a graph file")
    engine = Engine(
        store=store or store_folder(),
        shared=shared_store,
        report=say,
        device=device,
        precision=precision,
        models=models or (),
        inputs=inputs or (),
        output=out,
        nodes=nodes or (),
        metadata=not no_metadata,
    )
    with engine, listening(preview) as listener:
        watch = Watch(
            engine,
            Path(graph),
            read=lambda: with_settings(read_graph(graph, engine.limits), settings, engine.catalog),
            done=_done,
            failed=lambda fault: say_error(fault, as_json=False),
            listener=listener,
        )
        watch.until(threading.Event())
    return Exit.DONE


def _done(result: Result) -> None:
    for path in result.paths:
        print(path, flush=True)
    say("waiting for a change (Ctrl-C ends)")
