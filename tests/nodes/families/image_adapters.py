"""How tiny image encoders and adapters are made, under the names of those who publish them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
from diffusers.pipelines.stable_diffusion.clip_image_project_model import CLIPImageProjection
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.nodes.families.tiny import LINEAR, OPEN, T5_WIDTH, scheduler, stable_diffusion
from tests.nodes.oracle import diffusers

WIDTH, VECTOR, SIDE = 64, 48, 32
"""Channels of an image encoder's tokens and of its vectors; pixels along a side of what it sees."""

SIZES: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "image_size": SIDE, "patch_size": 8}


def clip_vision(vector: int = VECTOR) -> Any:
    """CLIP's vision model of three layers, which makes a vector of so many channels."""
    config = CLIPVisionConfig(**SIZES, num_hidden_layers=3, num_attention_heads=1, projection_dim=vector)
    return CLIPVisionModelWithProjection(config)


def random(*shape: int, around: float = 0.0) -> Tensor:
    """Weights whose products keep their size."""
    return around + torch.randn(shape) / (shape[-1] ** 0.5 if len(shape) > 1 else 4)


def normed(name: str, channels: int) -> dict[str, Tensor]:
    return {f"{name}.weight": random(channels, around=1.0), f"{name}.bias": random(channels)}


def linear(name: str, out: int, read: int) -> dict[str, Tensor]:
    return {f"{name}.weight": random(out, read), f"{name}.bias": random(out)}


def plain(width: int, tokens: int = 4) -> dict[str, Tensor]:
    """The projection of a plain adapter, which makes so many tokens."""
    return linear("proj", tokens * width, VECTOR) | normed("norm", width)


def full(width: int) -> dict[str, Tensor]:
    """The projection of an adapter for whole faces."""
    return linear("proj.0", WIDTH, WIDTH) | linear("proj.2", width, WIDTH) | normed("proj.3", width)


def plus(width: int, hidden: int = 64) -> dict[str, Tensor]:
    """The resampler of IP-Adapter Plus, of four layers and five tokens."""
    found = {"latents": random(1, 5, hidden)} | linear("proj_in", hidden, WIDTH) | linear("proj_out", width, hidden)
    found |= normed("norm_out", width)
    for layer in (f"layers.{number}" for number in range(4)):
        found |= (
            normed(f"{layer}.0.norm1", hidden) | normed(f"{layer}.0.norm2", hidden) | normed(f"{layer}.1.0", hidden)
        )
        parts = {"0.to_q": (64, hidden), "0.to_kv": (128, hidden), "0.to_out": (hidden, 64)}
        parts |= {"1.1": (4 * hidden, hidden), "1.3": (hidden, 4 * hidden)}
        found |= {f"{layer}.{name}.weight": random(*shape) for name, shape in parts.items()}
    return found


PROJECTIONS = {"plain": plain, "plus": plus, "full": full}


def ip_adapter(unet: Any, kind: str, seed: int) -> dict[str, Tensor]:
    """An adapter for a UNet, as h94 publishes them: keys and values have odd numbers."""
    torch.manual_seed(seed)
    width = unet.config.cross_attention_dim
    found = {f"image_proj.{name}": one for name, one in PROJECTIONS[kind](width).items()}
    layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(layers):
        channels = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for side in ("k", "v"):
            found[f"ip_adapter.{2 * number + 1}.to_{side}_ip.weight"] = random(channels, width)
    return found


def xlabs_adapter(transformer: Any, seed: int) -> dict[str, Tensor]:
    """An adapter for FLUX.1's transformer, as XLabs publishes it."""
    torch.manual_seed(seed)
    width, channels = transformer.config.joint_attention_dim, transformer.inner_dim
    found = {f"ip_adapter_proj_model.{name}": one for name, one in plain(width).items()}
    for block in range(transformer.config.num_layers):
        for side in ("k", "v"):
            name = f"double_blocks.{block}.processor.ip_adapter_double_stream_{side}_proj"
            found |= linear(name, channels, width)
    return found


def siglip(layers: int = 3) -> Any:
    """SigLIP's vision model."""
    return SiglipVisionModel(SiglipVisionConfig(**SIZES, num_hidden_layers=layers, num_attention_heads=1))


def timed(hidden: int, width: int, times: int = 32) -> dict[str, Tensor]:
    """The resampler of an adapter for SD 3, of four layers and five tokens, which reads the timestep."""
    found = {"latents": random(1, 5, hidden)} | linear("proj_in", hidden, WIDTH) | linear("proj_out", width, hidden)
    found |= normed("norm_out", width)
    found |= linear("time_embedding.linear_1", hidden, times) | linear("time_embedding.linear_2", hidden, hidden)
    for layer in (f"layers.{number}" for number in range(4)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            found |= normed(f"{layer}.{norm}", hidden)
        parts = {"0.to_q": (64, hidden), "0.to_kv": (128, hidden), "0.to_out": (hidden, 64)}
        parts |= {"1.1": (4 * hidden, hidden), "1.3": (hidden, 4 * hidden)}
        found |= {f"{layer}.{name}.weight": random(*shape) for name, shape in parts.items()}
        found |= linear(f"{layer}.2.1", 4 * hidden, hidden)
    return found


def sd3_adapter(transformer: Any, seed: int, hidden: int = 48) -> dict[str, Tensor]:
    """An adapter for SD 3's transformer, as InstantX publishes it."""
    torch.manual_seed(seed)
    head, width = transformer.config.attention_head_dim, transformer.inner_dim
    found = {f"image_proj.{name}": one for name, one in timed(hidden, width).items()}
    for number in range(len(transformer.attn_processors)):
        own = linear("norm_ip.linear", 2 * width, hidden)
        own |= {f"to_{side}_ip.weight": random(width, width) for side in ("k", "v")}
        own |= {f"{norm}.weight": random(head, around=1.0) for norm in ("norm_q", "norm_k", "norm_ip_k")}
        found |= {f"ip_adapter.{number}.{name}": one for name, one in own.items()}
    return found


def add_image_adapters(models: Path, networks: Mapping[str, str]) -> None:
    """Put an image encoder, and an adapter of each kind for each network, into a models folder.

    Args:
        networks: checkpoints of the folder, by what names of adapters begin with.
    """
    if not (models / "vision").exists():
        torch.manual_seed(0)
        clip_vision().save_pretrained(models / "vision")
    for name, model in networks.items():
        unet = diffusers.UNet2DConditionModel.from_pretrained(models / model, subfolder="unet")
        for seed, kind in enumerate(PROJECTIONS):
            save_file(ip_adapter(unet, kind, seed), models / f"{name}-{kind}.safetensors")


def unclip(folder: Path) -> None:
    """A checkpoint of Stable unCLIP, with the statistics of its vectors and with its image encoder."""
    torch.manual_seed(0)
    embedded = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * VECTOR}
    noise = scheduler("DDIMScheduler", prediction_type="v_prediction")
    plain = stable_diffusion(noise, None, OPEN, **LINEAR, **embedded)
    statistics = StableUnCLIPImageNormalizer(VECTOR)
    torch.nn.init.normal_(statistics.mean)
    torch.nn.init.uniform_(statistics.std, 0.5, 2.0)
    diffusers.StableUnCLIPImg2ImgPipeline(
        **{name: getattr(plain, name) for name in ("tokenizer", "text_encoder", "unet", "scheduler", "vae")},
        image_normalizer=statistics,
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        image_encoder=clip_vision(),
        feature_extractor=CLIPImageProcessor(size=SIDE, crop_size=SIDE),
    ).save_pretrained(folder)


def gligen(folder: Path) -> None:
    """A checkpoint with the layers of GLIGEN."""
    torch.manual_seed(0)
    _grounding("gated").save_pretrained(folder)


def gligen_of_pictures(folder: Path) -> None:
    """A pipeline whose objects may have pictures, with its image encoder."""
    torch.manual_seed(0)
    pipeline = _grounding("gated-text-image")
    width, prepare = pipeline.text_encoder.config.hidden_size, CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    both: Any = CLIPProcessor
    diffusers.StableDiffusionGLIGENTextImagePipeline(
        **{name: getattr(pipeline, name) for name in ("tokenizer", "text_encoder", "unet", "scheduler", "vae")},
        processor=both(prepare, pipeline.tokenizer),
        image_encoder=clip_vision(width),
        image_project=CLIPImageProjection(width),
        safety_checker=None,
        feature_extractor=prepare,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def _grounding(attention: str) -> Any:
    """A pipeline whose UNet has gates, which are open, as a fresh one's are not."""
    pipeline = stable_diffusion(scheduler("PNDMScheduler"), attention_type=attention)
    for name, weight in pipeline.unet.named_parameters():
        if name.endswith(("alpha_attn", "alpha_dense")):
            torch.nn.init.constant_(weight, 0.8)
        if "null_" in name:
            torch.nn.init.normal_(weight)
    return pipeline


def redux(folder: Path) -> None:
    """The folder of Redux's pipeline, without text encoders."""
    torch.manual_seed(0)
    diffusers.FluxPriorReduxPipeline(
        image_encoder=siglip(layers=2),
        feature_extractor=SiglipImageProcessor(size={"height": SIDE, "width": SIDE}),
        image_embedder=ReduxImageEncoder(WIDTH, T5_WIDTH),
    ).save_pretrained(folder)


FOLDERS: Mapping[str, Callable[[Path], None]] = {
    "unclip": unclip,
    "gligen": gligen,
    "gligen-pictures": gligen_of_pictures,
    "redux": redux,
}
"""Folders of pipelines that read pictures or places."""
