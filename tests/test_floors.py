"""Rooms import from their own floor and those below, late and for type checkers too; circles of imports stay small."""

from __future__ import annotations

import networkx

from tests.imports import arrows

ENGINE = ["store", "weights", "graph", "spec", "checking"]
ENGINE += ["graph_files shipped_graphs workspace", "planning", "running", "show"]
ENGINE += ["session submission watching part_times graph_copy client"]
ENGINE += ["farm interop", "serve", "leased", "cli", "__init__"]
NODES = ["builtin pictures", "models", "prompting", "families", "sampling", "fine_tuning", "library interop"]
NODES += ["training", "__init__"]
HOUSE = {"engine": ENGINE, "nodes": NODES}
FLOORS = {
    f"{top} {room}": n for top, floors in HOUSE.items() for n, rooms in enumerate(floors, 1) for room in rooms.split()
}
"""The floor of each room; every other module that lies in `engine/` or `nodes/` itself is on the ground, floor 0."""


def room(module: str) -> str:
    top, *inner = module.split(".")
    return f"{top} {'training' if 'training' in inner else (inner or ['__init__'])[0]}"


def test_no_room_imports_from_a_floor_above() -> None:
    rooms = {(room(one), room(other)) for one, other in arrows()}
    up = {f"{a} > {b}" for a, b in rooms if a[:6] == b[:6] and FLOORS.get(a, 0) < FLOORS.get(b, 0)}
    assert not up and not [one for one, other in rooms if one[:6] == "engine" != other[:6]]


def test_a_circle_of_imports_has_at_most_three_files_in_the_engine_and_none_in_nodes() -> None:
    links = networkx.DiGraph(list(arrows()))
    circles = [circle for circle in networkx.strongly_connected_components(links) if len(circle) > 1]
    assert not [circle for circle in circles if len(circle) > 3 or min(circle) > "nodes"]
