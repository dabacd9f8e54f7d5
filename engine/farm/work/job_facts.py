"""What is known of a job apart from its items, written when it is submitted and read by whoever works at it.

A ledger keeps each fact as a row, `job.json` keeps them all as one object. Both are written from `JobFacts.plain` and
read by `JobFacts.read`, nowhere else. Facts that an older version of Weft did not write have their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.one_or_many import one_or_many
from weft.engine.session import Engine
from weft.engine.settings import default, resolve

VERSION = 1
"""Of the files in a job's own folder and of its ledger; it rises when an older Weft could not work at the job."""


@dataclass(frozen=True)
class Setup:
    """The arguments of the engines of a job's workers. What is not given is as the user's settings have it.

    Args:
        store: empty is the folder of each worker's own settings.
    """

    store: str = ""
    shared: str | None = field(default_factory=default("shared_store"))
    precision: str = field(default_factory=default("precision"))
    device: str = field(default_factory=default("device"))
    models: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    comfy_nodes: tuple[str, ...] = ()
    metadata: bool = field(default_factory=default("metadata"))
    node_timeout: float | None = field(default_factory=default("node_timeout"))
    weights: int | None = field(default_factory=default("weights"))
    reserve: int | None = field(default_factory=default("reserve"))
    offload: str = field(default_factory=default("offload"))

    def __post_init__(self) -> None:
        for name in ("models", "inputs", "nodes", "comfy_nodes"):
            object.__setattr__(self, name, tuple(map(str, one_or_many(getattr(self, name)))))

    def engine(self, **changes: Any) -> Engine:
        """An engine of this setup; it keeps no history, since the graph of a job is another one with each item."""
        given = {**asdict(self), **changes}
        return Engine(**{**given, "store": given["store"] or resolve().usable_store}, history=False)

    def found_from_anywhere(self) -> Setup:
        """The same with the store as an absolute path, for a worker with another working directory."""
        return replace(self, store=str(Path(self.store or resolve().store_folder).resolve()))


@dataclass(frozen=True)
class JobFacts:
    """The facts of a job.

    Args:
        graph: the job's graph before an item sets anything, as the text of a graph file.
        path: the file that the graph came from, for the names in it; empty where there is none.
        setup: what the engines of its workers are made with.
        on_out_of_memory: what is set, by target, for one more try of an item that ran out of memory.
        retries: how often an item that failed is tried again.
        max_failures: failed items after which the job stops; 0 is never.
        first: how many items are run before all others.
        priority: of several jobs the greatest goes first.
        batch: how many items are sampled at once.
        items: how many the sweep has.
        origins: the digests of the node types and files that its items' ids are made of (`Plan.origins`).
        item_timeout: seconds that an attempt at an item may take; None without a limit.
    """

    graph: str
    path: str = ""
    setup: Setup = field(default_factory=Setup)
    title: str = ""
    on_out_of_memory: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 2
    max_failures: int = 0
    first: int = 0
    priority: int = 0
    batch: int = 1
    items: int = 0
    origins: Mapping[str, str] = field(default_factory=dict)
    item_timeout: float | None = None

    def plain(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> JobFacts:
        """The facts that were written as `plain`; what is not a fact of this version of Weft is left out."""
        given = {one.name: plain[one.name] for one in fields(cls) if one.name in plain}
        setup = {one.name: plain["setup"][one.name] for one in fields(Setup) if one.name in plain.get("setup", {})}
        lists: dict[str, Any] = {name: tuple(value) for name, value in setup.items() if isinstance(value, list)}
        return cls(**{**given, "setup": Setup(**{**setup, **lists})})

    def read_graph(self) -> Graph:
        """The job's graph."""
        return document.read(self.graph, Path(self.path) if self.path else None)


def refuse_newer(version: int, what: str) -> None:
    """Stop before a job of a later version is touched.

    Raises:
        InputError: naming the job and what to do.
    """
    if version > VERSION:
        raise InputError(
            f"{what} is of version {version}, and this Weft works at jobs up to version {VERSION}",
            "use a newer Weft (pip install --upgrade weft-engine), or submit the job into another folder with --out",
            "unsupported-version",
        )
