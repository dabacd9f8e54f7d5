"""`weft plan`: what a run would do, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.graph_argument import read_graph, whole_part, with_changes
from weft.engine.cli.output import Exit, json_alone, json_line, say_warnings

Memory = Annotated[
    bool,
    typer.Option("--memory", help="Count the device memory that nodes need where no earlier plan has; takes seconds."),
]


def command(
    graph: options.GraphArgument,
    engine: EngineOptions,
    changes: options.Changes = None,
    only: options.Only = None,
    no_cache: options.NoCache = False,
    memory: Memory = False,
    partial: options.Partial = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Show which nodes a run would compute, which are cached, and why; how long they will take, and in what memory.

    Nothing is run. Estimates are those of calls like them, where there were any.
    The exit code is 1 where an item of a list cannot run, such as a file of a folder that is no picture.
    """
    settings = engine.settings(options.graph_path(graph))
    made = engine.engine(settings, no_cache=no_cache)
    read = whole_part(read_graph(graph, made.limits, made.catalog), partial)
    if read.foreign:
        from weft.engine.cli.missing_models import settle_missing  # a graph of Weft's needs none of it

        settle_missing(read, made, None, False, json, needed=False)
    chosen = with_changes(read, changes, made.catalog)
    with json_alone(json):
        planned = made.plan(chosen, only or (), memory=memory)
    if json:
        for step in planned.steps:
            json_line(step.plain())
    else:
        print(planned)
    say_warnings(planned.checked.warnings, json)
    return Exit.FAILED if any(planned.of("refused")) else Exit.DONE
