"""The HiDream family: HiDream-I1 (https://arxiv.org/abs/2505.22705).

Four text models read a prompt: two of CLIP make a vector of it, T5 and Llama 3.1 its tokens, and the transformer reads
another layer of Llama's in each of its blocks. Its experts are chosen by token. It predicts the velocity from noise to
picture. Llama is published apart: LoadTextEncoder takes its folder as a further source. Dev and Fast were distilled to
do without guidance, in 28 and 16 steps of LCM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, T5_PREFIX, FlowDenoiser
from weft.nodes.families.flux import FLUX_VAE, RGB_FACTORS
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.language_model import LLAMA, LanguageModel
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.t5 import T5
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

TOKENS = 128
"""Tokens that each text model reads."""

HEAD = 128
"""Channels of an attention head."""

LLAMA_LAYERS = [*range(32), *[31] * 16]
"""The layers of Llama's that the blocks read, where no configuration says it."""

CLIPS = ("clip_l", "clip_g")


class HiDreamPrompts(PromptEncoder):
    """The tokens of T5 and of all layers of Llama's side by side, and both of CLIP's vectors."""

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        """Those of tokens depend on the number of Llama's layers."""
        return PromptWidths(0, cls.pooled_width(channels))

    @classmethod
    def pooled_width(cls, channels: Mapping[str, int]) -> int:
        return sum(channels.get(name, 0) for name in CLIPS)

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        import torch

        *clips, t5, llama = self.read(texts, reading)
        pooled = [one.pooled for one in clips if one.pooled is not None]
        tokens = torch.cat([t5.embeddings, llama.embeddings], dim=-1)
        return Encoded(tokens, pooled=torch.cat(pooled, dim=-1))


class HiDreamDenoiser(FlowDenoiser):
    """HiDream's transformer."""

    perturbable = False

    repeated_blocks = ("HiDreamBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        rows, columns = config.get("max_resolution", (128, 128))
        return SizeLimits(PATCH, area=rows * columns)

    @property
    def prompt_width(self) -> int:
        t5, llama = self.network.config.caption_channels
        return int(t5 + llama * (max(self.network.config.llama_layers) + 1))

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """The shift of the largest picture, whatever the size, as in diffusers' pipeline."""
        if not self.scheduler.get("use_dynamic_shifting"):
            return {}
        return {"mu": 0.5 + (1.15 - 0.5) * (self.network.max_seq - 256) / (4096 - 256)}

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        if prompt.pooled is None:
            hint = "encode it with the model's encoder"
            raise InputError(f"the prompt has no pooled embedding, which {self.family} needs", hint, "wrong-prompt")
        return {"tokens": prompt.embeddings, "pooled_embeds": prompt.pooled}

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        t5, llama = self.network.config.caption_channels
        tokens = conditions["tokens"]
        rows, count, width = tokens[..., t5:].shape
        layers = tokens[..., t5:].reshape(rows, count, width // llama, llama)
        return {
            "encoder_hidden_states_t5": tokens[..., :t5],
            "encoder_hidden_states_llama3": layers.movedim(2, 0),
            "pooled_embeds": conditions["pooled_embeds"],
        }

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The velocity from picture to noise; the network's own leads the other way."""
        times = timestep.expand(len(sample))
        velocity: Tensor = self.network(sample, timesteps=times, **self.arguments(conditions), return_dict=False)[0]
        return -velocity


def hidream_config(shapes: Shapes) -> Config:
    """The configuration of a HiDreamImageTransformer2DModel, from shapes: its files have diffusers' names."""
    width, patch = shapes["x_embedder.proj.weight"]
    double, single = (
        count(shapes, f"{kind}_stream_blocks.{{}}.block.attn1.to_q.weight") for kind in ("double", "single")
    )
    projected = count(shapes, "caption_projection.{}.linear.weight")
    captions = [shapes[f"caption_projection.{number}.linear.weight"][1] for number in (projected - 1, 0)]
    return {
        "patch_size": PATCH,
        "in_channels": patch // PATCH**2,
        "out_channels": shapes["final_layer.linear.weight"][0] // PATCH**2,
        "num_layers": double,
        "num_single_layers": single,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "caption_channels": captions,
        "text_emb_dim": shapes["p_embedder.pooled_embedder.linear_1.weight"][1],
        "num_routed_experts": count(shapes, "double_stream_blocks.0.block.ff_i.experts.{}.w1.weight"),
        "num_activated_experts": 2,
        "axes_dims_rope": (HEAD // 2, HEAD // 4, HEAD // 4),
        "max_resolution": (128, 128),
        "llama_layers": LLAMA_LAYERS[: double + single],
    }


class HiDreamFormat(NetworkFormat):
    """HiDream's transformer."""

    class_name = "HiDreamImageTransformer2DModel"
    layouts = (TensorLayout("double_stream_blocks.0.block.attn1.to_q.weight", hidream_config),)

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(0, config.get("text_emb_dim", 2048))


def restated(scheduler: SchedulerConfig) -> SchedulerConfig:
    """The configuration of the scheduler by diffusers' name of its class; the authors' own code has another one."""
    distilled = scheduler.get("_class_name") == "FlashFlowMatchEulerDiscreteScheduler"
    return {**scheduler, "_class_name": "FlowMatchLCMScheduler"} if distilled else scheduler


HIDREAM = Family(
    name="HiDream",
    native_side=1024,
    network=HiDreamFormat(),
    denoiser=HiDreamDenoiser,
    prompts=HiDreamPrompts,
    latent_rgb_factors=RGB_FACTORS,  # its VAE is that of FLUX.1
    precisions=all_parts(IN_BFLOAT16, "HiDream-ai/HiDream-I1-Full"),
    texts=(
        Clip("clip_l", "text_encoder", (), projects=True, vector_alone=True, longest=TOKENS),
        Clip("clip_g", "text_encoder_2", (), projects=True, activation="gelu", vector_alone=True, longest=TOKENS),
        T5("t5xxl", "text_encoder_3", (T5_PREFIX,), length=TOKENS, longest=TOKENS, masked=True),
        LanguageModel(
            *("llama_3.1_8b", "text_encoder_4", ()),
            architecture=LLAMA,
            chat=Chat("{}"),
            states=(),
            longest=TOKENS,
            filled=True,
        ),
    ),
    vae=FLUX_VAE,
    restated=restated,
    scheduler={
        "_class_name": "UniPCMultistepScheduler",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 3.0,
    },
)
