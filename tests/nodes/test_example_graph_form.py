"""The form of the graphs that come with Weft: what each says of itself, and the knobs that people expect of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.engine import Engine, Graph
from weft.engine.graph.graph import Link

GRAPHS = Path(__file__).parents[2] / "graphs"

NAMES = sorted(
    path.relative_to(GRAPHS).as_posix() for path in GRAPHS.rglob("*.json") if "weft_job" not in path.read_text()
)

KNOBS = {
    ("KSampler", "steps"): {"steps", "reference_steps"},
    ("KSampler", "sampler"): {"sampler", "samplers", "reference_sampler"},
    ("KSampler", "schedule"): {"schedule", "reference_schedule"},
    ("KSampler", "seed"): {"seed"},
    ("KSampler", "denoise"): {"strength"},
    ("MakeSigmas", "steps"): {"steps"},
    ("MakeSigmas", "schedule"): {"schedule"},
    ("CFGGuide", "scale"): {"guidance", "guidance_low", "scales", "inversion_guidance"},
    ("RunPipeline", "steps"): {"steps"},
    ("RunPipeline", "guidance"): {"guidance"},
    ("RunPipeline", "seed"): {"seed"},
    ("RunPipeline", "width"): {"width"},
    ("RunPipeline", "height"): {"height"},
    ("EmptyLatent", "width"): {"width"},
    ("EmptyLatent", "height"): {"height"},
}
"""The names that parameters have which set an input of a node type."""

INSTEAD = {"steps": {"sigmas"}, "schedule": {"sigmas"}, "seed": {"noise", "add_noise"}}
"""Inputs of KSampler that another input replaces, where it is given."""


def inputs(graph: Graph, wanted: str, name: str) -> Iterator[str]:
    """The inputs of this name of all nodes of a type, in the graph and its subgraphs.

    Those that links give a value to are left out, and those of subgraphs that are given one where these are used.
    """
    for id, node in graph.nodes.items():
        replaced = bool(INSTEAD.get(name, set()) & node.inputs.keys())
        whole = name == "denoise" and node.inputs.get(name, 1.0) == 1.0  # all steps, as from noise alone
        # Not every pipeline takes a size: one of sound has none, and others have that of their picture.
        unsized = wanted == "RunPipeline" and name in ("width", "height") and name not in node.inputs
        left_out = replaced or whole or unsized
        if node.type == wanted and not isinstance(node.inputs.get(name), Link) and not left_out:
            yield f"{id}.{name}"
        inner = graph.graphs.get(node.type.partition(":")[2]) if node.type.startswith(("graph:", "map:")) else None
        if inner:
            own = {target: parameter for parameter, one in inner.parameters.items() for target in one.sets}
            for target in inputs(inner, wanted, name):
                outside = own.get(target)
                if outside not in node.inputs:
                    yield f"{id}.{outside}" if outside else f"{id}/{target}"


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_says_what_it_is_and_has_the_knobs_of_its_nodes(name: str) -> None:
    graph = Graph.load(GRAPHS / name)
    assert graph.title and graph.description and graph.keywords
    assert all(parameter.description for parameter in graph.parameters.values())
    by_target = {target: parameter for parameter, one in graph.parameters.items() for target in one.sets}
    for (wanted, input), names in KNOBS.items():
        for target in inputs(graph, wanted, input):
            assert by_target.get(target) in names, f"{name}: no parameter {' or '.join(names)} sets {target}"


@pytest.mark.parametrize("name", NAMES)
def test_texts_pictures_and_models_are_parameters(name: str) -> None:
    graph = Graph.load(GRAPHS / name)
    set_by_parameters = {target for one in graph.parameters.values() for target in one.sets}
    for wanted, input in (("TextEncode", "text"), ("LoadImage", "path"), ("LoadCheckpoint", "source")):
        missing = [target for target in inputs(graph, wanted, input) if target not in set_by_parameters]
        assert not [one for one in missing if graph.nodes[one.partition(".")[0]].inputs.get(input) != ""], missing


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_found_from_the_file(name: str) -> None:
    schema = json.loads((GRAPHS / name).read_text())["$schema"]
    assert ((GRAPHS / name).parent / schema).resolve() == GRAPHS.parent / "schema/graph.schema.json"


def test_graphs_that_need_no_download_are_ready_to_run() -> None:
    with Engine(store=None, device="cpu", history=False) as engine:
        own = [name for name in NAMES if not Graph.load(GRAPHS / name).description.startswith("Needs ")]
        assert {name: engine.check(GRAPHS / name).problems for name in own} == dict.fromkeys(own, ())
        assert len(own) > 9
