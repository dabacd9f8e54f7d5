"""The Qwen-Image family (arXiv:2508.02324).

Qwen2.5-VL reads a prompt as a turn of a conversation that asks for a description. The transformer has joint attention
over patches of latents and the prompt. The VAE is one of clips; a picture is a clip of one frame.

Qwen-Image-Layered (arXiv:2512.15603) divides a picture into layers with alpha. Its latents have a frame for the picture
and one for each layer, from the back to the front, and the picture's own latents are those of a picture to refer to.
Its VAE has four channels of pixels and decodes each frame by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, JointFormat, SpacedDenoiser, packed, unpacked
from weft.nodes.families.qwen_image_controls import (
    BlockwiseControlFormat,
    QwenImageControlNetFormat,
    transformer_sizes,
)
from weft.nodes.models.denoiser import Conditions, Residuals, references_in
from weft.nodes.models.denoiser_facts import ClipLimits, References
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.language_model import QWEN2_5_VL, LanguageModel
from weft.nodes.prompting.picture_chat import PictureChat
from weft.nodes.prompting.prompt_encoder import OneTextModel

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CHAT = Chat(
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""The conversation that a prompt is put into."""

EDIT_CHAT = PictureChat(
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where appropriate."
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    dropped=64,
)
"""The conversation that a prompt with pictures is put into, for Qwen-Image-Edit."""

SYSTEM_TOKENS = 34
"""Tokens in front of the prompt, which the transformer does not read."""

LONGEST = 512
"""Tokens that the transformer reads at most, as many as diffusers' pipeline takes unless it is asked for more."""

RGB_FACTORS = LatentRGBFactors(
    (
        (-0.06495, -0.0846, 0.1466),
        (0.03355, 0.0203, 0.0221),
        (0.1784, 0.1274, 0.08735),
        (0.0186, 0.1172, 0.071),
        (0.01565, 0.00945, -0.0164),
        (0.0148, -0.0478, -0.03325),
        (-0.17385, -0.20295, -0.14625),
        (0.0083, 0.0951, 0.09875),
        (-0.0206, 0.01335, -0.0682),
        (-0.06465, 0.037, 0.0818),
        (0.034, 0.15095, 0.0564),
        (0.0016, 0.02905, 0.03195),
        (-0.06255, 0.04635, 0.08495),
        (0.003, -0.03165, 0.00025),
        (0.17385, 0.11375, 0.1475),
        (0.0992, 0.04565, 0.09305),
    ),
    (0.40825, 0.4566, 0.332),
)
"""What its latents look like, for 0..1: the factors in wide use for the VAE of Wan 2.1, whose latents are alike."""


LAYERS = ClipLimits(by_frame=True, layers=True)
"""What Qwen-Image-Layered makes: a frame for the picture and one for each layer."""

BASE_TOKENS = 256
"""Tokens of the picture at which the levels of Qwen-Image-Layered are not shifted: 256 x 256 pixels."""


def is_layered(config: Mapping[str, Any]) -> bool:
    """Whether a transformer of this configuration divides a picture into layers."""
    return bool(config.get("use_layer3d_rope") and config.get("use_additional_t_cond"))


class QwenImageDenoiser(SpacedDenoiser):
    """Qwen-Image's transformer. Edit reads pictures as tokens that follow those of the latents, and Layered one."""

    references = References(clean=True)

    repeated_blocks = ("QwenImageTransformerBlock",)

    dispatches_attention = skips_blocks = True

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        import torch

        masked = {} if prompt.attention_mask is None else {"encoder_hidden_states_mask": prompt.attention_mask}
        # 0 says that the layers have alpha.
        stated = {"additional_t_cond": torch.zeros(1, dtype=torch.long)} if self.clips else {}
        return {"encoder_hidden_states": prompt.embeddings, **masked, **stated}

    @classmethod
    def clip_limits(cls, config: Mapping[str, Any]) -> ClipLimits | None:
        return LAYERS if is_layered(config) else None

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """With layers the shift is the root of the picture's tokens (SD 3, arXiv:2403.03206, equation 23)."""
        found = super().timing(steps, latent)
        if self.clips is None or "mu" not in found:
            return found
        side = PATCH * self.latent_factor
        return {**found, "mu": ((latent.height // side) * (latent.width // side) / BASE_TOKENS) ** 0.5}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads a row of patches, whose places it takes from the size of the picture.

        Raises:
            InputError: where a picture is to be divided into layers, and there is not one.
        """
        import torch

        from weft.nodes.models.blockwise_control import block_samples

        given = dict(conditions)
        frames, references = [*sample.unbind(2)] if sample.ndim == 5 else [sample], references_in(given)
        if self.clips and len(references) != 1:
            raise InputError(
                f"the model divides one picture into layers, and the guide refers to {len(references)}",
                "give it the picture by ReferenceGuide, or by ReferenceLatentGuide",
                "wrong-guide",
            )
        pictures = [*frames, *references]
        rows, count = len(sample), len(frames) * sample.shape[-2] * sample.shape[-1] // PATCH**2
        sizes = [(1, picture.shape[-2] // PATCH, picture.shape[-1] // PATCH) for picture in pictures]
        velocity: Tensor = self.network(
            hidden_states=torch.cat([packed(picture) for picture in pictures], dim=1),
            timestep=self.network_timestep(timestep).expand(rows).to(sample.dtype),
            img_shapes=[sizes] * rows,
            **given,
            **block_samples(residuals or {}, "controlnet_block_samples"),
            return_dict=False,
        )[0]
        parts = [unpacked(part, frames[0].shape) for part in velocity[:, :count].chunk(len(frames), 1)]
        return torch.stack(parts, dim=2) if sample.ndim == 5 else parts[0]

    def normalised(self, guided: Tensor, positive: Tensor) -> Tensor:
        """Each patch as long as it is in the positive prediction, as diffusers' `true_cfg_scale` has it."""
        if guided.ndim == 5:
            folded = (one.transpose(1, 2).flatten(0, 1) for one in (guided, positive))
            frames = self.normalised(*folded)
            return frames.reshape(len(guided), -1, *frames.shape[1:]).transpose(1, 2)
        patches, wanted = packed(guided), packed(positive).norm(dim=-1, keepdim=True)
        return unpacked(patches * (wanted / patches.norm(dim=-1, keepdim=True)), guided.shape)


def qwen_image_config(shapes: Shapes) -> Config:
    """The configuration of a QwenImageTransformer2DModel, from shapes."""
    layered = "time_text_embed.addition_t_embedding.weight" in shapes
    layers = {"use_additional_t_cond": True, "use_layer3d_rope": True} if layered else {}
    return {**transformer_sizes(shapes), "out_channels": shapes["proj_out.weight"][0] // PATCH**2, **layers}


def layered_levels(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the levels of Qwen-Image-Layered are shifted, where no file says it: as `timing` has it, and no further."""
    return {"time_shift_type": "linear", "shift_terminal": None} if is_layered(network) else {}


UNSUPPORTED: Mapping[str, str] = {
    "guidance_embeds": "a scale of guidance",
    "use_additional_t_cond": "a further condition with the timestep",
    "use_layer3d_rope": "several layers of a picture",
}
"""Entries of a configuration that ask for an input which no node gives, with the input: of the last two each alone."""


class QwenImageFormat(JointFormat):
    """Qwen-Image's transformer. Its single files name tensors as diffusers does."""

    class_name = "QwenImageTransformer2DModel"
    layouts = (TensorLayout("transformer_blocks.0.txt_mod.1.weight", qwen_image_config),)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        together = ("use_additional_t_cond", "use_layer3d_rope") if is_layered(config) else ()
        return next((reads for name, reads in UNSUPPORTED.items() if config.get(name) and name not in together), "")

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config["in_channels"]) // PATCH**2


TEXT_MODEL = LanguageModel(
    "qwen_2.5_vl_7b",
    "text_encoder",
    (),
    architecture=QWEN2_5_VL,
    chat=CHAT,
    dropped=SYSTEM_TOKENS,
    longest=LONGEST,
    pictures=EDIT_CHAT,
)

QWEN_IMAGE = Family(
    name="QwenImage",
    native_side=1328,
    network=QwenImageFormat(),
    denoiser=QwenImageDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_BFLOAT16, "Qwen/Qwen-Image"),
    texts=(TEXT_MODEL,),
    vae=VAESpec(16, "AutoencoderKLQwenImage"),
    controls=(QwenImageControlNetFormat(), BlockwiseControlFormat()),
    scheduler={
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 0.9,
        "base_image_seq_len": 256,
        "max_image_seq_len": 8192,
        "shift_terminal": 0.02,
    },
    scheduler_changes=layered_levels,
)
