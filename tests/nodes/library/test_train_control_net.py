"""Training a ControlNet: the loss is that of diffusers' own script, and what is trained paints in diffusers as here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tests.nodes.fine_tuning.training import CAPTIONS, NETWORKS, RATE, SEED, STEPS, Restated, pictures
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SIZE, Oracle, assert_same, diffusers
from tests.nodes.oracle import SEED as PAINTED
from tests.refusals import refused
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    Image,
    KSampler,
    LoadCheckpoint,
    SaveControlNet,
    TextEncode,
    TrainControlNet,
    TrainedControlNet,
    VAEDecode,
)
from weft.nodes.fine_tuning.examples import generator_for
from weft.nodes.picture_files import to_pil

Call = Callable[..., Any]


def controls(count: int = 2, side: int = 32) -> Image:
    """Pictures of black and white."""
    return Image(
        (torch.rand(count, side, side, 1, generator=torch.Generator().manual_seed(3)) > 0.5)
        .float()
        .expand(-1, -1, -1, 3)
    )


def order(step: int) -> list[int]:
    found: list[int] = torch.randperm(2, generator=generator_for(SEED, "order", step)).tolist()
    return found


@pytest.fixture(scope="module")
def trained(call: Call) -> TrainedControlNet[Any]:
    options = {"steps": STEPS, "batch_size": 2, "learning_rate": RATE, "seed": SEED, "caption_dropout": 0.0}
    given = {"pictures": pictures(), "control_pictures": controls(), "captions": CAPTIONS, **options}
    found: TrainedControlNet[Any] = call(TrainControlNet, **call(LoadCheckpoint, source="epsilon")._asdict(), **given)
    return found


class RestatedControlNet(Restated):
    """A training of a ControlNet written down plainly."""

    def losses(self) -> list[float]:
        unet = self.pipeline.unet
        torch.manual_seed(SEED)
        network = diffusers.ControlNetModel.from_unet(unet).train()
        for layer in (network.controlnet_cond_embedding.conv_in, *network.controlnet_cond_embedding.blocks):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
        found = []
        for step in range(STEPS):
            self.call = self.steered(network, controls().pixels[order(step)].permute(0, 3, 1, 2))
            loss = self._loss(unet, step)
            found.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return found

    def steered(self, network: Any, seen: torch.Tensor) -> Any:
        def call(pipeline: Any, unet: Any, noisy: torch.Tensor, times: torch.Tensor, captions: list[str]) -> Any:
            prompts, _ = pipeline.encode_prompt(captions, "cpu", 1, False)
            down, middle = network(noisy, times, prompts, seen, return_dict=False)
            added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            return unet(noisy, times, encoder_hidden_states=prompts, **added).sample

        return call


def test_first_losses_are_those_of_the_paper(trained: TrainedControlNet[Any], oracle: Oracle) -> None:
    theirs = RestatedControlNet(oracle.pipeline("epsilon"), NETWORKS["epsilon"], order).losses()
    assert trained.losses == pytest.approx(theirs, abs=1e-5)


def test_what_is_trained_paints_in_diffusers(
    call: Call, trained: TrainedControlNet[Any], oracle: Oracle, tmp_path: Path
) -> None:
    for artifact in call(SaveControlNet, control_net=trained.control_net, name="edges"):
        artifact.save(tmp_path)
    network = diffusers.ControlNetModel.from_pretrained(tmp_path / "edges")
    seen = controls(1, SIZE)
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": 2}
    kind = diffusers.StableDiffusionControlNetPipeline
    theirs = oracle.paint(kind, "ddim", parts={"controlnet": network}, image=seen.pixels.permute(0, 3, 1, 2), **size)

    def painted(strength: float) -> Any:
        checkpoint = call(LoadCheckpoint, source="epsilon")
        prompts = [call(TextEncode, text_encoder=checkpoint.text_encoder, text=one) for one in (PROMPT, NEGATIVE)]
        own = {"control_net": trained.control_net, "image": seen, "strength": strength}
        positive, negative = call(ApplyControlNet, positive=prompts[0], negative=prompts[1], **own)
        guide = call(CFGGuide, model=checkpoint.model, positive=positive, negative=negative, scale=SCALE)
        latent = call(EmptyLatent, width=SIZE, height=SIZE)
        sampled = call(KSampler, guide=guide, latent=latent, seed=PAINTED, steps=2, sampler="ddim")
        pixels = call(VAEDecode, vae=checkpoint.vae, latent=sampled).pixels
        return numpy.stack([numpy.asarray(one) for one in to_pil(pixels)])

    ours = painted(1.0)
    assert_same(ours, theirs)
    assert (ours != painted(0.0)).any()


@pytest.mark.parametrize(("count", "side"), [(1, 32), (2, 40)])
def test_pictures_that_do_not_pair_are_refused(call: Call, count: int, side: int) -> None:
    given = {"pictures": pictures(), "control_pictures": controls(count, side), "captions": "a house"}
    with refused("batch-mismatch"):
        call(TrainControlNet, **call(LoadCheckpoint, source="epsilon")._asdict(), **given)
