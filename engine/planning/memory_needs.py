"""What steps need of their device's memory, by calls like them; whether it fits, and what a run does where it does not.

Asks a store and imports no torch. `weft.engine.running.dry_run` counts what no store knows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from weft.engine.graph.graph import Link
from weft.engine.keys import Digest, EncodedBytes, memory_key, reference
from weft.engine.quantities import shown_size
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.workload import MemoryUse
from weft.engine.store import MemoryNote
from weft.engine.weights.savings import SAVINGS, WORDS, Saving
from weft.engine.weights.streaming import Streaming


@dataclass(frozen=True, slots=True)
class Room:
    """What a run may use of a device.

    Args:
        memory: bytes in all; None where they are not known.
        weights: bytes of weights that it may hold; None has no limit.
        device: its name, where there are several.
        alone: whether weights of other steps wait on the host while one runs.
    """

    memory: int | None = None
    weights: int | None = None
    device: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a step needs of its device's memory.

    Args:
        peak: the most bytes at once.
        weights: bytes of the weights that it uses.
        fits: whether the device has as many; None where that is not known.
        action: what is done so that it fits, in words; empty where nothing is.
        device: that it is foreseen for, where there are several.
        saving: in which way its call is made at once, so that it needs less; empty where it is made as it is.
    """

    peak: int
    weights: int
    fits: bool | None = None
    action: str = ""
    device: str = ""
    saving: Saving | Literal[""] = ""

    @property
    def work(self) -> int:
        """Bytes besides the weights: what they are loaded through, or what the step computes with."""
        return max(self.peak - self.weights, 0)

    def items_within(self, memory: int | None, items: int) -> int | None:
        """How many items of a batch go into some memory together; None where that is not known.

        Args:
            memory: bytes; a tenth of it is left, by which needs are uncertain.
            items: that the step has.
        """
        if memory is None or not self.work:
            return None
        return max((memory * 9 // 10 - self.weights) * items // self.work, items)

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "work": self.work}

    def __str__(self) -> str:
        missing = ", which the device does not have" if self.fits is False else ""
        where = f" of {self.device}" if self.device else " of memory"
        return f"{shown_size(self.peak)}{where}{missing}" + (f", {self.action}" if self.action else "")


class MemoryKeys:
    """The keys under which a store knows what calls of a graph need.

    Args:
        calls: every call of the graph, by id.
        settings: the resolved engine settings.
        content: gives the digest of a file that a call names.
        streaming: which parts of networks are sent to the device as they run, whatever there is room for.
    """

    def __init__(
        self,
        calls: Mapping[str, Call],
        settings: Mapping[str, str],
        content: Callable[[str, str], Digest],
        streaming: Streaming = "none",
    ) -> None:
        self.calls = calls
        self.settings = settings
        self.content = content
        self.streaming = streaming
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
        streamed = () if self.streaming == "none" else (self.streaming,)
        return memory_key((call.type.identity, chosen, links, files, counted, *streamed))

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
        return EncodedBytes(reference("link", key, link.output)) if key and link.output else str(link)


class MemoryForecast:
    """Follows what devices hold from step to step.

    A step goes where its weights are, and one whose weights are nowhere to the device that has most room, as in a run
    (`weft.engine.running.run_devices`) with one branch.

    Args:
        rooms: of the devices.
    """

    def __init__(self, *rooms: Room) -> None:
        self.rooms = rooms
        self._held: tuple[OrderedDict[str, int], ...] = tuple(OrderedDict() for _ in rooms)

    def need(self, note: MemoryNote) -> MemoryNeed:
        """What the next step needs, where calls like it needed what a note says."""
        own = dict(note.weights)
        place = self._place(own)
        room, held = self.rooms[place], self._held[place]
        weights = sum(own.values())
        evicted = _evicted(room, held, own, note.peak)
        held.update(own)
        for what in own:
            held.move_to_end(what)
        fits = None if room.memory is None else note.peak <= room.memory
        saving = _saving(note, room) if fits is False else ""
        return MemoryNeed(note.peak, weights, fits, _action(note, fits, evicted, room), room.device, saving)

    def _place(self, own: Mapping[str, int]) -> int:
        """The device that a step with these weights takes, by its number."""
        places = range(len(self.rooms))
        there = [place for place in places if own and own.keys() <= self._held[place].keys()]
        return there[0] if there else max(places, key=self._free)

    def _free(self, place: int) -> int:
        return (self.rooms[place].memory or 0) - sum(self._held[place].values())


def _evicted(room: Room, held: OrderedDict[str, int], own: Mapping[str, int], peak: int) -> int:
    """Evict what is not used, oldest first, until weights are within their room and all within the memory."""
    evicted, weights = 0, sum(own.values())
    for what in [one for one in held if one not in own]:
        others = sum(size for one, size in held.items() if one not in own)
        within = room.weights is None or others + weights <= room.weights
        if within and not room.alone and (room.memory is None or others + peak <= room.memory):
            break
        evicted += held.pop(what)
    return evicted


def _streams(note: MemoryNote, room: Room) -> bool:
    """Whether a step fits whose weights are sent to the device in parts, as far as there is no room for them."""
    if "blocks" not in note.savings or room.weights is None or room.memory is None:
        return False
    weights = sum(one.bytes for one in note.weights)
    return note.peak - max(weights - room.weights, 0) <= room.memory


def _saving(note: MemoryNote, room: Room) -> Saving | Literal[""]:
    """The way in which a step that does not fit is called; none where its weights alone are too many."""
    return "" if _streams(note, room) else next((one for one in SAVINGS if one in note.savings), "")


def _action(note: MemoryNote, fits: bool | None, evicted: int, room: Room) -> str:
    """What is done so that a step fits, in words."""
    if fits is False:
        way = "blocks" if _streams(note, room) else _saving(note, room)
        return f"so it runs {WORDS[way]}" if way else ""
    if evicted and room.alone:
        return f"while {shown_size(evicted)} of other weights wait on the host"
    return f"after {shown_size(evicted)} of other weights are evicted" if evicted else ""
