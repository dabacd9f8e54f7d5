"""Events: what a listener receives stays small, however large the graph."""

from __future__ import annotations

import json

from weft.engine import INJECTED, Context, Engine, Given, Graph, Link, Node, events, node

LARGE = 1_000
"""Nodes."""


@node
def Slow(number: int, *, context: Context = INJECTED) -> int:
    """Add one, in five steps."""
    for step in range(5):
        context.progress(step + 1, 5)
    return number + 1


def long_chain() -> Graph:
    """A thousand nodes with ids as they are in subgraphs, each below the one before."""
    ids = [f"portraits-{number}-sampler" for number in range(LARGE)]
    links: list[Given] = [0, *map(Link, ids[:-1])]
    nodes = {id: Node("Slow", {"number": given}) for id, given in zip(ids, links, strict=True)}
    return Graph(nodes=nodes, outputs={"last": Link(ids[-1])}, types={"Slow": Slow})  # type: ignore[dict-item]


def size(heard: list[events.Event]) -> int:
    """Bytes of events as lines of JSON."""
    return sum(len(json.dumps(event.plain())) + 1 for event in heard)


def test_a_thousand_nodes_tell_less_than_a_megabyte(engine: Engine) -> None:
    first: list[events.Event] = []
    cached: list[events.Event] = []
    assert engine.run(long_chain(), listener=first.append).outputs == {"last": LARGE}
    engine.run(long_chain(), only=[*long_chain().nodes], listener=cached.append)
    assert len(first) == 7 * LARGE + 3 and size(first) <= 10**6
    assert len(cached) == LARGE + 3 and size(cached) <= 10**6


def test_events_are_json_values() -> None:
    assert events.NodeStarted("a", "Slow").plain() == {"event": "node_started", "node": "a", "type": "Slow"}
    artifact = events.ArtifactWritten("a", "SaveImage", "output/a_0001.png", "image/png", True).plain()
    assert list(artifact) == ["event", "node", "type", "path", "media_type", "new"] and artifact["event"] == "artifact"
