"""What steps need of their device's memory, by calls like them; whether it fits, and what a run does where it does not.

Asks a store and imports no torch. `weft.engine.running.dry_run` counts what no store knows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from weft.engine.graph.graph import Link
from weft.engine.keys import Digest, memory_key, reference
from weft.engine.quantities import shown_size
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.workload import MemoryUse
from weft.engine.store import MemoryNote
from weft.engine.weights.savings import SAVINGS, WORDS


@dataclass(frozen=True, slots=True)
class Room:
    """What a run may use of its device.

    Args:
        memory: bytes in all; None where they are not known.
        weights: bytes of weights that it may hold; None has no limit.
    """

    memory: int | None = None
    weights: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a step needs of its device's memory.

    Args:
        peak: the most bytes at once.
        weights: bytes of the weights that it uses.
        fits: whether the device has as many; None where that is not known.
        action: what is done so that it fits, in words; empty where nothing is.
    """

    peak: int
    weights: int
    fits: bool | None = None
    action: str = ""

    @property
    def work(self) -> int:
        """Bytes besides the weights: what they are loaded through, or what the step computes with."""
        return max(self.peak - self.weights, 0)

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "work": self.work}

    def __str__(self) -> str:
        missing = ", which the device does not have" if self.fits is False else ""
        return f"{shown_size(self.peak)} of memory{missing}" + (f", {self.action}" if self.action else "")


class MemoryKeys:
    """The keys under which a store knows what calls of a graph need.

    Args:
        calls: every call of the graph, by id.
        settings: the resolved engine settings.
        content: gives the digest of a file that a call names.
    """

    def __init__(
        self, calls: Mapping[str, Call], settings: Mapping[str, str], content: Callable[[str, str], Digest]
    ) -> None:
        self.calls = calls
        self.settings = settings
        self.content = content
        self._known: dict[str, Digest] = {}

    def of(self, id: str) -> Digest:
        """The key of a call: equal where type, inputs that count, files by structure and all above are equal."""
        order, waiting = [], [id]
        while waiting:
            call = self.calls[waiting.pop()]
            if call.id not in self._known:
                order.append(call)
                waiting += [link.node for _, link in call.links if link.node in self.calls]
        for call in reversed(order):
            self._known[call.id] = self._key(call)
        return self._known[id]

    def _key(self, call: Call) -> Digest:
        links = [(name, self._linked(link)) for name, link in call.links]
        files = {name: self._file(call, name, given) for name, given in call.inputs.items() if self._names(call, name)}
        literals = {
            name: given
            for name, given in call.inputs.items()
            if name not in files and not isinstance(given, (Link, Gather))
        }
        use = call.type.trait(MemoryUse)
        counted = dict(use.counted(literals)) if use else literals
        chosen = {name: self.settings[name] for name in call.type.settings}
        return memory_key((call.type.identity, chosen, links, files, counted))

    def _names(self, call: Call, name: str) -> bool:
        """Whether an input names a file."""
        given = call.inputs[name]
        return call.type.inputs[name].resource is not None and type(given) is str and given in call.resources

    def _file(self, call: Call, name: str, text: str) -> tuple[str, str]:
        resource = call.type.inputs[name].resource
        structure = resource.structure(call.resources[text]) if resource else ""
        return ("structure", structure) if structure else ("content", self.content(call.id, text))

    def _linked(self, link: Link) -> Any:
        key = self._known.get(link.node)
        return reference("link", key, link.output) if key and link.output else str(link)


class MemoryForecast:
    """Follows what a device holds from step to step.

    Args:
        room: of the device.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._held: OrderedDict[str, int] = OrderedDict()

    def need(self, note: MemoryNote) -> MemoryNeed:
        """What the next step needs, where calls like it needed what a note says."""
        own = dict(note.weights)
        weights = sum(own.values())
        evicted = self._evicted(own, weights, note.peak)
        self._held.update(own)
        for what in own:
            self._held.move_to_end(what)
        has = self.room.memory
        fits = None if has is None else note.peak <= has
        if fits is False:
            way = next((one for one in SAVINGS if one in note.savings), None)
            action = f"so it runs {WORDS[way]}" if way else ""
        else:
            action = f"after {shown_size(evicted)} of other weights are evicted" if evicted else ""
        return MemoryNeed(note.peak, weights, fits, action)

    def _evicted(self, own: Mapping[str, int], weights: int, peak: int) -> int:
        """Evict what is not used, oldest first, until weights are within their room and all within the memory."""
        evicted = 0
        for what in [one for one in self._held if one not in own]:
            others = sum(size for one, size in self._held.items() if one not in own)
            within = self.room.weights is None or others + weights <= self.room.weights
            if within and (self.room.memory is None or others + peak <= self.room.memory):
                break
            evicted += self._held.pop(what)
        return evicted
