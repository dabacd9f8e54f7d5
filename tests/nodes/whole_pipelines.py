"""Tiny random pipelines of diffusers, each with the call that a user makes of it by diffusers' own names.

A case is what a folder is made of and the arguments of the bare call; `IMAGE`, `MASK` and `CLIP` stand for pictures.
Seeds, `output_type` and the rest that RunPipeline sets itself are added by the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers

from tests.nodes.conftest import tiny_control_net
from tests.nodes.families import tiny
from tests.nodes.oracle import diffusers
from weft.nodes.prompting.clip_tokenizer import clip_tokenizer

IMAGE, MASK, CLIP = "the picture", "the mask", "the clip"

PROMPT: dict[str, Any] = {"prompt": "a lake", "negative_prompt": "fog", "num_inference_steps": 2, "guidance_scale": 4.0}
SIZED: dict[str, Any] = {**PROMPT, "height": 64, "width": 64}
PLAIN: dict[str, Any] = {name: one for name, one in SIZED.items() if name != "negative_prompt"}
FROM: dict[str, Any] = {**PROMPT, "image": IMAGE, "strength": 0.9}
INPAINT: dict[str, Any] = {**SIZED, "image": IMAGE, "mask_image": MASK, "strength": 0.9}


@dataclass(frozen=True)
class Case:
    """A tiny pipeline and a call of it.

    Args:
        make: makes it, with random weights.
        call: the arguments.
        slow: whether only `-m slow` runs it; the default suite has one case of each kind.
    """

    make: Callable[[], Any]
    call: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = True


def of(kind: str, source: Callable[[], Any], **parts: Callable[[], Any] | Any) -> Callable[[], Any]:
    """Another class over the components of a pipeline, with others in addition or in their place."""

    def make() -> Any:
        given = {name: one() if callable(one) and not hasattr(one, "config") else one for name, one in parts.items()}
        cls = getattr(diffusers, kind)
        known = {name: one for name, one in source().components.items() if name in _parameters(cls)}
        return cls(**{**known, **given})

    return make


def _parameters(cls: Any) -> set[str]:
    import inspect

    return set(inspect.signature(cls.__init__).parameters)


def sd1(**options: Any) -> Callable[[], Any]:
    return lambda: tiny.stable_diffusion(tiny.scheduler("DDIMScheduler"), **options)


def edges() -> Any:
    return tiny_control_net(0)


def xl(**options: Any) -> Callable[[], Any]:
    return lambda: tiny.sdxl(**options)


def vision(**options: Any) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**{**sizes, "image_size": 32, "patch_size": 8, "projection_dim": 64, **options})
    )


def processor() -> Any:
    kind: Any = transformers.CLIPImageProcessorPil
    return kind(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def motion() -> Any:
    """Motion modules for the UNet of SD 1."""
    return tiny.awake(
        diffusers.MotionAdapter(
            block_out_channels=(32, 64),
            motion_layers_per_block=1,
            motion_mid_block_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=8,
            motion_max_seq_length=16,
        ),
        "proj_out",
    )


ANIMATED: dict[str, Any] = {**SIZED, "num_frames": 3}

T5 = {"text_encoder": tiny.t5, "tokenizer": tiny.t5_tokenizer}


def wan_vae() -> Any:
    return diffusers.AutoencoderKLWan(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def wan(kind: str, network: str = "WanTransformer3DModel", **own: Any) -> Callable[[], Any]:
    def make() -> Any:
        transformer = getattr(diffusers, network)(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=own.pop("in_channels", 16),
            out_channels=16,
            text_dim=tiny.T5_WIDTH,
            freq_dim=32,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
            **own,
        )
        parts: dict[str, Any] = {"image_encoder": None, "image_processor": None} if "ImageTo" in kind else {}
        return getattr(diffusers, kind)(
            tokenizer=tiny.t5_tokenizer(),
            text_encoder=tiny.t5(),
            transformer=transformer,
            vae=wan_vae(),
            scheduler=tiny.flow(5.0),
            **parts,
        )

    return make


def ltx(kind: str) -> Callable[[], Any]:
    def make() -> Any:
        return getattr(diffusers, kind)(
            transformer=diffusers.LTXVideoTransformer3DModel(
                in_channels=8,
                out_channels=8,
                num_attention_heads=2,
                attention_head_dim=16,
                cross_attention_dim=32,
                num_layers=2,
                caption_channels=tiny.T5_WIDTH,
            ),
            vae=diffusers.AutoencoderKLLTXVideo(
                in_channels=3,
                out_channels=3,
                latent_channels=8,
                block_out_channels=(8, 8, 8, 8),
                decoder_block_out_channels=(8, 8, 8, 8),
                layers_per_block=(1, 1, 1, 1, 1),
                decoder_layers_per_block=(1, 1, 1, 1, 1),
                spatio_temporal_scaling=(True, True, False, False),
                decoder_spatio_temporal_scaling=(True, True, False, False),
                decoder_inject_noise=(False,) * 5,
                upsample_residual=(False,) * 4,
                upsample_factor=(1,) * 4,
                timestep_conditioning=False,
                patch_size=1,
                patch_size_t=1,
                encoder_causal=True,
                decoder_causal=False,
            ),
            scheduler=tiny.flow(1.0),
            text_encoder=tiny.t5(),
            tokenizer=tiny.t5_tokenizer(),
        )

    return make


def cog(kind: str, channels: int = 4, **own: Any) -> Callable[[], Any]:
    def make() -> Any:
        return getattr(diffusers, kind)(
            tokenizer=tiny.t5_tokenizer(),
            text_encoder=tiny.t5(),
            vae=diffusers.AutoencoderKLCogVideoX(
                down_block_types=("CogVideoXDownBlock3D",) * 4,
                up_block_types=("CogVideoXUpBlock3D",) * 4,
                block_out_channels=(8, 8, 8, 8),
                latent_channels=4,
                layers_per_block=1,
                norm_num_groups=2,
                temporal_compression_ratio=4,
            ),
            transformer=diffusers.CogVideoXTransformer3DModel(
                num_attention_heads=4,
                attention_head_dim=8,
                in_channels=channels,
                out_channels=4,
                time_embed_dim=2,
                text_embed_dim=tiny.T5_WIDTH,
                num_layers=1,
                sample_width=8,
                sample_height=8,
                sample_frames=9,
                patch_size=2,
                temporal_compression_ratio=4,
                max_text_seq_length=16,
                **own,
            ),
            scheduler=diffusers.CogVideoXDDIMScheduler(),
        )

    return make


def video_diffusion() -> Any:
    network = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=64,
        num_attention_heads=8,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
    )
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_type="continuous",
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
    )
    return diffusers.StableVideoDiffusionPipeline(
        vae=diffusers.AutoencoderKLTemporalDecoder(
            block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownEncoderBlock2D",) * 2
        ),
        image_encoder=vision(image_size=224, patch_size=56),
        unet=network,
        scheduler=scheduler,
        feature_extractor=processor(),
    )


SINGLE_NORM: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 3,
    "caption_channels": tiny.T5_WIDTH,
    "in_channels": 4,
    "cross_attention_dim": 24,
    "out_channels": 8,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "norm_type": "ada_norm_single",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
}
"""The sizes of a tiny transformer whose layers share one modulation, as PixArt's and Latte's do."""


def latte() -> Any:
    network = diffusers.LatteTransformer3DModel(
        **SINGLE_NORM,
        num_layers=1,
        video_length=2,
    )
    return diffusers.LattePipeline(
        tokenizer=tiny.t5_tokenizer(),
        text_encoder=tiny.t5(),
        vae=tiny.vae(),
        transformer=network,
        scheduler=diffusers.DDIMScheduler(),
    )


def dance() -> Any:
    """Sound out of noise: a UNet over samples."""
    network = diffusers.UNet1DModel(
        block_out_channels=(32, 32, 64),
        extra_in_channels=64,
        sample_size=512,
        sample_rate=16_000,
        in_channels=2,
        out_channels=2,
        flip_sin_to_cos=True,
        use_timestep_embedding=False,
        time_embedding_type="fourier",
        mid_block_type="UNetMidBlock1D",
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1D", "UpBlock1DNoSkip"),
    )
    return diffusers.DanceDiffusionPipeline(unet=network, scheduler=diffusers.IPNDMScheduler())


def stable_audio() -> Any:
    from diffusers.pipelines import stable_audio as parts

    projection: Any = parts.StableAudioProjectionModel

    network = diffusers.StableAudioDiTModel(
        sample_size=4,
        in_channels=3,
        num_layers=2,
        attention_head_dim=4,
        num_key_value_attention_heads=2,
        out_channels=3,
        cross_attention_dim=4,
        time_proj_dim=8,
        global_states_input_dim=8,
        cross_attention_input_dim=4,
        num_attention_heads=2,
    )
    return diffusers.StableAudioPipeline(
        vae=diffusers.AutoencoderOobleck(
            encoder_hidden_size=6,
            downsampling_ratios=[1, 2],
            decoder_channels=3,
            decoder_input_channels=3,
            audio_channels=2,
            channel_multiples=[2, 4],
            sampling_rate=4,
        ),
        text_encoder=tiny.t5(),
        projection_model=projection(text_encoder_dim=tiny.T5_WIDTH, conditioning_dim=4, min_value=0, max_value=32),
        tokenizer=tiny.t5_tokenizer(),
        transformer=network,
        scheduler=diffusers.EDMDPMSolverMultistepScheduler(
            solver_order=2, prediction_type="v_prediction", sigma_schedule="exponential"
        ),
    )


def music(kind: str) -> Callable[[], Any]:
    """AudioLDM and MusicLDM: a spectrogram by latent diffusion, and a vocoder."""

    def make() -> Any:
        words = clip_tokenizer()
        text: dict[str, Any] = {
            "vocab_size": len(words),
            "hidden_size": 16,
            "intermediate_size": 37,
            "projection_dim": 32,
        }
        text |= {"num_attention_heads": 2, "num_hidden_layers": 1}
        text |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 514}
        config = transformers.ClapTextConfig(**text)
        return getattr(diffusers, kind)(
            vae=diffusers.AutoencoderKL(
                block_out_channels=(32, 64),
                in_channels=1,
                out_channels=1,
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
            ),
            text_encoder=transformers.ClapTextModelWithProjection(config),
            tokenizer=transformers.RobertaTokenizer(
                vocab={"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{chr(97 + n): 4 + n for n in range(26)}},
                merges=[],
                model_max_length=77,
            ),
            unet=diffusers.UNet2DConditionModel(
                block_out_channels=(32, 64),
                layers_per_block=1,
                sample_size=32,
                in_channels=4,
                out_channels=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=(32, 64),
                class_embed_type="simple_projection",
                projection_class_embeddings_input_dim=32,
                class_embeddings_concat=True,
            ),
            scheduler=tiny.scheduler("DDIMScheduler"),
            vocoder=transformers.SpeechT5HifiGan(
                transformers.SpeechT5HifiGanConfig(
                    model_in_dim=8,
                    sampling_rate=16000,
                    upsample_initial_channel=16,
                    upsample_rates=[2, 2],
                    upsample_kernel_sizes=[4, 4],
                    resblock_kernel_sizes=[3, 7],
                    resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
                    normalize_before=False,
                )
            ),
        )

    return make


def upscaler() -> Any:
    pipeline = sd1(in_channels=7, num_class_embeds=1000)()
    return diffusers.StableDiffusionUpscalePipeline(
        vae=pipeline.vae,
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
        unet=pipeline.unet,
        low_res_scheduler=diffusers.DDPMScheduler(),
        scheduler=pipeline.scheduler,
        max_noise_level=350,
    )


def pixart(kind: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        network = diffusers.PixArtTransformer2DModel(
            **SINGLE_NORM,
            num_layers=2,
            use_additional_conditions=False,
        )
        return getattr(diffusers, kind)(
            tokenizer=tiny.t5_tokenizer(),
            text_encoder=tiny.t5(),
            vae=tiny.vae(),
            transformer=network,
            scheduler=diffusers.DPMSolverMultistepScheduler(),
        )

    return make


def chroma(kind: str) -> Callable[[], Any]:
    def make() -> Any:
        network = diffusers.ChromaTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=tiny.T5_WIDTH,
            axes_dims_rope=(4, 14, 14),
            approximator_hidden_dim=32,
            approximator_layers=1,
            approximator_num_channels=16,
        )
        return getattr(diffusers, kind)(
            scheduler=tiny.flow(1.0),
            vae=tiny.flux(guided=False).vae,
            text_encoder=tiny.t5(),
            tokenizer=tiny.t5_tokenizer(),
            transformer=network,
        )

    return make


def aura() -> Any:
    return diffusers.AuraFlowPipeline(
        tokenizer=tiny.t5_tokenizer(),
        text_encoder=tiny.t5(),
        vae=tiny.vae(),
        transformer=diffusers.AuraFlowTransformer2DModel(
            sample_size=32,
            patch_size=2,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=tiny.T5_WIDTH,
            out_channels=4,
            pos_embed_max_size=256,
        ),
        scheduler=tiny.flow(1.0),
    )


def one_dimension_free(kind: str, noise: Callable[[], Any], **options: Any) -> Callable[[], Any]:
    return lambda: tiny.pixels(kind, noise(), **options)


def superres() -> Any:
    network = diffusers.UNet2DModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=32,
        in_channels=6,
        out_channels=3,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    vq = diffusers.VQModel(
        block_out_channels=[32, 64],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=3,
    )
    return diffusers.LDMSuperResolutionPipeline(vqvae=vq, unet=network, scheduler=diffusers.DDIMScheduler())


CONTROL: dict[str, Any] = {"controlnet": edges}
XL_CONTROL: dict[str, Any] = {"controlnet": tiny.sdxl_control_net}
UNION: dict[str, Any] = {"controlnet": tiny.sdxl_union}
FLUX = PLAIN


def flux(**options: Any) -> Callable[[], Any]:
    return lambda: tiny.flux(guided=True, **options)


PAG: dict[str, Any] = {"pag_scale": 2.0}

CASES: dict[str, Case] = {
    # Stable Diffusion
    "StableDiffusionPipeline": Case(sd1(), {**SIZED, "eta": 0.3}),
    "StableDiffusionImg2ImgPipeline": Case(of("StableDiffusionImg2ImgPipeline", sd1()), FROM),
    "StableDiffusionInpaintPipeline": Case(of("StableDiffusionInpaintPipeline", sd1(in_channels=9)), INPAINT),
    "StableDiffusionInstructPix2PixPipeline": Case(
        of("StableDiffusionInstructPix2PixPipeline", sd1(in_channels=8)),
        {**PROMPT, "image": IMAGE, "image_guidance_scale": 1.2},
    ),
    "StableDiffusionUpscalePipeline": Case(upscaler, {**PROMPT, "image": IMAGE, "noise_level": 20}),
    "StableDiffusionControlNetPipeline": Case(
        of("StableDiffusionControlNetPipeline", sd1(), **CONTROL), {**SIZED, "image": IMAGE}, slow=False
    ),
    "StableDiffusionControlNetImg2ImgPipeline": Case(
        of("StableDiffusionControlNetImg2ImgPipeline", sd1(), **CONTROL), {**FROM, "control_image": IMAGE}
    ),
    "StableDiffusionControlNetInpaintPipeline": Case(
        of("StableDiffusionControlNetInpaintPipeline", sd1(), **CONTROL), {**INPAINT, "control_image": IMAGE}
    ),
    "StableDiffusionAdapterPipeline": Case(
        of("StableDiffusionAdapterPipeline", sd1(), adapter=lambda: tiny.adapter("full_adapter")),
        {**SIZED, "image": IMAGE},
    ),
    "StableDiffusionPanoramaPipeline": Case(of("StableDiffusionPanoramaPipeline", sd1()), {**SIZED}),
    "StableDiffusionPAGPipeline": Case(of("StableDiffusionPAGPipeline", sd1()), {**SIZED, **PAG}),
    "StableDiffusionPAGImg2ImgPipeline": Case(of("StableDiffusionPAGImg2ImgPipeline", sd1()), {**FROM, **PAG}),
    "StableDiffusionPAGInpaintPipeline": Case(of("StableDiffusionPAGInpaintPipeline", sd1()), {**INPAINT, **PAG}),
    "StableDiffusionControlNetPAGPipeline": Case(
        of("StableDiffusionControlNetPAGPipeline", sd1(), **CONTROL), {**SIZED, **PAG, "image": IMAGE}
    ),
    "StableDiffusionControlNetPAGInpaintPipeline": Case(
        of("StableDiffusionControlNetPAGInpaintPipeline", sd1(), **CONTROL), {**INPAINT, **PAG, "control_image": IMAGE}
    ),
    "StableDiffusionSAGPipeline": Case(of("StableDiffusionSAGPipeline", sd1()), {**SIZED, "sag_scale": 0.5}),
    "StableDiffusionLDM3DPipeline": Case(
        of("StableDiffusionLDM3DPipeline", sd1(), vae=lambda: tiny.vae(in_channels=6, out_channels=6)), SIZED
    ),
    "StableDiffusionImageVariationPipeline": Case(
        lambda: diffusers.StableDiffusionImageVariationPipeline(
            vae=tiny.vae(),
            image_encoder=vision(),
            unet=tiny.unet(),
            scheduler=tiny.scheduler("DDIMScheduler"),
            safety_checker=None,
            feature_extractor=processor(),
            requires_safety_checker=False,
        ),
        {"image": IMAGE, "height": 64, "width": 64, "num_inference_steps": 2},
    ),
    "StableDiffusionGLIGENPipeline": Case(
        of("StableDiffusionGLIGENPipeline", sd1(attention_type="gated")),
        {**SIZED, "gligen_phrases": ["a boat"], "gligen_boxes": [[0.1, 0.2, 0.5, 0.6]]},
    ),
    "SemanticStableDiffusionPipeline": Case(
        of("SemanticStableDiffusionPipeline", sd1()), {**SIZED, "editing_prompt": ["sun"], "edit_warmup_steps": 0}
    ),
    "StableDiffusionAttendAndExcitePipeline": Case(
        of("StableDiffusionAttendAndExcitePipeline", sd1()),
        {**SIZED, "token_indices": [2], "max_iter_to_alter": 1, "attn_res": [8, 8]},
    ),
    "LatentConsistencyModelPipeline": Case(
        lambda: of(
            "LatentConsistencyModelPipeline", sd1(time_cond_proj_dim=32), scheduler=tiny.scheduler("LCMScheduler")
        )(),
        PLAIN,
    ),
    "LatentConsistencyModelImg2ImgPipeline": Case(
        lambda: of(
            "LatentConsistencyModelImg2ImgPipeline",
            sd1(time_cond_proj_dim=32),
            scheduler=tiny.scheduler("LCMScheduler"),
        )(),
        {"prompt": "a lake", "image": IMAGE, "num_inference_steps": 2, "strength": 0.9},
    ),
    # Stable Diffusion XL
    "StableDiffusionXLPipeline": Case(xl(), {**SIZED, "guidance_rescale": 0.3, "prompt_2": "a boat"}),
    "StableDiffusionXLImg2ImgPipeline": Case(of("StableDiffusionXLImg2ImgPipeline", xl()), FROM),
    "StableDiffusionXLInpaintPipeline": Case(of("StableDiffusionXLInpaintPipeline", xl()), INPAINT),
    "StableDiffusionXLInstructPix2PixPipeline": Case(
        of("StableDiffusionXLInstructPix2PixPipeline", xl(in_channels=8)), {**SIZED, "image": IMAGE}
    ),
    "StableDiffusionXLControlNetPipeline": Case(
        of("StableDiffusionXLControlNetPipeline", xl(), **XL_CONTROL), {**SIZED, "image": IMAGE}
    ),
    "StableDiffusionXLControlNetImg2ImgPipeline": Case(
        of("StableDiffusionXLControlNetImg2ImgPipeline", xl(), **XL_CONTROL), {**FROM, "control_image": IMAGE}
    ),
    "StableDiffusionXLControlNetInpaintPipeline": Case(
        of("StableDiffusionXLControlNetInpaintPipeline", xl(), **XL_CONTROL), {**INPAINT, "control_image": IMAGE}
    ),
    "StableDiffusionXLControlNetUnionPipeline": Case(
        of("StableDiffusionXLControlNetUnionPipeline", xl(), **UNION),
        {**SIZED, "control_image": IMAGE, "control_mode": 0},
    ),
    "StableDiffusionXLControlNetUnionImg2ImgPipeline": Case(
        of("StableDiffusionXLControlNetUnionImg2ImgPipeline", xl(), **UNION),
        {**FROM, "control_image": IMAGE, "control_mode": 0},
    ),
    "StableDiffusionXLControlNetUnionInpaintPipeline": Case(
        of("StableDiffusionXLControlNetUnionInpaintPipeline", xl(), **UNION),
        {**INPAINT, "control_image": IMAGE, "control_mode": 0},
    ),
    "StableDiffusionXLAdapterPipeline": Case(
        of("StableDiffusionXLAdapterPipeline", xl(), adapter=lambda: tiny.adapter("full_adapter_xl")),
        {**SIZED, "image": IMAGE},
    ),
    "StableDiffusionXLPAGPipeline": Case(of("StableDiffusionXLPAGPipeline", xl()), {**SIZED, **PAG}),
    "StableDiffusionXLPAGImg2ImgPipeline": Case(of("StableDiffusionXLPAGImg2ImgPipeline", xl()), {**FROM, **PAG}),
    "StableDiffusionXLPAGInpaintPipeline": Case(of("StableDiffusionXLPAGInpaintPipeline", xl()), {**INPAINT, **PAG}),
    "StableDiffusionXLControlNetPAGPipeline": Case(
        of("StableDiffusionXLControlNetPAGPipeline", xl(), **XL_CONTROL), {**SIZED, **PAG, "image": IMAGE}
    ),
    "StableDiffusionXLControlNetPAGImg2ImgPipeline": Case(
        of("StableDiffusionXLControlNetPAGImg2ImgPipeline", xl(), **XL_CONTROL),
        {**FROM, **PAG, "control_image": IMAGE},
    ),
    # Stable Diffusion 3
    "StableDiffusion3Pipeline": Case(tiny.sd3, SIZED),
    "StableDiffusion3Img2ImgPipeline": Case(
        of("StableDiffusion3Img2ImgPipeline", tiny.sd3), {**FROM, "height": 64, "width": 64}
    ),
    "StableDiffusion3InpaintPipeline": Case(of("StableDiffusion3InpaintPipeline", tiny.sd3), INPAINT),
    "StableDiffusion3ControlNetPipeline": Case(
        of("StableDiffusion3ControlNetPipeline", tiny.sd3, controlnet=tiny.sd3_control_net),
        {**SIZED, "control_image": IMAGE},
    ),
    "StableDiffusion3PAGPipeline": Case(of("StableDiffusion3PAGPipeline", tiny.sd3), {**SIZED, **PAG}),
    "StableDiffusion3PAGImg2ImgPipeline": Case(
        of("StableDiffusion3PAGImg2ImgPipeline", tiny.sd3), {**FROM, **PAG, "height": 64, "width": 64}
    ),
    # FLUX.1
    "FluxPipeline": Case(flux(), FLUX, slow=False),
    "FluxImg2ImgPipeline": Case(of("FluxImg2ImgPipeline", flux()), {**FLUX, "image": IMAGE, "strength": 0.9}),
    "FluxInpaintPipeline": Case(
        of("FluxInpaintPipeline", flux()), {**FLUX, "image": IMAGE, "mask_image": MASK, "strength": 0.9}
    ),
    "FluxControlNetPipeline": Case(
        of("FluxControlNetPipeline", flux(), controlnet=tiny.flux_control_net), {**FLUX, "control_image": IMAGE}
    ),
    "FluxControlNetImg2ImgPipeline": Case(
        of("FluxControlNetImg2ImgPipeline", flux(), controlnet=tiny.flux_control_net),
        {**FLUX, "image": IMAGE, "control_image": IMAGE, "strength": 0.9},
    ),
    "FluxControlNetInpaintPipeline": Case(
        of("FluxControlNetInpaintPipeline", flux(), controlnet=tiny.flux_control_net),
        {**FLUX, "image": IMAGE, "mask_image": MASK, "control_image": IMAGE, "strength": 0.9},
    ),
    "FluxControlPipeline": Case(
        of("FluxControlPipeline", flux(in_channels=128, out_channels=64)), {**FLUX, "control_image": IMAGE}
    ),
    "FluxControlImg2ImgPipeline": Case(
        of("FluxControlImg2ImgPipeline", flux(in_channels=128, out_channels=64)),
        {**FLUX, "image": IMAGE, "control_image": IMAGE, "strength": 0.9},
    ),
    "FluxKontextPipeline": Case(
        of("FluxKontextPipeline", flux()), {**FLUX, "image": IMAGE, "max_area": 4096, "_auto_resize": False}
    ),
    # other transformers
    "ChromaPipeline": Case(chroma("ChromaPipeline"), SIZED),
    "ChromaImg2ImgPipeline": Case(chroma("ChromaImg2ImgPipeline"), {**SIZED, "image": IMAGE, "strength": 0.9}),
    "ZImagePipeline": Case(tiny.z_image, SIZED),
    "ZImageImg2ImgPipeline": Case(
        of("ZImageImg2ImgPipeline", tiny.z_image), {**SIZED, "image": IMAGE, "strength": 0.9}
    ),
    "QwenImagePipeline": Case(
        tiny.qwen_image, {**{n: v for n, v in SIZED.items() if n != "guidance_scale"}, "true_cfg_scale": 3.0}
    ),
    "QwenImageImg2ImgPipeline": Case(
        of("QwenImageImg2ImgPipeline", tiny.qwen_image), {**PLAIN, "image": IMAGE, "strength": 0.9}
    ),
    "QwenImageInpaintPipeline": Case(
        of("QwenImageInpaintPipeline", tiny.qwen_image), {**PLAIN, "image": IMAGE, "mask_image": MASK, "strength": 0.9}
    ),
    "PixArtAlphaPipeline": Case(pixart("PixArtAlphaPipeline"), {**SIZED, "use_resolution_binning": False}),
    "PixArtSigmaPipeline": Case(pixart("PixArtSigmaPipeline"), {**SIZED, "use_resolution_binning": False}),
    "PixArtSigmaPAGPipeline": Case(
        lambda: diffusers.PixArtSigmaPAGPipeline(
            **pixart("PixArtSigmaPipeline")().components, pag_applied_layers=["blocks.1"]
        ),
        {**SIZED, **PAG, "use_resolution_binning": False},
    ),
    "AuraFlowPipeline": Case(aura, SIZED),
    "DiTPipeline": Case(tiny.dit, {"class_labels": [207], "num_inference_steps": 2}),
    # pixels
    "DDPMPipeline": Case(one_dimension_free("DDPMPipeline", diffusers.DDPMScheduler), {"num_inference_steps": 2}),
    "DDIMPipeline": Case(
        one_dimension_free("DDIMPipeline", diffusers.DDIMScheduler), {"num_inference_steps": 2, "eta": 0.5}
    ),
    "ConsistencyModelPipeline": Case(
        one_dimension_free("ConsistencyModelPipeline", diffusers.CMStochasticIterativeScheduler),
        {"num_inference_steps": 2},
    ),
    "PNDMPipeline": Case(one_dimension_free("PNDMPipeline", diffusers.PNDMScheduler), {"num_inference_steps": 4}),
    "ScoreSdeVePipeline": Case(
        one_dimension_free("ScoreSdeVePipeline", diffusers.ScoreSdeVeScheduler), {"num_inference_steps": 2}
    ),
    "LDMSuperResolutionPipeline": Case(superres, {"image": IMAGE, "num_inference_steps": 2}),
    # clips
    "AnimateDiffPipeline": Case(of("AnimateDiffPipeline", sd1(), motion_adapter=motion), ANIMATED, slow=False),
    "AnimateDiffVideoToVideoPipeline": Case(
        of("AnimateDiffVideoToVideoPipeline", sd1(), motion_adapter=motion), {**SIZED, "video": CLIP, "strength": 0.9}
    ),
    "AnimateDiffControlNetPipeline": Case(
        of("AnimateDiffControlNetPipeline", sd1(), motion_adapter=motion, controlnet=edges),
        {**ANIMATED, "conditioning_frames": CLIP, "num_frames": 9},
    ),
    "AnimateDiffVideoToVideoControlNetPipeline": Case(
        of("AnimateDiffVideoToVideoControlNetPipeline", sd1(), motion_adapter=motion, controlnet=edges),
        {**SIZED, "video": CLIP, "strength": 0.9, "conditioning_frames": CLIP},
    ),
    "StableVideoDiffusionPipeline": Case(
        video_diffusion,
        {"image": IMAGE, "height": 64, "width": 64, "num_frames": 2, "num_inference_steps": 2, "fps": 6},
    ),
    "WanPipeline": Case(wan("WanPipeline"), {**SIZED, "num_frames": 5}),
    "LTXPipeline": Case(ltx("LTXPipeline"), {**SIZED, "num_frames": 9, "frame_rate": 24, "max_sequence_length": 16}),
    "LTXImageToVideoPipeline": Case(
        ltx("LTXImageToVideoPipeline"), {**SIZED, "image": IMAGE, "num_frames": 9, "max_sequence_length": 16}
    ),
    "CogVideoXPipeline": Case(cog("CogVideoXPipeline"), {**SIZED, "num_frames": 9, "max_sequence_length": 16}),
    "CogVideoXImageToVideoPipeline": Case(
        cog("CogVideoXImageToVideoPipeline", 8, use_rotary_positional_embeddings=False),
        {**SIZED, "image": IMAGE, "num_frames": 9, "max_sequence_length": 16},
    ),
    "CogVideoXVideoToVideoPipeline": Case(
        cog("CogVideoXVideoToVideoPipeline"), {**SIZED, "video": CLIP, "strength": 0.9, "max_sequence_length": 16}
    ),
    "LattePipeline": Case(latte, {**SIZED, "video_length": 2, "clean_caption": False}),
    # sound
    "DanceDiffusionPipeline": Case(dance, {"num_inference_steps": 2, "audio_length_in_s": 0.03}, slow=False),
    "StableAudioPipeline": Case(stable_audio, {**PROMPT, "audio_end_in_s": 1.0}),
    "AudioLDMPipeline": Case(music("AudioLDMPipeline"), {**PROMPT, "audio_length_in_s": 0.05}),
}
"""A case for each pipeline that is run, by its class."""
