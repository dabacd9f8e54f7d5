"""`weft run`: a saved graph becomes pictures."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from weft.engine.checking.parameters import parameter_summaries
from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_settings
from weft.engine.cli.listen import listening
from weft.engine.cli.output import Exit, json_line, say, table
from weft.engine.graph.graph import Graph
from weft.engine.running.result import Result
from weft.engine.session import Engine, store_folder
from weft.engine.spec.catalog import Catalog


def command(
    graph: options.GraphArgument,
    settings: options.Settings = None,
    only: options.Only = None,
    out: options.Out = Path("output"),
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    no_cache: options.NoCache = False,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    download: options.Download = False,
    no_metadata: options.NoMetadata = False,
    preview: options.Previews = None,
    audit: options.Audit = 0.0,
    guard: options.Guard = False,
    json: options.Json = False,
    help_parameters: options.HelpParameters = False,
    debug: options.Debug = False,
) -> int:
    """Run a graph; only what changed since the last run is computed."""
    engine = Engine(
        store=None if no_cache else store or store_folder(),
        shared=shared_store,
        report=say,
        device=device,
        precision=precision,
        models=models or (),
        inputs=inputs or (),
        output=out,
        nodes=nodes or (),
        metadata=not no_metadata,
        download=download,
        guarded=guard,
    )
    chosen = with_settings(read_graph(graph, engine.limits), settings, engine.catalog)
    if help_parameters:
        return _list_parameters(chosen, engine.catalog, json)
    with engine, _interruptible() as interrupted:
        planned = engine.plan(chosen, only or ())
        with listening(preview, json) as listener:
            result = engine.execute(planned, listener=listener, cancelled=interrupted.is_set, audit=audit)
    if not json:
        _report(result)
    if debug:
        for failure in result.failures:
            _traceback(failure)
    if result.unstable:
        return Exit.FAILED
    return {"done": Exit.DONE, "failed": Exit.FAILED, "cancelled": Exit.INTERRUPTED}[result.status]


def _list_parameters(graph: Graph, catalog: Catalog, json: bool) -> int:
    found = [*parameter_summaries(graph, catalog)]
    if json:
        for one in found:
            json_line(asdict(one))
    elif found:
        rows = [(one.name, one.type, one.bounds, one.default or "required", one.description) for one in found]
        print(table([("parameter", "type", "bounds", "default", ""), *rows]))
    else:
        say("the graph has no parameters; its inputs are set as NODE.INPUT")
    return Exit.DONE


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to stop after its present step; the second stops at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("stopping after this step (again to stop at once)")

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _report(result: Result) -> None:
    if result.status == "failed":
        say(f"{len(result.failures)} node{'s' if len(result.failures) > 1 else ''} failed")
    if result.unstable:
        say(f"not deterministic: {', '.join(result.unstable)}")
    for name, item in result.outputs.items():
        print(f"{name} = {item!r}")
    for path in result.paths:
        print(path)


def _traceback(failure: BaseException) -> None:
    import traceback

    traceback.print_exception(failure)
