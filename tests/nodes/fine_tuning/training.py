"""What the tests of training share: pictures with captions, and plain re-statements of the losses of papers.

The re-statements call diffusers' networks and schedulers as its own training scripts do, with PEFT's layers, AdamW of
torch, and what generators of the seed draw.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor

from tests.nodes.oracle import diffusers
from weft.nodes import Image
from weft.nodes.fine_tuning.examples import generator_for
from weft.nodes.fine_tuning.trainable_lora import begin

SIDE, SEED, RATE, RANK, STEPS = 32, 5, 1e-2, 4, 3

CAPTIONS = ["a red house", "a lake at night"]

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]


def pictures(count: int = 2, side: int = SIDE) -> Image:
    """Pictures of a colour each, with noise."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(count, 1, 1, 3, generator=generator)
    return Image((colours + 0.2 * torch.rand(count, side, side, 3, generator=generator)).clamp(0, 1))


Network = Callable[[Any, Any, Tensor, Tensor, list[str]], Any]
"""Calls a pipeline's network: pipeline, network, noisy latents, timesteps, captions."""


def _prompts(pipeline: Any, captions: list[str], **options: Any) -> Any:
    return pipeline.encode_prompt(captions, device="cpu", num_images_per_prompt=1, **options)


def _unet(pipeline: Any, unet: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    prompts, _ = _prompts(pipeline, captions, do_classifier_free_guidance=False)
    return unet(noisy, times, encoder_hidden_states=prompts).sample


def _sdxl(pipeline: Any, unet: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    prompts, _, pooled, _ = _prompts(pipeline, captions, do_classifier_free_guidance=False)
    sizes = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]] * len(captions)).float()
    added = {"text_embeds": pooled, "time_ids": sizes}
    return unet(noisy, times, encoder_hidden_states=prompts, added_cond_kwargs=added).sample


def _sd3(pipeline: Any, transformer: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    prompts, _, pooled, _ = pipeline.encode_prompt(
        captions, captions, captions, device="cpu", do_classifier_free_guidance=False
    )
    return transformer(noisy, encoder_hidden_states=prompts, pooled_projections=pooled, timestep=times).sample


def _flux(pipeline: Any, transformer: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    prompts, pooled, text_ids = pipeline.encode_prompt(captions, captions, device="cpu")
    rows, channels, height, width = noisy.shape
    ids = pipeline._prepare_latent_image_ids(rows, height // 2, width // 2, "cpu", torch.float32)
    made = transformer(
        pipeline._pack_latents(noisy, rows, channels, height, width),
        timestep=times / 1000,
        guidance=torch.ones(rows),
        pooled_projections=pooled,
        encoder_hidden_states=prompts,
        txt_ids=text_ids,
        img_ids=ids,
    ).sample
    factor = pipeline.vae_scale_factor
    return pipeline._unpack_latents(made, height * factor, width * factor, factor)


def _z_image(pipeline: Any, transformer: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    prompts, _ = pipeline.encode_prompt(captions, device="cpu", do_classifier_free_guidance=False)
    made = transformer(list(noisy.unsqueeze(2)), (1000 - times) / 1000, prompts, return_dict=False)[0]
    return -torch.stack(made).squeeze(2)


def _qwen(pipeline: Any, transformer: Any, noisy: Tensor, times: Tensor, captions: list[str]) -> Any:
    _, channels, height, width = noisy.shape
    made = []
    for row, caption in enumerate(captions):
        prompts, mask = pipeline.encode_prompt([caption], device="cpu")
        made += transformer(
            pipeline._pack_latents(noisy[row : row + 1], 1, channels, height, width),
            timestep=times[row : row + 1] / 1000,
            encoder_hidden_states=prompts,
            encoder_hidden_states_mask=mask,
            img_shapes=[[(1, height // 2, width // 2)]],
        ).sample
    factor = pipeline.vae_scale_factor
    return pipeline._unpack_latents(torch.stack(made), height * factor, width * factor, factor)[:, :, 0]


NETWORKS: Mapping[str, Network] = {
    "epsilon": _unet,
    "v_prediction": _unet,
    "sample": _unet,
    "sdxl": _sdxl,
    "sd3": _sd3,
    "flux-dev": _flux,
    "z-image": _z_image,
    "qwen-image": _qwen,
}
"""How the network of each checkpoint is called."""


@dataclass
class Restated:
    """A training of a LoRA written down plainly.

    Args:
        flow: whether the network predicts the velocity of a flow.
        order: the pictures of the only batch of each epoch.
    """

    pipeline: Any
    call: Network
    order: Callable[[int], list[int]]
    noise_offset: float = 0.0
    min_snr: float = 0.0
    debiased: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def losses(self) -> list[float]:
        """The loss of each of the first steps."""
        pipeline = self.pipeline
        network = copy.deepcopy(pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer)
        network.requires_grad_(False)
        network.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=ATTENTION))
        layers = {name.replace(".default.", "."): one for name, one in network.named_parameters() if ".lora_" in name}
        begin(layers, SEED)
        optimizer = torch.optim.AdamW(layers.values(), lr=RATE, weight_decay=0.01)
        found = []
        for step in range(STEPS):
            loss = self._loss(network, step)
            found.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*layers.values()], 1.0)
            optimizer.step()
        return found

    def _loss(self, network: Any, step: int) -> Any:
        rows, drawn = self.order(step), generator_for(SEED, "noise", step)
        clean = torch.cat([self._latents(row, drawn) for row in rows])
        noise = torch.randn(clean.shape, generator=drawn)
        if self.noise_offset:
            noise = noise + self.noise_offset * torch.randn(*clean.shape[:2], 1, 1, generator=drawn)
        captions = [CAPTIONS[row] for row in rows]
        scheduler = self.pipeline.scheduler
        if "FlowMatch" in type(scheduler).__name__:
            share = torch.sigmoid(torch.normal(0.0, 1.0, (len(rows),), generator=drawn))
            dynamic = scheduler.config.use_dynamic_shifting
            shift = scheduler.config.shift if not dynamic else self.options.get("shift", 1.0)
            sigma = (shift * share / (1 + (shift - 1) * share))[:, None, None, None]
            made = self.call(
                self.pipeline, network, (1 - sigma) * clean + sigma * noise, sigma.flatten() * 1000, captions
            )
            return ((made - (noise - clean)) ** 2).mean()
        times = (torch.rand(len(rows), generator=drawn) * 1000).long()
        ddpm = diffusers.DDPMScheduler.from_config(scheduler.config)
        made = self.call(self.pipeline, network, ddpm.add_noise(clean, noise, times), times, captions)
        prediction = scheduler.config.prediction_type
        velocity = ddpm.get_velocity(clean, noise, times)
        target = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[prediction]
        errors = ((made - target) ** 2).mean((1, 2, 3))
        if self.min_snr:
            ratio = diffusers.training_utils.compute_snr(ddpm, times)
            least = ratio.clamp(max=self.min_snr)
            errors = (
                errors * {"epsilon": least / ratio, "v_prediction": least / (ratio + 1), "sample": least}[prediction]
            )
        if self.debiased:
            ratio = diffusers.training_utils.compute_snr(ddpm, times)
            of_noise = {"epsilon": 1.0, "v_prediction": ratio / (ratio + 1), "sample": ratio}[prediction]
            errors = errors * of_noise / ratio.sqrt()
        return errors.mean()

    def _latents(self, row: int, drawn: torch.Generator) -> Any:
        """Latents that are drawn of the distribution of a picture."""
        vae = self.pipeline.vae
        pixels = pictures().pixels[row : row + 1].permute(0, 3, 1, 2) * 2 - 1
        clips = hasattr(vae.config, "latents_mean") and vae.config.get("z_dim")
        with torch.no_grad():
            found = vae.encode(pixels[:, :, None] if clips else pixels).latent_dist
        mean, deviation = (one[:, :, 0] if clips else one for one in (found.mean, found.std))
        latents = mean + deviation * torch.randn(mean.shape, generator=drawn)
        if clips:
            statistics = (vae.config.latents_mean, vae.config.latents_std)
            means, spread = (torch.tensor(one)[None, :, None, None] for one in statistics)
            return (latents - means) / spread
        return (latents - (vae.config.get("shift_factor") or 0)) * vae.config.scaling_factor
