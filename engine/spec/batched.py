"""Node types that make several calls of another one at once: `KSamplerBatch` gives the results of several `KSampler`s.

A library defines one in addition to the single type. A job with a batch size replaces calls that differ only in list
inputs of it by one such call and a `Choose` for each result (`weft.engine.farm.merge.batching`). Calls of several runs
of an engine that wait for a device are made by it at once (`weft.engine.running.joint_calls`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from weft.engine.errors import CatalogError, InputError, listed
from weft.engine.limits import Limits
from weft.engine.spec.call import Gather
from weft.engine.spec.node import REQUIRED, BatchSpec, Check, Fits, Input, NodeProblem, NodeType, Output
from weft.engine.spec.upstream import Upstream
from weft.engine.spec.workload import Work, Workload
from weft.engine.types import ListOf

Together = Callable[[Callable[..., Any], Sequence[Mapping[str, Any]]], Sequence[Any]]
"""Takes the single function and the values of each call, by input; returns the result of each call, in order."""


def batched(
    single: Any,
    inputs: Sequence[str],
    run: Together,
    alike: Callable[[Mapping[str, Any]], Hashable] = lambda values: (),
    items: Callable[[Mapping[str, Any]], int] = lambda values: 1,
) -> NodeType:
    """The node type that makes calls of `single` together; it is named after it and keeps its version.

    Args:
        single: a node type with one output.
        inputs: those in which the calls may differ; each becomes a list with one element for each call.
        run: makes the calls. Each result must equal what `single` gives for that call alone, since keys are shared.
        alike: what calls have in common that `run` makes faster together than one by one, by their values; None where
            a call goes by itself. It counts for calls of several runs alone; `run` takes any.
        items: how many items of a batch the values of a call are.

    Raises:
        CatalogError: where the node type has several outputs or not these inputs.
    """
    type = cast(NodeType, single)
    unknown = [name for name in inputs if name not in type.inputs]
    if unknown or len(type.outputs) != 1:
        found = f"it has no input {listed(unknown)}" if unknown else f"it has {len(type.outputs)} outputs"
        raise CatalogError(f"calls of {type.name} cannot be made together: {found}")

    function = _together(type, inputs, run)
    return replace(
        type,
        name=function.__name__,
        function=function,
        inputs={name: _listed(one) if name in inputs else one for name, one in type.inputs.items()},
        outputs={name: Output(name, ListOf(one.type)) for name, one in type.outputs.items()},
        check=_check(type.check, inputs) if type.check else None,
        fits=_fits(type.fits, inputs) if type.fits else None,
        lazy=None,
        instant=False,
        batch=BatchSpec(type.name, tuple(inputs), alike, items),
        traits=tuple(_work(one, inputs) if isinstance(one, Work) else one for one in type.traits),
        signature=_required(type.signature, inputs),
    )


def batched_type(single: NodeType, catalog: Mapping[str, NodeType]) -> NodeType | None:
    """The node type that makes calls of `single` together, found by its name; None where there is none."""
    found = catalog.get(_name(single))
    return found if found and found.batch and found.batch.of == single.name else None


def _name(single: NodeType) -> str:
    return f"{single.name}Batch"


def _together(type: NodeType, inputs: Sequence[str], run: Together) -> Callable[..., list[Any]]:
    def together(**given: Any) -> list[Any]:
        lists = {name: given[name] for name in inputs}
        lengths = {name: len(elements) for name, elements in lists.items()}
        if len({*lengths.values()}) > 1:
            counts = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
            raise InputError(f"the lists differ in length: {counts}", "give one element for each call", "unequal-lists")
        calls = [{**given, **dict(zip(lists, own, strict=True))} for own in zip(*lists.values(), strict=True)]
        return [*run(type.function, calls)]

    together.__name__, together.__module__ = _name(type), type.function.__module__
    together.__doc__ = f"Several calls of {type.name}, made together: a list for each of {listed(inputs)}."
    return together


def _check(single: Check, inputs: Sequence[str]) -> Check:
    """The static check of the literals of every call; each problem once."""

    def check(literals: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
        return {problem: None for own in _each(literals, inputs) for problem in single(own, limits)}

    return check


def _fits(single: Fits, inputs: Sequence[str]) -> Fits:
    """The static check of every call against upstream nodes; each problem once."""

    def fits(upstream: Upstream) -> Iterable[NodeProblem]:
        calls = (replace(upstream.call, inputs=own) for own in _each(upstream.call.inputs, inputs))
        return {problem: None for call in calls for problem in single(Upstream(call, upstream.calls))}

    return fits


def _work(single: Work, inputs: Sequence[str]) -> Work:
    """The amounts of work of all calls together."""

    def find(upstream: Upstream) -> Workload:
        calls = (replace(upstream.call, inputs=own) for own in _each(upstream.call.inputs, inputs))
        loads = [single.find(Upstream(call, upstream.calls)) for call in calls]
        return Workload(tuple(map(sum, zip(*(load.amounts for load in loads), strict=True))), loads[0].kind)

    return Work(find)


def _each(given: Mapping[str, Any], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The inputs of each call, without those whose lists are not known yet."""
    common = {name: one for name, one in given.items() if name not in names}
    items = {name: one.items if isinstance(one, Gather) else one for name in names if (one := given.get(name))}
    lists = {name: one for name, one in items.items() if isinstance(one, (list, tuple))}
    for own in zip(*lists.values(), strict=False) if lists else [()]:
        yield {**common, **dict(zip(lists, own, strict=True))}


def _listed(one: Input) -> Input:
    return Input(one.name, ListOf(one.type), REQUIRED, f"One for each call: {one.help}")


def _required(signature: inspect.Signature, names: Sequence[str]) -> inspect.Signature:
    """The signature by name alone, with no defaults for these."""
    named = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=REQUIRED if name in names else one.default)
        for name, one in signature.parameters.items()
    ]
    return signature.replace(parameters=named)
