"""Mutations of job files that keep them close to jobs: axes, groups, sources, names, fixed values."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.mutations import GENERAL, SIZES, Mutation, strange

NAMES = (
    "prompts.txt",
    "table.csv",
    "rows.jsonl",
    "faces",
    "pipe",
    "graph.json",
    "job.json",
    "../outside/prompts.txt",
    "/etc/passwd",
    "/dev/zero",
    "\0",
    "x" * 300,
    "~root/x",
    "",
    ".",
    "link",
)
PATTERNS = ("*.png", "**", "**/*", "../*", "/*", "", "[", "*" * 50, "**/**/**/*", "\0")
RANGES = ("1-5", "5-1", "1-20000,1-999999999", "9" * 5000, "-5--1", "1-9x0", "1,,2", "1-99999999999999999999x9", "")
TEMPLATES = (
    "{seed}",
    "{prompt:20}",
    "{",
    "}",
    "{x}",
    "../{seed}",
    "{index:999}",
    "a/" * 500,
    "CON",
    "{seed_index:0999}",
)
TARGETS = ("prompt", "seed", "text.value", "nowhere.x", "nowhere", "text.valu", "", ".", "é", "a" * 300)


def _part(job: Any, name: str, empty: Any) -> Any:
    part = job.setdefault(name, empty)
    return part if isinstance(part, type(empty)) else empty


def _source(chance: Random) -> Any:
    return chance.choice(
        (
            {"count": chance.choice((1, 0, -1, 3, 100, 20_000, 10**18)), "start": chance.choice((0, 2**64, -1))},
            {"range": chance.choice(RANGES)},
            {"file": chance.choice(NAMES)},
            {"file": chance.choice(NAMES), "column": chance.choice(("a", "b", 1, None, "é"))},
            {"folder": chance.choice(NAMES), "pattern": chance.choice(PATTERNS)},
            [strange(chance) for _ in range(chance.choice((1, 2, 20)))],
            strange(chance),
        )
    )


def swept(chance: Random, job: Any) -> Any:
    """There are other axes, some times many."""
    sweep = _part(job, "sweep", {})
    for index in range(chance.choice((1, 1, 2, 40))):
        sweep[chance.choice(TARGETS) if index < 2 else f"axis_{index}"] = _source(chance)
    return job


def zipped(chance: Random, job: Any) -> Any:
    """Axes are walked together: known and unknown ones, some twice."""
    names = [*_part(job, "sweep", {}), *TARGETS]
    _part(job, "zip", []).append([chance.choice(names) for _ in range(chance.choice(SIZES))])
    return job


def fixed(chance: Random, job: Any) -> Any:
    """All items have a value."""
    _part(job, chance.choice(("set", "on_out_of_memory")), {})[chance.choice(TARGETS)] = strange(chance)
    return job


def named(chance: Random, job: Any) -> Any:
    """Pictures have other names."""
    job["name"] = chance.choice((*TEMPLATES, strange(chance)))
    return job


def elsewhere(chance: Random, job: Any) -> Any:
    """The graph is another file."""
    job["graph"] = chance.choice((*NAMES, strange(chance)))
    return job


def numbered(chance: Random, job: Any) -> Any:
    """A number is another one."""
    job[chance.choice(("retries", "first", "batch", "max_items", "priority", "max_failures"))] = strange(chance)
    return job


def _whole(mutation: Mutation) -> Mutation:
    """The mutation, of documents that are objects still."""

    def mutated(chance: Random, job: Any) -> Any:
        return mutation(chance, job) if isinstance(job, dict) else job

    return mutated


MUTATIONS: Sequence[Mutation] = (*GENERAL, *map(_whole, (swept, zipped, fixed, named, elsewhere, numbered)))
