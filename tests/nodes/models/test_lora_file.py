"""Names of tensors as trainers and hubs publish them, in networks of the published sizes; what is not read is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
import torch

from tests.nodes.oracle import diffusers
from tests.refusals import refused
from weft.nodes.families import family
from weft.nodes.models.lora_binding import bound
from weft.nodes.models.lora_facts import LoRAFacts, lora_facts

SIZES: Mapping[str, Any] = {
    "SD1": ("UNet2DConditionModel", {"cross_attention_dim": 768}),
    "SDXL": (
        "UNet2DConditionModel",
        {
            "cross_attention_dim": 2048,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "use_linear_projection": True,
        },
    ),
    "SD3": ("SD3Transformer2DModel", {}),
    "FLUX": ("FluxTransformer2DModel", {"num_layers": 2, "num_single_layers": 2}),
    "ZImage": ("ZImageTransformer2DModel", {"n_layers": 2}),
    "QwenImage": ("QwenImageTransformer2DModel", {"num_layers": 2}),
}
"""diffusers' classes with the widths of published models; of equal blocks two."""


@cache
def shapes(name: str) -> Mapping[str, tuple[int, ...]]:
    """The shapes of a network's parameters."""
    kind, options = SIZES[name]
    with torch.device("meta"):
        network = getattr(diffusers, kind)(**options)
    return {name: tuple(one.shape) for name, one in network.named_parameters()}


def low_rank(module: str, rows: int, columns: int, down: str, up: str) -> dict[str, tuple[int, ...]]:
    return {f"{module}.{down}": (16, columns), f"{module}.{up}": (rows, 16)}


KOHYA, PEFT = ("lora_down.weight", "lora_up.weight"), ("lora_A.weight", "lora_B.weight")

SPATIAL, BLOCK = "attentions.0.transformer_blocks.0", "attentions_0_transformer_blocks_0"

PUBLISHED: list[tuple[str, str, tuple[int, int], tuple[str, str], tuple[str, ...]]] = [
    ("SD1", f"lora_unet_down_blocks_0_{BLOCK}_attn2_to_k", (320, 768), KOHYA, (f"down_blocks.0.{SPATIAL}.attn2.to_k",)),
    (
        "SD1",
        f"lora_unet_mid_block_{BLOCK}_ff_net_0_proj",
        (10240, 1280),
        KOHYA,
        (f"mid_block.{SPATIAL}.ff.net.0.proj",),
    ),
    (
        "SD1",
        f"unet.up_blocks.1.{SPATIAL}.attn1.processor",
        (1280, 1280),
        ("to_out_lora.down.weight", "to_out_lora.up.weight"),
        (f"up_blocks.1.{SPATIAL}.attn1.to_out.0",),
    ),
    (
        "SDXL",
        "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_v",
        (640, 2048),
        KOHYA,
        ("down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_v",),
    ),
    (
        "SDXL",
        "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_2",
        (1280, 5120),
        KOHYA,
        ("down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2",),
    ),
    (
        "SDXL",
        "lora_unet_middle_block_1_transformer_blocks_3_attn1_to_q",
        (1280, 1280),
        KOHYA,
        ("mid_block.attentions.0.transformer_blocks.3.attn1.to_q",),
    ),
    (
        "SDXL",
        "lora_unet_output_blocks_5_1_proj_in",
        (640, 640),
        KOHYA,
        ("up_blocks.1.attentions.2.proj_in",),
    ),
    (
        "SD3",
        "lora_unet_joint_blocks_17_context_block_attn_qkv",
        (3456, 1152),
        KOHYA,
        tuple(f"transformer_blocks.17.attn.add_{one}_proj" for one in "qkv"),
    ),
    (
        "SD3",
        "transformer.transformer_blocks.3.attn.to_add_out",
        (1152, 1152),
        PEFT,
        ("transformer_blocks.3.attn.to_add_out",),
    ),
    (
        "FLUX",
        "lora_unet_single_blocks_1_linear1",
        (21504, 3072),
        KOHYA,
        (*(f"single_transformer_blocks.1.attn.to_{one}" for one in "qkv"), "single_transformer_blocks.1.proj_mlp"),
    ),
    (
        "FLUX",
        "lora_unet_double_blocks_0_txt_mod_lin",
        (18432, 3072),
        KOHYA,
        ("transformer_blocks.0.norm1_context.linear",),
    ),
    ("FLUX", "diffusion_model.double_blocks.1.img_mlp.2", (3072, 12288), PEFT, ("transformer_blocks.1.ff.net.2",)),
    (
        "FLUX",
        "transformer.single_transformer_blocks.0.proj_out",
        (3072, 15360),
        PEFT,
        ("single_transformer_blocks.0.proj_out",),
    ),
    (
        "FLUX",
        "double_blocks.1.processor",
        (9216, 3072),
        ("qkv_lora1.down.weight", "qkv_lora1.up.weight"),
        tuple(f"transformer_blocks.1.attn.to_{one}" for one in "qkv"),
    ),
    (
        "FLUX",
        "base_model.model.double_blocks.0.txt_attn.proj",
        (3072, 3072),
        PEFT,
        ("transformer_blocks.0.attn.to_add_out",),
    ),
    ("ZImage", "diffusion_model.layers.1.attention.to_q", (3840, 3840), PEFT, ("layers.1.attention.to_q",)),
    (
        "ZImage",
        "lora_unet_layers_0_attention_qkv",
        (11520, 3840),
        KOHYA,
        tuple(f"layers.0.attention.to_{one}" for one in "qkv"),
    ),
    (
        "ZImage",
        "diffusion_model.context_refiner.0.attention.out",
        (3840, 3840),
        PEFT,
        ("context_refiner.0.attention.to_out.0",),
    ),
    (
        "QwenImage",
        "transformer_blocks.1.attn.add_k_proj",
        (3072, 3072),
        ("lora_A.default.weight", "lora_B.default.weight"),
        ("transformer_blocks.1.attn.add_k_proj",),
    ),
    (
        "QwenImage",
        "lora_unet_transformer_blocks_0_img_mlp_net_0_proj",
        (12288, 3072),
        KOHYA,
        ("transformer_blocks.0.img_mlp.net.0.proj",),
    ),
]
"""The family, the name of a module, its rows and columns, the ends of its tensors' names, and diffusers' modules."""


@pytest.mark.parametrize(("name", "module", "size", "ends", "wanted"), PUBLISHED, ids=[one[1] for one in PUBLISHED])
def test_a_published_name_means_a_module(
    name: str, module: str, size: tuple[int, int], ends: tuple[str, str], wanted: tuple[str, ...]
) -> None:
    facts = read(low_rank(module, *size, *ends))
    placed = bound(facts.of_part("denoiser"), shapes(name), family(name).denoiser.original_modules)
    assert tuple(one.module for one in placed) == wanted
    assert facts.family in (name, "")


def read(tensors: Mapping[str, tuple[int, ...]], **metadata: str) -> LoRAFacts:
    facts = lora_facts(tensors, metadata)
    assert facts
    return facts


TEXTS = {
    "lora_te_text_model_encoder_layers_3_self_attn_q_proj": "text_encoder",
    "lora_te1_text_model_encoder_layers_3_mlp_fc1": "text_encoder",
    "lora_te2_text_model_encoder_layers_31_mlp_fc2": "text_encoder_2",
    "lora_te3_encoder_block_0_layer_0_SelfAttention_q": "text_encoder_3",
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": "text_encoder",
    "text_encoder_2.text_model.encoder.layers.0.self_attn.k_proj": "text_encoder_2",
    "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1": "clip_l",
    "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.k": "t5xxl",
    "base_model.model.text_model.encoder.layers.0.self_attn.v_proj": "text_encoder",
}
"""Names of modules of text encoders, and the part that they mean."""


@pytest.mark.parametrize("module", TEXTS)
def test_a_published_name_means_a_text_encoder(module: str) -> None:
    facts = read(low_rank(module, 64, 64, *(PEFT if "." in module else KOHYA)))
    assert facts.parts == (TEXTS[module],)


CIVITAI = {
    "ss_network_module": "networks.lora",
    "ss_network_dim": "32",
    "ss_network_alpha": "16.0",
    "ss_sd_model_name": "sd_xl_base_1.0.safetensors",
    "sshs_model_hash": "0",
    "ss_tag_frequency": "{}",
    "modelspec.title": "a style",
}
"""Metadata as kohya's scripts write them."""


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"ss_base_model_version": "sd_v1"}, "SD1"),
        ({"ss_base_model_version": "sd_1.5"}, "SD1"),
        ({"ss_base_model_version": "sd_v2_v"}, "SD2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        ({"ss_base_model_version": "sd3_m"}, "SD3"),
        ({"ss_base_model_version": "flux1"}, "FLUX"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "SDXL"),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "SD1"),
        ({"modelspec.architecture": "flux-1-dev/lora"}, "FLUX"),
        ({"ss_base_model_version": "qwen_image"}, "QwenImage"),
        ({}, ""),
    ],
)
def test_metadata_say_what_a_lora_was_made_for(metadata: dict[str, str], wanted: str) -> None:
    tensors = low_rank("lora_te1_text_model_encoder_layers_0_mlp_fc1", 64, 64, *KOHYA)
    facts = read(tensors, **{**CIVITAI, **metadata})
    assert facts.family == wanted
    stated = next(iter(metadata.values()), CIVITAI["ss_sd_model_name"])
    assert facts.made_for == stated and stated in str(facts) and "rank 16" in str(facts)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lora_unet_mid_block_attentions_0_proj_in.oft_blocks", (4, 4, 4)),
        ("lora_unet_mid_block_attentions_0_proj_in.a1.weight", (4, 4)),
        ("transformer.single_transformer_blocks.0.norm.ia3_l", (4,)),
        ("double_blocks.0.img_attn.norm.other_norm.scale", (128,)),
        ("lora_unet_mid_block_attentions_0_proj_out.lora_down.weight", (4, 4)),
        ("something.else", (4,)),
    ],
)
def test_a_tensor_that_is_not_read_is_named(name: str, shape: tuple[int, ...]) -> None:
    with refused("unsupported-weights", name):
        lora_facts({**low_rank("lora_unet_conv_in", 4, 4, *KOHYA), name: shape}, {})


def test_a_hint_names_the_node_for_what_else_a_file_has() -> None:
    name = "bundle_emb.style.clip_l"
    with refused("unsupported-weights", name, "LoadEmbedding"):
        lora_facts({**low_rank("lora_unet_conv_in", 4, 4, *KOHYA), name: (128,)}, {})


@pytest.mark.parametrize(
    "name",
    ["double_blocks.0.img_attn.norm.key_norm.scale", "transformer.transformer_blocks.0.attn.norm_added_q.weight"],
)
def test_norms_alone_are_no_lora_and_next_to_one_stand_in_the_place_of_the_models(name: str) -> None:
    assert lora_facts({name: (128,)}, {}) is None
    facts = lora_facts({**low_rank("lora_unet_conv_in", 4, 4, *KOHYA), name: (128,)}, {})
    assert facts is not None and facts.replaces_norms and facts.layers[-1].size == (128, 1)


def test_a_projection_that_a_file_has_joined_and_in_parts_counts_once() -> None:
    joined = low_rank("lora_unet_layers_0_attention_qkv", 11520, 3840, *KOHYA)
    parts = [low_rank(f"lora_unet_layers_0_attention_to_{one}", 3840, 3840, *KOHYA) for one in "qkv"]
    facts = read({**joined, **parts[0], **parts[1], **parts[2]})
    placed = bound(facts.layers, shapes("ZImage"), family("ZImage").denoiser.original_modules)
    assert [one.layer.name for one in placed] == [f"lora_unet_layers_0_attention_to_{one}" for one in "qkv"]


LOHA = {"hada_w1_a": (16, 2), "hada_w1_b": (2, 24), "hada_w2_a": (16, 2), "hada_w2_b": (2, 24)}

CORES = {
    "hada_t1": (2, 3, 3, 3),
    "hada_w1_a": (2, 16),
    "hada_w1_b": (3, 8),
    "hada_t2": (2, 3, 3, 3),
    "hada_w2_a": (2, 16),
    "hada_w2_b": (3, 8),
}

LOKR = {"lokr_w1": (4, 4), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 6)}

LOW: dict[str, tuple[int, ...]] = {"lora_down.weight": (4, 8, 3, 3), "lora_up.weight": (16, 4, 1, 1)}

KERNELS: dict[str, tuple[int, ...]] = {**LOW, "lora_down.weight": (4, 8, 1, 1), "lora_mid.weight": (4, 4, 3, 3)}


@pytest.mark.parametrize("whole", [LOHA, CORES, LOKR, {**LOKR, "lokr_t2": (4, 2, 3, 3)}, LOW, KERNELS])
def test_tensors_that_fit_each_other_are_read(whole: Mapping[str, tuple[int, ...]]) -> None:
    assert read({f"lora_unet_conv_in.{role}": shape for role, shape in {**whole, "alpha": ()}.items()})


@pytest.mark.parametrize(
    ("whole", "changed"),
    [
        (LOW, {"lora_up.weight": (4, 16)}),
        (LOW, {"lora_up.weight": (16, 4, 3, 3)}),
        (LOW, {"lora_down.weight": (8,)}),
        (LOW, {"lora_down.weight": ()}),
        (LOW, {"alpha": (2,)}),
        (LOW, {"diff_b": (15,)}),
        (LOW, {"dora_scale": (1, 5, 1, 1)}),
        (LOW, {"lora_magnitude_vector": (8,)}),
        (KERNELS, {"lora_mid.weight": (4, 5, 3, 3)}),
        (KERNELS, {"lora_down.weight": (4, 8, 3, 3)}),
        (LOHA, {"hada_w2_a": (15, 2)}),
        (LOHA, {"hada_w2_b": (2, 23)}),
        (LOHA, {"hada_w1_b": (3, 24)}),
        (CORES, {"hada_t1": (2, 2, 3, 3)}),
        (CORES, {"hada_t2": (2, 3, 1, 1)}),
        (LOKR, {"lokr_w2_b": (3, 6)}),
        (LOKR, {"lokr_w1": (4, 4, 3, 3)}),
        (LOKR, {"lokr_t2": (3, 2, 3, 3)}),
    ],
)
def test_tensors_that_do_not_fit_each_other_are_damage(
    whole: Mapping[str, tuple[int, ...]], changed: Mapping[str, tuple[int, ...]]
) -> None:
    with refused("damaged-file", "lora_unet_conv_in"):
        lora_facts({f"lora_unet_conv_in.{role}": shape for role, shape in {**whole, **changed}.items()}, {})


@pytest.mark.parametrize("roles", [("hada_t1",), ("lokr_t2",)])
def test_a_core_without_its_factors_is_named(roles: tuple[str, ...]) -> None:
    whole = LOHA if roles == ("hada_t1",) else {"lokr_w1": (4, 4), "lokr_w2": (4, 6)}
    tensors = {
        f"lora_unet_conv_in.{role}": shape for role, shape in {**whole, **dict.fromkeys(roles, (2, 2, 3, 3))}.items()
    }
    with refused("unsupported-weights", f"lora_unet_conv_in.{roles[0]}"):
        lora_facts({**tensors, **low_rank("lora_unet_conv_out", 4, 4, *KOHYA)}, {})


def test_a_change_of_another_kernel_is_refused() -> None:
    shapes = {"conv_in.weight": (16, 8, 3, 3)}
    kernels = {(3, 3): "", (9, 1): "wrong-lora", (1, 9): "wrong-lora"}
    for kernel, code in kernels.items():
        facts = read(
            {"lora_unet_conv_in.lora_down.weight": (4, 8, *kernel), "lora_unet_conv_in.lora_up.weight": (16, 4)}
        )
        with refused(code, "conv_in") if code else nullcontext():
            bound(facts.layers, shapes, lambda modules: {})


def test_alphas_by_regular_expressions_are_refused() -> None:
    """They would be read as names, and their modules would have another strength than they were trained with."""
    named = json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"^mid_block.attentions": 8}})
    patterned = json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {".*attn[12]": 8}})
    tensors = low_rank("unet.mid_block.attentions.0.proj_in", 64, 64, *PEFT)
    assert lora_facts(tensors, {"lora_adapter_metadata": named})
    with refused("unsupported-weights", ".*attn[12]"):
        lora_facts(tensors, {"lora_adapter_metadata": patterned})


def test_a_checkpoint_is_no_lora() -> None:
    assert lora_facts({"down_blocks.0.resnets.0.conv1.weight": (4, 4, 3, 3), "logit_scale": ()}, {}) is None
