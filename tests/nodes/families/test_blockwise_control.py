"""Blockwise control networks for Qwen-Image: diffusers' pipeline with the published code between its blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes.families import blockwise
from tests.nodes.families.test_flow_controls import STEPS, ours
from tests.nodes.oracle import NEGATIVE, SCALE, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import LoadControlNet

STRENGTH = 0.7


@pytest.fixture(scope="module")
def net(models: Path) -> str:
    save_file(blockwise.tensors(), models / "qwen_image_canny_diffsynth_controlnet.safetensors")
    return "qwen_image_canny_diffsynth_controlnet.safetensors"


@contextmanager
def steered(pipeline: Any, vae: Any, pictures: list[Path]) -> Iterator[None]:
    """A pipeline whose blocks add what the network makes of pictures, all of the same hidden states."""
    file, latents = blockwise.tensors(), [encoded(vae, picture) for picture in pictures]

    def hook(number: int) -> Any:
        def after(block: Any, given: Any, output: Any) -> Any:
            text, hidden = output
            terms = [STRENGTH * blockwise.added(file, number, hidden, patches) for patches in latents]
            return text, hidden + sum(terms)

        return after

    blocks = enumerate(pipeline.transformer.transformer_blocks)
    handles = [block.register_forward_hook(hook(number)) for number, block in blocks]
    yield
    for handle in handles:
        handle.remove()


def encoded(vae: Any, picture: Path) -> Any:
    """The patches of a picture's latents."""
    pixels = torch.from_numpy(numpy.asarray(Pictures.open(picture).convert("RGB")) / 127.5 - 1).float()
    found = vae.encode(pixels.movedim(-1, 0)[None, :, None]).latent_dist.mode()
    mean, deviation = (
        torch.tensor(one).view(1, -1, 1, 1, 1) for one in (vae.config.latents_mean, vae.config.latents_std)
    )
    return diffusers.QwenImagePipeline._pack_latents((found - mean) / deviation, 1, 16, 8, 8)


@pytest.mark.parametrize("names", [["stripes.png"], pytest.param(["stripes.png", "ramp.png"], marks=pytest.mark.slow)])
def test_a_blockwise_network_adds_to_each_block_what_its_authors_code_does(
    zoo: Any, net: str, engine: Engine, oracle: Oracle, pictures: Path, names: list[str]
) -> None:
    """Two pictures: `pytest -m slow tests/nodes/families/test_blockwise_control.py`."""
    model = zoo("qwen-image")
    made = ours(engine, model, [(net, name, {"strength": STRENGTH}) for name in names])
    call: Any = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE, "negative_prompt": [NEGATIVE]}
    call |= {"model": model, "true_cfg_scale": SCALE}
    plain = oracle.paint(diffusers.QwenImagePipeline, "model", **call)
    with steered(oracle.pipeline(model), oracle.certain_vae(model), [pictures / name for name in names]):
        expected = oracle.paint(diffusers.QwenImagePipeline, "model", **call)
    assert_same(made, expected)
    assert (expected != plain).any()


@pytest.mark.parametrize("changed", [{"channels": 68}, {"layers": 3}])
def test_one_of_another_structure_is_refused(
    zoo: Any, models: Path, engine: Engine, pictures: Path, changed: dict[str, int]
) -> None:
    save_file(blockwise.tensors(**changed), models / "other_diffsynth.safetensors")
    code = "unsupported-network" if "channels" in changed else "wrong-control-net"
    with refused(code):
        ours(engine, zoo("qwen-image"), [("other_diffsynth.safetensors", "stripes.png", {})])


def test_its_file_is_recognised(net: str, engine: Engine) -> None:
    with Graph() as graph:
        graph.output("net", LoadControlNet(net))
    assert engine.run(graph).outputs["net"].family == "QwenImage"
