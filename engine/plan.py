"""What will run, what is cached, and why: records, which `weft plan` prints and `run` executes.

Keys of every node that something wanted depends on are computed in topological order; then, from the wanted nodes
upwards, a node is needed where it is wanted or a node that will run takes from it. A needed node whose key is in the
store is cached, and asks nothing of what is above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from weft.engine.call import Call, Gather
from weft.engine.check import Checked
from weft.engine.graph import Link
from weft.engine.keys import Digest, recipe_key
from weft.engine.resources import FileDigests, Found
from weft.engine.store import Damaged, Store

State = Literal["run", "cached", "unneeded"]


@dataclass(frozen=True)
class Step:
    """One node of a plan.

    Args:
        key: its recipe key.
        state: `run`, `cached`, or `unneeded` where everything that would take from it is cached.
        reason: why, in words.
        tier: the store that has it, where it is cached.
        found: its files with their digests, by the name that the graph gives.
        damage: why its stored result cannot be used, where there is one.
    """

    call: Call
    key: Digest
    state: State
    reason: str
    tier: str = ""
    found: Mapping[str, Found] = field(default_factory=dict)
    damage: str = ""

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        names = ("state", "reason", "tier", "key")
        return {"node": self.call.id, "type": self.call.type.name, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Plan:
    """What a run will do: its steps in topological order."""

    checked: Checked
    steps: tuple[Step, ...]

    def of(self, state: State) -> Iterator[Step]:
        """The steps in this state."""
        return (step for step in self.steps if step.state == state)

    def __str__(self) -> str:
        width = max((len(step.call.id) for step in self.steps), default=0)
        lines = [f"{step.call.id:<{width}}  {step.state:<8}  {step.reason}" for step in self.steps]
        run, cached = len([*self.of("run")]), len([*self.of("cached")])
        return "\n".join([*lines, f"{run} to run, {cached} cached, {len(self.steps) - run - cached} not needed"])


def plan(checked: Checked, store: Store, settings: Mapping[str, str], digests: FileDigests) -> Plan:
    """Decide what a checked graph will run.

    Args:
        checked: a graph without problems.
        store: where results are looked up.
        settings: the resolved engine settings by name (`precision`).
        digests: hashes the files that the graph names, each once.
    """
    above = _ancestors(checked)
    keys: dict[str, Digest] = {}
    found: dict[str, dict[str, Found]] = {}
    for id in above:
        call = checked.calls[id]
        found[id] = {text: Found(one, digests.of(one)) for text, one in call.resources.items()}
        keys[id] = _key(call, keys, found[id], settings)
    tiers, damage = _needed(checked, above, keys, store)
    steps = (_step(checked.calls[id], keys[id], tiers, found[id], damage.get(id, "")) for id in above)
    return Plan(checked, tuple(steps))


def _ancestors(checked: Checked) -> list[str]:
    """The wanted nodes and everything that they depend on, in topological order."""
    seen = set(checked.wanted)
    stack = list(checked.wanted)
    while stack:
        for _, link in checked.calls[stack.pop()].links():
            if link.node not in seen:
                seen.add(link.node)
                stack.append(link.node)
    return [id for id in checked.calls if id in seen]


def _key(call: Call, keys: Mapping[str, Digest], found: Mapping[str, Found], settings: Mapping[str, str]) -> Digest:
    def keyed(name: str, given: Any) -> Any:
        if isinstance(given, Link):
            return ("link", keys[given.node], given.output)
        if isinstance(given, Gather):
            return ("gather", [keyed(name, item) for item in given.items])
        if call.type.inputs[name].resource is not None and given in found:
            return ("file", found[given].digest)
        return ("literal", given)

    chosen = {name: settings[name] for name in call.type.settings}
    return recipe_key(call.type.identity, chosen, {name: keyed(name, given) for name, given in call.inputs.items()})


def _needed(
    checked: Checked, above: list[str], keys: Mapping[str, Digest], store: Store
) -> tuple[dict[str, str | None], dict[str, str]]:
    """The needed nodes: for each the tier that has it, or None where it must run; and what is damaged, with how."""
    needed = set(checked.wanted)
    tiers: dict[str, str | None] = {}
    damage: dict[str, str] = {}
    for id in reversed(above):
        if id in needed:
            try:
                tiers[id] = store.has(keys[id])
            except Damaged as fault:
                tiers[id], damage[id] = None, fault.reason
            if tiers[id] is None:
                needed.update(link.node for _, link in checked.calls[id].links())
    return tiers, damage


def _step(call: Call, key: Digest, tiers: Mapping[str, str | None], found: Mapping[str, Found], damage: str) -> Step:
    if call.id not in tiers:
        return Step(call, key, "unneeded", "everything that takes from it is cached", found=found)
    tier = tiers[call.id]
    if tier:
        return Step(call, key, "cached", f"in the {tier} store", tier, found)
    if damage:
        return Step(call, key, "run", f"its stored result cannot be used: {damage}", found=found, damage=damage)
    running = next((link.node for _, link in call.links() if tiers.get(link.node, "") is None), None)
    reason = f"not in the store; `{running}` runs before it" if running else "not in the store"
    return Step(call, key, "run", reason, found=found)
