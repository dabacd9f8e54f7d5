"""Submitting: a job becomes entries of a ledger in its folder. Submitting again goes on where the job was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weft.engine.errors import GraphError, Problem
from weft.engine.farm.launchers.tasks import refuse_newer_folder, write_tasks
from weft.engine.farm.merge.attempt_graph import batch_name, write_batches
from weft.engine.farm.merge.merged import JobPlan, planned
from weft.engine.farm.sweep.job import Job
from weft.engine.farm.sweep.naming import named
from weft.engine.farm.work.job_facts import JobFacts, Setup
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import keep_damaged, ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.gc import paused_collection
from weft.engine.graph.document import write
from weft.engine.running.delivery import check_output
from weft.engine.session import Engine
from weft.engine.unicode_text import folded


@dataclass(frozen=True)
class Prepared:
    """A job in its folder, ready to be worked at.

    Args:
        entries: its items in the order of work; what is published already is `cached`.
    """

    plan: JobPlan
    entries: tuple[Entry, ...]
    facts: JobFacts


@paused_collection()
def prepare(job: Job, folder: Path, setup: Setup) -> Prepared:
    """Write the tasks of a job, and its batches, into its folder: all that launchers without a ledger need.

    A ledger that is damaged is put aside; a new one begins with what is published.

    Raises:
        GraphError: with every problem of the job.
        InputError: where the folder holds a job of a newer version of Weft, or cannot be written.
    """
    check_output(folder)
    refuse_newer_folder(folder)
    if ledger_path(folder).is_file():
        keep_damaged(ledger_path(folder))  # refuses a newer one before anything is written
    engine = setup.engine(inputs=(*setup.inputs, str(job.folder.resolve())))
    plan = planned(job, engine)
    job = plan.expansion.job  # with the subgraphs that were planned
    done = {sidecar["id"]: sidecar["name"] for sidecar in published(folder)}
    entries = tuple(_entries(job, plan, done))
    if problems := [*_collisions(entries), *_taken(entries, done), *_unfit_for_memory(job, plan, engine)]:
        raise GraphError(problems)
    facts = JobFacts(
        graph=write(job.graph, schema=None).decode(),
        path=str(job.graph.path.resolve()) if job.graph.path else "",
        # The ids of items depend on the precision, so it is that of this machine on workers with other devices too.
        setup=replace(setup, inputs=tuple(map(str, engine.inputs)), precision=engine.resolved_precision),
        title=job.title,
        on_out_of_memory=job.on_out_of_memory,
        retries=job.retries,
        item_timeout=job.item_timeout,
        max_failures=job.max_failures,
        first=job.first,
        priority=job.priority,
        batch=job.batch,
        items=len(plan.items),
        origins=plan.origins,
    )
    write_batches(folder, job, plan.batches)
    write_tasks(folder, facts, entries)
    return Prepared(plan, entries, facts)


def submit(job: Job, folder: Path, setup: Setup) -> JobPlan:
    """Write a job into the ledger of its folder; what is published there already is done.

    Raises:
        GraphError: with every problem of the job.
        InputError: where the folder holds a job of a newer version of Weft.
    """
    made = prepare(job, folder, setup)
    ledger = Ledger(ledger_path(folder))
    ledger.submit(made.facts, made.entries)
    ledger.close()
    return made.plan


def _entries(job: Job, plan: JobPlan, done: Mapping[str, str]) -> Iterator[Entry]:
    """The entries in the order of work; items of equal ids are one, and what is published keeps its name.

    The items of a batch are a group of their own, so that one worker takes them all.
    """
    batches = {item.number: batch_name(batch) for batch in plan.batches for item in batch}
    ids = dict(zip((item.number for item in plan.items), plan.ids, strict=True))
    seen: set[str] = set()
    for rank, (shared, item) in enumerate(plan.expansion.order):
        id = ids[item.number]
        if id not in seen:
            seen.add(id)
            name = done.get(id) or named(job.name, item.tokens(id))
            state = "cached" if id in done else "waiting"
            group = batches.get(item.number, shared)
            yield Entry(id, item.number, rank, group, name, item.values, state)


def _unfit_for_memory(job: Job, plan: JobPlan, engine: Engine) -> Iterator[Problem]:
    """What the checker has against a first item that ran out of memory."""
    if job.on_out_of_memory:
        graph = job.graph.replace({**plan.items[0].values, **job.on_out_of_memory})
        for problem in engine.check(graph).problems:
            yield replace(problem, message=f"`on_out_of_memory`: {problem.message}")


def _collisions(entries: Sequence[Entry]) -> Iterator[Problem]:
    """A problem for the first name that two items share; names that some systems take for one count as one."""
    seen: dict[str, Entry] = {}
    clashes = []
    for entry in entries:
        other = seen.setdefault(folded(entry.name), entry)
        if other is not entry:
            clashes.append((other, entry))
    if clashes:
        one, two = clashes[0]
        both = f"items {one.number} and {two.number} are both `{two.name}`"
        message = f"`name` does not tell items apart: {both}" + (f", {len(clashes)} more" if clashes[1:] else "")
        yield Problem(
            message, "put every axis that changes into `name`, or {index:04} or {key:8}", code="colliding-names"
        )


def _taken(entries: Sequence[Entry], done: Mapping[str, str]) -> Iterator[Problem]:
    """A problem for the first name that a picture of another item has, as after a change of the graph."""
    own = {entry.id for entry in entries}
    names = {folded(name) for id, name in done.items() if id not in own}
    taken = [entry for entry in entries if folded(entry.name) in names]
    if taken:
        more = f", and so do {len(taken) - 1} more" if taken[1:] else ""
        message = f"item {taken[0].number} would be `{taken[0].name}`, and another picture has that name already{more}"
        yield Problem(
            message,
            "give another folder with --out, move away what is there, or put {key:8} into `name`",
            code="name-taken",
        )
