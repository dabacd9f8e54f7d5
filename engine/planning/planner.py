"""What will run, what is cached, what is undecided, and why: steps, which `weft plan` prints and `run` executes.

A node is looked up twice. First by its *recipe key*, from the wanted nodes upwards: if the store has a result under it,
nothing above the node is looked up. Then by its *content key*: the recipe is new, but equal values may have arrived at
the node before, so its result may be stored (early cutoff). Below a node that will run, values and so content keys are
not known yet. Such a node will certainly run if neither the store nor an earlier node of the plan has its *partial key*
(its type and literals); otherwise it is undecided until the nodes above it, or that earlier node, have run.

A node of an item that cannot run (`Checked.refused`) is refused, with the nodes that need it: it fails in a run.

A node that waits for a value which decides its inputs (`Checked.pending`) is undecided until the value is computed. So
are the nodes that only it needs: those of a branch that may not be taken, and the placeholders of list items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from weft.engine.checking.checker import Checked, ancestors, certain, deciding, is_placeholder
from weft.engine.errors import ChangedFile
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Link
from weft.engine.keys import Digest
from weft.engine.mimebundle import Displayed
from weft.engine.planning.call_keys import CallKeys, call_keys
from weft.engine.planning.last_run import Snapshot, changes, memo
from weft.engine.planning.memory_needs import MemoryForecast, MemoryKeys, MemoryNeed, Room
from weft.engine.planning.pace import Pace, pace_of
from weft.engine.quantities import shown_size
from weft.engine.spec.call import Call
from weft.engine.spec.changing import ALWAYS, as_of_now
from weft.engine.spec.workload import Work
from weft.engine.store import CorruptRecord, CostNote, MemoryNote, Note, PaceNote, Record, ResultNote, Store
from weft.engine.store.notes import N
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.resources import HashedResource
from weft.engine.weights.streaming import Streaming

State = Literal["run", "cached", "undecided", "refused", "unneeded"]


class Step(NamedTuple):
    """One node of a plan.

    Args:
        keys: what its keys are made of.
        recipe: its recipe key.
        partial: its partial key, where its recipe is new.
        content: its content key, where every value that arrives is known already.
        state: `run`; `cached`; `undecided` until the nodes in `after` have run; `refused` where it cannot run; or
            `unneeded` where everything that would take from it is cached.
        reason: why, in words.
        tier: the store that has it, where it is cached.
        expected: the seconds that it will take, by earlier calls; None where it will not run, and where nothing like
            it ever did.
        after: the nodes that run before an undecided one is decided.
        found: its files with their digests, by the name that the graph gives.
        record: its stored result, where it is cached.
        damage: why its stored result cannot be used, where there is one.
        pace: what its time is estimated by, where it may run.
        memory_key: under which a store knows what memory it needs, where it may run and uses a device.
        memory: what it needs, by calls like it; None where that is not known.
    """

    call: Call
    keys: CallKeys
    recipe: Digest
    partial: Digest | None
    content: Digest | None
    state: State
    reason: str
    tier: str = ""
    expected: float | None = None
    after: tuple[str, ...] = ()
    found: Mapping[str, HashedResource] = MappingProxyType({})
    record: Record | None = None
    damage: str = ""
    pace: Pace | None = None
    memory_key: Digest | None = None
    memory: MemoryNeed | None = None

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        names = ("state", "reason", "tier", "expected", "after", "recipe", "content")
        found = {"node": self.call.id, "type": self.call.type.name, **{name: getattr(self, name) for name in names}}
        return {**found, "memory": self.memory.plain() if self.memory else None}


@dataclass(frozen=True)
class Plan(Displayed):
    """What a run will do: its steps in topological order.

    Args:
        waits: for each node, the nodes whose values decide its inputs or whether it is needed.
    """

    checked: Checked
    settings: Mapping[str, str]
    steps: tuple[Step, ...]
    waits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, *states: State) -> Iterator[Step]:
        """The steps in these states."""
        return (step for step in self.steps if step.state in states)

    @property
    def runs(self) -> bool:
        """Whether anything of it may run."""
        return next(self.of("run", "undecided"), None) is not None

    @property
    def resources(self) -> Iterator[HashedResource]:
        """The files that the graph names, hashed."""
        return (found for step in self.steps for found in step.found.values())

    @property
    def contents(self) -> dict[str, Digest]:
        """The digests of the files that the graph names, by name."""
        return {name: found.digest for step in self.steps for name, found in step.found.items()}

    @property
    def origins(self) -> dict[str, str]:
        """Digests of all that its keys are made of apart from the graph: node types, and the files that they read."""
        found: dict[str, str] = {}
        for step in self.steps:
            type = step.call.type
            found[f"node type {type.name}"] = type.identity_digest
            found |= {f"`{name}` of {type.name}": one.digest for name, one in step.found.items()}
        return found

    @property
    def expected(self) -> float | None:
        """The seconds that all that may run will take; None where nothing like some part of it ever ran."""
        seconds = [step.expected for step in self.of("run", "undecided")]
        known = [one for one in seconds if one is not None]
        return sum(known) if len(known) == len(seconds) else None

    @property
    def peak(self) -> int | None:
        """The most bytes of the device's memory that a step needs, of those of which it is known; None for none."""
        return max((step.memory.peak for step in self.steps if step.memory), default=None)

    @property
    def summary(self) -> str:
        """`2 to run, 5 cached, about 1.3 s, 6.9 GB of memory at most`."""
        counts = {state: len([*self.of(state)]) for state in get_args(State)}
        words = {**{state: state for state in counts}, "run": "to run", "unneeded": "not needed"}
        total = ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count or state == "run")
        seconds = f", about {self.expected:.1f} s" if self.expected and self.expected >= 0.05 else ""
        return total + seconds + (f", {shown_size(self.peak)} of memory at most" if self.peak else "")

    def __str__(self) -> str:
        width = max((len(step.call.id) for step in self.steps), default=0)
        lines = [f"{step.call.id:<{width}}  {step.state:<9}  {_timed(step)}" for step in self.steps]
        return "\n".join([*lines, self.summary])

    def __repr__(self) -> str:
        return f"Plan({self.summary})"


def _timed(step: Step) -> str:
    seconds = f"about {step.expected:.2f} s" if step.expected and step.expected >= 0.005 else ""
    memory = str(step.memory) if step.memory and step.memory.peak else ""
    estimates = ", ".join(filter(None, (seconds, memory)))
    return step.reason + (f" ({estimates})" if estimates else "")


def with_memory(
    steps: Sequence[Step], known: Callable[[Digest], MemoryNote | None], rooms: Callable[[], Sequence[Room]]
) -> Sequence[Step]:
    """Steps with what they need of their device's memory.

    Args:
        known: what calls under a memory key need.
        rooms: finds what a run may use of each device; asked where something is known.
    """
    notes = [known(step.memory_key) if step.memory_key else None for step in steps]
    if not any(notes):
        return steps
    forecast = MemoryForecast(*rooms())
    pairs = zip(steps, notes, strict=True)
    return [step._replace(memory=forecast.need(note)) if note else step for step, note in pairs]


@paused_collection()
def plan(
    checked: Checked,
    store: Store,
    settings: Mapping[str, str],
    digests: FileDigests,
    last: Snapshot | None = None,
    device: str = "cpu",
    rooms: Callable[[], Sequence[Room]] = lambda: (Room(),),
    streaming: Streaming = "none",
) -> Plan:
    """Decide what a checked graph will run.

    Args:
        checked: a graph without problems.
        store: where results are looked up.
        settings: the resolved engine settings by name (`precision`).
        digests: hashes the files that the graph names, each once.
        last: the last run of the same graph, for reasons.
        device: that it will run on, for estimates of time.
        rooms: finds what it may use of the memory of each device.
        streaming: which parts of networks are sent to the device as they run, whatever there is room for.

    Raises:
        ChangedFile: where a file is gone since the graph was checked, or somebody goes on writing it.
        InputError: where a file cannot be read.
    """
    return _Planner(checked, store, settings, digests, last, device, rooms, streaming).plan()


@dataclass
class _Node:
    """A node while it is planned."""

    call: Call
    found: Mapping[str, HashedResource]
    keys: CallKeys
    recipe: Digest
    partial: Digest | None = None
    content: Digest | None = None
    record: Record | None = None
    state: State = "unneeded"
    after: tuple[str, ...] = ()
    damage: str = ""


class _Planner:
    def __init__(
        self,
        checked: Checked,
        store: Store,
        settings: Mapping[str, str],
        digests: FileDigests,
        last: Snapshot | None,
        device: str,
        rooms: Callable[[], Sequence[Room]],
        streaming: Streaming,
    ) -> None:
        self.checked = checked
        self.store = store
        self.settings = settings
        self.digests = digests
        self.last = last
        self.device = device
        self.rooms = rooms
        self.memory_keys = MemoryKeys(
            checked.calls, settings, lambda id, text: self.nodes[id].found[text].digest, streaming
        )
        self.nodes: dict[str, _Node] = {}
        self.unsettled: set[str] = set()
        self.uncertain: set[str] = set()
        self.waits: dict[str, tuple[str, ...]] = {}
        self.refused: dict[str, str] = {}
        self.running: dict[Digest, str] = {}
        self.notes: dict[Digest, Note | None] = {}
        self.first: set[Digest] = set()
        self.paces: dict[tuple[Any, ...], Pace] = {}

    def plan(self) -> Plan:
        needed = ancestors(self.checked.calls, self.checked.wanted)
        for id, call in self.checked.calls.items():
            if id in needed:
                self.nodes[id] = self._keyed(call)
        self.digests.save()
        self._find_refused()
        self._find_always()
        missed = self._missed_while_pending() if self.checked.pending else self._missed()
        for id in missed:
            self._decide(self.nodes[id])
        self._drop_unneeded()
        steps = [self._step(node) for node in self.nodes.values()]
        known = with_memory(steps, lambda key: self._note(key, MemoryNote), self.rooms)
        return Plan(self.checked, self.settings, tuple(known), self.waits)

    def _keyed(self, call: Call) -> _Node:
        call = as_of_now(call, self.checked.calls) if call.type.traits else call
        found = {text: self.digests.of(one) for text, one in call.resources.items()} if call.resources else {}
        keys = call_keys(call, found, self.settings)
        return _Node(call, found, keys, keys.recipe(self._recipe))

    def _recipe(self, id: str) -> Digest:
        return self.nodes[id].recipe

    def _find_refused(self) -> None:
        """Find the nodes that cannot run, and those that need them, each with the one that is at fault."""
        for id, node in self.nodes.items() if self.checked.refused else ():
            above = (self.refused[link.node] for _, link in node.call.links if link.node in self.refused)
            fault = id if id in self.checked.refused else next(above, None)
            if fault is not None:
                self.refused[id] = fault

    def _missed_while_pending(self) -> list[str]:
        """As `_missed`, with the nodes that decide about others first, since they run first."""
        self._find_unsettled()
        calls, pending = self.checked.calls, self.checked.pending
        first = ancestors(calls, deciding(self.checked).wanted)
        then = ancestors(calls, (link.node for links in pending.values() for link in links), pending)
        return sorted(self._missed(), key=lambda id: (id not in first, id not in then))

    def _find_always(self) -> None:
        """Find the nodes whose recipe says nothing of their result, with all below them: they run each time."""
        for id, node in self.nodes.items() if any(one.call.state for one in self.nodes.values()) else ():
            if node.call.state == ALWAYS or any(link.node in self.unsettled for _, link in node.call.links):
                self.unsettled.add(id)

    def _find_unsettled(self) -> None:
        """Find the nodes whose recipe is not known yet, and those that may turn out not to be needed."""
        for id, node in self.nodes.items():
            if id in self.checked.pending or any(link.node in self.unsettled for _, link in node.call.links):
                self.unsettled.add(id)
        self.uncertain = self.nodes.keys() - {id for id in certain(self.checked) if not is_placeholder(id)}
        self._find_waits()

    def _find_waits(self) -> None:
        """Find, for each node, the nodes whose values decide its inputs or whether it is needed."""
        needed_once: dict[str, dict[str, None]] = {}
        for id in reversed(self.nodes):
            links = [link.node for _, link in self.nodes[id].call.links]
            items = [link for link in links if is_placeholder(link)]
            waits_for = [id] if id in self.checked.pending else items
            own = dict.fromkeys(link.node for one in waits_for for link in self.checked.pending[one])
            needed = needed_once.get(id, {})
            if own or needed:
                self.waits[id] = tuple({**own, **needed})
            for source in {**dict.fromkeys(links), **own}:
                if source in self.uncertain:
                    needed_once.setdefault(source, {}).update(needed if source in own else {**own, **needed})

    def _missed(self) -> list[str]:
        """The needed nodes whose recipe the store does not know, in topological order."""
        asked, missed = set(self.checked.wanted), []
        for id in reversed(self.nodes):
            if id not in asked:
                continue
            node = self.nodes[id]
            settled = id not in self.unsettled and id not in self.uncertain and id not in self.refused
            node.content = self._recalled(node.recipe) if settled else None
            if not self._look_up(node):
                missed.append(id)
                asked.update(link.node for _, link in node.call.links)
        return missed[::-1]

    def _note(self, key: Digest, kind: type[N]) -> N | None:
        """The store's note under a key, asked for once in a plan."""
        try:
            note = self.notes[key]
        except KeyError:
            note = self.notes[key] = self.store.recall(key, kind)
        return note if isinstance(note, kind) else None

    def _recalled(self, recipe: Digest) -> Digest | None:
        note = self._note(recipe, ResultNote)
        return note.content if note else None

    def _look_up(self, node: _Node) -> bool:
        """Whether the store has the record under the node's content key; if so the node is cached."""
        if node.content is None:
            return False
        try:
            record = self.store.get(node.content) if self.store.has(node.content) else None
            if record is not None:
                record.check(node.content, node.call.type.name, node.call.type.outputs)
            node.record = record
        except CorruptRecord as damage:
            node.damage = damage.reason
        if node.record is not None:
            node.state = "cached"
        return node.record is not None

    def _decide(self, node: _Node) -> None:
        """Whether a node whose recipe is new is cached by content, will run, or is undecided."""
        if node.call.id in self.refused:
            node.state = "refused"
            return
        if node.call.id in self.waits:
            node.state, node.after = "undecided", self.waits[node.call.id]
            return
        if node.call.state == ALWAYS:
            node.partial, node.state = node.keys.partial(), "run"
            return
        above = dict.fromkeys([link.node for _, link in node.call.links])
        unknown = tuple([id for id in above if self.nodes[id].record is None])
        if unknown:
            node.content = None
        else:
            node.content = self._content(node)
            if self._look_up(node):
                return
        node.partial = node.keys.partial()
        twin = self.running.setdefault(node.partial, node.call.id)
        if twin != node.call.id:
            node.state, node.after = "undecided", (*unknown, twin)
        elif unknown and self._note(node.partial, CostNote) is not None:
            node.state, node.after = "undecided", unknown
        else:
            node.state = "run"

    def _content(self, node: _Node) -> Digest:
        def digest_of(link: Link) -> Digest:
            record = self.nodes[link.node].record
            assert record is not None and link.output is not None
            return record.outputs[link.output].digest

        return node.keys.content(digest_of)

    def _drop_unneeded(self) -> None:
        """Keep what wanted nodes need: a node that may run needs all that is above it, a cached one nothing.

        A refused one needs what is refused above it.
        """
        needed = set(self.checked.wanted)
        for id in reversed(self.nodes):
            node = self.nodes[id]
            if id not in needed:
                node.state, node.record = "unneeded", None
            elif node.state != "cached":
                above = (link.node for _, link in node.call.links)
                needed.update(one for one in above if node.state != "refused" or one in self.refused)

    def _step(self, node: _Node) -> Step:
        pace = self._pace(node) if node.state in ("run", "undecided") else None
        return Step(
            node.call,
            node.keys,
            node.recipe,
            node.partial,
            node.content,
            node.state,
            self._reason(node),
            node.record.tier if node.record else "",
            self._expected(node, pace) if node.state in ("run", "undecided") else None,
            node.after,
            node.found,
            node.record,
            node.damage if node.state == "run" else "",
            pace,
            self.memory_keys.of(node.call.id) if pace and node.call.type.lane == "gpu" else None,
        )

    def _pace(self, node: _Node) -> Pace:
        """What the time of a node is estimated by; of all alike only the first one may be the first of the process."""
        type = node.call.type
        pace = self.paces.get(type.identity)
        if pace is None:
            pace = pace_of(node.call, self.checked.calls, self.settings, self.device)
            if type.trait(Work) is None:  # then all calls of the type are alike
                self.paces[type.identity] = replace(pace, first=False)
        if not pace.first:
            return pace
        again = pace.key in self.first
        self.first.add(pace.key)
        return replace(pace, first=False) if again else pace

    def _expected(self, node: _Node, pace: Pace | None) -> float | None:
        """The seconds that a node will take, by calls of its kind, by its own last one, or by those of its type."""
        if pace is None:
            return None
        seconds = pace.estimate(self._note(pace.key, PaceNote))
        if seconds is None and node.partial and (note := self._note(node.partial, CostNote)):
            seconds = note.seconds
        return pace.estimate(self._note(pace.loose, PaceNote)) if seconds is None else seconds

    def _reason(self, node: _Node) -> str:
        if node.state == "unneeded":
            return "all its consumers are cached"
        if node.state == "refused":
            own = self.checked.refused.get(node.call.id)
            return own[0].message if own else f"it needs `{self.refused[node.call.id]}`"
        if node.state == "cached" and node.record:
            return f"in the {node.record.tier} store"
        if node.state == "run" and node.damage:
            return f"its stored result cannot be used: {node.damage}"
        changed = self._changes(node)
        if node.call.state == ALWAYS:
            return "it runs each time, as its class says"
        running = tuple([id for id in dict.fromkeys([link.node for _, link in node.call.links]) if self._may_run(id)])
        if node.state == "undecided":
            return ", ".join([*changed, f"depends on the result of {listed_ids(node.after)}"])
        if changed:
            return ", ".join(changed)
        if running:
            runs = f"{listed_ids(running)} {'run' if running[1:] else 'runs'}"
            return f"upstream {listed_ids(running)} changed" if self.last else runs
        return "its result is not in the store any more" if self._was_kept(node) else "not in the store"

    def _changes(self, node: _Node) -> tuple[str, ...]:
        return changes(memo(node.call, node.found), self.last.get(node.call.id)) if self.last is not None else ()

    def _may_run(self, id: str) -> bool:
        return self.nodes[id].state in ("run", "undecided")

    def _was_kept(self, node: _Node) -> bool:
        return self._recalled(node.recipe) is not None


def raise_if_changed(before: Plan, after: Plan) -> None:
    """Raise `ChangedFile` where two plans of parts of one run go by different contents of a file.

    Values that the first part computed decide what the second one does, so both must have read the same.
    """
    known = {(step.call.type.name, name): found.digest for step in before.steps for name, found in step.found.items()}
    for step in after.steps:
        for name, found in step.found.items():
            if known.get((step.call.type.name, name), found.digest) != found.digest:
                raise ChangedFile(str(found.resolved.root))


def listed_ids(ids: tuple[str, ...]) -> str:
    """`` `a`, `b` `` with a count after three."""
    shown = ", ".join(f"`{id}`" for id in ids[:3])
    return shown + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
