"""Each configuration key of each class that a family uses is read by the class, read by Weft, or listed with a reason.

The classes are those of the installed diffusers and transformers, by their source: a key that a later version adds is
read, or needs an entry here. Nothing is built.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import transformers

import weft.nodes
from weft.engine import Notice, SearchPaths
from weft.nodes.families import FAMILIES, family
from weft.nodes.families.configuration_keys import (
    FORMER_SCHEDULER_ENTRIES,
    IMPLIED_INDEX_ENTRIES,
    INDEX_ENTRIES,
    SCHEDULER_ENTRIES,
    folder_notices,
    scheduler_notices,
)
from weft.nodes.families.sources import CheckpointSource, DenoiserSource, ModelSource, TextEncoderSource, VAESource
from weft.nodes.models.contents import Contents
from weft.nodes.models.vae_formats import VAE_FORMATS
from weft.nodes.prompting.language_model import LanguageModel
from weft.nodes.sampling.samplers import CHECKPOINT_SCHEDULERS

Keys = Mapping[str, str]

VAES, FLOWS, LOADING = "models/vae_formats.py", "families/flows.py", "models/loading.py"

READ_BY_WEFT: Mapping[str, Keys] = {
    "AutoencoderDC": {"scaling_factor": "models/dense_autoencoder.py"},
    "AutoencoderKL": dict.fromkeys(
        ("force_upcast", "latents_mean", "latents_std", "scaling_factor", "shift_factor"), VAES
    ),
    "AutoencoderKLCogVideoX": {"scaling_factor": VAES, "invert_scale_latents": "families/cogvideox.py"},
    "AutoencoderKLHunyuanVideo15": {"scaling_factor": VAES},
    "AutoencoderKLLTXVideo": {"scaling_factor": VAES},
    "AutoencoderKLQwenImage": dict.fromkeys(("latents_mean", "latents_std"), VAES),
    "AutoencoderKLTemporalDecoder": dict.fromkeys(("force_upcast", "scaling_factor"), VAES),
    "AutoencoderKLWan": dict.fromkeys(("latents_mean", "latents_std"), VAES),
    "AutoencoderTiny": dict.fromkeys(("force_upcast", "shift_factor"), VAES),
    "FlowMatchEulerDiscreteScheduler": dict.fromkeys(
        ("base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"), FLOWS
    ),
    "FlowMatchLCMScheduler": dict.fromkeys(
        ("base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"), FLOWS
    ),
    "HunyuanVideo15Transformer3DModel": {"task_type": "families/hunyuan_video.py"},
    "QwenImageTransformer2DModel": {"guidance_embeds": "families/qwen_image.py"},
    "SanaTransformer2DModel": {"timestep_scale": "families/sana.py"},
    "SD3ControlNetModel": {"force_zeros_for_pooled_projection": "families/sd3_controls.py"},
}
"""Keys that a class takes and does not use itself, by class, with the module of Weft's that reads them."""

USUAL_SIZE = "the size of pictures that are given none; EmptyLatent always has one"

LCM_STEPS = "the steps are those that the model was distilled on, whatever their spacing"

UNUSED: Mapping[str, Keys] = {
    "AutoencoderKLTemporalDecoder": {"sample_size": "of the training; it takes every size"},
    "AutoencoderKLCogVideoX": dict.fromkeys(
        ("force_upcast", "latents_mean", "latents_std", "shift_factor"),
        "of AutoencoderKL, from which it was cut",
    ),
    "CogVideoXDPMScheduler": dict.fromkeys(
        ("clip_sample", "clip_sample_range", "sample_max_value"), "its step clips nothing"
    ),
    "AutoencoderKLWan": {"scale_factor_temporal": "follows from `temperal_downsample`, which is read"},
    "DiTTransformer2DModel": {"norm_num_groups": "of another class that this one was cut from; it has no such norms"},
    "PixArtTransformer2DModel": {"norm_num_groups": "of another class that this one was cut from, as DiT's"},
    "QwenImageControlNetModel": {"patch_size": "it is given patches, not latents"},
    "HunyuanVideo15Transformer3DModel": {"target_size": USUAL_SIZE},
    "LCMScheduler": dict.fromkeys(("steps_offset", "timestep_spacing"), LCM_STEPS),
    "TCDScheduler": {
        **dict.fromkeys(("steps_offset", "timestep_spacing"), LCM_STEPS),
        **dict.fromkeys(("clip_sample", "clip_sample_range", "thresholding"), "the step of TCD clips nothing"),
        "timestep_scaling": "of the boundary conditions of LCM, which TCD has not",
    },
    "CLIPTextConfig": {
        "bos_token_id": "the tokenizer's own is read",
        "pad_token_id": "the tokenizer's own is read",
    },
    "T5Config": {"feed_forward_proj": "split by the configuration into `dense_act_fn` and `is_gated_act`"},
    "Lumina2Transformer2DModel": {
        "sample_size": "it takes every size that it has places for",
        "scaling_factor": "of places, which its class does not scale",
    },
    "SanaTransformer2DModel": {"guidance_embeds_scale": "of Sana-Sprint, which is refused"},
    "Gemma2Config": {
        **dict.fromkeys(("bos_token_id", "eos_token_id"), "of the generation of text"),
        "initializer_range": "of the training",
        "tie_word_embeddings": "of the head that predicts tokens, which is not loaded",
    },
    "LlamaConfig": {
        **dict.fromkeys(("bos_token_id", "eos_token_id"), "of the generation of text"),
        **dict.fromkeys(("initializer_range", "pretraining_tp"), "of the training"),
        "tie_word_embeddings": "of the head that predicts tokens, which is not loaded",
    },
    "MistralConfig": {
        **dict.fromkeys(("bos_token_id", "eos_token_id"), "of the generation of text"),
        "initializer_range": "of the training",
        "tie_word_embeddings": "of the head that predicts tokens, which is not loaded",
    },
    "Qwen3Config": {
        **dict.fromkeys(("bos_token_id", "eos_token_id"), "of the generation of text"),
        "initializer_range": "of the training",
        "tie_word_embeddings": "of the head that predicts tokens, which is not loaded",
        **dict.fromkeys(("max_window_layers", "use_sliding_window"), "worked into `layer_types`, which is read"),
    },
    "Qwen2_5_VLTextConfig": {
        **dict.fromkeys(("bos_token_id", "eos_token_id"), "of the generation of text"),
        "initializer_range": "of the training",
        "max_window_layers": "worked into `layer_types`, which is read",
    },
}
"""Keys that a class takes and nothing uses, by class, with the reason."""

NETWORKS = sorted(
    {known.network.class_name for known in FAMILIES}
    | {
        format.class_name
        for known in FAMILIES
        for format in known.controls
        if hasattr(diffusers, format.class_name)  # others are Weft's own
    }
    | {name for known in VAE_FORMATS for name in known.classes}
    | CHECKPOINT_SCHEDULERS
)
TEXT_CONFIGS = sorted(
    {"CLIPTextConfig", "T5Config"}
    | {text.architecture.config_class for known in FAMILIES for text in known.texts if isinstance(text, LanguageModel)}
)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def source(kind: Any) -> ast.Module:
    return parsed(Path(inspect.getsourcefile(kind) or ""))


def words(tree: ast.AST) -> Iterator[str]:
    """The names that code reads: of variables and attributes, and of entries as texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def keys_of(kind: Any) -> list[str]:
    return [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")]


def unused_by(name: str) -> set[str]:
    """The keys of a class of diffusers that its own code does not use, and those of a configuration that no model does.

    All of a component's configuration goes to its class (`from_pretrained`, `from_config`).
    """
    if name in TEXT_CONFIGS:
        kind = getattr(transformers, name)
        models = importlib.import_module(kind.__module__.replace(".configuration_", ".modeling_"))
        used = {*words(parsed(Path(models.__file__ or "")))}
        return {*kind().to_dict()} - {*transformers.PretrainedConfig().to_dict()} - used
    kind = getattr(diffusers, name)
    found = next(one for one in source(kind).body if isinstance(one, ast.ClassDef) and one.name == name)
    return {*keys_of(kind)} - {*words(found)}


def mentions(module: str, name: str) -> bool:
    """Whether a module of Weft's reads an attribute or an entry of this name."""
    return name in words(parsed(Path(weft.nodes.__file__).parent / module))


@pytest.mark.parametrize("name", [*NETWORKS, *TEXT_CONFIGS])
def test_each_key_of_a_class_is_read_or_has_a_reason(name: str) -> None:
    read, unused = READ_BY_WEFT.get(name, {}), UNUSED.get(name, {})
    assert not read.keys() & unused.keys()
    assert unused_by(name) == read.keys() | unused.keys()
    assert all(mentions(module, key) for key, module in read.items())


def test_no_class_is_listed_that_no_family_uses() -> None:
    assert READ_BY_WEFT.keys() | UNUSED.keys() <= {*NETWORKS, *TEXT_CONFIGS}


UNETS, SDXL = "families/unets.py", "families/sdxl.py"

PIPELINES = (
    *("stable_diffusion/pipeline_stable_diffusion.py", "stable_diffusion/pipeline_stable_diffusion_img2img.py"),
    *("stable_diffusion/pipeline_stable_diffusion_inpaint.py", "controlnet/pipeline_controlnet.py"),
    "stable_diffusion/pipeline_stable_diffusion_instruct_pix2pix.py",
    "latent_consistency_models/pipeline_latent_consistency_text2img.py",
    "latent_consistency_models/pipeline_latent_consistency_img2img.py",
    *("stable_diffusion_xl/pipeline_stable_diffusion_xl.py", "controlnet/pipeline_controlnet_sd_xl.py"),
    "stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py",
    "stable_diffusion_xl/pipeline_stable_diffusion_xl_inpaint.py",
    *("stable_diffusion_3/pipeline_stable_diffusion_3.py", "stable_diffusion_3/pipeline_stable_diffusion_3_img2img.py"),
    *("flux/pipeline_flux.py", "flux/pipeline_flux_img2img.py"),
    *("controlnet_sd3/pipeline_stable_diffusion_3_controlnet.py", "flux/pipeline_flux_controlnet.py"),
    *("t2i_adapter/pipeline_stable_diffusion_adapter.py", "t2i_adapter/pipeline_stable_diffusion_xl_adapter.py"),
    *("controlnet/pipeline_controlnet_union_sd_xl.py", "flux/pipeline_flux_control.py"),
    *("flux/pipeline_flux_fill.py", "flux/pipeline_flux_kontext.py"),
    *("z_image/pipeline_z_image.py", "z_image/pipeline_z_image_img2img.py"),
    "qwenimage/pipeline_qwenimage_controlnet.py",
    *("qwenimage/pipeline_qwenimage.py", "qwenimage/pipeline_qwenimage_img2img.py"),
    *("wan/pipeline_wan.py", "wan/pipeline_wan_i2v.py", "ltx/pipeline_ltx.py", "ltx/pipeline_ltx_image2video.py"),
    "hunyuan_video1_5/pipeline_hunyuan_video1_5.py",
    "hunyuan_video1_5/pipeline_hunyuan_video1_5_image2video.py",
    "stable_video_diffusion/pipeline_stable_video_diffusion.py",
    *("cogvideo/pipeline_cogvideox.py", "cogvideo/pipeline_cogvideox_image2video.py"),
    *("dit/pipeline_dit.py", "ddpm/pipeline_ddpm.py", "consistency_models/pipeline_consistency_models.py"),
)
"""diffusers' pipelines that make the pictures which Weft's graphs of the families make."""

READ_BY_PIPELINES: Keys = {
    "controlnet.global_pool_conditions": "families/unet_controls.py",
    **dict.fromkeys(
        (f"{net}.num_control_type" for net in ("controlnet", "controlnet_", "_controlnet")), "families/unet_controls.py"
    ),
    "controlnet.guidance_embeds": "families/flux_controls.py",
    "controlnet.use_pos_embed": "families/sd3_controls.py",
    "controlnet_model.use_pos_embed": "families/sd3_controls.py",
    "index.force_zeros_for_empty_prompt": SDXL,
    "scheduler.base_image_seq_len": FLOWS,
    "scheduler.base_shift": FLOWS,
    "scheduler.clip_sample": "models/old_schedulers.py",
    "scheduler.max_image_seq_len": FLOWS,
    "scheduler.max_shift": FLOWS,
    "scheduler.num_train_timesteps": "models/parametrisation.py",
    "scheduler.skip_prk_steps": "models/old_schedulers.py",
    "scheduler.steps_offset": "models/old_schedulers.py",
    "scheduler.use_dynamic_shifting": FLOWS,
    "scheduler.use_flow_sigmas": "sampling/scheduler_run.py",
    "text_encoder.use_attention_mask": "prompting/clip.py",
    **dict.fromkeys(
        (
            *("transformer.attention_head_dim", "transformer.ofs_embed_dim", "transformer.patch_size_t"),
            "transformer.sample_height",
            *("transformer.sample_width", "transformer.use_rotary_positional_embeddings", "vae.invert_scale_latents"),
        ),
        "families/cogvideox.py",
    ),
    "transformer.guidance_embeds": "families/flux.py",
    "transformer.image_dim": "families/wan.py",
    **dict.fromkeys(("transformer.image_embed_dim", "transformer.use_meanflow"), "families/hunyuan_video.py"),
    "transformer.in_channels": "models/network_format.py",
    "transformer.joint_attention_dim": FLOWS,
    "transformer.out_channels": FLOWS,
    "transformer.patch_size": "families/sd3.py",
    "unet.addition_time_embed_dim": SDXL,
    "unet.in_channels": UNETS,
    "unet.num_class_embeds": "families/consistency.py",
    "unet.time_cond_proj_dim": UNETS,
    **dict.fromkeys(("vae.scale_factor_spatial", "vae.temporal_compression_ratio"), VAES),
    "vae.timestep_conditioning": "models/clip_autoencoders.py",
    "vae.block_out_channels": VAES,
    "vae.force_upcast": VAES,
    "vae.latent_channels": VAES,
    "vae.latents_mean": VAES,
    "vae.latents_std": VAES,
    "vae.scaling_factor": VAES,
    "vae.shift_factor": VAES,
    "vae.z_dim": VAES,
}
"""Keys that diffusers' pipelines read outside of the classes, with the module of Weft's that reads them."""

READ_BY_PIPELINES_ALONE: Keys = {
    **dict.fromkeys(("index.requires_aesthetics_score", "index.requires_safety_checker"), "see IMPLIED_INDEX_ENTRIES"),
    "index.boundary_ratio": "see IMPLIED_INDEX_ENTRIES",
    "index.expand_timesteps": "see IMPLIED_INDEX_ENTRIES",
    "scheduler.original_inference_steps": "read by the scheduler's class too",
    "text_encoder.d_model": "of ByT5's zeros where a prompt has no quotes, which are as wide as its states",
    "text_encoder_2.projection_dim": "the pooled prompt has as many channels",
    "transformer.max_text_seq_length": "read by the transformer's class too",
    "transformer.sample_frames": "the frames of clips that are given none; EmptyVideoLatent always has some",
    "transformer.sample_size": USUAL_SIZE,
    "transformer.target_size": USUAL_SIZE,
    **dict.fromkeys(("transformer_2.in_channels", "transformer_2.patch_size"), "as the first transformer's"),
    "unet._diffusers_version": "of a size that UNets before version 0.9 give wrongly",
    "unet.num_frames": "the frames of clips that are given none; EmptyVideoLatent always has some",
    "unet.sample_size": USUAL_SIZE,
    "vae.scale_factor_temporal": "follows from `temperal_downsample`, which is read",
    "unet.time_embedding_type": "read by the UNet's class too",
}
"""Keys that diffusers' pipelines read and Weft does not, with the reason."""

IN_PIPELINES = (
    r"(?P<part>\w+)\.config\.(?:get\(\")?(?P<key>\w+)",
    r"getattr\((?:self\.)?(?P<part>\w+)\.config, \"(?P<key>\w+)\"",
    r"(?P<part>register_to)_config\((?P<key>\w+)=",
)


def read_by_pipelines() -> Iterator[str]:
    folder = Path(diffusers.__file__).parent / "pipelines"
    for name in PIPELINES:
        text = (folder / name).read_text()
        for pattern in IN_PIPELINES:
            for found in re.finditer(pattern, text):
                part = "index" if found["part"] in ("self", "register_to") else found["part"]
                if found["key"] != "get":
                    yield f"{part}.{found['key']}"


def test_each_key_that_a_pipeline_reads_is_read_or_has_a_reason() -> None:
    assert not READ_BY_PIPELINES.keys() & READ_BY_PIPELINES_ALONE.keys()
    assert {*read_by_pipelines()} == READ_BY_PIPELINES.keys() | READ_BY_PIPELINES_ALONE.keys()
    assert all(mentions(module, key.split(".")[1]) for key, module in READ_BY_PIPELINES.items())


def test_the_entries_of_an_index_are_those_of_the_pipelines() -> None:
    known = {f"index.{entry}" for entry in (*INDEX_ENTRIES, *IMPLIED_INDEX_ENTRIES)}
    # What names the classes of DiT is an entry that its pipeline takes and does not register.
    others = {"index.id2label", "index.is_distilled"}
    assert known - others == {key for key in read_by_pipelines() if key.startswith("index.")}


def test_the_entries_of_schedulers_are_those_of_the_classes() -> None:
    taken = {key for name in CHECKPOINT_SCHEDULERS for key in keys_of(getattr(diffusers, name))}
    assert taken == SCHEDULER_ENTRIES
    assert not FORMER_SCHEDULER_ENTRIES.keys() & taken


STABLE: Mapping[str, Any] = {"scheduler": {}, "text_encoder": {}, "unet": {}, "vae": {}}

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": True,
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
"""An index as Stable Diffusion 1.x is published with."""


def of_folder(index: Mapping[str, Any], configs: Mapping[str, Any] = STABLE, name: str = "SD1") -> list[Notice]:
    return [*folder_notices("model", Contents(configs=configs, index={**INDEX, **index}), family(name))]


def test_a_published_folder_has_nothing_that_is_not_known() -> None:
    null = {"image_encoder": [None, None], "safety_checker": [None, None], "watermark": None}
    configs = {**STABLE, "safety_checker": {}, "vae_encoder": {}}
    assert not of_folder({}) and not of_folder(null) and not of_folder({}, configs)


@pytest.mark.parametrize("component", ["prior", "unet_2", "transformer", "tokenizer_2", "controlnet"])
def test_components_that_nothing_loads_are_named(component: str) -> None:
    indexed = of_folder({component: ["diffusers", "AClass"]})
    present = of_folder({}, {**STABLE, component: {}})
    both = of_folder({component: ["diffusers", "AClass"]}, {**STABLE, component: {}})
    for notices in (indexed, present, both):
        assert [notice.code for notice in notices] == ["unread-component"]
        assert component in notices[0].message


@pytest.mark.parametrize(
    ("entry", "families"),
    [
        ("force_zeros_for_empty_prompt", {"SDXL"}),
        ("id2label", {"DiT"}),
        ("is_distilled", {"FLUX2Klein"}),
        ("is_unread", set()),
    ],
)
def test_entries_of_an_index_are_known_where_they_are_read(entry: str, families: set[str]) -> None:
    for known in FAMILIES:
        index = {"_class_name": "Pipeline", entry: True}
        notices = [*folder_notices("model", Contents(index=index), known)]
        assert [notice.code for notice in notices] == ["unread-configuration"] * (known.name not in families)
        assert all(entry in notice.message for notice in notices)


def test_entries_of_a_scheduler_that_no_class_takes_are_named() -> None:
    usual = {
        "_class_name": "EulerDiscreteScheduler",
        "skip_prk_steps": True,
        "clip_sample": False,
        "tensor_format": "pt",
    }
    assert not [*scheduler_notices("model", Contents(configs={"scheduler": usual}))]
    (notice,) = scheduler_notices("model", Contents(configs={"scheduler": {**usual, "predict_epsilon": False}}))
    assert notice.code == "unread-configuration" and "predict_epsilon" in notice.message


SOURCES: Mapping[str, tuple[ModelSource, list[str]]] = {
    "checkpoint": (CheckpointSource(), ["unread-configuration", "unread-component", "unread-configuration"]),
    "denoiser": (DenoiserSource(), ["unread-configuration"]),
    "vae": (VAESource(), []),
    "text": (TextEncoderSource(), []),
}


@pytest.fixture(scope="module")
def strange(models: Path) -> str:
    """A folder with a component, an entry of its index and one of its scheduler that nothing reads; its name."""
    folder = shutil.copytree(models / "epsilon", models / "strange")
    for name, more in {
        "model_index.json": {"unet_2": ["diffusers", "UNet2DConditionModel"], "flavour": 3},
        "scheduler/scheduler_config.json": {"savour": 4},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    shutil.copytree(folder / "unet", folder / "unet_2")
    return folder.name


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_names_what_is_left_of_its_part(models: Path, strange: str, kind: str) -> None:
    place = SearchPaths(working=models, models=(models,))
    known, codes = SOURCES[kind]
    notices = known.resolve(strange, place).notices
    assert [notice.code for notice in notices] == codes
    named = " ".join(notice.message for notice in notices)
    assert [word in named for word in ("savour", "unet_2", "flavour")] == [word < len(codes) for word in range(3)]
    assert not known.resolve("epsilon", place).notices


INPUTS = [
    ("DDPM", "class_embed_type", "timestep", None),
    ("CM", "class_embed_type", "identity", None),
    ("QwenImage", "guidance_embeds", True, False),
    ("QwenImage", "use_additional_t_cond", True, False),
    ("QwenImage", "use_layer3d_rope", True, False),
]
"""Entries of a network's configuration by which it reads what no node gives, with a value that asks and one that does
not."""


@pytest.mark.parametrize(("name", "key", "asking", "usual"), INPUTS)
def test_networks_that_read_what_no_node_gives_are_refused(name: str, key: str, asking: object, usual: object) -> None:
    reads = family(name).network.unsupported
    assert reads({key: asking}) and not reads({key: usual}) and not reads({})


@pytest.mark.parametrize("name", ["SD1", "SD2", "SDXL"])
def test_control_nets_read_pictures_of_three_channels(name: str) -> None:
    net = next(format for format in family(name).controls if format.class_name == "ControlNetModel")
    assert net.unsupported({"conditioning_channels": 6})
    assert not net.unsupported({"conditioning_channels": 3}) and not net.unsupported({})
