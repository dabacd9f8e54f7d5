"""The Sana family: linear attention over few latents, each of 32 by 32 pixels (https://arxiv.org/abs/2410.10629).

Gemma 2 reads a prompt in lower case, behind an instruction to describe it in detail; a negative prompt goes without.
Like diffusers without the package beautifulsoup4, it is not cleaned of HTML and addresses first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import FlowDenoiser
from weft.nodes.models.denoiser import Conditions
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.instructed_prompts import InstructedPrompts, side_of
from weft.nodes.prompting.language_model import GEMMA2, LanguageModel
from weft.nodes.prompting.language_reader import LanguageModelReader
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CHANNELS, FACTOR = 32, 32
"""Of the latents of its VAE."""

INSTRUCTION = "\n".join(
    (
        "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for "
        "image generation. Evaluate the level of detail in the user prompt:",
        "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial "
        "relationships to create vivid and concrete scenes.",
        "- If the prompt is already detailed, refine and enhance the existing details slightly without "
        "overcomplicating.",
        "Here are examples of how to transform or refine prompts:",
        "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping "
        "peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.",
        "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing "
        "street lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering "
        "glass skyscrapers.",
        "Please generate only the enhanced description for the prompt below and avoid including any additional "
        "commentary or evaluations:",
        "User Prompt: ",
    )
)
"""What stands in front of a prompt."""

LONGEST = 300
"""Tokens that the transformer reads."""


class SanaPrompts(InstructedPrompts):
    """Gemma's tokens of a prompt: the one that begins the text, and those from the last one of the instruction on."""

    instruction = INSTRUCTION

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        return super().combined([text.lower().strip() for text in texts], reading)

    def instructed(self, reader: LanguageModelReader, texts: Sequence[str], reading: Reading) -> list[Tensor]:
        import torch

        first, longest = len(reader.tokenizer(self.instruction).input_ids) - 1, reader.reading.longest
        rows = self.asked(reader.limited(first + longest - 1), self.instruction, texts, reading)
        return [torch.cat([row[:1], row[first:]]) for row in rows]


class SanaDenoiser(FlowDenoiser):
    """Sana's transformer."""

    perturbable = False

    repeated_blocks = ("SanaTransformerBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(int(config.get("patch_size", 1)))

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.caption_channels)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        embeddings, mask = side_of(prompt, negative)
        return {"encoder_hidden_states": embeddings, "encoder_attention_mask": mask}

    def network_timestep(self, timestep: Tensor) -> Tensor:
        return timestep * float(self.network.config.timestep_scale)


class SanaFormat(NetworkFormat):
    """Sana's transformer."""

    class_name = "SanaTransformer2DModel"

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Sana-Sprint's reads a scale of guidance too."""
        return not config.get("guidance_embeds")

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("caption_channels", 2304))

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", CHANNELS))


SANA = Family(
    name="Sana",
    network=SanaFormat(),
    denoiser=SanaDenoiser,
    prompts=SanaPrompts,
    latent_rgb_factors=LatentRGBFactors(()),
    precisions=all_parts(IN_BFLOAT16, "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers"),
    texts=(LanguageModel("gemma_2_2b", "text_encoder", (), architecture=GEMMA2, chat=Chat("{}"), longest=LONGEST),),
    vae=VAESpec(CHANNELS, "AutoencoderDC", config={"scaling_factor": 0.41407}, factor=FACTOR),
    scheduler={
        "_class_name": "DPMSolverMultistepScheduler",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 3.0,
    },
)
