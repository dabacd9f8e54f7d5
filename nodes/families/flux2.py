"""The FLUX.2 families: dev, which was distilled with guidance, and klein, small models with and without distillation.

A language model reads a prompt: Mistral Small 3 for dev, Qwen3 for klein. Three of its hidden states side by side are
what the transformer reads, with what pads the prompt. A token of the picture is an element of the VAE's patched
latents. Pictures to refer to follow as tokens of their own, ten apart in time (https://bfl.ai/blog/flux-2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import JointFormat, SpacedDenoiser, unpredicted_channels
from weft.nodes.models.denoiser import Conditions, Residuals, references_in
from weft.nodes.models.denoiser_facts import References, SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.original_modules import Joined, OriginalModules, numbered, parted_shapes
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_model import MISTRAL, QWEN3, LanguageModel
from weft.nodes.prompting.prompt_encoder import OneTextModel

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CHANNELS, FACTOR = 128, 16
"""Of the VAE's patched latents."""

TAKEN = 3
"""Hidden states that the transformer reads side by side."""

APART = 10
"""From one picture to refer to to the next, in the places of time; the picture itself is at 0."""

SYSTEM = (
    "You are an AI that reasons about image descriptions. You give structured responses focusing on object "
    "relationships, object\nattribution and actions without speculation."
)
"""What Mistral is asked to do."""

DEV_CHAT = Chat(
    f"[SYSTEM_PROMPT]{SYSTEM}[/SYSTEM_PROMPT][INST]{{}}[/INST]",
    {"add_generation_prompt": False},
    system=SYSTEM,
    listed=True,
)
KLEIN_CHAT = Chat(
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", {"enable_thinking": False}
)
"""The conversations that prompts are put into."""


class Flux2Prompts(OneTextModel):
    """Hidden states of a language model side by side."""

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        return PromptWidths(TAKEN * sum(channels.values()))


class Flux2Denoiser(SpacedDenoiser):
    """FLUX.2's transformer."""

    references = References()

    repeated_blocks = ("Flux2TransformerBlock", "Flux2SingleTransformerBlock")

    dispatches_attention = True

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(MODULES, modules)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits()

    @classmethod
    def distilled(cls, config: Mapping[str, Any]) -> bool:
        return bool(config.get("guidance_embeds", True))

    def guidance_conditions(self, scale: float) -> Conditions | None:
        """The scale, for dev; klein is led away from a negative prompt."""
        import torch

        if not self.distilled(self.network.config):
            return None
        return {"guidance": torch.tensor([scale], dtype=torch.float32)}

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """Sigmas from 1 to 1 / steps, shifted by the number of tokens and of steps."""
        side = self.latent_factor
        shift = {"mu": shift_of((latent.height // side) * (latent.width // side), steps)}
        return {**super().timing(steps, latent), **(shift if self.scheduler.get("use_dynamic_shifting") else {})}

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {"encoder_hidden_states": prompt.embeddings}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads elements of latents, each at its place in time, row and column; words follow a line."""
        import torch

        given = dict(conditions)
        pictures = [sample, *references_in(given)]
        words = torch.arange(given["encoder_hidden_states"].shape[1], device=sample.device)
        velocity: Tensor = self.network(
            hidden_states=torch.cat([picture.flatten(2).transpose(1, 2) for picture in pictures], dim=1),
            timestep=self.network_timestep(timestep).expand(len(sample)).to(sample.dtype),
            img_ids=torch.cat([_places(picture, APART * number) for number, picture in enumerate(pictures)]),
            txt_ids=torch.nn.functional.pad(words[:, None], (3, 0)),
            **given,
            return_dict=False,
        )[0]
        tokens = sample.shape[-2] * sample.shape[-1]
        return velocity[:, :tokens].transpose(1, 2).reshape(sample.shape)


def _places(picture: Tensor, time: int) -> Tensor:
    """The place of each element in time, row, column and line of words, `[element, 4]`."""
    import torch

    rows, columns = (torch.arange(side, device=picture.device) for side in picture.shape[-2:])
    zero = torch.zeros(1, dtype=rows.dtype, device=picture.device)
    return torch.cartesian_prod(zero + time, rows, columns, zero)


def shift_of(tokens: int, steps: int) -> float:
    """The shift `mu` of a schedule: linear in the tokens, and in the steps between 10 and 200 (the authors' fit)."""
    long = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return long
    short = 8.73809524e-05 * tokens + 1.89833333
    slope = (long - short) / 190
    return slope * steps + long - 200 * slope


_DOUBLE, _SINGLE = "transformer_blocks.{}", "single_transformer_blocks.{}"

MODULES: OriginalModules = {
    "double_blocks.{}.img_attn.qkv": Joined(tuple(f"{_DOUBLE}.attn.to_{one}" for one in "qkv")),
    "double_blocks.{}.txt_attn.qkv": Joined(tuple(f"{_DOUBLE}.attn.add_{one}_proj" for one in "qkv")),
    "double_blocks.{}.img_attn.proj": Joined((f"{_DOUBLE}.attn.to_out.0",)),
    "double_blocks.{}.txt_attn.proj": Joined((f"{_DOUBLE}.attn.to_add_out",)),
    "double_blocks.{}.img_mlp.0": Joined((f"{_DOUBLE}.ff.linear_in",)),
    "double_blocks.{}.img_mlp.2": Joined((f"{_DOUBLE}.ff.linear_out",)),
    "double_blocks.{}.txt_mlp.0": Joined((f"{_DOUBLE}.ff_context.linear_in",)),
    "double_blocks.{}.txt_mlp.2": Joined((f"{_DOUBLE}.ff_context.linear_out",)),
    "double_blocks.{}.img_attn.norm.query_norm": Joined((f"{_DOUBLE}.attn.norm_q",)),
    "double_blocks.{}.img_attn.norm.key_norm": Joined((f"{_DOUBLE}.attn.norm_k",)),
    "double_blocks.{}.txt_attn.norm.query_norm": Joined((f"{_DOUBLE}.attn.norm_added_q",)),
    "double_blocks.{}.txt_attn.norm.key_norm": Joined((f"{_DOUBLE}.attn.norm_added_k",)),
    "single_blocks.{}.linear1": Joined((f"{_SINGLE}.attn.to_qkv_mlp_proj",)),
    "single_blocks.{}.linear2": Joined((f"{_SINGLE}.attn.to_out",)),
    "single_blocks.{}.norm.query_norm": Joined((f"{_SINGLE}.attn.norm_q",)),
    "single_blocks.{}.norm.key_norm": Joined((f"{_SINGLE}.attn.norm_k",)),
    "img_in": Joined(("x_embedder",)),
    "txt_in": Joined(("context_embedder",)),
    "time_in.in_layer": Joined(("time_guidance_embed.timestep_embedder.linear_1",)),
    "time_in.out_layer": Joined(("time_guidance_embed.timestep_embedder.linear_2",)),
    "guidance_in.in_layer": Joined(("time_guidance_embed.guidance_embedder.linear_1",)),
    "guidance_in.out_layer": Joined(("time_guidance_embed.guidance_embedder.linear_2",)),
    "double_stream_modulation_img.lin": Joined(("double_stream_modulation_img.linear",)),
    "double_stream_modulation_txt.lin": Joined(("double_stream_modulation_txt.linear",)),
    "single_stream_modulation.lin": Joined(("single_stream_modulation.linear",)),
    "final_layer.linear": Joined(("proj_out",)),
    "final_layer.adaLN_modulation.1": Joined(("norm_out.linear",), swapped=True),
}
"""FLUX.2's modules by the names of Black Forest Labs."""


def flux2_config(shapes: Shapes) -> Config:
    """The configuration of a Flux2Transformer2DModel, from shapes of the original layout."""
    return _config(
        shapes,
        ("img_in", "txt_in", "double_blocks.{}.img_attn.qkv.weight", "single_blocks.{}.linear1.weight"),
        "double_blocks.0.img_attn.norm.query_norm.scale",
        shapes["double_blocks.0.img_mlp.2.weight"][1],
        "guidance_in.in_layer.weight" in shapes,
        shapes["time_in.in_layer.weight"][1],
    )


def diffusers_flux2_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    return _config(
        shapes,
        (
            *("x_embedder", "context_embedder", "transformer_blocks.{}.attn.to_q.weight"),
            "single_transformer_blocks.{}.attn.to_qkv_mlp_proj.weight",
        ),
        "transformer_blocks.0.attn.norm_q.weight",
        shapes["transformer_blocks.0.ff.linear_out.weight"][1],
        "time_guidance_embed.guidance_embedder.linear_1.weight" in shapes,
        shapes["time_guidance_embed.timestep_embedder.linear_1.weight"][1],
    )


def _config(
    shapes: Shapes, names: tuple[str, str, str, str], norm: str, inner: int, guided: bool, timed: int
) -> Config:
    """The configuration by what tensors are called: of picture and words, of each kind of block, of a norm."""
    picture, words, double, single = names
    width, channels = shapes[f"{picture}.weight"]
    head = shapes[norm][0]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, double),
        "num_single_layers": count(shapes, single),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes[f"{words}.weight"][1],
        "timestep_guidance_channels": timed,
        "mlp_ratio": inner / width,
        "axes_dims_rope": (head // 4,) * 4,
        "guidance_embeds": guided,
    }


def flux2_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of the original layout under diffusers' names."""
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_flux2_transformer_checkpoint_to_diffusers
    converted: dict[str, Tensor] = convert(found)
    return converted


LAYOUTS = (
    TensorLayout("single_stream_modulation.lin.weight", flux2_config, flux2_weights, partial(parted_shapes, MODULES)),
    TensorLayout("single_stream_modulation.linear.weight", diffusers_flux2_config),
)
"""The original layout, and diffusers' own."""


class Flux2Format(JointFormat):
    """The transformer of FLUX.2 dev."""

    class_name = "Flux2Transformer2DModel"
    layouts = LAYOUTS

    def fits(self, config: Mapping[str, Any]) -> bool:
        return Flux2Denoiser.distilled(config)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return unpredicted_channels(config)

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", CHANNELS))


class Flux2KleinFormat(Flux2Format):
    """The transformer of klein, which reads no scale."""

    def fits(self, config: Mapping[str, Any]) -> bool:
        return not Flux2Denoiser.distilled(config)


VAE_SPEC = VAESpec(CHANNELS, "AutoencoderKLFlux2", factor=FACTOR)

COLOURS = LatentRGBFactors(())
"""No map of its latents to colours is published."""

SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}

FLUX2 = Family(
    name="FLUX2",
    native_side=1024,
    network=Flux2Format(),
    denoiser=Flux2Denoiser,
    prompts=Flux2Prompts,
    latent_rgb_factors=COLOURS,
    precisions=all_parts(IN_BFLOAT16, "black-forest-labs/FLUX.2-dev"),
    texts=(
        LanguageModel(
            *("mistral_3_small", "text_encoder", ()),
            architecture=MISTRAL,
            chat=DEV_CHAT,
            states=(10, 20, 30),
            filled=True,
        ),
    ),
    vae=VAE_SPEC,
    scheduler=SCHEDULER,
)

FLUX2_KLEIN = replace(
    FLUX2,
    name="FLUX2Klein",
    network=Flux2KleinFormat(),
    precisions=all_parts(IN_BFLOAT16, "black-forest-labs/FLUX.2-klein-4B"),
    texts=(
        LanguageModel(
            *("qwen3_4b", "text_encoder", ()),
            architecture=QWEN3,
            chat=KLEIN_CHAT,
            states=(9, 18, 27),
            filled=True,
        ),
    ),
)
