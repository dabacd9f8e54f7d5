"""The group of options that make an engine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weft.engine.cli import options
from weft.engine.cli.output import say
from weft.engine.device import OFFLOAD_WORDS, resolve_offload
from weft.engine.errors import InputError, listed
from weft.engine.quantities import size
from weft.engine.session import Engine
from weft.engine.settings import Settings, resolve


@dataclass(frozen=True)
class EngineOptions:
    """The options of every command that plans or runs."""

    device: options.Device = None
    precision: options.Precision = None
    weights: options.Weights = None
    reserve: options.Reserve = None
    offload: options.Offload = None
    highvram: options.HighVRAM = False
    normalvram: options.NormalVRAM = False
    medvram: options.MedVRAM = False
    lowvram: options.LowVRAM = False
    novram: options.NoVRAM = False
    store: options.StoreFolder = None
    shared_store: options.SharedStore = None
    models: options.Models = None
    inputs: options.Inputs = None
    nodes: options.NodeFiles = None
    comfy_nodes: options.ComfyNodes = None
    node_timeout: options.NodeTimeout = None

    def settings(self, graph: Path | None = None, **others: Any) -> Settings:
        """The settings of this call.

        Args:
            graph: the graph's file, whose folder may have a `weft.toml`.
            others: settings that other options give; None gives nothing.
        """
        named = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "nodes"}
        given = {name: value for name, value in named.items() if name not in OFFLOAD_WORDS}
        given["offload"] = self._offload()
        given |= {name: _size(f"--{name}", given[name]) for name in ("weights", "reserve")}
        return resolve({**given, **others}, graph_folder=graph.parent if graph else None)

    def _offload(self) -> str | None:
        """What `--offload`, or one of the words for it, says; None where all are left out.

        Raises:
            InputError: where several are given, or it is none of them.
        """
        words = [word for word in OFFLOAD_WORDS if getattr(self, word)]
        given = [*([f"--offload {self.offload}"] if self.offload else []), *(f"--{word}" for word in words)]
        if len(given) > 1:
            raise InputError(f"{listed(given)} were given, expected one", "leave the others out", "conflicting-inputs")
        found = self.offload or next(iter(words), None)
        return None if found is None else resolve_offload(found)

    def engine(self, settings: Settings, *, no_cache: bool = False, **others: Any) -> Engine:
        """An engine with these settings; what it reports goes to stderr.

        Args:
            no_cache: whether it has no store.
            others: further arguments of `Engine`.
        """
        store = {"store": None} if no_cache else {}
        return Engine.of(settings, nodes=self.nodes or (), report=say, **store, **others)


def _size(option: str, text: str | None) -> int | None:
    """The bytes that an option says; None where it is left out.

    Raises:
        InputError: where it is no size.
    """
    try:
        return None if text is None else size(text)
    except ValueError:
        message = f"{option} is `{text}`, expected a size such as 500M or 6G, or a number of bytes"
        raise InputError(message, f"write {option} 6G", "malformed-setting") from None
