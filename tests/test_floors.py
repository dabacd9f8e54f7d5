"""Rooms import from their own floor and those below, late and for type checkers too; circles of imports stay small."""

from __future__ import annotations

import networkx

from tests.imports import arrows, modules

GROUND = "atomic_write errors keys events types artifact limits device png gc process mimebundle output_value"
ENGINE = [GROUND, "store", "weights", "graph", "spec", "checking", "planning", "running", "show"]
ENGINE += ["session submission watching", "farm interop", "cli", "__init__"]
NODES = ["value_display", "values", "builtin", "models", "prompting", "families", "sampling", "library interop"]
NODES += ["training", "__init__"]
HOUSE = {"engine": ENGINE, "nodes": NODES}
FLOORS = {
    f"{top} {room}": n for top, floors in HOUSE.items() for n, rooms in enumerate(floors) for room in rooms.split()
}
STILL_UP = {"nodes families > nodes sampling"}
"""Imports from a floor above that are still to go."""


def room(module: str) -> str:
    top, *inner = module.split(".")
    return f"{top} {'training' if 'training' in inner else (inner or ['__init__'])[0]}"


def test_no_room_imports_from_a_floor_above() -> None:
    rooms = {(room(one), room(other)) for one, other in arrows()}
    up = {f"{one} > {other}" for one, other in rooms if one[:6] == other[:6] and FLOORS[one] < FLOORS[other]}
    assert up <= STILL_UP and not [one for one, other in rooms if one[:6] == "engine" != other[:6]]
    assert {room(module) for module in modules()} <= FLOORS.keys()


def test_a_circle_of_imports_has_at_most_three_files_in_the_engine_and_none_in_nodes() -> None:
    links = networkx.DiGraph([(a, b) for a, b in arrows() if f"{room(a)} > {room(b)}" not in STILL_UP])
    circles = [circle for circle in networkx.strongly_connected_components(links) if len(circle) > 1]
    assert not [circle for circle in circles if len(circle) > 3 or min(circle) > "nodes"]
