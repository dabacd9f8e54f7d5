"""Results to look at: of runs and of the items of jobs, by graph, job, seed and score, the newest or the best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from weft.engine.serve.callers import Caller
from weft.engine.serve.job_folders import PublishedItem, published_items
from weft.engine.serve.served_run import ServedRun
from weft.engine.serve.service import Service

MOST_RUNS, MOST_ITEMS = 2000, 20_000
"""How many runs, and how many items of a job, are among the results."""

PAGE = 200
"""How many runs are read at a time."""


@dataclass(frozen=True)
class Wanted:
    """Which results, in which order.

    Args:
        graph: the name of a graph; empty for all, and of no weight where a job is named.
        job: the name of a job; empty for all, and for runs.
        seed: the seed as text; empty for all.
        score: the output by which the best come first; empty for the newest.
        least_first: whether a smaller score is better.
    """

    graph: str = ""
    job: str = ""
    seed: str = ""
    score: str = ""
    least_first: bool = False

    def has(self, result: GalleryResult) -> bool:
        """Whether a result is one of those."""
        if self.graph and not self.job and result.graph != self.graph:
            return False
        return not self.seed or self.seed in map(str, result.seeds)


@dataclass(frozen=True)
class GalleryResult:
    """What a result is chosen and ordered by.

    Args:
        graph: the name of the server's graph; None for one that was posted, and for items of jobs.
        plain: makes the result as JSON values, which few of many are shown as.
    """

    graph: str | None
    seeds: Sequence[int]
    scores: Mapping[str, float]
    ended: float
    plain: Callable[[], dict[str, Any]]


def results(service: Service, caller: Caller, wanted: Wanted) -> list[GalleryResult]:
    """The results that a caller may see; those without the score come last."""
    found = [one for one in _results(service, caller, wanted) if wanted.has(one)]
    if not wanted.score:
        return sorted(found, key=lambda one: -one.ended)
    sign = 1.0 if wanted.least_first else -1.0
    return sorted(found, key=lambda one: sign * one.scores.get(wanted.score, sign * math.inf))


def _results(service: Service, caller: Caller, wanted: Wanted) -> Iterator[GalleryResult]:
    if not wanted.job:
        for run in islice(_runs(service, caller, wanted.graph), MOST_RUNS):
            outputs = (run.result or {}).get("outputs", {})
            plain = partial(result_of_run, run)
            yield GalleryResult(run.graph, seeds_of(run.parameters), scores_of(outputs), run.ended, plain)
    if caller.may("results") and not (wanted.graph and not wanted.job):
        for name in [wanted.job] if wanted.job else service.jobs.all():
            folder = service.jobs.find(name)
            if folder is not None:
                for item in published_items(folder)[:MOST_ITEMS]:
                    settings, outputs = item.record["settings"] or {}, item.record["outputs"] or {}
                    plain = partial(result_of_item, name, item)
                    yield GalleryResult(None, seeds_of(settings), scores_of(outputs), item.written, plain)


def _runs(service: Service, caller: Caller, graph: str) -> Iterator[ServedRun]:
    """The runs that have ended well, the newest first."""
    whose = "" if caller.may("results") else caller.name
    before = ""
    while True:
        listed = service.queue.listed(caller=whose, graph=graph or None, state="done", before=before, limit=PAGE)
        yield from listed
        if len(listed) < PAGE:
            return
        before = listed[-1].id


def result_of_run(run: ServedRun) -> dict[str, Any]:
    """A run as the gallery has it."""
    plain = run.plain()
    result = plain["result"] or {}
    return {
        "place": f"runs/{run.id}",
        "title": run.title,
        "graph": run.graph or None,
        "job": None,
        "settings": plain["parameters"],
        "seeds": seeds_of(plain["parameters"]),
        "scores": scores_of(result.get("outputs", {})),
        "ended": run.ended,
        "files": result.get("files", []),
    }


def result_of_item(job: str, item: PublishedItem) -> dict[str, Any]:
    """A published item of a job as the gallery has it."""
    plain = item.plain(job)
    settings = plain["settings"] or {}
    return {
        "place": f"jobs/{job}/{item.number}",
        "title": plain["name"],
        "graph": None,
        "job": job,
        "settings": settings,
        "seeds": seeds_of(settings),
        "scores": scores_of(plain["outputs"] or {}),
        "ended": item.written,
        "files": plain["files"],
    }


def seeds_of(settings: Mapping[str, Any]) -> list[int]:
    """The seeds among settings: whole numbers by a name that ends in `seed`."""
    found: list[int] = []
    for name, value in settings.items():
        if name.rpartition(".")[2].endswith(("seed", "seeds")):
            found += [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]
    return found


def scores_of(outputs: Mapping[str, Any]) -> dict[str, float]:
    """The outputs that are numbers, by name."""
    values = {name: one.get("value") for name, one in outputs.items() if isinstance(one, Mapping)}
    return {name: float(one) for name, one in values.items() if isinstance(one, (int, float)) and type(one) is not bool}
