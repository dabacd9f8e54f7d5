"""Every layout in which a component is published is read: layout times component times family, below every prefix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.families.tiny import DEEP, LINEAR, unet
from tests.nodes.layouts import Tensors
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadDiffusionModel,
    LoadTextEncoder,
    LoadVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.families import FAMILIES, family, of_checkpoint, of_control_net, of_denoiser, of_text_models, of_vae
from weft.nodes.families.z_image_controls import BEFORE, control_weights
from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import configs
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, DENOISER_PREFIXES, VAE_PREFIXES
from weft.nodes.models.vae_formats import load_autoencoder
from weft.nodes.prompting.language_model import PREFIXES_WITH_PICTURES
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles

Made = Callable[[Path], Tensors]


class Published(NamedTuple):
    """A family's tiny folder, and its components as each layout has them, below no prefix."""

    family: str
    denoiser: dict[str, Made]
    vae: dict[str, Made]


def diffusers_own(component: str) -> Made:
    return lambda folder: layouts.weights(folder, component)


def bare(made: Made) -> Made:
    """A transformer in its original layout, whose prefix is taken off."""
    prefix = "model.diffusion_model."
    return lambda folder: {name.removeprefix(prefix): tensor for name, tensor in made(folder).items()}


def transformer(rules: Any, joined: Any, *swapped: str) -> dict[str, Made]:
    return {
        "original": bare(lambda folder: layouts.transformer(folder, rules, joined, swapped)),
        "diffusers": diffusers_own("transformer"),
    }


UNETS: dict[str, Made] = {
    "original": lambda folder: layouts.original_unet(layouts.weights(folder, "unet")),
    "diffusers": diffusers_own("unet"),
}
VAES: dict[str, Made] = {"original": lambda folder: layouts.vae(folder, ""), "diffusers": diffusers_own("vae")}
SIDES = {"quant": "encoder", "post_quant": "decoder"}
FLUX2_VAES: dict[str, Made] = {
    "original": lambda folder: {
        re.sub(r"^(quant|post_quant)_conv", lambda one: f"{SIDES[one[1]]}.{one[0]}", name): tensor
        for name, tensor in layouts.vae(folder, "").items()
    },
    "diffusers": diffusers_own("vae"),
}
QWEN_VAES: dict[str, Made] = {
    "original": lambda folder: layouts.renamed(layouts.weights(folder, "vae"), layouts.WAN_VAE, ""),
    "diffusers": diffusers_own("vae"),
}
SD3_SWAPPED = (r"^norm_out\.", r"^transformer_blocks\.1\.norm1_context\.")

PUBLISHED: dict[str, Published] = {
    "clip": Published("SD1", UNETS, VAES),
    "inpaint": Published("SD1", UNETS, VAES),
    "sd2": Published("SD2", UNETS, VAES),
    "lotus": Published("Lotus", UNETS, VAES),
    "sdxl": Published("SDXL", UNETS, VAES),
    "sdxl-refiner": Published("SDXL", UNETS, VAES),
    "sdxl-lcm": Published("SDXL", {"diffusers": UNETS["diffusers"]}, VAES),
    "sd3": Published("SD3", transformer(layouts.SD3, layouts.SD3_JOINED, *SD3_SWAPPED), VAES),
    "sd35": Published("SD3", transformer(layouts.SD3, layouts.SD3_JOINED, *SD3_SWAPPED), VAES),
    "flux-dev": Published("FLUX", transformer(layouts.FLUX, layouts.FLUX_JOINED, r"^norm_out\."), VAES),
    "flux-schnell": Published("FLUX", transformer(layouts.FLUX, layouts.FLUX_JOINED, r"^norm_out\."), VAES),
    "chroma": Published("Chroma", transformer(layouts.CHROMA, layouts.FLUX_JOINED), VAES),
    "hidream": Published("HiDream", {"diffusers": diffusers_own("transformer")}, VAES),
    "lumina2": Published("Lumina2", transformer(layouts.LUMINA2, layouts.LUMINA2_JOINED), VAES),
    "flux2": Published("FLUX2", transformer(layouts.FLUX2, layouts.FLUX_JOINED, r"^norm_out\."), FLUX2_VAES),
    "flux2-klein": Published("FLUX2Klein", transformer(layouts.FLUX2, layouts.FLUX_JOINED, r"^norm_out\."), FLUX2_VAES),
    "z-image": Published("ZImage", {"original": layouts.z_image, "diffusers": diffusers_own("transformer")}, VAES),
    "qwen-image": Published("QwenImage", {"diffusers": diffusers_own("transformer")}, QWEN_VAES),
    "qwen-layered": Published("QwenImage", {"diffusers": diffusers_own("transformer")}, QWEN_VAES),
}
"""The table that is walked."""

DENOISERS = [(model, layout) for model, one in PUBLISHED.items() for layout in one.denoiser]
AUTOENCODERS = [(model, layout) for model, one in PUBLISHED.items() for layout in one.vae]

TEXTS: dict[tuple[str, str], dict[str, Made]] = {
    ("clip", "clip_l"): {
        "transformers": diffusers_own("text_encoder"),
        "short": lambda folder: layouts.text_weights(folder, "text_encoder", ""),
        "long": lambda folder: layouts.text_weights(folder, "text_encoder", "text_model."),
    },
    ("sd2", "clip_h"): {"transformers": diffusers_own("text_encoder")},
    ("sdxl", "clip_g"): {
        "transformers": diffusers_own("text_encoder_2"),
        "openclip": lambda folder: layouts.open_clip(layouts.weights(folder, "text_encoder_2"), ""),
    },
    ("sd3", "t5xxl"): {"transformers": diffusers_own("text_encoder_3")},
    ("z-image", "qwen3_4b"): {
        "bare": diffusers_own("text_encoder"),
        "causal": lambda folder: layouts.under(layouts.weights(folder, "text_encoder"), "model."),
    },
    ("flux2", "mistral_3_small"): {
        "bare": lambda folder: layouts.under(
            {
                name.removeprefix(prefix): tensor
                for name, tensor in layouts.weights(folder, "text_encoder").items()
                for prefix in PREFIXES_WITH_PICTURES
                if name.startswith(prefix)
            },
            "model.",
        ),
        "with sight": diffusers_own("text_encoder"),
    },
    ("hidream", "llama_3.1_8b"): {"causal": diffusers_own("text_encoder_4")},
    ("lumina2", "gemma_2_2b"): {
        "bare": diffusers_own("text_encoder"),
        "causal": lambda folder: layouts.under(layouts.weights(folder, "text_encoder"), "model."),
    },
    ("wan", "umt5_xxl"): {"transformers": diffusers_own("text_encoder")},
    ("qwen-image", "qwen_2.5_vl_7b"): {"transformers": diffusers_own("text_encoder")},
}
TEXT_MODELS = [(model, name, layout) for (model, name), made in TEXTS.items() for layout in made]


@pytest.fixture
def folder(zoo: Any, models: Path) -> Callable[[str], Path]:
    return lambda model: models / (model if model in ("clip", "edges") else zoo(model))


def written(path: Path, tensors: Tensors) -> Path:
    """A file of these tensors."""
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
    return path


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def equal(one: Any, other: Any) -> bool:
    """Whether two modules have the same weights."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("model", "layout"), DENOISERS)
def test_a_denoiser_is_read_in_each_layout(folder: Any, tmp_path: Path, model: str, layout: str) -> None:
    row = PUBLISHED[model]
    tensors = row.denoiser[layout](folder(model))
    for prefix in DENOISER_PREFIXES:
        found = of_denoiser(Contents(shapes=shapes_of(layouts.under(tensors, prefix))))
        assert found and (found.family, found.network.prefix) == (row.family, prefix)
    assert found
    path = written(tmp_path / "file.safetensors", layouts.under(tensors, prefix))
    known, whole = family(row.family), of_checkpoint(Contents(configs=configs(folder(model))))
    assert whole
    ours = known.network.load(found.network, path, "", torch.float32)
    assert equal(ours, known.network.load(whole.network, folder(model), "", torch.float32))
    assert ours.config.in_channels == whole.network.config["in_channels"]


@pytest.mark.parametrize(("model", "layout"), AUTOENCODERS)
def test_a_vae_is_read_in_each_layout(folder: Any, tmp_path: Path, model: str, layout: str) -> None:
    row = PUBLISHED[model]
    spec, whole = family(row.family).vae, of_vae(Contents(configs=configs(folder(model))))
    tensors = row.vae[layout](folder(model))
    for prefix in VAE_PREFIXES:
        found = of_vae(Contents(shapes=shapes_of(layouts.under(tensors, prefix))))
        assert found and row.family in found.families and found.prefix == prefix
    assert spec and whole and found
    path = written(tmp_path / "file.safetensors", layouts.under(tensors, prefix))
    ours = load_autoencoder(spec, found, path, "", torch.float32, "cpu")
    theirs = load_autoencoder(spec, whole, folder(model), "", torch.float32, "cpu")
    assert equal(ours.network, theirs.network)
    assert (ours.scale, ours.shift, ours.factor) == (theirs.scale, theirs.shift, theirs.factor)


def text_model(model: str, name: str) -> TextModel:
    return next(text for text in family(PUBLISHED[model].family).texts if text.name == name)


@pytest.mark.parametrize(("model", "name", "layout"), TEXT_MODELS)
def test_a_text_model_is_read_in_each_layout(
    folder: Any, tmp_path: Path, models: Path, model: str, name: str, layout: str
) -> None:
    text, tensors = text_model(model, name), TEXTS[model, name][layout](folder(model))
    tokenizer = folder(model) / text.folder.replace("text_encoder", "tokenizer")
    facts: TextModelFacts | None = None
    for prefix in (*text.known_prefixes, ""):
        found = of_text_models(Contents(shapes=shapes_of(layouts.under(tensors, prefix))))
        assert found and len(found.models) == 1
        facts = found.models[0]
        assert facts.kind == text.kind
    assert facts
    path = written(tmp_path / "file.safetensors", tensors)
    ours = text.reader(TextModelFiles(path, facts, tokenizer), "", torch.float32, "cpu")
    whole = text.facts(Contents(configs=configs(folder(model))))
    assert whole and (facts.width, facts.layers) == (whole.width, whole.layers)
    theirs = text.reader(TextModelFiles(folder(model) / text.folder, whole, tokenizer), "", torch.float32, "cpu")
    assert equal(ours.network, theirs.network)


def unchanged(tensors: Tensors) -> Tensors:
    return tensors


CONTROL_NETS: Mapping[tuple[str, Callable[[Tensors], Tensors]], str] = {
    ("edges", layouts.original_unet): "SD1",
    ("edges", unchanged): "SD1",
    ("sdxl-edges", layouts.original_unet): "SDXL",
    ("sdxl-edges", unchanged): "SDXL",
    ("sdxl-union", unchanged): "SDXL",
    ("sd1-adapter", layouts.tencent): "SD1",
    ("sd1-adapter", unchanged): "SD1",
    ("sd1-light-adapter", layouts.tencent): "SD1",
    ("sd1-light-adapter", unchanged): "SD1",
    ("sdxl-adapter", layouts.tencent): "SDXL",
    ("sdxl-adapter", unchanged): "SDXL",
    ("sd3-edges", unchanged): "SD3",
    ("sd3-depth", unchanged): "SD3",
    ("sd35-edges", layouts.stability): "SD3",
    ("sd35-edges", unchanged): "SD3",
    ("qwen-edges", unchanged): "QwenImage",
    ("qwen-masked", unchanged): "QwenImage",
    ("sd3-masked", unchanged): "SD3",
    ("z-three-layers", unchanged): "ZImage",
    ("flux-edges", unchanged): "FLUX",
    ("flux-union", unchanged): "FLUX",
    ("flux-xlabs", layouts.xlabs): "FLUX",
    ("flux-xlabs", unchanged): "FLUX",
}
"""Control networks and their layouts, with the families that read them."""


@pytest.mark.parametrize(("model", "layout"), CONTROL_NETS)
def test_a_control_net_is_read_in_each_layout(
    folder: Any, tmp_path: Path, model: str, layout: Callable[[Tensors], Tensors]
) -> None:
    tensors = layout(load_file(folder(model) / "diffusion_pytorch_model.safetensors"))
    for prefix in CONTROL_PREFIXES:
        contents = Contents(shapes=shapes_of(layouts.under(tensors, prefix)))
        found = of_control_net(contents)
        assert found and (found.family, found.network.prefix) == (CONTROL_NETS[model, layout], prefix)
        assert of_checkpoint(contents) is None and of_denoiser(contents) is None
    assert found
    format, whole = family(found.family).control_format(found), of_control_net(Contents.of(folder(model)))
    assert whole
    path = written(tmp_path / "file.safetensors", layouts.under(tensors, prefix))
    ours = format.load(found.network, path, "", torch.float32)
    assert equal(ours, format.load(whole.network, folder(model), "", torch.float32))


def test_a_control_net_is_renamed_without_its_data() -> None:
    """To learn which of a file's tensors are used; only values tell version 2.0 of Z-Image's from 2.1."""
    found = {BEFORE: torch.empty(2, 2, device="meta")}
    assert control_weights(found, {}) == found
    with refused("unsupported-weights"):
        control_weights({BEFORE: torch.zeros(2, 2)}, {})


STRUCTURES: dict[str, dict[str, Any]] = {
    "SSD-1B's": {
        **DEEP,
        "mid_block_type": "UNetMidBlock2D",
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, [2, 2]],
        "reverse_transformer_layers_per_block": [[2, 2, 3], 1],
    },
    "without a middle": {"mid_block_type": None},
    "of more blocks on one level": {"layers_per_block": [1, 2]},
    "with attention on each level": {
        "down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2,
        "transformer_layers_per_block": (1, 2),
    },
    "of three levels": {
        "block_out_channels": (32, 32, 64),
        "attention_head_dim": (1, 1, 1),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
}


@pytest.mark.parametrize("layout", ["original", "diffusers"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_unets_of_other_depths_are_read(tmp_path: Path, structure: str, layout: str) -> None:
    torch.manual_seed(0)
    theirs = unet(**{**LINEAR, **STRUCTURES[structure]})
    own = theirs.state_dict()
    path = written(tmp_path / "file.safetensors", layouts.original_unet(own) if layout == "original" else own)
    found = of_denoiser(Contents.of(path))
    assert found and found.family in ("SD2", "SDXL")
    ours = family(found.family).network.load(found.network, path, "", torch.float32)
    assert equal(ours, theirs)
    assert type(ours.mid_block) is type(theirs.mid_block)


def test_the_published_unets_are_read_from_their_names() -> None:
    """The structure of SD 1.5, SD 2.1 and SDXL at full size, without weights."""
    from accelerate import init_empty_weights

    sdxl: dict[str, Any] = {
        **DEEP,
        "layers_per_block": 2,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "projection_class_embeddings_input_dim": 2816,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
    }
    sd2 = {"cross_attention_dim": 1024, "use_linear_projection": True, "attention_head_dim": (5, 10, 20, 20)}
    known: dict[str, dict[str, Any]] = {"SD1": {"cross_attention_dim": 768}, "SD2": sd2, "SDXL": sdxl}
    for name, options in known.items():
        with init_empty_weights():
            theirs = diffusers.UNet2DConditionModel(**options)
        own = theirs.state_dict()
        found = of_denoiser(Contents(shapes=shapes_of(layouts.original_unet(own))))
        assert found and found.family == name
        with init_empty_weights():
            ours = diffusers.UNet2DConditionModel(**found.network.config)
        assert shapes_of(ours.state_dict()) == shapes_of(own)
        assert found.network.config["attention_head_dim"] in (8, list(options.get("attention_head_dim", ())))


@pytest.mark.parametrize(
    ("model", "form"),
    [("sdxl", "folder"), pytest.param("sd3", "file", marks=pytest.mark.slow), ("flux-dev", "file")],
)
def test_a_whole_checkpoint_is_a_source_of_each_part(
    zoo: Any, engine: Engine, weft_paints: Any, model: str, form: str
) -> None:
    source = zoo(f"{model}.safetensors") if form == "file" else zoo(model)
    with Graph() as graph:
        denoiser: Any = LoadDiffusionModel(source)
        encoder = LoadTextEncoder(denoiser, source)
        guide = CFGGuide(denoiser, TextEncode(encoder, PROMPT), TextEncode(encoder, NEGATIVE), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(LoadVAE(denoiser, source), latent))
    painted = read_pixels(engine.run(graph).paths)
    assert painted.std() > 5
    assert numpy.array_equal(painted, weft_paints(source, sampler="model"))


def test_a_tiny_autoencoder_paints_as_in_diffusers(zoo: Any, models: Path, weft_paints: Any, oracle: Any) -> None:
    vae = oracle.pipeline(zoo("tiny-vae")).vae
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, "model", model="tiny-vae", parts={"vae": vae})
    assert_same(weft_paints("tiny-vae", sampler="model"), theirs)


def test_a_tiny_autoencoder_is_read_from_its_file(zoo: Any, models: Path, tmp_path: Path) -> None:
    own = models / zoo("tiny-vae") / "vae"
    tensors = load_file(own / "diffusion_pytorch_model.safetensors")
    path = written(tmp_path / "taesd.safetensors", layouts.under(tensors, "vae."))
    found, whole = of_vae(Contents.of(path)), of_vae(Contents.of(own))
    known = {one.name for one in FAMILIES if one.vae and one.vae.channels == 4}
    assert found and whole and set(found.families) == set(whole.families) == known
    spec = family("SDXL").vae
    assert spec
    ours, theirs = (
        load_autoencoder(spec, facts, root, "", torch.float32, "cpu") for facts, root in ((found, path), (whole, own))
    )
    assert equal(ours.network, theirs.network) and (ours.scale, ours.shift) == (1.0, 0.0)
    picture = torch.rand(1, 64, 64, 3)
    bare = diffusers.AutoencoderTiny.from_pretrained(own).encode(picture.movedim(-1, 1) * 2 - 1).latents
    assert torch.allclose(ours.encode(picture), bare, atol=1e-5) and ours.factor == 8


def test_every_layout_and_family_is_in_the_table() -> None:
    """A layout that a family gains is walked too."""
    walked = {row.family: max(len(row.denoiser), 1) for row in PUBLISHED.values()}
    for name, count in walked.items():
        network: NetworkFormat = family(name).network
        widest = max(len(row.denoiser) for row in PUBLISHED.values() if row.family == name)
        assert widest >= len(network.layouts) and count
