"""Upscaling with a model. Running a network needs the extra `upscale`: spandrel, and a torchvision that fits torch."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.nodes.models.test_picture_tiles import smooth
from weft.engine import Engine, Graph
from weft.nodes import Image, LoadUpscaler, UpscaleImage
from weft.nodes.models.contents import Contents
from weft.nodes.models.upscaler_facts import UpscalerFacts, upscaler_facts

ESRGAN = {
    "conv_first.weight": (64, 3, 3, 3),
    "body.0.rdb1.conv1.weight": (32, 64, 3, 3),
    "conv_body.weight": (64, 64, 3, 3),
    "conv_up1.weight": (64, 64, 3, 3),
    "conv_up2.weight": (64, 64, 3, 3),
    "conv_hr.weight": (64, 64, 3, 3),
    "conv_last.weight": (3, 64, 3, 3),
}
"""The names that Real-ESRGAN's authors publish, cut down to those that tell what it is."""

FIRST = {
    "model.0.weight": (64, 3, 3, 3),
    "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3),
    **{f"model.{number}.weight": (64, 64, 3, 3) for number in (3, 6, 8)},
    "model.10.weight": (3, 64, 3, 3),
}
"""The names of ESRGAN's first publication, 4 times."""

COMPACT = {
    **{f"body.{number}.weight": (64, 64, 3, 3) for number in range(2, 34, 2)},
    **{f"body.{number}.weight": (64,) for number in range(1, 34, 2)},
    "body.0.weight": (64, 3, 3, 3),
    "body.34.weight": (48, 64, 3, 3),
}
"""The names of `realesr-general-x4v3`."""


@pytest.mark.parametrize(
    ("shapes", "facts"),
    [
        (ESRGAN, UpscalerFacts("ESRGAN", 4)),
        ({**ESRGAN, "conv_first.weight": (64, 12, 3, 3)}, UpscalerFacts("ESRGAN", 2)),
        (FIRST, UpscalerFacts("ESRGAN", 4)),
        (COMPACT, UpscalerFacts("Compact", 4)),
        ({"patch_embed.norm.weight": (180,)}, UpscalerFacts()),
        ({"double_blocks.0.img_attn.qkv.weight": (9, 3)}, None),
        ({}, None),
    ],
)
def test_a_header_tells_what_an_upscaler_is(shapes: Any, facts: UpscalerFacts | None) -> None:
    assert upscaler_facts(Contents(shapes=shapes)) == facts


def codes(source: str, folder: Path, **inputs: Any) -> set[str]:
    """The problems of a graph that enlarges a picture."""
    upscaled = {"upscaler": {"link": "load"}, "image": {"link": "picture"}, **inputs}
    nodes = {
        "load": {"type": "LoadUpscaler", "inputs": {"source": source}},
        "picture": {"type": "LoadImage", "inputs": {"path": "lake.png"}},
        "up": {"type": "UpscaleImage", "inputs": upscaled},
    }
    graph = {"weft": 1, "nodes": nodes, "outputs": {"image": {"link": "up"}}}
    (folder / "graph.json").write_text(json.dumps(graph))
    pictures = Path(__file__).parents[3] / "graphs/pictures"
    with Engine(store=None, device="cpu", models=[folder], inputs=[pictures]) as engine:
        return {problem.code for problem in engine.check(folder / "graph.json").problems} - {"missing-package"}


def test_what_is_no_upscaler_is_refused_at_the_check(tmp_path: Path) -> None:
    (tmp_path / "old.pth").write_bytes(b"x")
    save_file({"lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    save_file({name: torch.zeros(1).expand(1) for name in ("a", "b")}, tmp_path / "any.safetensors")
    assert codes("old.pth", tmp_path) == {"pickle-refused"}
    assert codes("lora.safetensors", tmp_path) == {"wrong-kind-of-file"}
    assert codes("any.safetensors", tmp_path) == set()
    assert codes("any.safetensors", tmp_path, tile=64, overlap=32) == {"out-of-range"}


@pytest.fixture(scope="module")
def upscalers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny upscalers with random weights, by name: the file of each and spandrel's own descriptor."""
    spandrel = pytest.importorskip("spandrel", exc_type=ImportError)
    parts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "esrgan": ("ESRGAN.__arch.RRDB", "RRDBNet", {"in_nc": 3, "out_nc": 3, "num_filters": 8, "num_blocks": 1}),
        "compact": ("Compact.__arch.SRVGG", "SRVGGNetCompact", {"num_feat": 8, "num_conv": 2, "upscale": 2}),
        "swinir": (
            "SwinIR.__arch.SwinIR",
            "SwinIR",
            {"upscale": 2, "img_size": 16, "window_size": 8, "depths": [2], "embed_dim": 12, "num_heads": [2]}
            | {"mlp_ratio": 2, "upsampler": "pixelshuffledirect"},
        ),
    }
    folder, found = tmp_path_factory.mktemp("upscalers"), {}
    for name, (module, network, options) in parts.items():
        torch.manual_seed(3)
        made = getattr(import_module(f"spandrel.architectures.{module}"), network)(**options)
        save_file({key: one.contiguous() for key, one in made.state_dict().items()}, folder / f"{name}.safetensors")
        found[name] = spandrel.ModelLoader(device="cpu").load_from_file(folder / f"{name}.safetensors")
    return folder, found


def enlarged(folder: Path, name: str, pixels: Tensor, **options: Any) -> Tensor:
    """A picture enlarged by nodes."""
    with Graph() as graph:
        image = graph.parameter("image")
        graph.output("made", UpscaleImage(LoadUpscaler(f"{name}.safetensors"), image, **options))
    with Engine(store=None, device="cpu", precision="float32", models=[folder], guarded=True) as engine:
        upscaler = engine.run_now(LoadUpscaler, {"source": f"{name}.safetensors"})  # type: ignore[arg-type]
        made: Image = engine.run_now(
            UpscaleImage,  # type: ignore[arg-type]
            {"upscaler": upscaler, "image": Image(pixels), **options},
        )
    return made.pixels


@pytest.mark.parametrize("name", ["esrgan", "compact", "swinir"])
def test_a_whole_picture_is_what_spandrel_makes_of_it(upscalers: Any, name: str) -> None:
    folder, found = upscalers
    picture = smooth(24, 36)
    made = enlarged(folder, name, picture.permute(0, 2, 3, 1), tile=0)
    assert torch.equal(made.permute(0, 3, 1, 2), found[name](picture.clone()))


@pytest.mark.parametrize("name", ["esrgan", "compact"])
def test_tiles_of_a_smooth_picture_are_the_whole_within_a_level(upscalers: Any, name: str) -> None:
    folder, found = upscalers
    picture = smooth(90, 140)
    made = enlarged(folder, name, picture.permute(0, 2, 3, 1), tile=64, overlap=24)
    assert (made.permute(0, 3, 1, 2) - found[name](picture.clone())).abs().max() < 1 / 255


def test_alpha_is_enlarged_too(upscalers: Any) -> None:
    folder, found = upscalers
    picture = smooth(16, 16)
    pixels = torch.cat([picture, picture[:, :1]], 1).permute(0, 2, 3, 1)
    made = enlarged(folder, "compact", pixels, tile=0)
    grey = found["compact"](picture[:, :1].expand(-1, 3, -1, -1)).mean(1)
    assert made.shape == (1, 32, 32, 4) and torch.allclose(made[..., 3], grey)


def test_headers_tell_the_scale_that_spandrel_finds(upscalers: Any) -> None:
    folder, found = upscalers
    for name in ("esrgan", "compact"):
        facts = upscaler_facts(Contents.of(folder / f"{name}.safetensors"))
        assert facts and facts.scale == found[name].scale
