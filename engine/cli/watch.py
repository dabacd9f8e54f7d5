"""`weft watch`: run a graph again at every save."""

from __future__ import annotations

import threading
from pathlib import Path

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.graph_argument import read_graph, with_changes
from weft.engine.cli.listen import listening
from weft.engine.cli.output import Exit, say, say_error
from weft.engine.errors import InputError
from weft.engine.running.result import Result
from weft.engine.watching import Watch


def command(
    graph: options.GraphArgument,
    engine: EngineOptions,
    changes: options.Changes = None,
    out: options.Out = None,
    no_metadata: options.NoMetadata = False,
    preview: options.Previews = None,
    debug: options.Debug = False,
) -> int:
    """Run a graph, and run it again whenever it or a file it uses is saved. Ctrl-C ends it."""
    if not Path(graph).is_file():
        raise InputError(f"there is no file `{graph}` to watch", "name a graph file")
    stop, unwritten = threading.Event(), list[OSError]()

    def done(result: Result) -> None:
        try:
            _done(result)
        except OSError as fault:  # nobody gets the paths any more
            unwritten.append(fault)
            stop.set()

    settings = engine.settings(Path(graph), output=out, metadata=False if no_metadata else None)
    with engine.engine(settings) as made, listening(preview) as listener:
        watch = Watch(
            made,
            Path(graph),
            read=lambda: with_changes(read_graph(graph, made.limits, made.catalog), changes, made.catalog),
            done=done,
            failed=lambda fault: say_error(fault, as_json=False),
            listener=listener,
        )
        watch.until(stop)
    if unwritten:
        raise unwritten[0]
    return Exit.DONE


def _done(result: Result) -> None:
    for path in result.paths:
        print(path, flush=True)
    say("waiting for a change (Ctrl-C ends)")
