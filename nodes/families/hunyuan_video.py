"""The HunyuanVideo 1.5 family: clips from text, and from a picture to begin with (arXiv:2511.18870).

Qwen2.5-VL reads a prompt, and ByT5 the texts in it that are in quotes. The transformer attends to the latents, to the
tokens of both and to those of a given picture at once, and predicts the velocity. Next to its latents it sees those of
the first frame, and a mask of it: zeros where a clip is made from text alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import FlowDenoiser
from weft.nodes.models.clip_pictures import PICTURE_TOKENS, EncodedPictures, PictureReading, check_begins
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Residuals
from weft.nodes.models.denoiser_facts import ClipLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import false_colours
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.glyphs import GlyphT5
from weft.nodes.prompting.language_model import QWEN2_5_VL, LanguageModel
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder
    from weft.nodes.values import Latent, Prompt

CHANNELS, SIDE, FRAMES = 32, 16, 4
"""Channels of latents, pixels to a latent element along each side, and frames to a latent frame."""

PICTURE_CHANNELS = CHANNELS + 1
"""Channels of the latents of the first frame and of its mask."""

SYSTEM = (" " * 8).join(
    (
        "You are a helpful assistant. Describe the video by detailing the following aspects: ",
        "1. The main content and theme of the video. ",
        "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects. ",
        "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects. ",
        "4. background environment, light, style and atmosphere. ",
        "5. camera angles, movements, and transitions used in the video.",
    )
)
"""What the language model is asked to do, with the spaces that the models were trained with."""

CHAT = Chat(
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{{}}<|im_end|>\n<|im_start|>assistant\n",
    {"add_generation_prompt": True},
    system=SYSTEM,
    blank=" ",
)
"""The conversation that a prompt is put into."""

SYSTEM_TOKENS, LONGEST, GLYPHS = 108, 1000, 256
"""Tokens in front of the prompt, which the transformer does not read; those that it reads at most, of both kinds."""


class HunyuanVideoPrompts(PromptEncoder):
    """The tokens of the language model, and those of ByT5 next to them along the channels.

    Where there are more of one kind, zeros stand next to them; the mask is that of the language model's.
    """

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        return PromptWidths(sum(channels.values()))

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        import torch

        words, glyphs = self.read(texts, reading)
        read = words.attention_mask
        mask = words.embeddings.new_ones(words.embeddings.shape[:2]) if read is None else read
        count = max(one.embeddings.shape[1] for one in (words, glyphs))
        sides = [_filled(one.embeddings, count).cpu() for one in (words, glyphs)]
        return Encoded(torch.cat([one.float() for one in sides], dim=-1), _filled(mask[..., None], count)[..., 0])


def _filled(tokens: Tensor, count: int) -> Tensor:
    """Tokens `[text, token, channel]` with zeros after them, so many in all."""
    import torch

    return torch.nn.functional.pad(tokens, (0, 0, 0, count - tokens.shape[1]))


class HunyuanVideoDenoiser(FlowDenoiser):
    """HunyuanVideo 1.5's transformer."""

    clips = ClipLimits(FRAMES)
    spaces_steps = True
    perturbable = False
    dispatches_attention = True
    reads_last_tokens = True
    repeated_blocks = ("HunyuanVideo15TransformerBlock",)

    @property
    def prompt_width(self) -> int:
        return _prompt_width(self.network.config)

    @property
    def extra_channels(self) -> int:
        return _extra_channels(self.network.config)

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        return PictureReading(token_width=config.get("image_embed_dim", 1152)) if _extra_channels(config) else None

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        """The latents of the picture and a mask of 1, and zeros for the other frames."""
        import torch

        check_begins(PictureReading(), ends=last is not None)
        latents = autoencoder.encode(first[None, None])
        marked = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
        rest = cls.clips.latent_frames(frames) - 1
        return EncodedPictures(torch.nn.functional.pad(marked, (0, 0, 0, 0, 0, rest)))

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """Sigmas from 1 to 1 / steps, before they are shifted."""
        import numpy

        return {"sigmas": numpy.linspace(1.0, 1 / steps, steps)}

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        mask = prompt.attention_mask
        if mask is None:
            mask = prompt.embeddings.new_ones(prompt.embeddings.shape[:2])
        return {"encoder_hidden_states": prompt.embeddings, "encoder_attention_mask": mask}

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        """Both kinds of tokens by themselves, and a token of zeros where there is no picture, as the network knows it.

        What it does not read is left out of its attention, so that one stands for as many as a picture has.
        """
        config, tokens = self.network.config, conditions["encoder_hidden_states"]
        words, glyphs = tokens[..., : config.text_embed_dim], tokens[..., config.text_embed_dim :]
        pictures = conditions.get(PICTURE_TOKENS)
        if pictures is None:
            pictures = tokens.new_zeros(len(tokens), 1, config.image_embed_dim)
        return {
            "encoder_hidden_states": words,
            "encoder_attention_mask": conditions["encoder_attention_mask"],
            "encoder_hidden_states_2": glyphs,
            "encoder_attention_mask_2": glyphs.ne(0).any(dim=-1),
            "image_embeds": pictures,
        }

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        given = dict(conditions)
        extra = given.pop(EXTRA_CHANNELS, None)
        if extra is None:
            extra = sample.new_zeros(len(sample), PICTURE_CHANNELS, *sample.shape[2:])
        seen = torch.cat([sample, extra], dim=1)
        return super().predict(seen, timestep.to(sample.dtype), given, residuals)


class HunyuanVideoFormat(NetworkFormat):
    """HunyuanVideo 1.5's transformer, from a folder."""

    class_name = "HunyuanVideo15Transformer3DModel"

    def unsupported(self, config: Mapping[str, Any]) -> str:
        if config.get("use_meanflow"):
            return "the timestep of the next step too (mean flow)"
        further = config.get("in_channels", CHANNELS + PICTURE_CHANNELS) - self.latent_channels(config)
        return "" if further == PICTURE_CHANNELS else "other channels next to its latents"

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("out_channels", CHANNELS))

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return _extra_channels(config)

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(_prompt_width(config))


def _extra_channels(config: Mapping[str, Any]) -> int:
    """Channels of the picture that a clip begins with: models for text alone have them too, and read zeros."""
    return PICTURE_CHANNELS if config.get("task_type", "i2v") == "i2v" else 0


def _prompt_width(config: Mapping[str, Any]) -> int:
    """Channels of the tokens of both text models together."""
    return int(config.get("text_embed_dim", 3584)) + int(config.get("text_embed_2_dim", 1472))


HUNYUAN_VIDEO = Family(
    name="HunyuanVideo15",
    network=HunyuanVideoFormat(),
    denoiser=HunyuanVideoDenoiser,
    prompts=HunyuanVideoPrompts,
    latent_rgb_factors=false_colours(CHANNELS),
    precisions=all_parts(IN_BFLOAT16, "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v"),
    texts=(
        LanguageModel(
            *("qwen_2.5_vl_7b", "text_encoder", ()),
            architecture=QWEN2_5_VL,
            chat=CHAT,
            states=(-3,),
            dropped=SYSTEM_TOKENS,
            longest=LONGEST,
        ),
        GlyphT5("byt5_small_glyph", "text_encoder_2", (), length=GLYPHS, longest=GLYPHS, masked=True),
    ),
    vae=VAESpec(CHANNELS, "AutoencoderKLHunyuanVideo15", factor=SIDE),
    scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 5.0},
)
