"""`weft bench`: what each part of a picture costs on this machine, against what its products of numbers need."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Annotated

import typer

from weft.engine.cli import options
from weft.engine.cli.engine_options import EngineOptions
from weft.engine.cli.graph_argument import read_graph, with_changes
from weft.engine.cli.output import Exit, json_alone, json_line, say, table
from weft.engine.graph.graph import Graph
from weft.engine.session import Engine

if TYPE_CHECKING:
    from weft.engine.part_times import NodeTime, PartTimes

Rounds = Annotated[int, typer.Option("--rounds", min=1, max=1000, help="How often the graph is timed.")]


def command(
    graph: options.GraphArgument,
    engine: EngineOptions,
    changes: options.Changes = None,
    rounds: Rounds = 3,
    json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Time each node of a graph on this machine: text encoders, the sampler a step, decoding, the picture's file.

    Nothing is stored or kept. The floor is the time that a node's matrix products and convolutions would take at the
    rate of large matrix products, which is measured too.
    """
    settings = engine.settings(options.graph_path(graph))
    with tempfile.TemporaryDirectory() as folder, json_alone(json):
        made = engine.engine(settings, no_cache=True, output=folder)
        chosen = with_changes(read_graph(graph, made.limits, made.catalog), changes, made.catalog)
        found = _timed(made, chosen, rounds)
    if json:
        for part in found.parts:
            json_line({"event": "part", **part.plain()})
        json_line({"event": "bench", **found.plain()})
        return Exit.DONE
    titles = ("node", "type", "seconds", "steps", "a step", "floor", "times floor")
    print(table([titles, *map(_row, found.parts)]))
    rate = f"{found.rate / 1e9:.0f} GFLOP/s in {found.precision} on {found.device}"
    say(f"{found.seconds:.3f} s a run, {found.first:.2f} s the first time; large matrix products: {rate}")
    return Exit.DONE


def _timed(engine: Engine, graph: Graph, rounds: int) -> PartTimes:
    from weft.engine.part_times import part_times  # torch, which an unreadable graph does not need

    return part_times(engine, graph, rounds)


def _row(part: NodeTime) -> tuple[str, ...]:
    """A part in the table."""
    step = "" if part.step is None else f"{part.step:.4f}"
    floor = (f"{part.floor:.4f}", f"{part.over_floor:.1f}") if part.over_floor is not None else ("", "")
    return (part.node, part.type, f"{part.seconds:.4f}", str(part.steps or ""), step, *floor)
