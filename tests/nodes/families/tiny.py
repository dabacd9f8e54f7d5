"""How the tiny checkpoints are made: few layers, 32 to 128 channels, 64 pixels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    ByT5Tokenizer,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    LlamaConfig,
    LlamaForCausalLM,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.nodes.conftest import SCHEDULER, tiny_tokenizer
from tests.nodes.oracle import SCALE, diffusers
from weft.nodes.prompting.clip_tokenizer import clip_tokenizer

WIDTH = 64
"""Channels of every text model."""

T5_WIDTH = 160
"""Channels of T5's, more than both CLIP models have."""

SIXTEEN = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
"""What tells the VAEs of flow-matching families."""

LATENTS = 8
"""Latent elements along a side of 64 pixels."""

OPEN = {"hidden_act": "gelu"}
"""What tells OpenCLIP's text models from CLIP's."""

TURBO = {"timestep_spacing": "trailing"}

LINEAR: dict[str, Any] = {"use_linear_projection": True, "attention_head_dim": (1, 1)}


def text_model(kind: Any = CLIPTextModel, vocabulary: int = 0, layers: int = 2, **options: Any) -> Any:
    """A CLIP text model."""
    words = vocabulary or len(tiny_tokenizer())
    return kind(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=layers,
            num_attention_heads=1,
            projection_dim=WIDTH,
            bos_token_id=words - 2,
            eos_token_id=words - 1,
            **options,
        )
    )


def vae(**options: Any) -> Any:
    """A VAE of factor 8."""
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": (32, 32, 32, 32),
            "layers_per_block": 1,
            "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            **options,
        }
    )


def unet(**options: Any) -> Any:
    """A UNet of two levels, with attention on the first."""
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "cross_attention_dim": WIDTH,
            "sample_size": LATENTS,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            **options,
        }
    )


def stable_diffusion(noise: Any, tokenizer: Any = None, text: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """A pipeline of SD 1.x or 2.x; `options` are the UNet's."""
    words = tokenizer or tiny_tokenizer()
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_model(vocabulary=len(words), **(text or {})),
        tokenizer=words,
        unet=unet(**options),
        scheduler=noise,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def lotus(channels: int) -> Any:
    """A pipeline of Lotus, which reads so many channels: the picture's, or those of noise too."""
    switches = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 4}
    words = clip_tokenizer(padding="!")
    return stable_diffusion(scheduler("DDIMScheduler"), words, OPEN, in_channels=channels, **switches, **LINEAR)


def with_tiny_vae() -> Any:
    """A pipeline of SD 1.x with a tiny autoencoder as its VAE."""
    pipeline = stable_diffusion(scheduler("PNDMScheduler"))
    blocks = {"num_encoder_blocks": (1, 1, 2, 1), "num_decoder_blocks": (2, 1, 1, 1)}
    pipeline.register_modules(vae=diffusers.AutoencoderTiny(**TINY_VAE_WIDTHS, **blocks))
    return pipeline


TINY_VAE_WIDTHS = {"encoder_block_out_channels": (16,) * 4, "decoder_block_out_channels": (16,) * 4}


def motion_adapter(**options: Any) -> Any:
    """A motion adapter for SD 1 that moves something."""
    given = {"motion_layers_per_block": 1, "motion_max_seq_length": 24, **options}
    motion = diffusers.MotionAdapter(block_out_channels=(32, 64), **given)
    for name, weight in motion.named_parameters():
        if name.endswith("proj_out.weight"):
            torch.nn.init.normal_(weight, std=0.2)
    return motion


def scheduler(name: str, **options: Any) -> Any:
    """A scheduler over the noise that Stable Diffusion was trained under."""
    return getattr(diffusers, name).from_config({**SCHEDULER, "clip_sample": False, **options})


DEEP: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + WIDTH,
}
"""What tells SDXL's UNet from others: attention on its second level, and the embedding of a pooled prompt and sizes."""


def sdxl(
    noise: Any = None,
    tokenizers: tuple[Any, Any] | None = None,
    *,
    refiner: bool = False,
    **options: Any,
) -> Any:
    """A pipeline of SDXL, base or refiner; `options` are the UNet's."""
    first, second = tokenizers or (tiny_tokenizer(), tiny_tokenizer())
    kind = diffusers.StableDiffusionXLImg2ImgPipeline if refiner else diffusers.StableDiffusionXLPipeline
    numbers = 5 if refiner else 6
    deep = {
        **DEEP,
        "projection_class_embeddings_input_dim": numbers * 256 + WIDTH,
        "cross_attention_dim": WIDTH if refiner else 2 * WIDTH,
    }
    return kind(
        vae=vae(scaling_factor=0.13025),
        text_encoder=None if refiner else text_model(vocabulary=len(first)),
        tokenizer=None if refiner else first,
        text_encoder_2=text_model(CLIPTextModelWithProjection, len(second), 3, **OPEN),
        tokenizer_2=second,
        unet=unet(**LINEAR, **{**deep, **options}),
        scheduler=noise or scheduler("EulerDiscreteScheduler", timestep_spacing="leading"),
        force_zeros_for_empty_prompt=not refiner,
        **({"requires_aesthetics_score": True} if refiner else {}),
    )


def sdxl_control_net() -> Any:
    """A ControlNet for SDXL whose output is not zero, as a fresh one's is."""
    net = diffusers.ControlNetModel.from_unet(sdxl().unet)
    ends = (net.controlnet_cond_embedding.conv_out, *net.controlnet_down_blocks, net.controlnet_mid_block)
    for zero_layer in ends:
        torch.nn.init.normal_(zero_layer.weight, std=0.2)
    return net


def adapter(kind: str, **options: Any) -> Any:
    """A T2I-Adapter for UNets of two levels."""
    factor = 16 if kind.endswith("xl") else 8
    sizes = {"channels": [32, 64], "num_res_blocks": 2, "downscale_factor": factor}
    return diffusers.T2IAdapter(adapter_type=kind, **{**sizes, **options})


def sdxl_union() -> Any:
    """A ControlNet for SDXL of eight kinds of pictures."""
    own = diffusers.ControlNetModel.from_unet(sdxl().unet).config
    kinds = {"num_control_type": 8, "num_trans_channel": 32, "num_proj_channel": 32, "num_trans_head": 8}
    net = diffusers.ControlNetUnionModel.from_config({**own, **kinds})
    return awake(net, "controlnet_down_blocks|controlnet_mid_block|cond_embedding.conv_out|spatial_ch_projs")


def awake(net: Any, ends: str) -> Any:
    """A control network whose ends are not zero, as a fresh one's are."""
    for name, parameter in net.named_parameters():
        if re.search(ends, name):
            torch.nn.init.normal_(parameter, std=0.2)
    return net


def sd3_control_net(**options: Any) -> Any:
    """A ControlNet for SD 3 with fewer layers than the transformer."""
    return awake(
        diffusers.SD3ControlNetModel(
            **{
                "sample_size": 16,
                "num_layers": 1,
                "num_attention_heads": 1,
                "joint_attention_dim": T5_WIDTH,
                "caption_projection_dim": 64,
                "pooled_projection_dim": 2 * WIDTH,
                "pos_embed_max_size": 16,
                **options,
            }
        ),
        "controlnet_blocks|pos_embed_input",
    )


STABILITY: dict[str, Any] = {
    "num_layers": 2,
    "joint_attention_dim": None,
    "use_pos_embed": False,
    "pos_embed_type": None,
    "pos_embed_max_size": None,
    "force_zeros_for_pooled_projection": False,
}
"""What tells Stability AI's ControlNets for SD 3.5 from others."""


def flux_control_net(**options: Any) -> Any:
    """A ControlNet for FLUX.1 with fewer layers than the transformer."""
    return awake(
        diffusers.FluxControlNetModel(
            **{
                "num_layers": 1,
                "num_single_layers": 1,
                "attention_head_dim": 32,
                "num_attention_heads": 2,
                "joint_attention_dim": T5_WIDTH,
                "pooled_projection_dim": WIDTH,
                "guidance_embeds": True,
                "axes_dims_rope": (4, 14, 14),
                **options,
            }
        ),
        "controlnet_(single_)?blocks|controlnet_x_embedder|input_hint_block.conv_out",
    )


XLABS: dict[str, Any] = {"conditioning_embedding_channels": 16, "patch_size": 2, "num_single_layers": 0}
"""What tells XLabs' ControlNets for FLUX.1 from others."""


def t5_tokenizer() -> Any:
    """A tokenizer of T5's that spells."""
    letters = [(chr(code), -3.0) for code in range(ord("!"), ord("~") + 1) if chr(code) not in "<>"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def t5() -> Any:
    """T5's encoder, of two layers."""
    sizes: dict[str, Any] = {"d_model": T5_WIDTH, "d_ff": WIDTH, "d_kv": WIDTH, "num_heads": 1, "num_layers": 2}
    return T5EncoderModel(T5Config(vocab_size=len(t5_tokenizer()), feed_forward_proj="gated-gelu", **sizes))


def flow(shift: float = 3.0, **options: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift, **options)


def sd3(*, with_t5: bool = True, **options: Any) -> Any:
    """A pipeline of SD 3, with or without T5; `options` are the transformer's."""
    words, large = clip_tokenizer(), clip_tokenizer(padding="!")
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(scaling_factor=1.5305, shift_factor=0.0609, **SIXTEEN),
        text_encoder=text_model(CLIPTextModelWithProjection, len(words)),
        tokenizer=words,
        text_encoder_2=text_model(CLIPTextModelWithProjection, len(large), 3, **OPEN),
        tokenizer_2=large,
        text_encoder_3=t5() if with_t5 else None,
        tokenizer_3=t5_tokenizer() if with_t5 else None,
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=16,
            num_layers=2,
            attention_head_dim=64,
            num_attention_heads=1,
            joint_attention_dim=T5_WIDTH,
            caption_projection_dim=64,
            pooled_projection_dim=2 * WIDTH,
            out_channels=16,
            pos_embed_max_size=16,
            **options,
        ),
        scheduler=flow(),
    )


def flux(*, guided: bool, **options: Any) -> Any:
    """A pipeline of FLUX.1: dev, which takes a scale, or schnell; `options` are the transformer's."""
    words = clip_tokenizer()
    shifting = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    return diffusers.FluxPipeline(
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, **SIXTEEN),
        text_encoder=text_model(vocabulary=len(words)),
        tokenizer=words,
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            **{
                "in_channels": 64,
                "num_layers": 2,
                "num_single_layers": 2,
                "attention_head_dim": 32,
                "num_attention_heads": 2,
                "joint_attention_dim": T5_WIDTH,
                "pooled_projection_dim": WIDTH,
                "guidance_embeds": guided,
                "axes_dims_rope": (4, 14, 14),
                **options,
            }
        ),
        scheduler=flow(**shifting) if guided else flow(1.0),
    )


CHAT_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""
"""How a language model is asked: Qwen's form, with an empty thought where thinking is off."""


SIGHT_TOKENS = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
"""What Qwen's models read around a picture, and in place of each of its tokens."""


def chat_tokenizer(*further: str) -> Any:
    """A tokenizer of Qwen's that spells bytes, with a chat template and further special tokens."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]
    tokenizer = Qwen2Tokenizer(
        vocab={letter: number for number, letter in enumerate(letters)},
        merges=[],
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", *further],
        model_max_length=2048,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


LANGUAGE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_theta": 1_000_000.0,
    "bos_token_id": None,
    "eos_token_id": None,
}
"""The sizes of a small language model."""


def qwen3() -> Any:
    """A language model of Z-Image's kind, of three layers."""
    words = len(chat_tokenizer())
    return Qwen3Model(
        Qwen3Config(vocab_size=words, num_hidden_layers=3, head_dim=32, tie_word_embeddings=True, **LANGUAGE)
    )


VL_WIDTH = 128
"""Channels of the vision-language model."""


def qwen_vl(tokenizer: Any = None) -> Any:
    """A vision-language model of Qwen-Image's kind, of two layers and one for pictures.

    A head has 128 channels, as in the published one: a single file of it does not say how many.
    """
    tokenizer = tokenizer or chat_tokenizer()
    words = len(tokenizer)
    rope = {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, "max_position_embeddings": 4096}
    own = {"hidden_size": VL_WIDTH, "num_attention_heads": 1, "rms_norm_eps": 1e-6}
    text = {"vocab_size": words, "num_hidden_layers": 2, **rope, **LANGUAGE, **own}
    sight = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": VL_WIDTH}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text,
            vision_config={**sight, "fullatt_block_indexes": [0]},
            image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        )
    )


def qwen_image_control_net(**options: Any) -> Any:
    """A ControlNet for Qwen-Image with fewer layers than the transformer."""
    sizes: dict[str, Any] = {"num_layers": 1, "attention_head_dim": 32, "num_attention_heads": 2}
    own = {**sizes, "joint_attention_dim": VL_WIDTH, "axes_dims_rope": (4, 14, 14), **options}
    return awake(diffusers.QwenImageControlNetModel(**own), "controlnet_blocks|controlnet_x_embedder")


def z_image(layers: int = 2) -> Any:
    """A pipeline of Z-Image."""
    return diffusers.ZImagePipeline(
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, **SIXTEEN),
        text_encoder=qwen3(),
        tokenizer=chat_tokenizer(),
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=16,
            dim=64,
            n_layers=layers,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 12, 12],
            axes_lens=[1536, 64, 64],
        ),
        scheduler=flow(),
    )


def z_image_control_net(**options: Any) -> Any:
    """A ControlNet for Z-Image that steers two of its layers."""
    sizes: dict[str, Any] = {"dim": 64, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2}
    own = {"control_layers_places": [0, 1], "control_refiner_layers_places": [0], "control_in_dim": 16}
    return awake(diffusers.ZImageControlNetModel(**{**sizes, **own, **options}), "before_proj|after_proj")


LATER = {"control_in_dim": 33, "add_control_noise_refiner": "control_noise_refiner"}
"""Version 2.1 of Z-Image's ControlNets, which can inpaint too."""


def qwen_image() -> Any:
    """A pipeline of Qwen-Image, whose VAE has a mean and a deviation for each channel and a frame axis."""
    shifting = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 0.9, "shift_terminal": 0.02}
    return diffusers.QwenImagePipeline(
        vae=diffusers.AutoencoderKLQwenImage(base_dim=8),
        text_encoder=qwen_vl(),
        tokenizer=chat_tokenizer(),
        transformer=qwen_transformer(),
        scheduler=flow(1.0, base_image_seq_len=256, max_image_seq_len=8192, **shifting),
    )


def qwen_transformer(**options: Any) -> Any:
    return diffusers.QwenImageTransformer2DModel(
        in_channels=64,
        out_channels=16,
        num_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=VL_WIDTH,
        axes_dims_rope=(4, 14, 14),
        **options,
    )


def qwen_layered() -> Any:
    """A pipeline of Qwen-Image-Layered, without what prepares pictures for captions."""
    own = {
        "vae": diffusers.AutoencoderKLQwenImage(base_dim=8, input_channels=4),
        "transformer": qwen_transformer(use_additional_t_cond=True, use_layer3d_rope=True),
        "scheduler": flow(1.0, use_dynamic_shifting=True, time_shift_type="linear"),
        "processor": None,
    }
    return diffusers.QwenImageLayeredPipeline(**{**qwen_image().components, **own})


def qwen_edit() -> Any:
    """A pipeline of Qwen-Image-Edit, without what prepares its pictures, which wants torchvision."""
    parts, tokenizer = qwen_image().components, chat_tokenizer(*SIGHT_TOKENS)
    own = {"tokenizer": tokenizer, "text_encoder": qwen_vl(tokenizer), "processor": None}
    return diffusers.QwenImageEditPipeline(**{**parts, **own})


def pixart(kind: str, scale: float, *, reads_size: bool = False, **options: Any) -> Any:
    """A pipeline of PixArt: `PixArtSigmaPipeline` or `PixArtAlphaPipeline`."""
    return getattr(diffusers, kind)(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(),
        vae=vae(scaling_factor=scale),
        transformer=diffusers.PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=24,
            cross_attention_dim=48,
            num_layers=2,
            caption_channels=T5_WIDTH,
            sample_size=128 if reads_size else LATENTS,
            use_additional_conditions=reads_size,
            **options,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
    )


def chroma() -> Any:
    """A pipeline of Chroma."""
    return diffusers.ChromaPipeline(
        scheduler=flow(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, **SIXTEEN),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
        transformer=diffusers.ChromaTransformer2DModel(
            in_channels=64,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=T5_WIDTH,
            axes_dims_rope=(4, 14, 14),
            approximator_num_channels=16,
            approximator_hidden_dim=32,
            approximator_layers=1,
        ),
    )


def gemma_tokenizer() -> Any:
    """A tokenizer that spells bytes and begins texts with a token, as Gemma's does."""
    spelling = chat_tokenizer("<bos>").backend_tokenizer
    begun = [("<bos>", spelling.token_to_id("<bos>"))]
    spelling.post_processor = TemplateProcessing(single="<bos> $A", pair="<bos> $A $B", special_tokens=begun)
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=spelling, bos_token="<bos>", pad_token="<|endoftext|>")


def gemma2() -> Any:
    """A language model of Sana's and Lumina's kind, of two layers."""
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 1, "head_dim": 256}
    words = len(gemma_tokenizer())
    return Gemma2Model(Gemma2Config(vocab_size=words, num_hidden_layers=2, num_key_value_heads=1, **sizes))


def sana(**options: Any) -> Any:
    """A pipeline of Sana: 64 pixels become 2 latent elements."""
    widths = (8, 8, 8, 16, 16, 32)
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {"block_out_channels": widths, "layers_per_block": (1,) * 6}.items()
    }
    return diffusers.SanaPipeline(
        tokenizer=gemma_tokenizer(),
        text_encoder=gemma2(),
        vae=diffusers.AutoencoderDC(
            latent_channels=32,
            attention_head_dim=8,
            encoder_block_types=("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
            decoder_block_types=("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
            scaling_factor=0.41407,
            **sides,
        ),
        transformer=diffusers.SanaTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            num_cross_attention_heads=2,
            cross_attention_head_dim=16,
            cross_attention_dim=32,
            caption_channels=32,
            **options,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def sana_sprint() -> Any:
    """A pipeline of Sana-Sprint."""
    parts = sana(guidance_embeds=True).components
    return diffusers.SanaSprintPipeline(**{**parts, "scheduler": diffusers.SCMScheduler()})


def lumina2() -> Any:
    """A pipeline of Lumina-Image 2.0."""
    return diffusers.Lumina2Pipeline(
        tokenizer=gemma_tokenizer(),
        text_encoder=gemma2(),
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, **SIXTEEN),
        transformer=diffusers.Lumina2Transformer2DModel(
            hidden_size=48,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            axes_dim_rope=(8, 8, 8),
            axes_lens=(300, 64, 64),
            cap_feat_dim=32,
        ),
        scheduler=flow(6.0),
    )


def hidream(steps: Any = None) -> Any:
    """A pipeline of HiDream, with four text models.

    Args:
        steps: its scheduler; None is that of HiDream-I1-Full.
    """
    words, large = clip_tokenizer(), clip_tokenizer(padding="!")
    places = {"max_position_embeddings": 248}
    for tokenizer in (words, large):
        tokenizer.model_max_length = 248
    sizes = {**LANGUAGE, "num_attention_heads": 1, "hidden_size": 128, "rope_theta": 500_000.0}
    reader = gemma_tokenizer()
    reader.eos_token = "<|im_end|>"
    llama = LlamaConfig(vocab_size=len(reader), num_hidden_layers=2, **sizes)
    return diffusers.HiDreamImagePipeline(
        scheduler=steps
        or diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, **SIXTEEN),
        text_encoder=text_model(CLIPTextModelWithProjection, len(words), **places),
        tokenizer=words,
        text_encoder_2=text_model(CLIPTextModelWithProjection, len(large), 3, **OPEN, **places),
        tokenizer_2=large,
        text_encoder_3=t5(),
        tokenizer_3=t5_tokenizer(),
        text_encoder_4=LlamaForCausalLM(llama),
        tokenizer_4=reader,
        transformer=diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=128,
            num_attention_heads=1,
            caption_channels=[T5_WIDTH, 128],
            text_emb_dim=2 * WIDTH,
            num_routed_experts=2,
            num_activated_experts=1,
            axes_dims_rope=(64, 32, 32),
            max_resolution=(16, 16),
            llama_layers=[0, 1],
        ),
    )


MISTRAL_TEMPLATE = (
    '{{ bos_token }}{% for message in messages %}{% if message.role == "system" %}[SYSTEM_PROMPT]'
    "{{ message.content[0].text }}[/SYSTEM_PROMPT]{% else %}[INST]{{ message.content[0].text }}[/INST]"
    "{% endif %}{% endfor %}"
)
"""How Mistral Small is asked."""


def mistral_tokenizer() -> Any:
    """A tokenizer of Mistral's form: it begins texts with a token and pads them in front."""
    tokenizer = chat_tokenizer("<s>")
    tokenizer.bos_token = "<s>"
    tokenizer.padding_side = "left"
    tokenizer.chat_template = MISTRAL_TEMPLATE
    return tokenizer


def mistral() -> Any:
    """A vision-language model of FLUX.2's kind, whose part for pictures is as small as can be."""
    sizes = {**LANGUAGE, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 1, "sliding_window": None}
    own = {"head_dim": 128, "rope_theta": 1e9, "rms_norm_eps": 1e-5}
    text = {"vocab_size": len(mistral_tokenizer()), "num_hidden_layers": 31, **sizes, **own}
    sight = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    return Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={"model_type": "mistral", **text},
            vision_config={"model_type": "pixtral", **sight, "image_size": 28, "patch_size": 14, "head_dim": 16},
        )
    )


def flux2_transformer(words: int, *, guided: bool) -> Any:
    """A transformer of FLUX.2's."""
    return diffusers.Flux2Transformer2DModel(
        in_channels=128,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * words,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guided,
    )


def flux2_vae() -> Any:
    """A VAE of FLUX.2's, with a mean and a deviation of each channel."""
    options = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    found = diffusers.AutoencoderKLFlux2(block_out_channels=(32, 32, 32, 32), layers_per_block=1, **options)
    found.bn.running_mean.normal_(std=0.1)
    found.bn.running_var.uniform_(0.5, 2.0)
    return found


def flux2() -> Any:
    """A pipeline of FLUX.2 dev."""
    return diffusers.Flux2Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=flux2_vae(),
        text_encoder=mistral(),
        tokenizer=mistral_tokenizer(),
        transformer=flux2_transformer(32, guided=True),
    )


def flux2_klein() -> Any:
    """A pipeline of FLUX.2 klein that was not distilled."""
    sizes = {**LANGUAGE, "hidden_size": 32, "intermediate_size": 32}
    words = Qwen3Config(
        vocab_size=len(chat_tokenizer()), num_hidden_layers=28, head_dim=16, tie_word_embeddings=True, **sizes
    )
    return diffusers.Flux2KleinPipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=flux2_vae(),
        text_encoder=Qwen3ForCausalLM(words),
        tokenizer=chat_tokenizer(),
        transformer=flux2_transformer(32, guided=False),
    )


def umt5() -> Any:
    """UMT5's encoder, of two layers."""
    sizes: dict[str, Any] = {"d_model": T5_WIDTH, "d_ff": WIDTH, "d_kv": WIDTH, "num_heads": 1, "num_layers": 2}
    return UMT5EncoderModel(UMT5Config(vocab_size=len(t5_tokenizer()), **sizes))


WAN_SIZES: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": T5_WIDTH,
    "ffn_dim": WIDTH,
    "num_layers": 2,
}


ONE_HEAD = {"attention_head_dim": 128, "num_attention_heads": 1}
"""What published transformers of Wan have: heads of 128 channels."""


def wan(**options: Any) -> Any:
    """A Wan pipeline: 64 pixels become 8 latent elements, 4 frames one."""
    return diffusers.WanPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=umt5(),
        vae=diffusers.AutoencoderKLWan(base_dim=8, z_dim=16, num_res_blocks=1),
        transformer=diffusers.WanTransformer3DModel(**{**WAN_SIZES, **options}),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def wan_pictures(tokens: int | None = None, **options: Any) -> Any:
    """A Wan pipeline for image to video, with an image encoder.

    Args:
        tokens: of the pictures that a clip begins and ends with, for transformers that have places for them.
    """
    sizes: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "image_size": 32, "patch_size": 8}
    read = {"image_dim": WIDTH, "added_kv_proj_dim": 24, "pos_embed_seq_len": tokens}
    parts = wan(in_channels=36, **{**read, **options}).components
    vision = CLIPVisionModel(CLIPVisionConfig(**sizes, num_hidden_layers=3, num_attention_heads=1))
    prepared = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    parts = {**parts, "image_encoder": vision, "image_processor": prepared}
    return diffusers.WanImageToVideoPipeline(**parts)


def wan_5b(kind: str) -> Any:
    """A pipeline of Wan's 5 billion model: 64 pixels become 4 latent elements."""
    sizes: dict[str, Any] = {"base_dim": 8, "decoder_base_dim": 8, "z_dim": 48, "num_res_blocks": 1, "patch_size": 2}
    ends: dict[str, Any] = {"in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16, "is_residual": True}
    scale = {"latents_mean": [0.1] * 48, "latents_std": [0.9] * 48}
    parts = wan(in_channels=48, out_channels=48).components
    parts = {**parts, "vae": diffusers.AutoencoderKLWan(**sizes, **ends, **scale)}
    none = {"image_encoder": None, "image_processor": None} if "Image" in kind else {}
    return getattr(diffusers, kind)(**parts, **none, expand_timesteps=True)


def wan_experts(kind: str, boundary: float, **options: Any) -> Any:
    """A pipeline of Wan 2.2: two transformers, one above a share of the noise and one below it."""
    parts, other = wan(**options).components, wan(**options).transformer
    none = {"image_encoder": None, "image_processor": None} if "Image" in kind else {}
    return getattr(diffusers, kind)(**{**parts, **none, "transformer_2": other}, boundary_ratio=boundary)


def ltx(timed: bool = False) -> Any:
    """An LTX-Video pipeline: 64 pixels become 2 latent elements, 8 frames one.

    Args:
        timed: whether its VAE takes out a last noise.
    """
    blocks: dict[str, Any] = {"block_out_channels": (8, 8, 8, 8), "decoder_block_out_channels": (8, 8, 8, 8)}
    blocks |= {"layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5, "timestep_conditioning": timed}
    network = diffusers.LTXVideoTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=2, caption_channels=T5_WIDTH
    )
    shift = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "shift_terminal": 0.1}
    return diffusers.LTXPipeline(
        transformer=network,
        vae=diffusers.AutoencoderKLLTXVideo(**blocks),
        scheduler=flow(1.0, use_dynamic_shifting=True, **shift),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
    )


IN_PATCHES: dict[str, Any] = {"patch_size_t": 2, "patch_bias": False}
"""What tells the transformers of CogVideoX 1.5."""


def cogvideox(
    kind: str = "CogVideoXPipeline",
    noise: str = "CogVideoXDDIMScheduler",
    inverted: bool = False,
    **options: Any,
) -> Any:
    """A CogVideoX pipeline: 64 pixels become 8 latent elements, 4 frames one; `options` are the transformer's.

    Args:
        inverted: whether latents of given pictures are divided by the scale of its VAE.
    """
    blocks: dict[str, Any] = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
    network = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        time_embed_dim=16,
        text_embed_dim=T5_WIDTH,
        num_layers=2,
        sample_width=12,
        sample_height=8,
        sample_frames=9,
        out_channels=16,
        **options,
    )
    shift = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return getattr(diffusers, kind)(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(),
        vae=diffusers.AutoencoderKLCogVideoX(**blocks, invert_scale_latents=inverted),
        transformer=network,
        scheduler=getattr(diffusers, noise)(snr_shift_scale=3.0 if noise.endswith("IMScheduler") else 1.0, **shift),
    )


def hunyuan_video(task: str = "t2v") -> Any:
    """A HunyuanVideo 1.5 pipeline: 64 pixels become 4 latent elements, 4 frames one.

    Args:
        task: `t2v`, or `i2v` for clips that begin with a picture.
    """
    pictured = task == "i2v"
    words, glyphs = chat_tokenizer(), ByT5Tokenizer()
    turned = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1_000_000.0}
    sizes = {**LANGUAGE, "vocab_size": len(words), "num_hidden_layers": 4, "rope_parameters": turned}
    bytes_read: dict[str, Any] = {"d_model": 32, "d_ff": 32, "d_kv": 16, "num_heads": 2, "num_layers": 2}
    vision: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 48, "image_size": 32, "patch_size": 8}
    network = diffusers.HunyuanVideo15Transformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_refiner_layers=1,
        text_embed_dim=WIDTH,
        text_embed_2_dim=32,
        image_embed_dim=48,
        rope_axes_dim=(4, 6, 6),
        target_size=64,
        task_type=task,
    )
    vae = diffusers.AutoencoderKLHunyuanVideo15(block_out_channels=(32, 32, 32, 64, 64), layers_per_block=1)
    seen = {
        "image_encoder": SiglipVisionModel(SiglipVisionConfig(**vision, num_hidden_layers=2, num_attention_heads=1)),
        "feature_extractor": SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    }
    kind = "HunyuanVideo15ImageToVideoPipeline" if pictured else "HunyuanVideo15Pipeline"
    return getattr(diffusers, kind)(
        text_encoder=Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**sizes)),
        tokenizer=words,
        transformer=network,
        vae=vae,
        scheduler=flow(5.0),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=384, feed_forward_proj="gated-gelu", **bytes_read)),
        tokenizer_2=glyphs,
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=SCALE),
        **(seen if pictured else {}),
    )


def stable_video() -> Any:
    """A pipeline of Stable Video Diffusion: 64 pixels become 32 latent elements."""
    network = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=48,
        num_attention_heads=(2, 4),
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
        num_frames=4,
    )
    vae = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2, "layers_per_block": 1}
    sizes: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "image_size": 224, "patch_size": 56}
    layers: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 1, "projection_dim": 48}
    levels = {"sigma_min": 0.002, "sigma_max": 700.0, "use_karras_sigmas": True, "timestep_type": "continuous"}
    return diffusers.StableVideoDiffusionPipeline(
        vae=diffusers.AutoencoderKLTemporalDecoder(**vae),
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, **layers)),
        unet=network,
        scheduler=scheduler("EulerDiscreteScheduler", prediction_type="v_prediction", **levels),
        feature_extractor=CLIPImageProcessor(),
    )


def pixels(kind: str, noise: Any, **options: Any) -> Any:
    """A pipeline of a UNet over 32 x 32 pixels."""
    network = diffusers.UNet2DModel(
        sample_size=32,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        **options,
    )
    return getattr(diffusers, kind)(unet=network, scheduler=noise)


def dit() -> Any:
    """A pipeline of DiT, over a thousand classes of which two have names."""
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=LATENTS,
        num_embeds_ada_norm=1000,
    )
    pipeline = diffusers.DiTPipeline(transformer=network, vae=vae(), scheduler=diffusers.DDIMScheduler())
    pipeline.register_to_config(id2label={"0": "tench, Tinca tinca", "207": "golden retriever"})
    return pipeline


PIPELINES: dict[str, Callable[[], Any]] = {
    "sd2": lambda: stable_diffusion(
        scheduler("DDIMScheduler", prediction_type="v_prediction"), clip_tokenizer(padding="!"), OPEN, **LINEAR
    ),
    "lotus": lambda: lotus(4),
    "lotus-noisy": lambda: lotus(8),
    "tiny-vae": with_tiny_vae,
    "sd-turbo": lambda: stable_diffusion(scheduler("EulerDiscreteScheduler", **TURBO), text=OPEN, **LINEAR),
    "sdxl": lambda: sdxl(tokenizers=(clip_tokenizer(), clip_tokenizer(padding="!"))),
    "sdxl-refiner": lambda: sdxl(tokenizers=(clip_tokenizer(), clip_tokenizer(padding="!")), refiner=True),
    "sdxl-turbo": lambda: sdxl(scheduler("EulerAncestralDiscreteScheduler", **TURBO)),
    "sdxl-edges": sdxl_control_net,
    "sdxl-union": sdxl_union,
    "motion": motion_adapter,
    "motion-flat": lambda: motion_adapter(use_motion_mid_block=False),
    "motion-deep": lambda: motion_adapter(motion_layers_per_block=2),
    "sd1-adapter": lambda: adapter("full_adapter", in_channels=1),
    "sd1-light-adapter": lambda: adapter("light_adapter", num_res_blocks=4),
    "sdxl-adapter": lambda: adapter("full_adapter_xl"),
    "sd1-wide-adapter": lambda: adapter("full_adapter", channels=[32, 32]),
    "sd3": sd3,
    "sd3-short": lambda: sd3(with_t5=False),
    "sd35": lambda: sd3(qk_norm="rms_norm", dual_attention_layers=(0,)),
    "sd3-edges": sd3_control_net,
    "sd3-masked": lambda: sd3_control_net(extra_conditioning_channels=1),
    "sd3-depth": lambda: sd3_control_net(num_layers=2, qk_norm="rms_norm"),
    "sd35-edges": lambda: sd3_control_net(**STABILITY),
    "sd35-wide": lambda: sd3_control_net(**STABILITY, num_attention_heads=2, caption_projection_dim=128),
    "flux-wide": lambda: flux_control_net(num_attention_heads=4),
    "flux-edges": flux_control_net,
    "flux-union": lambda: flux_control_net(num_mode=7, num_layers=2, num_single_layers=0),
    "flux-xlabs": lambda: flux_control_net(**XLABS),
    "flux-dev": lambda: flux(guided=True),
    "flux-schnell": lambda: flux(guided=False),
    "flux-fill": lambda: flux(guided=True, in_channels=384, out_channels=64),
    "flux-canny": lambda: flux(guided=True, in_channels=128, out_channels=64),
    "z-image": z_image,
    "z-deep": lambda: z_image(30),
    "z-six-edges": lambda: z_image_control_net(control_layers_places=[0, 5, 10, 15, 20, 25]),
    "z-edges": z_image_control_net,
    "z-later-edges": lambda: z_image_control_net(**LATER, control_layers_places=[0]),
    "z-three-layers": lambda: z_image_control_net(**LATER, control_layers_places=[0, 14, 28]),
    "z-wide-edges": lambda: z_image_control_net(dim=128),
    "qwen-image": qwen_image,
    "qwen-edit": qwen_edit,
    "qwen-layered": qwen_layered,
    "qwen-edges": qwen_image_control_net,
    "qwen-masked": lambda: qwen_image_control_net(extra_condition_channels=4),
    "chroma": chroma,
    "sana": sana,
    "sana-sprint": sana_sprint,
    "lumina2": lumina2,
    "hidream": hidream,
    "hidream-dev": lambda: hidream(diffusers.FlowMatchLCMScheduler(shift=6.0)),
    "hidream-three": lambda: diffusers.HiDreamImagePipeline(
        **{**hidream().components, "text_encoder_4": None, "tokenizer_4": None}
    ),
    "flux2": flux2,
    "flux2-klein": flux2_klein,
    "pixart": lambda: pixart("PixArtSigmaPipeline", 0.13025),
    "pixart-alpha": lambda: pixart("PixArtAlphaPipeline", 0.18215, reads_size=True),
    "wan": wan,
    "wan-pictures": wan_pictures,
    "wan-ends": lambda: wan_pictures(34),
    "wan-5b": lambda: wan_5b("WanPipeline"),
    "wan-5b-pictures": lambda: wan_5b("WanImageToVideoPipeline"),
    "wan-experts": lambda: wan_experts("WanPipeline", 0.875),
    "wan-experts-pictures": lambda: wan_experts("WanImageToVideoPipeline", 0.9, in_channels=36),
    "wan-128": lambda: wan(**ONE_HEAD),
    "wan-128-pictures": lambda: wan_pictures(**ONE_HEAD, added_kv_proj_dim=128),
    "wan-128-experts": lambda: wan_experts("WanImageToVideoPipeline", 0.9, in_channels=36, **ONE_HEAD),
    "wan-128-ends": lambda: wan_pictures(34, **ONE_HEAD, added_kv_proj_dim=128),
    "cogvideox": cogvideox,
    "cogvideox-turned": lambda: cogvideox(noise="CogVideoXDPMScheduler", use_rotary_positional_embeddings=True),
    "cogvideox-pictures": lambda: cogvideox(
        "CogVideoXImageToVideoPipeline", in_channels=32, use_rotary_positional_embeddings=True
    ),
    "cogvideox-patched": lambda: cogvideox(use_rotary_positional_embeddings=True, **IN_PATCHES),
    "cogvideox-patched-pictures": lambda: cogvideox(
        "CogVideoXImageToVideoPipeline",
        inverted=True,
        in_channels=32,
        use_rotary_positional_embeddings=True,
        ofs_embed_dim=16,
        **IN_PATCHES,
    ),
    "cogvideox-learned": lambda: cogvideox(
        use_learned_positional_embeddings=True, use_rotary_positional_embeddings=True
    ),
    "hunyuan-video": hunyuan_video,
    "hunyuan-video-pictures": lambda: hunyuan_video("i2v"),
    "svd": stable_video,
    "ltx": ltx,
    "ltx-timed": lambda: ltx(timed=True),
    "dit": dit,
    "ddpm": lambda: pixels("DDPMPipeline", diffusers.DDPMScheduler()),
    "ddpm-grey": lambda: pixels("DDPMPipeline", diffusers.DDPMScheduler(), in_channels=1, out_channels=1),
    "consistency": lambda: pixels("ConsistencyModelPipeline", diffusers.CMStochasticIterativeScheduler()),
    "consistency-classes": lambda: pixels(
        "ConsistencyModelPipeline", diffusers.CMStochasticIterativeScheduler(), num_class_embeds=10
    ),
    "inpaint": lambda: stable_diffusion(scheduler("PNDMScheduler"), in_channels=9),
    "sd2-inpaint": lambda: stable_diffusion(scheduler("DDIMScheduler"), text=OPEN, in_channels=9, **LINEAR),
    "sdxl-inpaint": lambda: sdxl(in_channels=9),
    "edit": lambda: stable_diffusion(scheduler("EulerAncestralDiscreteScheduler"), in_channels=8),
    "sdxl-lcm": lambda: sdxl(scheduler("LCMScheduler"), time_cond_proj_dim=32),
}
"""A pipeline of each kind, by the name of its folder."""
