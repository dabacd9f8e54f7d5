"""Files that carry ComfyUI's workflows or A1111's settings are read as graphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes.interop.classic import api, editor
from weft.engine import Graph, GraphError
from weft.engine.graph import document

MAKE, MODEL, COMMENT, DIRECTORY = 0x010F, 0x0110, 0x9286, 0x8769
SETTINGS = """a lake
Negative prompt: night
Steps: 5, Sampler: UniPC, Schedule type: Karras, CFG scale: 4, Seed: 3, Size: 64x72"""


@pytest.mark.parametrize("ending", ["webp", "jpg"])
def test_exif_has_workflows(tmp_path: Path, ending: str) -> None:
    exif = Pictures.Exif()
    exif[MODEL], exif[MAKE] = f"prompt:{json.dumps(api())}", f"workflow:{json.dumps(editor())}"
    Pictures.new("RGB", (8, 8)).save(tmp_path / f"a.{ending}", exif=exif)
    graph = Graph.load(tmp_path / f"a.{ending}")
    assert graph == document.read(json.dumps(api()), tmp_path / f"a.{ending}")
    assert graph.carries == {"prompt": json.dumps(api()), "workflow": json.dumps(editor())}


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", ""])
def test_exif_has_settings_of_a1111(tmp_path: Path, encoding: str) -> None:
    exif = Pictures.Exif()
    comment = b"UNICODE\0" + SETTINGS.encode(encoding) if encoding else b"ASCII\0\0\0" + SETTINGS.encode()
    exif.get_ifd(DIRECTORY)[COMMENT] = comment
    Pictures.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    graph = Graph.load(tmp_path / "a.jpg")
    assert not graph.faults and graph.nodes["positive"].inputs["text"] == "a lake"
    assert graph.nodes["sampler"].inputs["sampler"] == "unipc_bh1" and graph.nodes["latent"].inputs["height"] == 72


@pytest.mark.parametrize("ending", ["safetensors", "latent"])
def test_files_of_tensors_have_workflows(tmp_path: Path, ending: str) -> None:
    save_file({"latent": torch.zeros(1)}, tmp_path / f"a.{ending}", {"workflow": json.dumps(editor(1))})
    assert Graph.load(tmp_path / f"a.{ending}").nodes == document.read(json.dumps(editor(1))).nodes


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 7 + b"\x7f{", b"\x02" + b"\0" * 7 + b"[]", b"RIFF\0\0\0\0WEBPEXIF\xff\xff"]
)
def test_damaged_files_carry_nothing(tmp_path: Path, content: bytes) -> None:
    for ending in ("safetensors", "webp"):
        (tmp_path / f"a.{ending}").write_bytes(content)
        with pytest.raises(GraphError) as raised:
            Graph.load(tmp_path / f"a.{ending}")
        assert [one.code for one in raised.value.problems] == ["not-a-graph"]


ODD = {
    "no negative prompt": ("a lake\nSteps: 5, Seed: 3", {"text": "a lake"}, ""),
    "prompt that speaks of steps": ("Steps: to a lake\nSteps: 5, Seed: 3", {"text": "Steps: to a lake"}, ""),
    "several lines": ("a\nlake\nNegative prompt: a\nb\nSteps: 5", {"text": "a\nlake"}, "a\nb"),
    "line ends of Windows": ("a\r\nlake\r\nNegative prompt: b\r\nSteps: 5", {"text": "a\nlake"}, "b"),
    "quoted and JSON values": (
        'a\nSteps: 5, Version: "v, Seed: 9", Civitai resources: [{"a": 1, "Seed": 8}], Seed: 3',
        {"text": "a"},
        "",
    ),
    "no number": ("a\nSteps: 5, CFG scale: much, Size: x, Seed: -1", {"text": "a"}, ""),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_forms_of_settings_are_read(name: str) -> None:
    text, positive, negative = ODD[name]
    graph = document.read(json.dumps({"parameters": text}))
    assert not graph.faults and graph.nodes["sigmas"].inputs["steps"] == 5
    assert graph.nodes["positive"].inputs["text"] == positive["text"]
    assert graph.nodes["negative"].inputs["text"] == negative
    assert graph.nodes["sampler"].inputs["seed"] in (0, 3)


def test_loras_in_a_prompt_are_applied() -> None:
    prompt = "a <lora:mist:0.7> lake <lora:x/autumn:0.5:1>, <hypernet:old:1>\nSteps: 5"
    graph = document.read(json.dumps({"parameters": prompt}))
    assert [one.code for one in graph.faults] == ["unmapped-node"]
    applied = [dict(one.inputs) for one in graph.nodes.values() if one.type == "ApplyLoRA"]
    assert [(one["strength"], one.get("text_encoder_strength")) for one in applied] == [(0.7, None), (1.0, 0.5)]
    sources = [one.inputs["source"] for one in graph.nodes.values() if one.type == "LoadLoRA"]
    assert sources == ["mist.safetensors", "x/autumn.safetensors"] and "<" not in str(graph.nodes["positive"].inputs)
