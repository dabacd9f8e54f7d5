"""Every point of ComfyUI's formats, in graphs written from them: each becomes the graph of Weft's that it means."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.nodes.interop.classic import CHECKPOINT, NEGATIVE, POSITIVE, SAMPLER, api, editor
from weft.engine import Graph, GraphError, Link
from weft.engine.graph import document

Tree = dict[str, Any]


def read(tree: Any) -> Graph:
    return document.read(json.dumps(tree))


CLASSIC: dict[str, tuple[str, dict[str, Any]]] = {
    "load_checkpoint": ("LoadCheckpoint", {"source": "SD1.5/tiny.safetensors"}),
    "positive": ("TextEncode", {"text_encoder": Link("load_checkpoint", "text_encoder"), "text": POSITIVE}),
    "negative": ("TextEncode", {"text_encoder": Link("load_checkpoint", "text_encoder"), "text": NEGATIVE}),
    "empty_latent": ("EmptyLatent", {"width": 64, "height": 64, "batch_size": 2}),
    "guide": (
        "CFGGuide",
        {
            "model": Link("load_checkpoint", "model"),
            "positive": Link("positive"),
            "negative": Link("negative"),
            "scale": 4.0,
        },
    ),
    "sigmas": ("MakeComfySigmas", {"model": Link("load_checkpoint", "model"), "steps": 3, "schedule": "normal"}),
    "k_sampler": (
        "KSampler",
        {
            "guide": Link("guide"),
            "latent": Link("empty_latent"),
            "sigmas": Link("sigmas"),
            "seed": 7,
            "sampler": "euler",
            "generator": "batch",
        },
    ),
    "vae_decode": ("VAEDecode", {"vae": Link("load_checkpoint", "vae"), "latent": Link("k_sampler")}),
    "save_image": ("SaveImage", {"image": Link("vae_decode"), "name": "ComfyUI", "rounding": "down"}),
}
"""The classic graph as one of Weft's; its texts are weighted as ComfyUI weights them."""

WEIGHTED = {"weighting": "empty_prompt"}


def nodes(graph: Graph) -> dict[str, tuple[str, dict[str, Any]]]:
    return {id: (one.type, dict(one.inputs)) for id, one in graph.nodes.items()}


def expected(**changes: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """The classic graph with other inputs of some nodes."""
    own = {id: (type, inputs | (WEIGHTED if type == "TextEncode" else {})) for id, (type, inputs) in CLASSIC.items()}
    return own | {id: (own[id][0], own[id][1] | inputs) for id, inputs in changes.items()}


def test_the_classic_graph_is_the_same_in_every_format() -> None:
    for tree in (api(), editor(0.4), editor(1)):
        graph = read(tree)
        assert not graph.faults and nodes(graph) == expected()
        assert {name: one.sets for name, one in graph.parameters.items()} == {
            "prompt": ("positive.text",),
            "negative_prompt": ("negative.text",),
            "seed": ("k_sampler.seed",),
            "steps": ("sigmas.steps",),
            "cfg": ("guide.scale",),
            "width": ("empty_latent.width",),
            "height": ("empty_latent.height",),
            "checkpoint": ("load_checkpoint.source",),
        }


def changed(tree: Tree, id: Any, **parts: Any) -> Tree:
    """An editor file with other parts of a node."""
    return tree | {"nodes": [one | parts if one["id"] == id else one for one in tree["nodes"]]}


def linked(tree: Tree, id: int, slot: Tree, link: list[Any], *added: Tree) -> Tree:
    """An editor file with one more input of a node, its link, and further nodes."""
    own = next(one for one in tree["nodes"] if one["id"] == id)
    made = changed(tree, id, inputs=[*own["inputs"], {**slot, "link": link[0]}])
    return made | {"nodes": [*made["nodes"], *added], "links": [*made["links"], link]}


def test_short_lists_of_widgets_take_defaults_and_the_rest_of_long_ones_is_left_out() -> None:
    short = changed(editor(), 5, widgets_values=[64, 64])
    assert nodes(read(short))["empty_latent"] == ("EmptyLatent", {"width": 64, "height": 64})
    long = changed(editor(), 5, widgets_values=[64, 64, 2, "shown", {}])
    assert nodes(read(long)) == expected()


def test_values_by_name_and_lists_without_what_the_editor_does_with_a_seed() -> None:
    named = {"seed": 7, "steps": 3, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    for values in (named, [7, *SAMPLER[2:]]):
        assert nodes(read(changed(editor(), 3, widgets_values=values))) == expected()


def test_the_value_of_a_converted_widget_stays_in_its_place_and_its_link_wins() -> None:
    slot = {"name": "seed", "type": "INT", "widget": {"name": "seed"}}
    primitive = {"id": 20, "type": "PrimitiveNode", "mode": 0, "widgets_values": [99, "fixed"], "outputs": []}
    tree = linked(editor(), 3, slot, [30, 20, 0, 3, 4, "INT"], primitive)
    assert nodes(read(tree)) == expected(k_sampler={"seed": 99})
    own = primitive | {"type": "PrimitiveInt", "outputs": [{"name": "INT", "type": "INT"}]}
    assert nodes(read(linked(editor(), 3, slot, [30, 20, 0, 3, 4, "INT"], own))) == expected(k_sampler={"seed": 99})


def test_an_input_that_is_never_a_widget_may_own_a_value() -> None:
    """Of `ImageScaleBy`-like old files: links are matched by the node's own names, whatever their order."""
    shuffled = next(one for one in editor()["nodes"] if one["id"] == 3)["inputs"][::-1]
    assert nodes(read(changed(editor(), 3, inputs=shuffled))) == expected()


def between(tree: Tree, *added: Tree, links: list[list[Any]]) -> Tree:
    """The classic graph with nodes between VAEDecode and SaveImage: link 9 begins at the last of them."""
    last = added[-1]["id"]
    own = [[9, last, 0, 9, 0, "IMAGE"] if one[0] == 9 else one for one in tree["links"]]
    return tree | {"nodes": [*tree["nodes"], *added], "links": [*own, *links]}


PICTURE = [{"name": "IMAGE", "type": "IMAGE"}]
"""The outputs of a node that gives a picture."""


def inverted(id: int, mode: int, link: int) -> Tree:
    slots = [{"name": "image", "type": "IMAGE", "link": link}]
    return {
        "id": id,
        "type": "ImageInvert",
        "mode": mode,
        "inputs": slots,
        "outputs": PICTURE,
    }


def test_reroutes_and_bypassed_nodes_pass_on_and_muted_ones_leave_nothing() -> None:
    reroute = {"id": 21, "type": "Reroute", "mode": 0, "inputs": [{"name": "", "type": "*", "link": 31}]}
    links = [[30, 8, 0, 20, 0, "IMAGE"], [31, 20, 0, 21, 0, "IMAGE"]]
    assert nodes(read(between(editor(), inverted(20, 4, 30), reroute, links=links))) == expected()
    runs = nodes(read(between(editor(), inverted(20, 0, 30), reroute, links=links)))
    assert runs["save_image"][1]["image"] == Link("invert_image") and len(runs) == len(CLASSIC) + 1
    with pytest.raises(GraphError) as raised:
        read(between(editor(), inverted(20, 2, 30), reroute, links=links))
    assert [(one.node, one.input, one.code) for one in raised.value.problems] == [("9", "images", "missing-input")]


def test_variables_are_followed() -> None:
    setter: Tree = {"id": 20, "type": "SetNode", "mode": 0, "widgets_values": ["it"]}
    setter["inputs"] = [{"name": "IMAGE", "type": "IMAGE", "link": 30}]
    getter = {"id": 21, "type": "GetNode", "mode": 0, "widgets_values": ["it"], "outputs": []}
    assert nodes(read(between(editor(), setter, getter, links=[[30, 8, 0, 20, 0, "IMAGE"]]))) == expected()


KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def in_subgraph(levels: int = 1, mode: int = 0, promoted: Any = None, values: Any = ()) -> Tree:
    """The classic graph whose decoder and an inverter are in subgraphs, one in the other, in version 1."""
    inside = [inverted(7, 0, 2)]
    inside.append(
        {
            "id": 6,
            "type": "VAEDecode",
            "mode": 0,
            "inputs": [{"name": "samples", "type": "LATENT", "link": 1}, {"name": "vae", "type": "VAE", "link": 3}],
            "outputs": PICTURE,
        }
    )
    links = [
        (1, -10, 1, 6, 0, "LATENT"),
        (3, -10, 0, 6, 1, "VAE"),
        (2, 6, 0, 7, 0, "IMAGE"),
        (4, 7, 0, -20, 0, "IMAGE"),
    ]
    box = [{"name": "vae", "type": "VAE"}, {"name": "samples", "type": "LATENT"}]
    sheets = [
        {
            "id": "level-0",
            "nodes": inside,
            "links": links,
            "inputs": box,
            "outputs": PICTURE,
        }
    ]
    for level in range(1, levels):
        instance: Tree = {"id": 5, "type": f"level-{level - 1}", "mode": 0}
        instance["inputs"] = [
            {"name": "vae", "type": "VAE", "link": 1},
            {"name": "samples", "type": "LATENT", "link": 2},
        ]
        instance["outputs"] = PICTURE
        outer = [(1, -10, 0, 5, 0, "VAE"), (2, -10, 1, 5, 1, "LATENT"), (3, 5, 0, -20, 0, "IMAGE")]
        sheets.append({**sheets[0], "id": f"level-{level}", "nodes": [instance], "links": outer})
    for sheet in sheets:
        sheet["links"] = [dict(zip(KEYS, one, strict=True)) for one in sheet["links"]]
    # The instance's own slots are in another order than those of the subgraph: names count.
    tree = changed(editor(), 8, type=f"level-{levels - 1}", mode=mode)
    return tree | {"definitions": {"subgraphs": sheets}}


@pytest.mark.parametrize("levels", [1, 3])
def test_subgraphs_are_inlined_by_the_names_of_their_slots(levels: int) -> None:
    found = nodes(read(in_subgraph(levels)))
    assert found == expected(save_image={"image": Link("invert_image")}) | {
        "invert_image": ("InvertImage", {"image": Link("vae_decode")})
    }


def test_a_subgraph_that_is_muted_or_bypassed_gives_nothing_of_another_type() -> None:
    for mode in (2, 4):
        with pytest.raises(GraphError) as raised:
            read(in_subgraph(mode=mode))
        assert [(one.node, one.input) for one in raised.value.problems] == [("9", "images")]


@pytest.mark.parametrize("way", ["slot", "proxy", "proxy of the box"])
def test_promoted_widgets_have_the_value_of_the_instance(way: str) -> None:
    inner = next(one for one in editor()["nodes"] if one["id"] == 6)
    inner = inner | {"inputs": [{"name": "clip", "type": "CLIP", "link": 1}], "widgets_values": ["inside"]}
    links = [(1, -10, 0, 6, 0, "CLIP"), (2, 6, 0, -20, 0, "CONDITIONING")]
    box = [{"name": "clip", "type": "CLIP"}]
    if way != "proxy":
        inner["inputs"].append({"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 3})
        links, box = [*links, (3, -10, 1, 6, 1, "STRING")], [*box, {"name": "words", "type": "STRING"}]
    sheet = {
        "id": "prompt",
        "nodes": [inner],
        "inputs": box,
        "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING"}],
    }
    sheet["links"] = [dict(zip(KEYS, one, strict=True)) for one in links]
    tree = changed(editor(), 6, type="prompt", widgets_values=[POSITIVE])
    if way == "slot":
        slots = next(one for one in tree["nodes"] if one["id"] == 6)["inputs"]
        widget = {"name": "words", "type": "STRING", "widget": {"name": "words"}, "link": None}
        tree = changed(tree, 6, inputs=[*slots, widget])
    else:
        name = ["6", "text"] if way == "proxy" else ["-1", "words"]
        tree = changed(tree, 6, properties={"proxyWidgets": [name]})
    assert nodes(read(tree | {"definitions": {"subgraphs": [sheet]}})) == expected()


def test_ids_may_be_texts_slots_numbers_in_texts_and_vectors_objects() -> None:
    tree = editor()
    tree["links"] = [[str(one[0]), str(one[1]), str(one[2]), one[3], str(one[4]), one[5]] for one in tree["links"]]
    tree["nodes"] = [one | {"id": str(one["id"]), "pos": {"0": 1, "1": 2}} for one in tree["nodes"]]
    assert nodes(read(tree)) == expected()


def test_literal_lists_are_wrapped_in_the_api_format_and_ids_may_be_paths() -> None:
    tree = {f"12:{id}": one for id, one in api().items()}
    for one in tree.values():
        inputs = one["inputs"].items()
        one["inputs"] = {
            name: [f"12:{given[0]}", given[1]] if isinstance(given, list) else given for name, given in inputs
        }
    tree["12:6"]["inputs"]["text"] = {"__value__": POSITIVE}
    assert nodes(read(tree)) == expected()


def test_group_nodes_of_old_files_are_refused_by_name() -> None:
    graph = read(
        between(editor(), inverted(20, 0, 30) | {"type": "workflow>both"}, links=[[30, 8, 0, 20, 0, "IMAGE"]]) | {}
    )
    assert [(one.node, one.code) for one in graph.faults] == [("20", "group-node")]


def test_values_of_another_type_are_reported_and_not_converted() -> None:
    tree = api(steps=3.9)
    tree["5"]["inputs"]["width"] = "64"
    assert {(one.node, one.input, one.code) for one in read(tree).faults} == {
        ("3", "steps", "wrong-type"),
        ("5", "width", "wrong-type"),
    }


@pytest.mark.parametrize("tree", [api(), editor(0.4), editor(1), in_subgraph(3)])
def test_an_import_is_deterministic_and_what_it_wrote_is_read_as_it_is(tree: Tree) -> None:
    graph = read(tree)
    assert graph == read(tree)
    assert replace(document.read(document.write(graph)), foreign=True) == graph


def test_a_name_of_a_file_has_either_separator() -> None:
    assert CHECKPOINT.count("\\") and nodes(read(api(CHECKPOINT.replace("\\", "/")))) == expected()


def test_choices_in_a_prompt_follow_from_the_seed_and_comments_are_left_out() -> None:
    """The editor chooses when it queues a graph, so that the API format has what was chosen."""
    text = "a {red|blue} house // today\nby /* the */ a lake"
    graph = read(changed(editor(), 6, widgets_values=[text]))
    found = nodes(graph)
    assert found["words"] == ("ChooseWords", {"text": text, "seed": 7})
    assert found["positive"][1]["text"] == Link("words")
    assert graph.parameters["prompt"].sets == ("words.text",)
    assert graph.parameters["seed"].sets == ("words.seed", "k_sampler.seed")
    plain = read(changed(editor(), 6, widgets_values=["a house // today\nby \\{a\\} lake"]))
    assert nodes(plain)["positive"][1]["text"] == "a house \nby {a} lake"
    assert plain.parameters["prompt"].sets == ("positive.text",)
    queued = api()
    queued["6"]["inputs"]["text"] = text
    assert nodes(read(queued))["positive"][1]["text"] == text


def test_a_graph_is_read_as_programs_send_it() -> None:
    for sent in ({"prompt": api(), "client_id": "x"}, {"output": api(), "workflow": editor()}, {"workflow": editor()}):
        assert nodes(read(sent)) == expected()


def test_the_weight_of_an_embedding_is_no_part_of_its_name() -> None:
    tree = api()
    tree["6"]["inputs"]["text"] = "a house, (embedding:red_one:1.2)"
    found = nodes(read(tree))
    assert found["positive_embedding"][1]["source"] == "red_one.safetensors"
    assert found["positive"][1]["text"] == "a house, (red_one:1.2)"
