"""Two results compared: the graphs that made them, node by node, and what was set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from weft.engine.checking.graph_diff import diff
from weft.engine.checking.inlining import Flat, inline
from weft.engine.errors import GraphError
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.serve.answers import not_found
from weft.engine.serve.callers import Caller
from weft.engine.serve.gallery import result_of_item, result_of_run
from weft.engine.serve.job_folders import published_item
from weft.engine.serve.served_run import RUN_ID
from weft.engine.serve.service import Service


@dataclass(frozen=True)
class ComparedResult:
    """A result, and the graph that made it with its values."""

    record: Mapping[str, Any]
    graph: Graph


def result_at(service: Service, caller: Caller, place: str) -> ComparedResult:
    """The result of a place, `runs/ID` or `jobs/NAME/NUMBER`.

    Raises:
        Refused: 404 where there is none, or the caller may not see it.
    """
    kind, _, rest = place.partition("/")
    if kind == "runs":
        run = service.queue.get(rest) if RUN_ID.match(rest) else None
        if run is not None and (run.caller == caller.name or caller.may("results")):
            return ComparedResult(result_of_run(run), service.admission.read(run.graph, service.queue.document(run.id)))
    elif kind == "jobs" and caller.may("results"):
        job, _, number = rest.rpartition("/")
        folder = service.jobs.find(job)
        item = published_item(folder, number) if folder is not None else None
        if folder is not None and item is not None:
            graph = document.read(read_tasks(folder).facts.graph, None).replace(item.record["settings"] or {})
            return ComparedResult(result_of_item(job, item), graph)
    raise not_found("result")


def comparison(service: Service, first: ComparedResult, second: ComparedResult) -> dict[str, Any]:
    """Both results, the settings that differ, and the changes from node to node as `weft diff` gives them."""
    before, after = (dict(one.record["settings"]) for one in (first, second))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    changes = diff(_flat(service, first.graph), _flat(service, second.graph))
    return {
        "first": first.record,
        "second": second.record,
        "settings": [{"name": name, "first": before.get(name), "second": after.get(name)} for name in names],
        "changes": [{**asdict(one), "text": str(one)} for one in changes],
    }


def _flat(service: Service, graph: Graph) -> Flat:
    engine = service.engine
    flat = inline(graph, engine.places(graph), engine.limits, engine.catalog)
    if flat.problems:
        raise GraphError(flat.problems)
    return flat
