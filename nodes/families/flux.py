"""The FLUX.1 family: dev, which was distilled with guidance and takes its scale, and schnell, which takes none.

T5 reads a prompt, and CLIP makes a vector of it. The transformer reads patches of two by two latent elements, and the
schedule of dev is shifted by the size of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import (
    CLIP_PREFIX,
    PATCH,
    T5_PREFIX,
    JointDenoiser,
    JointFormat,
    SpacedDenoiser,
    flow_widths,
    packed,
    places,
    unpacked,
    unpredicted_channels,
)
from weft.nodes.families.flux_controls import FluxControlNetFormat
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Residuals, references_in
from weft.nodes.models.denoiser_facts import ImageLayer, References
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.original_modules import FLUX_MODULES, OriginalModules, numbered
from weft.nodes.models.part_precisions import IN_BFLOAT16, IN_EITHER, PartPrecisions
from weft.nodes.models.single_file_transformers import FLUX_LAYOUTS
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.t5 import T5
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.lora_merging import Uses


LATENT_CHANNELS, MASK_CHANNELS = 16, 64
"""Channels of latents, and of a mask that has one for each pixel of a latent element."""

T5_TOKENS = 512
"""Tokens of T5's that the transformer reads."""

GUIDANCE = "guidance_in.in_layer.weight"
"""The tensor of a transformer that takes the scale of guidance, as dev's does."""

RGB_FACTORS = LatentRGBFactors(
    (
        (-0.0206, 0.00745, 0.02605),
        (0.0028, 0.01455, 0.0384),
        (0.0171, -0.03405, -0.02135),
        (-0.0129, 0.0046, 0.02315),
        (0.04315, 0.0392, 0.02735),
        (-0.00085, 0.0201, 0.0079),
        (0.02505, 0.0529, 0.0576),
        (-0.01045, -0.0109, -0.01645),
        (-0.0157, 0.00415, 0.0448),
        (0.04255, 0.03325, -0.0236),
        (-0.0267, 0.0119, -0.0012),
        (0.0226, -0.0013, 0.0024),
        (0.0446, 0.04155, 0.04405),
        (-0.05585, -0.0152, -0.03945),
        (0.00135, -0.02395, -0.00215),
        (-0.0573, -0.04135, -0.0299),
    ),
    published="taef1",
)
"""What latents look like: the factors that the InvokeAI team fitted (2025), for 0..1."""

BLOCKS = "double_blocks.0.img_attn.qkv.weight"


class FluxPrompts(PromptEncoder):
    """T5's tokens, and CLIP's pooled vector."""

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        return flow_widths(channels)

    @classmethod
    def pooled_width(cls, channels: Mapping[str, int]) -> int:
        return flow_widths(channels).vector

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        clip, t5 = self.read(texts, reading)
        return Encoded(t5.embeddings, pooled=clip.pooled)


class FluxDenoiser(SpacedDenoiser, JointDenoiser):
    """FLUX.1's transformer.

    Fill reads the latents of a masked picture and its mask too, Canny and Depth those of a picture, all as channels;
    Kontext reads a picture as tokens that follow those of the latents.
    """

    references = References(diagonal=True)

    widened_module = "x_embedder"

    repeated_blocks = ("FluxTransformerBlock", "FluxSingleTransformerBlock")

    dispatches_attention = fuses_projections = skips_blocks = True

    @property
    def extra_channels(self) -> int:
        return extra_channels(self.network.config)

    @classmethod
    def masked_channels(cls, mask: Tensor, latents: Tensor, factor: int) -> Tensor:
        """The masked picture's latents, and each pixel of the mask as a channel."""
        import torch

        pixels = torch.nn.functional.pixel_unshuffle(mask, factor)
        return torch.cat([latents, pixels.expand(len(latents), -1, -1, -1)], dim=1)

    reads_image_tokens = True

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(FLUX_MODULES, modules)

    @classmethod
    def added_channels(cls, columns: int, config: Mapping[str, Any]) -> int:
        return extra_channels({**config, "in_channels": columns, "out_channels": _predicted(config)})

    def add_loras(self, uses: Uses) -> Callable[[], None]:
        """Control LoRAs make the network read a picture next to its latents, as those for Canny and Depth do."""
        from weft.nodes.models.widened_inputs import widened

        narrow = widened(self, uses)
        try:
            undo = super().add_loras(uses)
        except BaseException:
            narrow()
            raise

        def undo_both() -> None:
            undo()
            narrow()

        return undo_both

    @classmethod
    def distilled(cls, config: Mapping[str, Any]) -> bool:
        return True

    @classmethod
    def image_layers(cls, config: Mapping[str, Any]) -> tuple[ImageLayer, ...]:
        """The blocks with streams of their own for picture and prompt, as in XLabs' adapters."""
        channels = config.get("num_attention_heads", 24) * config.get("attention_head_dim", 128)
        return tuple(
            ImageLayer(f"transformer_blocks.{block}.attn", channels, config.get("joint_attention_dim", 4096))
            for block in range(config.get("num_layers", 19))
        )

    def image_processor(self, inner: Any, number: int) -> Any:
        from weft.nodes.models.image_attention import JointAttentionWithImages

        return JointAttentionWithImages(inner, number)

    def guidance_conditions(self, scale: float) -> Conditions:
        """The scale, for dev and for ControlNets. Schnell takes none, and was distilled too: it is called with the
        positive prompt alone.
        """
        import torch

        return {"guidance": torch.tensor([scale], dtype=torch.float32)}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads a row of patches, each numbered by its row and column in the picture."""
        import torch

        given = dict(conditions)
        if not self.network.config.guidance_embeds:
            given.pop("guidance", None)
        extra = given.pop(EXTRA_CHANNELS, None)
        rows, _, height, width = sample.shape
        tokens = packed(sample if extra is None else torch.cat([sample, extra], dim=1))
        numbers = places(height // PATCH, width // PATCH, sample)
        added, count = dict(residuals or {}), tokens.shape[1]
        for number, reference in enumerate(references_in(given), 1):
            others = places(reference.shape[-2] // PATCH, reference.shape[-1] // PATCH, sample)
            if self.diagonal_references:
                others[:, 1:] += numbers[-1, 1:] + 1
            else:
                others[:, 0] = number
            tokens = torch.cat([tokens, packed(reference)], dim=1)
            numbers = torch.cat([numbers, others])
            added = {name: [_padded(one, len(others)) for one in tensors] for name, tensors in added.items()}
        prediction: Tensor = self.network(
            hidden_states=tokens,
            timestep=self.network_timestep(timestep).expand(rows).to(sample.dtype),
            img_ids=numbers,
            txt_ids=numbers.new_zeros(conditions["encoder_hidden_states"].shape[1], 3),
            **given,
            **added,
            return_dict=False,
        )[0]
        return unpacked(prediction[:, :count], sample.shape)


def _padded(residual: Tensor, tokens: int) -> Tensor:
    """What ControlNets add, with nothing for further tokens."""
    import torch

    return torch.nn.functional.pad(residual, (0, 0, 0, tokens))


class FluxFormat(JointFormat):
    """FLUX.1's transformer."""

    class_name = "FluxTransformer2DModel"
    layouts = FLUX_LAYOUTS

    def unsupported(self, config: Mapping[str, Any]) -> str:
        known = extra_channels(config) in (0, LATENT_CHANNELS, LATENT_CHANNELS + MASK_CHANNELS)
        return "" if known else unpredicted_channels(config)

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("out_channels") or config["in_channels"]) // PATCH**2

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return extra_channels(config)


def extra_channels(config: Mapping[str, Any]) -> int:
    """Channels that a transformer of this configuration reads in addition to those that it predicts."""
    return (int(config.get("in_channels") or 0) - _predicted(config)) // PATCH**2


def _predicted(config: Mapping[str, Any]) -> int:
    """Channels of a patch that a transformer predicts: as many as it reads, where the configuration does not say it."""
    return int(config.get("out_channels") or config.get("in_channels") or 0)


def unshifted(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schnell, whose network takes no scale, has a schedule of its own, which is not shifted."""
    return {} if network.get("guidance_embeds") else {"shift": 1.0, "use_dynamic_shifting": False}


FLUX_VAE = VAESpec(16, config={"scaling_factor": 0.3611, "shift_factor": 0.1159})
"""The VAE of FLUX.1, which other families have too."""

FLUX_SCHEDULER: Mapping[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}

FLUX = Family(
    name="FLUX",
    native_side=1024,
    network=FluxFormat(),
    denoiser=FluxDenoiser,
    prompts=FluxPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=PartPrecisions(IN_EITHER, IN_BFLOAT16, IN_BFLOAT16, "black-forest-labs/FLUX.1-dev"),
    texts=(
        Clip("clip_l", "text_encoder", (CLIP_PREFIX,), vector_alone=True),
        T5("t5xxl", "text_encoder_2", (T5_PREFIX,), length=T5_TOKENS),
    ),
    vae=FLUX_VAE,
    scheduler=FLUX_SCHEDULER,
    scheduler_changes=unshifted,
    controls=(FluxControlNetFormat(),),
)
