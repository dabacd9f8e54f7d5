"""ComfyUI's published templates are read, and those of the families here run on tiny checkpoints.

The templates are on PyPI (MIT); these tests fetch nothing:

    pip download -d TEMPLATES comfyui-workflow-templates==0.7.67
    (cd TEMPLATES && for one in *.whl; do unzip -qo $one '*.json'; done)
    WEFT_COMFYUI_TEMPLATES=TEMPLATES pytest -m templates tests/nodes/families/test_templates.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from tests.nodes.families.named_files import VISION, add_named, add_tokenizers
from weft.engine import Engine, Graph, GraphError
from weft.engine.graph import document
from weft.engine.graph.graph import Node
from weft.nodes.interop.comfy_export import export_comfyui
from weft.nodes.interop.folder_report import report, summary

pytestmark = pytest.mark.templates

FOLDER = Path(os.environ.get("WEFT_COMFYUI_TEMPLATES", ""))

SIDE = 64

NAMES = (
    *("default", "01_get_started_text_to_image", "image_z_image_turbo"),
    *("sdxl_simple_example", "sdxl_refiner_prompt_example", "sdxl_revision_text_prompts", "sdxlturbo_example"),
    *("sd3.5_simple_example", "sd3.5_large_blur", "sd3.5_large_canny_controlnet_example"),
    *("flux1_krea_dev", "flux_dev_checkpoint_example", "flux_schnell", "flux_canny_model_example"),
    *("flux_fill_inpaint_example", "flux_fill_outpaint_example", "image_flux.1_fill_dev_OneReward"),
    *("flux_kontext_dev_basic", "flux_redux_model_example", "flux_dev_full_text_to_image"),
    *("flux_schnell_full_text_to_image", "flux1_dev_uso_reference_image_gen"),
    *("image_qwen_image", "image_qwen_Image_2512", "image_qwen_image_union_control_lora"),
    *("image_qwen_image_edit", "image_qwen_image_edit_2509", "image_qwen_image_edit_2509_relight"),
    *("image_qwen_image_edit_2511", "02_qwen_Image_edit_subgraphed", "templates-image_to_real"),
    *("templates-1_click_multiple_character_angles-v1.0", "templates-1_click_multiple_scene_angles-v1.0"),
    *("image_qwen_image_instantx_inpainting_controlnet", "image_z_image_turbo_fun_union_controlnet"),
    *("image_qwen_image_controlnet_patch", "image_lotus_depth_v1_1", "flux_depth_lora_example", "sd3.5_large_depth"),
    *("image_qwen_image_layered", "image_qwen_image_instantx_controlnet"),
    *("image_flux2", "image_flux2_fp8", "image_flux2_text_to_image"),
    *("hidream_i1_dev", "hidream_i1_fast", "hidream_i1_full"),
    *("text_to_video_wan", "image_to_video_wan", "wan2.1_flf2v_720_f16", "video_wan2_2_14B_t2v"),
    *("video_wan2_2_14B_i2v", "video_wan2_2_14B_flf2v", "03_video_wan2_2_14B_i2v_subgraphed"),
)
"""Templates of pictures by SD 1.x, SDXL, SD 3.5, FLUX, Z-Image, Qwen-Image and HiDream, and of clips by Wan."""


@pytest.fixture(scope="module")
def templates() -> Path:
    if not os.environ.get("WEFT_COMFYUI_TEMPLATES"):
        pytest.fail("WEFT_COMFYUI_TEMPLATES names no folder; the docstring of this file says how to get the templates")
    return FOLDER


def test_every_template_is_read_and_nearly_all_of_core_nodes_resolve(templates: Path) -> None:
    with Engine(store=None, device="cpu") as engine:
        rows = list(report(templates, engine))
    counts = summary(rows)
    assert counts["workflows"] == 220
    assert counts["core_resolved"] / counts["core"] >= 0.97
    assert counts["imported"] >= len(NAMES)


def test_imported_templates_are_exported_and_nearly_all_are_read_again_as_they_were(templates: Path) -> None:
    catalog = Engine(store=None, device="cpu").catalog
    graphs = [graph for path in sorted(templates.rglob("*.json")) if (graph := imported(path)) is not None]
    again = [document.read(json.dumps(export_comfyui(graph, catalog))) for graph in graphs]
    assert len(graphs) >= len(NAMES) and not any(one.faults for one in again)
    assert sum(nodes(one) == nodes(other) for one, other in zip(graphs, again, strict=True)) >= 41


def imported(path: Path) -> Graph | None:
    """The graph of a template; None where it is none, or not imported whole."""
    try:
        graph = document.load(path)
    except (GraphError, ValueError):
        return None
    return graph if graph.foreign and not graph.faults else None


def nodes(graph: Graph) -> dict[str, Any]:
    return {id: (node.type, dict(node.inputs)) for id, node in graph.nodes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_runs_on_tiny_checkpoints(
    templates: Path, models: Path, zoo: Any, tmp_path: Path, name: str
) -> None:
    (path,) = templates.rglob(f"{name}.json")
    graph = document.load(path)
    assert not graph.faults

    def give(model: str) -> Path:
        if model in VISION:
            if not (models / model).exists():
                VISION[model](models / model)
            return models / model
        return models / (model if (models / model).exists() else zoo(model))

    add_tokenizers(models)
    for file in sorted(files_of(graph)):
        assert add_named(models, file, give), file
    pictures = tmp_path / "pictures"
    for file in sorted(pictures_of(graph)):
        put_picture(pictures / file)
    made = smaller(graph)
    with Engine(store=None, models=[models], inputs=[pictures], output=tmp_path / "out", device="cpu") as engine:
        assert not engine.check(made).problems
        result = engine.run(made)
    assert result.status == "done" and result.paths
    shown = [numpy.asarray(Pictures.open(one).convert("RGB")) for one in result.paths]
    assert all(one.std() > 1 for one in shown)


def files_of(graph: Graph) -> Iterator[str]:
    """The names of the files of models that a graph asks for."""
    for node in graph.nodes.values():
        for value in node.inputs.values():
            if isinstance(value, str) and value.endswith(".safetensors"):
                yield value


def pictures_of(graph: Graph) -> Iterator[str]:
    return (str(node.inputs["path"]) for node in graph.nodes.values() if node.type == "LoadImage")


def put_picture(path: Path) -> None:
    """A ramp with stripes, half of it transparent: its mask is 1 there."""
    across, down = numpy.meshgrid(numpy.linspace(0, 255, SIDE), numpy.linspace(0, 255, SIDE))
    alpha = numpy.where(across > 128, 0, 255)
    planes = numpy.stack([across, (down // 16 % 2) * 255, 255 - across, alpha], -1).astype("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Pictures.fromarray(planes)
    (picture if path.suffix in (".png", ".webp") else picture.convert("RGB")).save(path)


def smaller(graph: Graph) -> Graph:
    """A graph with pictures of 64 pixels and two steps, or four where it runs parts of them."""
    changed = {id: replace(node, inputs=MappingProxyType(small(node))) for id, node in graph.nodes.items()}
    kinds = {"ScaleImageToKontext": "ScaleImage"}
    changed = {id: replace(node, type=kinds.get(node.type, node.type)) for id, node in changed.items()}
    return replace(graph, nodes=MappingProxyType(changed), parameters=MappingProxyType({}))


def small(node: Node) -> dict[str, Any]:
    """The inputs of a node, set down."""
    inputs: dict[str, Any] = dict(node.inputs)
    if node.type in ("EmptyLatent", "EmptyLayeredLatent", "ScaleImage", "EmptyVideoLatent"):
        inputs |= {side: SIDE for side in ("width", "height") if isinstance(inputs.get(side), int)}
        inputs |= {"frames": 5} if node.type == "EmptyVideoLatent" else {}
    elif node.type == "SaveVideo":
        # mp4 is written by a package of its own.
        inputs |= {"format": "webp"}
    elif node.type == "MakeFlux2Sigmas":
        inputs |= {"steps": 2}
    elif node.type == "ScaleImageToKontext":
        inputs |= {"width": SIDE, "height": SIDE}
    elif node.type == "ScaleImageToPixels":
        inputs |= {"megapixels": SIDE**2 / 2**20, "multiple": 16}
    elif node.type == "PadImage":
        inputs |= {side: min(value, 16) for side, value in inputs.items() if isinstance(value, int)}
    elif node.type == "MakeComfySigmas":
        parted = {name: 3 for name in ("start_step", "end_step") if inputs.get(name) not in (None, 0)}
        inputs |= {**parted, "steps": 4 if parted else min(inputs["steps"], 2)} if not inputs.get("to_zero") else {}
    return inputs
