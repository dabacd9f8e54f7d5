"""The intermediate form of another program's graph: nodes by class, inputs by name, links by node and slot.

Editors' own nodes (notes, reroutes, subgraphs) and modes (muted, bypassed) are resolved in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.errors import Problem


@dataclass(frozen=True)
class ForeignLink:
    """An output of another node, counted from 0."""

    node: str
    slot: int


@dataclass(frozen=True)
class ForeignFile:
    """Where a file that a node names can be found, as the graph says it.

    Args:
        folder: the kind of model, by the name of its folder: `checkpoints`.
        digest: of its content, as hexadecimal digits; empty where the graph has none.
        algorithm: of the digest, such as `SHA256`.
    """

    name: str
    url: str = ""
    folder: str = ""
    digest: str = ""
    algorithm: str = ""

    def line(self) -> str:
        """The file as a line in the notes of the node that names it: `checkpoints/NAME URL SHA256 DIGEST`."""
        place = f"{self.folder}/{self.name}" if self.folder else self.name
        return " ".join(filter(None, (place, self.url, self.algorithm if self.digest else "", self.digest)))

    @classmethod
    def read(cls, line: str) -> ForeignFile | None:
        """The file of a line in a node's notes; None where it is none."""
        found = re.fullmatch(r"(?:([\w-]+)/)?(\S[^\n]*?) (https?://\S+)(?: (\w+) ([0-9a-fA-F]+))?", line.strip())
        if found is None:
            return None
        folder, name, url, algorithm, digest = (part or "" for part in found.groups())
        return cls(name, url, folder, digest, algorithm)


@dataclass(frozen=True)
class ForeignNode:
    """A node.

    Args:
        type: its class, by the name that the program has for it.
        inputs: by name: literals, and `ForeignLink`s.
        title: that a user gave it; empty where it has none.
        package: that its class is in, as the file says it.
        files: where the files that it names can be found.
    """

    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    package: str = ""
    files: tuple[ForeignFile, ...] = ()


@dataclass(frozen=True)
class ForeignGraph:
    """A graph.

    Args:
        nodes: by id; those inside of subgraphs have the path to them: `12:7`.
        notes: the texts of its notes.
        drafted: whether it is as a user wrote it in an editor, whose texts may have choices and comments.
        faults: what is wrong with the file; what they are about is left out.
    """

    nodes: Mapping[str, ForeignNode]
    title: str = ""
    notes: tuple[str, ...] = ()
    faults: tuple[Problem, ...] = ()
    drafted: bool = False
