"""`weft train`: run a graph that trains, with what one wants to see of it for hours."""

from __future__ import annotations

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.graph_argument import read_graph, with_changes
from weft.engine.cli.listen import listening
from weft.engine.cli.run import list_parameters, run_graph
from weft.engine.cli.training_progress import TrainingProgress


def command(
    graph: options.GraphArgument,
    engine: EngineOptions,
    changes: options.Changes = None,
    only: options.Only = None,
    out: options.Out = None,
    no_cache: options.NoCache = False,
    download: options.Download = False,
    preview: options.Previews = None,
    json: options.Json = False,
    help_parameters: options.HelpParameters = False,
    debug: options.Debug = False,
) -> int:
    """Run a graph that trains: lines with the loss, its mean and the time that is left, for terminals and logs.

    How far it has come is kept in the store, each minute and at Ctrl-C: the same command goes on from there.
    """
    settings = engine.settings(options.graph_path(graph), output=out, download=download or None)
    made = engine.engine(settings, no_cache=no_cache)
    chosen = with_changes(read_graph(graph, made.limits, made.catalog), changes, made.catalog)
    if help_parameters:
        return list_parameters(chosen, made.catalog, json)
    return run_graph(made, chosen, only, listening(preview, json, TrainingProgress), json=json, debug=debug)
