"""ComfyUI's prompts that have pictures which a model reads become guides, masks and control networks."""

from __future__ import annotations

import json
from typing import Any

from tests.nodes.interop.flux_graphs import flux
from weft.engine import Graph
from weft.engine.graph import document
from weft.engine.graph.graph import Link

Tree = dict[str, Any]


def read(tree: Tree) -> Graph:
    return document.read(json.dumps(tree))


def sampled(graph: Graph) -> Tree:
    (node,) = (one for one in graph.nodes.values() if one.type == "KSampler")
    return dict(node.inputs)


def above(graph: Graph, link: Any) -> Any:
    assert isinstance(link, Link)
    return graph.nodes[link.node]


BOTH = {"positive": ["text", 0], "negative": ["text", 0], "vae": ["vae", 0], "pixels": ["picture", 0]}


def test_inpainting_is_a_guide_and_a_mask_that_differential_diffusion_reads_as_a_strength() -> None:
    cond = ("InpaintModelConditioning", {**BOTH, "mask": ["picture", 1], "noise_mask": True})
    for nodes, mode in (({}, "soft"), ({"changed": ("DifferentialDiffusion", {"model": ["unet", 0]})}, "differential")):
        graph = read(flux(cond=cond, **nodes))
        assert not graph.faults
        run = sampled(graph)
        guide, latent = above(graph, run["guide"]), above(graph, run["latent"])
        assert (guide.type, latent.type, latent.inputs["mode"]) == ("InpaintGuide", "SetNoiseMask", mode)
        assert guide.inputs["mask"] == latent.inputs["mask"]


def test_models_for_edges_have_the_picture_in_their_guide() -> None:
    graph = read(flux(cond=("InstructPixToPixConditioning", BOTH)))
    assert not graph.faults
    run = sampled(graph)
    assert above(graph, run["guide"]).type == "ControlGuide" and above(graph, run["latent"]).type == "EmptyLatent"


def test_latents_to_refer_to_are_guides_in_their_order() -> None:
    first = ("ReferenceLatent", {"conditioning": ["text", 0], "latent": ["latent", 0]})
    second = ("ReferenceLatent", {"conditioning": ["first", 0], "latent": ["other", 0]})
    method = {"conditioning": ["second", 0], "reference_latents_method": "index"}
    other = ("VAEEncode", {"pixels": ["scaled", 0], "vae": ["vae", 0]})
    scaled = ("FluxKontextImageScale", {"image": ["picture", 0]})
    nodes = {"first": first, "second": second, "other": other, "scaled": scaled}
    graph = read(flux(**nodes, cond=("FluxKontextMultiReferenceLatentMethod", method)))
    assert not graph.faults
    (fault,) = read(flux(**nodes, cond=second)).faults
    assert (fault.node, fault.code) == ("sampler", "unmapped-node")
    last = above(graph, sampled(graph)["guide"])
    before = above(graph, last.inputs["guide"])
    assert {last.type, before.type} == {"ReferenceLatentGuide"}
    assert above(graph, before.inputs["guide"]).type == "CFGGuide"
    pictures = [above(graph, above(graph, one.inputs["latent"]).inputs["image"]).type for one in (before, last)]
    assert pictures == ["LoadImage", "ScaleImageToKontext"]


def test_guidance_that_would_mix_prompts_with_and_without_a_picture_is_refused() -> None:
    tree = flux(cond=("ReferenceLatent", {"conditioning": ["text", 0], "latent": ["latent", 0]}))
    tree["sampler"]["inputs"]["cfg"] = 2.0
    assert [(one.node, one.code) for one in read(tree).faults] == [("sampler", "unmapped-node")]
