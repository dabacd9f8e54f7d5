"""Job files: a graph, what it is swept over, how its pictures are named and how often a failure is tried again.

    {
      "weft_job": 1,
      "graph": "../text_to_image.json",
      "sweep": {"prompt": {"file": "prompts.txt"}, "seed": {"count": 10}},
      "name": "{prompt_index:03}_{seed}"
    }

An axis is named by what it sets: a parameter of the graph or `node.input`. Axes make a product, in their order; those
in one list of `zip` are walked together. `values` reads their values, `items` expands them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError

from weft.engine.errors import GraphError, InputError, Problem, capped, few_suggestions, listed, nearest
from weft.engine.farm.sweep.axes import MAX_VALUES, gives_texts
from weft.engine.farm.sweep.axes import read as read_values
from weft.engine.farm.sweep.naming import template_fault
from weft.engine.graph import document
from weft.engine.graph.graph import Graph, set_twice
from weft.engine.graph.parsing import load_bytes, parse
from weft.engine.limits import Limits
from weft.engine.settings import MAX_SECONDS, resolve
from weft.engine.types import shown

VERSION = 1


class JobModel(BaseModel):
    """A job file, version 1."""

    model_config = ConfigDict(extra="forbid")

    schema_: StrictStr = Field("", alias="$schema", description="The schema that editors check this file by.")
    weft_job: StrictInt = Field(description="The version of the format of job files.")
    title: StrictStr = Field("", description="What the job is, in a few words.")
    description: StrictStr = Field("", description="What the job makes, for the people who run it.")
    graph: StrictStr | dict[str, Any] = Field(description="A graph file, by its path from the job file, or a graph.")
    sweep: dict[str, list[Any] | dict[str, Any]] = Field(
        {}, description="For each parameter or NODE.INPUT its values; the items are their product."
    )
    set: dict[StrictStr, Any] = Field({}, description="For each parameter or NODE.INPUT the value that all items have.")
    zip: list[list[StrictStr]] = Field([], description="Groups of axes that are walked together.")
    name: StrictStr = Field(
        "{index:04}_{key:8}", description="The name of a picture: {prompt_index:03}_{seed}_{key:8}."
    )
    retries: StrictInt = Field(2, ge=0, le=100, description="How often an item that failed is tried again.")
    on_out_of_memory: dict[StrictStr, Any] = Field(
        {}, description="What a parameter or NODE.INPUT is set to where an item runs out of memory, once: decode.tile."
    )
    max_failures: StrictInt = Field(0, ge=0, description="Failed items after which the job stops; 0 is never.")
    first: StrictInt = Field(
        0, ge=0, description="How many items are run before all others; where one of them fails the job stops."
    )
    batch: StrictInt = Field(
        1, ge=1, description="How many items that differ in texts and seeds alone are sampled at once."
    )
    item_timeout: Annotated[StrictFloat, Field(gt=0, le=MAX_SECONDS)] | None = Field(
        None, description="Seconds that an attempt at an item may take; one that takes longer has failed."
    )
    max_items: StrictInt = Field(100_000, ge=1, description="The most items that the sweep may have.")
    resources: dict[StrictStr, Annotated[StrictFloat, Field(gt=0)]] = Field(
        {}, description="What each worker takes of its machine on Ray: CPU, GPU, parts of one, names of the cluster."
    )
    priority: StrictInt = Field(0, description="Of the jobs that one worker is given, the greatest goes first.")


@dataclass(frozen=True)
class Axis:
    """One factor of the product: targets, and rows with a value for each."""

    targets: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Job:
    """A job as its file says it, values read.

    Args:
        graph: with what the job sets for all items.
        texts: targets whose values are texts from a file, whatever the type of the input.
        item_timeout: seconds that an attempt at an item may take; None without a limit.
    """

    graph: Graph
    axes: tuple[Axis, ...]
    name: str = "{index:04}_{key:8}"
    retries: int = 2
    max_failures: int = 0
    first: int = 0
    priority: int = 0
    title: str = ""
    folder: Path = Path()
    batch: int = 1
    resources: Mapping[str, float] = field(default_factory=dict)
    on_out_of_memory: Mapping[str, Any] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    item_timeout: float | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """What the sweep sets, in order."""
        return tuple(target for axis in self.axes for target in axis.targets)

    @property
    def count(self) -> int:
        """How many items the product has."""
        total = 1
        for axis in self.axes:
            total *= len(axis.rows)
        return total


def as_read(graph: Graph) -> Graph:
    """The graph of a job as it is."""
    return graph


def load(path: Path, types: Mapping[str, object] = document.NO_TYPES, part: Callable[[Graph], Graph] = as_read) -> Job:
    """Read a job file.

    Args:
        types: the node types that classes of another program's graph may be, by name.
        part: gives what is wanted of the job's graph.

    Raises:
        GraphError: with every problem of the job.
    """
    limit = resolve().limits.max_file_bytes
    try:
        content = load_bytes(path, limit)
    except GraphError as fault:
        raise GraphError(problem.within(str(path)) for problem in fault.problems) from None
    except OSError as fault:
        near = nearest(path.name, (one.name for one in path.parent.glob("*.json")))
        raise GraphError(
            [
                Problem(
                    f"cannot be read: {fault.strerror}",
                    near or "check the path",
                    file=str(path),
                    code="unreadable-file",
                )
            ]
        ) from None
    return read(content, path, limit, types, part)


@few_suggestions()
def read(
    content: bytes | str,
    path: Path,
    limit: int = Limits.max_file_bytes,
    types: Mapping[str, object] = document.NO_TYPES,
    part: Callable[[Graph], Graph] = as_read,
) -> Job:
    """The job that a JSON text says.

    Args:
        path: the file it comes from; its graph and files are looked up in its folder.
        limit: the greatest size that is read, in bytes.
        types: the node types that classes of another program's graph may be, by name.
        part: gives what is wanted of the job's graph.

    Raises:
        GraphError: with every problem of the job.
    """
    faults: list[Problem] = []
    try:
        model = _model(parse(content, faults, limit))
        problems: list[Problem] = []
        graph = _graph(model.graph, path.parent, types, problems)
        job = made(model, path.parent, part(graph) if graph else None, problems)
        if faults:
            raise GraphError([])
    except GraphError as fault:
        raise GraphError(problem.within(str(path)) for problem in capped([*faults, *fault.problems])) from None
    return job


def _model(tree: Any) -> JobModel:
    if not isinstance(tree, dict) or tree.get("weft_job") != VERSION:
        found = shown(tree.get("weft_job")) if isinstance(tree, dict) and "weft_job" in tree else "no version"
        hint = f'a job file begins {{"weft_job": {VERSION}; for one of a later version upgrade Weft'
        code = "unsupported-version" if isinstance(tree, dict) and "weft_job" in tree else "missing-key"
        raise GraphError([Problem(f"no job of version {VERSION}: {found}", hint, code=code)])
    return modelled(tree)


def modelled(tree: Mapping[str, Any]) -> JobModel:
    """The model of a job's parts.

    Raises:
        GraphError: with a problem for each part that is not what it should be.
    """
    try:
        return JobModel.model_validate(tree)
    except ValidationError as fault:
        raise GraphError(_translated(fault)) from None


def _translated(fault: ValidationError) -> Iterator[Problem]:
    known = [field.alias or name for name, field in JobModel.model_fields.items()]
    seen = set()
    for error in fault.errors(include_url=False):
        place = str(error["loc"][0])
        if place in seen:
            continue
        seen.add(place)
        if error["type"] == "extra_forbidden":
            yield Problem(
                f"unknown key `{place}`", nearest(place, known) or f"the keys are: {listed(known)}", code="unknown-key"
            )
        elif error["type"] == "missing":
            yield Problem(f"the key `{place}` is missing", "add it", code="missing-key")
        else:
            expected = error["msg"].removeprefix("Input should be ")
            yield Problem(f"`{place}`: expected {expected}, found {shown(error['input'])}", code="malformed-value")


def made(model: JobModel, folder: Path, graph: Graph | None, problems: Sequence[Problem] = ()) -> Job:
    """The job of a model: its values read.

    Args:
        folder: where its files are looked up.
        graph: of the job; None where it cannot be read.
        problems: of reading it.

    Raises:
        GraphError: with every problem of the job.
    """
    problems = [*problems]
    values = _values(model, folder, problems)
    problems += _unknown_targets(graph, "sweep over", model.sweep) if graph else ()
    problems += _unknown_targets(graph, "on_out_of_memory:", model.on_out_of_memory) if graph else ()
    graph = _with_fixed(graph, model, problems) if graph else None
    fault = template_fault(model.name, model.sweep)
    problems += [Problem.of(fault)] if fault else []
    axes = tuple(_axes(values, model.zip, problems))
    if problems or graph is None:
        raise GraphError(problems)
    job = Job(
        graph=graph,
        axes=axes,
        name=model.name,
        retries=model.retries,
        item_timeout=model.item_timeout,
        max_failures=model.max_failures,
        first=model.first,
        priority=model.priority,
        title=model.title or graph.title,
        folder=folder,
        batch=model.batch,
        resources=model.resources,
        on_out_of_memory=model.on_out_of_memory,
        texts=frozenset(target for target, source in model.sweep.items() if gives_texts(source)),
    )
    if job.count > model.max_items:
        hint = "make the sweep smaller, or raise `max_items`"
        count = f"{job.count:,}" if job.count < 10**18 else "10^18 and more"
        raise GraphError(
            [Problem(f"the sweep has {count} items, more than {model.max_items:,}", hint, code="too-many-items")]
        )
    return job


def _graph(
    given: str | dict[str, Any], folder: Path, types: Mapping[str, object], problems: list[Problem]
) -> Graph | None:
    try:
        if isinstance(given, str):
            return document.load(folder / given, types=types)
        return document.built(given, folder / "graph", types=types)
    except GraphError as fault:
        problems += fault.problems
        return None


def _with_fixed(graph: Graph, model: JobModel, problems: list[Problem]) -> Graph:
    """The graph with the values that all items have."""
    for target in model.set:
        if target in model.sweep:
            hint = "leave it out of `set` or of `sweep`"
            problems.append(Problem(f"`set` and `sweep` both give `{target}`", hint, code="set-twice"))
    overridden = set_twice(graph.parameters, [*model.sweep, *model.set])
    if found := [*_unknown_targets(graph, "set", model.set), *overridden]:
        problems += found
        return graph
    try:
        return graph.replace(model.set)
    except GraphError as fault:
        problems += fault.problems
        return graph


def _values(model: JobModel, folder: Path, problems: list[Problem]) -> dict[str, tuple[Any, ...]]:
    values: dict[str, tuple[Any, ...]] = {}
    count = 0
    for target, source in model.sweep.items():
        if count > MAX_VALUES:
            message = f"the axes have more than {MAX_VALUES:,} values together"
            problems.append(Problem(message, "make the sweep smaller", code="too-many-items"))
            break
        try:
            values[target] = read_values(source, folder)
            count += len(values[target])
        except InputError as fault:
            problems.append(Problem(f"sweep over `{target}`: {fault.message}", fault.hint, code=fault.code))
    return values


def _unknown_targets(graph: Graph, where: str, targets: Iterable[str]) -> Iterator[Problem]:
    """Targets that set nothing; inputs that a node type does not have are found by the checker."""
    for target in targets:
        node, dot, _ = target.partition(".")
        known = graph.nodes if dot else graph.parameters
        if node not in known:
            what = f"node `{node}`" if dot else "such parameter"
            names = listed(known) or "none"
            yield Problem(
                f"{where} `{target}`: the graph has no {what}",
                nearest(node, known) or f"there are: {names}",
                code="unknown-target",
            )


def _axes(
    values: Mapping[str, tuple[Any, ...]], groups: Sequence[Sequence[str]], problems: list[Problem]
) -> Iterator[Axis]:
    """The factors of the product in the order of the sweep, a group where its first axis stands."""
    group_of: dict[str, Sequence[str]] = {}
    for group in groups:
        for target in group:
            if target not in values or target in group_of:
                what = "stands in two groups" if target in group_of else "is not swept over"
                problems.append(
                    Problem(f"`zip` names `{target}`, which {what}", nearest(target, values), code="unknown-target")
                )
            group_of[target] = group
        lengths = {name: len(values[name]) for name in group if name in values}
        if len({*lengths.values()}) > 1:
            counts = listed(f"`{name}` has {length}" for name, length in lengths.items())
            problems.append(
                Problem(
                    f"axes that are walked together differ in length: {counts}",
                    "give as many of each",
                    code="unequal-lists",
                )
            )
    firsts = {next((one for one in group if one in values), "") for group in groups}
    for target in values:
        if target in group_of and target not in firsts:
            continue
        group = tuple(one for one in group_of.get(target, (target,)) if one in values)
        if target == group[0]:
            yield Axis(group, tuple(zip(*(values[one] for one in group), strict=False)))
