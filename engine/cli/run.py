"""`weft run`: run a saved graph and write its pictures."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from textwrap import shorten
from types import FrameType

from weft.engine import events
from weft.engine.checking.parameters import parameter_summaries
from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.graph_argument import read_graph, whole_part, with_changes
from weft.engine.cli.listen import listening
from weft.engine.cli.output import Exit, json_alone, json_line, say, table
from weft.engine.graph.graph import Graph
from weft.engine.running.result import Result
from weft.engine.session import Engine
from weft.engine.spec.catalog import Catalog


def command(
    graph: options.GraphArgument,
    engine: EngineOptions,
    changes: options.Changes = None,
    only: options.Only = None,
    out: options.Out = None,
    devices: options.Devices = None,
    no_cache: options.NoCache = False,
    download: options.Download = False,
    partial: options.Partial = False,
    no_metadata: options.NoMetadata = False,
    preview: options.Previews = None,
    audit: options.Audit = 0.0,
    guard: options.Guard = False,
    json: options.Json = False,
    help_parameters: options.HelpParameters = False,
    debug: options.Debug = False,
) -> int:
    """Run a graph. Only nodes whose inputs changed since an earlier run are computed."""
    settings = replace(engine, device=devices or engine.device).settings(
        options.graph_path(graph),
        output=out,
        download=download or None,
        metadata=False if no_metadata else None,
    )
    made = engine.engine(settings, no_cache=no_cache, guarded=guard)
    read = whole_part(read_graph(graph, made.limits, made.catalog), partial, json)
    if read.foreign:
        from weft.engine.cli.missing_models import settle_missing  # a graph of Weft's needs none of it

        settle_missing(read, made, settings.models, download, json, needed=False)
    chosen = with_changes(read, changes, made.catalog)
    if help_parameters:
        return list_parameters(chosen, made.catalog, json)
    return run_graph(made, chosen, only, listening(preview, json), json=json, debug=debug, audit=audit)


def run_graph(
    made: Engine,
    graph: Graph,
    only: options.Only,
    shown: AbstractContextManager[events.Listener],
    *,
    json: bool,
    debug: bool,
    audit: float = 0.0,
) -> int:
    """Run a graph, and print what it gives; the exit code.

    Args:
        shown: gives the listener that shows the run.
    """
    with made, json_alone(json), _interruptible() as interrupted:
        planned = made.plan(graph, only or ())
        with shown as listener:
            result = made.execute(planned, listener=listener, cancelled=interrupted.is_set, audit=audit)
    if not json:
        _report(result)
    if debug:
        for failure in result.failures:
            _traceback(failure)
    if result.unstable:
        return Exit.FAILED
    return {"done": Exit.DONE, "failed": Exit.FAILED, "cancelled": Exit.INTERRUPTED}[result.status]


def list_parameters(graph: Graph, catalog: Catalog, json: bool) -> int:
    """Print the parameters of a graph; the exit code."""
    found = [*parameter_summaries(graph, catalog)]
    if json:
        for one in found:
            json_line(asdict(one))
    elif found:
        rows = [(one.name, one.type, _short(one.bounds), one.default or "required", one.description) for one in found]
        print(table([("parameter", "type", "bounds", "default", ""), *rows]))
        say("\nany other input is set as NODE.INPUT=VALUE")
    else:
        say("the graph has no parameters; set inputs as NODE.INPUT=VALUE")
    return Exit.DONE


def _short(bounds: str) -> str:
    """Bounds for a table; of many choices the first ones."""
    return shorten(bounds, _BOUNDS, placeholder=" ...")


_BOUNDS = 48
"""Columns of a table of parameters that bounds take."""


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C stops the run after the current step; the second stops it at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("stopping after the current step (press Ctrl-C again to stop at once)")

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
