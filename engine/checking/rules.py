"""The rules that `weft.engine.checking.checker` holds a graph to: each finds the problems of one kind in a draft.

A rule changes nothing, so rules may run in any order; problems are reported in the order of `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from weft.engine.checking.bind import output_of, swapped
from weft.engine.checking.draft import Draft, Rule
from weft.engine.checking.unification import clashes
from weft.engine.errors import InputError, LiteralError, Problem, described, listed, nearest
from weft.engine.graph.graph import Link
from weft.engine.graph.traversal import circles, sources
from weft.engine.interrupts import is_interrupt
from weft.engine.refused_words import check_words
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.node import Gives, Input, NodeProblem
from weft.engine.spec.upstream import Upstream


def known_types(draft: Draft) -> Iterator[Problem]:
    """Every node's type is installed."""
    for id, node in draft.flat.nodes.items():
        if id not in draft.types:
            yield Problem(
                f"unknown node type `{node.type}`", draft.catalog.suggest(node.type), id, code="unknown-node-type"
            )


def known_inputs(draft: Draft) -> Iterator[Problem]:
    """Every input that is given exists, and every required one is given."""
    for id, node, type in draft.typed():
        for name in node.inputs:
            if name not in type.inputs:
                hint = nearest(name, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
                yield Problem(f"{type.name} has no input `{name}`", hint, id, name, code="unknown-input")
        for one in type.required:
            if one.name not in node.inputs and f"{id}.{one.name}" not in draft.reported:
                message = f"the required input `{one.name}` ({one.type}) is missing"
                yield Problem(message, _missing_hint(one), id, one.name, code="missing-input")


def _missing_hint(one: Input) -> str:
    if any(one.type.sockets()):
        return f'link it: "{one.name}": {{"link": "NODE"}} with an output of type {one.type}'
    return f'give it: "{one.name}": a value of type {one.type}'


def known_targets(draft: Draft) -> Iterator[Problem]:
    """Every input that a parameter sets exists, whether or not the parameter has a value."""
    for target in draft.flat.targets:
        node = draft.flat.nodes.get(target.node)
        type = draft.types.get(target.node)
        if node and type and target.input not in type.inputs and target.input not in node.inputs:
            message = f"parameter `{target.parameter}` sets `{target.input}`: {type.name} has no such input"
            hint = nearest(target.input, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
            yield Problem(message, hint, target.node, target.input, code="unknown-parameter-target")


def no_cycles(draft: Draft) -> Iterator[Problem]:
    """Links lead one way."""
    if not draft.order and draft.flat.nodes:
        for circle in circles(sources(draft.flat.nodes)):
            path = circle if len(circle) <= 30 else [*circle[:20], f"{len(circle) - 21:,} nodes", circle[-1]]
            yield Problem(f"a cycle: {' -> '.join(path)}", "remove one of these links", circle[0], code="cycle")


def fitting_inputs(draft: Draft) -> Iterator[Problem]:
    """Literals are of the declared type and in bounds, links lead to outputs of a fitting type."""
    for (id, name), fault in draft.refused.items():
        found = Problem.of(fault, id, name)
        yield replace(found, hint=swapped(draft, id, name) or found.hint)


def known_outputs(draft: Draft) -> Iterator[Problem]:
    """Every output of the graph leads somewhere."""
    for name, link in draft.flat.outputs.items():
        try:
            output_of(draft, link)
        except LiteralError as fault:
            yield Problem.of(fault, before=f"output `{name}` ")


def own_checks(draft: Draft) -> Iterator[Problem]:
    """Node types accept the literals of their nodes."""
    for call in draft.calls.values():
        if call.type.check:
            yield from found_by(call, partial(call.type.check, Upstream(call, draft.calls).literals, draft.limits))


def usable_files(draft: Draft) -> Iterator[Problem]:
    """Files that inputs name exist, can be read and are of the kind that is wanted."""
    for (id, name), fault in draft.unusable.items():
        yield Problem.of(fault, id, name)


def allowed_words(draft: Draft) -> Iterator[Problem]:
    """No text has a word that the settings refuse; texts that come over links are looked at in the run."""
    words = draft.limits.refused_words
    for id, call in draft.calls.items() if words else ():
        for name, given in call.inputs.items():
            if name not in call.type.inputs or call.type.inputs[name].resource is None:
                try:
                    for text in _texts(given):
                        check_words(text, words)
                except InputError as fault:
                    yield Problem.of(fault, id, name)


def _texts(given: object) -> Iterator[str]:
    """The texts in a literal."""
    parts = [given]
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Gather):
            parts += part.items
        elif isinstance(part, (list, tuple)) and not isinstance(part, Link):
            parts += part


UNKNOWN = "unknown"
"""The licence of a model whose files name none."""


def allowed_licences(draft: Draft) -> Iterator[Problem]:
    """No model has a licence that the settings refuse; one without is `unknown`."""
    refused = {licence.casefold() for licence in draft.limits.refused_licences}
    for id, call in draft.calls.items() if refused else ():
        for name, one in call.type.inputs.items() if call.resources else ():
            text = call.inputs.get(name)
            found = call.resources.get(text) if isinstance(text, str) and one.resource else None
            if found and found.kind and one.resource:
                licence = one.resource.details(found).get("licence", UNKNOWN)
                if licence.casefold() in refused:
                    message = f"`{text}` has the licence `{licence}`, which the settings refuse"
                    yield Problem(message, "use a model with another licence", id, name, code="refused-licence")


def one_family(draft: Draft) -> Iterator[Problem]:
    """Models, latents and conditionings that meet are of one family."""
    return clashes(draft.calls, draft.order)


def compatible_calls(draft: Draft) -> Iterator[Problem]:
    """Node types accept what their nodes are linked to, as far as it is known before a run."""
    for id in draft.order:
        call = draft.calls.get(id)
        if call and call.type.fits:
            yield from found_by(call, partial(call.type.fits, Upstream(call, draft.calls)))


def given_outputs(draft: Draft) -> Iterator[Problem]:
    """Links lead to outputs that the nodes give, as far as it is known before a run."""
    giving = {
        id: (call, trait)
        for id, call in draft.calls.items()
        if call.type.traits and (trait := call.type.trait(Gives)) is not None
    }
    ends = [(call.id, name, link) for call in draft.calls.values() for name, link in call.links] if giving else []
    ends += [("", name, link) for name, link in draft.flat.outputs.items()]
    for id, name, link in ends:
        if link.node not in giving or not link.output:
            continue
        call, trait = giving[link.node]
        given = trait.find(Upstream(call, draft.calls))
        if given is not None and link.output in call.type.outputs and link.output not in given:
            message = f"{'' if id else f'output `{name}` '}links to `{link}`, which this {call.type.name} does not give"
            hint = f"it gives: {listed(sorted(given))}" if given else "it gives nothing"
            yield Problem(message, hint, id, name if id else "", code="output-not-given")


def found_by(call: Call, find: Callable[[], Iterable[NodeProblem]]) -> list[Problem]:
    """The problems that a node type's own check finds; a problem of the node type where the check raises."""
    problems = []
    try:
        for found in find():
            problems.append(Problem(found.message, found.hint, call.id, found.input, code=found.code))
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        problems.append(failed_check(call, fault))
    return problems


def failed_check(call: Call, fault: BaseException) -> Problem:
    """The problem that a node type's own check, or its choice of the inputs that it needs, raised something."""
    message = f"the check of {call.type.name} failed: {described(fault)}"
    hint = "fix the node type; linked and refused inputs are not among its literals"
    return Problem(message, hint, call.id, code="failed-check")


def known_selection(draft: Draft) -> Iterator[Problem]:
    """Every node that is asked for with `only` exists."""
    nodes = draft.flat.nodes
    for id in draft.only:
        if id not in nodes:
            hint = nearest(id, nodes) or f"the nodes are: {listed(nodes)}"
            yield Problem(f"--only {id}: there is no such node", hint, code="unknown-node")


def something_to_run(draft: Draft) -> Iterator[Problem]:
    """There is a sink or an output, where everything of the graph is readable."""
    nodes = draft.flat.nodes
    readable = not draft.reported and len(draft.types) == len(nodes)
    if readable and not draft.only and not draft.wanted:
        found = (
            "no node of the graph is an output node (a sink, which returns an artifact)"
            if nodes
            else "the graph has no nodes"
        )
        message = f"nothing to run: {found}, and it names no `outputs`"
        hint = 'add a SaveImage node, or "outputs": {"NAME": {"link": "NODE"}}'
        yield Problem(message, hint, code="nothing-to-run")


RULES: tuple[Rule, ...] = (
    known_types,
    known_inputs,
    known_targets,
    no_cycles,
    fitting_inputs,
    known_outputs,
    own_checks,
    usable_files,
    allowed_words,
    allowed_licences,
    one_family,
    compatible_calls,
    given_outputs,
    known_selection,
    something_to_run,
)
"""Every rule, in the order in which problems are reported."""
