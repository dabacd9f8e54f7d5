"""`weft plan`: what a run would do, and why."""

from __future__ import annotations

from weft.engine.cli import options
from weft.engine.cli.graph_argument import read_graph, with_settings
from weft.engine.cli.output import Exit, json_line, say
from weft.engine.session import Engine, store_folder


def command(
    graph: options.GraphArgument,
    settings: options.Settings = None,
    only: options.Only = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    store: options.StoreFolder = None,
    shared_store: options.SharedStore = None,
    no_cache: options.NoCache = False,
    models: options.Models = None,
    inputs: options.Inputs = None,
    nodes: options.NodeFiles = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Say for every node whether it will run or is cached, and why; nothing runs."""
    engine = Engine(
        store=None if no_cache else store or store_folder(),
        shared=shared_store,
        report=say,
        device=device,
        precision=precision,
        models=models or (),
        inputs=inputs or (),
        nodes=nodes or (),
    )
    chosen = with_settings(read_graph(graph, engine.limits), settings, engine.catalog)
    planned = engine.plan(chosen, only or ())
    if json:
        for step in planned.steps:
            json_line(step.plain())
    else:
        print(planned)
    return Exit.DONE
