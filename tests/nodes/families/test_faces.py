"""Faces as prompts by IP-Adapter FaceID equal those of diffusers' own pipelines, which are given the same embeddings.

More: `pytest -m slow tests/nodes/families/test_faces.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from tests.nodes.conftest import read_pixels
from tests.nodes.families.image_adapters import SIDE, linear, normed, plus, random
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph, SearchPaths
from weft.nodes import (
    ApplyFaceID,
    ApplyIPAdapter,
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    EncodeImage,
    KSampler,
    LoadCheckpoint,
    LoadFaceEmbedding,
    LoadImage,
    LoadImageEncoder,
    LoadIPAdapter,
    LoadLoRA,
    MakeFaceEmbedding,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.families.image_prompt_sources import IPAdapterSource

STEPS = 2
FACE, TOKENS, RANK = 32, 4, 4
"""Numbers of a face's embedding (512 in those that are published), and sizes of the adapters."""

PICTURES = ["stripes.png", "ramp.png"]

MODELS = {"sd1": "epsilon", "sdxl": "sdxl"}


def face_adapter(unet: Any, kind: str, lora: bool) -> dict[str, Tensor]:
    """An adapter under the names of its authors; the layers of its LoRA have the numbers of all attention layers."""
    width = unet.config.cross_attention_dim
    if kind == "face":
        projection = (
            linear("proj.0", 2 * FACE, FACE) | linear("proj.2", TOKENS * width, 2 * FACE) | normed("norm", width)
        )
    else:
        resampler = {name: one for name, one in plus(width, width).items() if name != "latents"}
        projection = {f"perceiver_resampler.{name}": one for name, one in resampler.items()}
        projection |= linear("proj.0", 2 * FACE, FACE) | linear("proj.2", TOKENS * width, 2 * FACE)
        projection |= normed("norm", width)
    found = {f"image_proj.{name}": one for name, one in projection.items()}
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if "attn2" in name:
            for side in "kv":
                found[f"ip_adapter.{number}.to_{side}_ip.weight"] = random(attention.to_q.out_features, width)
        for side, layer in (
            ("q", attention.to_q),
            ("k", attention.to_k),
            ("v", attention.to_v),
            ("out", attention.to_out[0]),
        ):
            if lora:
                stem = f"ip_adapter.{number}.to_{side}_lora"
                found[f"{stem}.down.weight"] = random(RANK, layer.in_features)
                found[f"{stem}.up.weight"] = 0.3 * random(layer.out_features, RANK)
    return found


@pytest.fixture(scope="module")
def faces(adapters: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder with adapters of faces, for each family, and a folder `faces` with embeddings."""
    for family, model in MODELS.items():
        unet = diffusers.UNet2DConditionModel.from_pretrained(adapters / model, subfolder="unet")
        for seed, kind in enumerate(("face", "face-plus")):
            torch.manual_seed(seed)
            save_file(face_adapter(unet, kind, lora=kind == "face"), adapters / f"{family}-{kind}.safetensors")
    return adapters


@pytest.fixture
def embedded(pictures: Path) -> Tensor:
    """Two embeddings of one face, in files of both kinds among the pictures."""
    torch.manual_seed(9)
    vectors = torch.nn.functional.normalize(torch.randn(2, FACE), dim=-1)
    numpy.save(pictures / "face.npy", vectors.numpy())
    save_file({"embedding": vectors}, pictures / "face.safetensors")
    return vectors


def painting(
    family: str,
    kind: str,
    face: Callable[[], Any] = lambda: LoadFaceEmbedding("face.npy"),
    *,
    strength: float = 1.0,
    scale: float = SCALE,
    pictured: bool | None = None,
    apply: Any = ApplyFaceID,
    **options: Any,
) -> Graph:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint(MODELS[family])
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        adapter, model = LoadIPAdapter(f"{family}-{kind}.safetensors"), checkpoint.model
        if kind == "face":
            model = ApplyLoRAToModel(LoadLoRA(f"{family}-{kind}.safetensors"), model, strength=strength)
        if pictured if pictured is not None else kind == "face-plus":
            options["embedding"] = EncodeImage(LoadImageEncoder("vision"), [LoadImage(one) for one in PICTURES])
        if apply is ApplyFaceID:
            options["face"] = face()
        placed = apply(*prompts, adapter, **{"scale": 0.7, **options})
        guide = CFGGuide(model, placed.positive, placed.negative, scale=scale)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="euler")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def ours(engine: Engine, *given: Any, **options: Any) -> Pixels:
    return read_pixels(engine.run(painting(*given, **options)).paths)


def theirs(
    models: Path, pictures: Path, family: str, kind: str, vectors: Tensor, shortcut: bool, scale: float
) -> Pixels:
    """As diffusers' documentation calls it: embeddings are handed in, with zeros for the negative prompt."""
    own = Oracle(models)
    pipe = own.pipeline(MODELS[family])
    vision = CLIPVisionModelWithProjection.from_pretrained(models / "vision")
    prepare = CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    pipe.register_modules(image_encoder=vision, feature_extractor=prepare)
    name = f"{family}-{kind}.safetensors"
    pipe.load_ip_adapter(str(models), subfolder="", weight_name=name, image_encoder_folder=None)
    pipe.set_ip_adapter_scale(0.7)
    guided = scale > 1
    given = vectors[None, :, None] if kind == "face" else vectors[None]
    embeds = torch.cat([torch.zeros_like(given), given]) if guided else given
    layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
    if kind == "face-plus":
        shown = [Pictures.open(pictures / one).convert("RGB") for one in PICTURES]
        found = pipe.prepare_ip_adapter_image_embeds([shown], None, torch.device("cpu"), 1, guided)
        layer.clip_embeds, layer.shortcut = found[0], shortcut
    return own.run(
        type(pipe),
        "euler",
        model=MODELS[family],
        prompt=[PROMPT],
        negative_prompt=[NEGATIVE],
        guidance_scale=scale,
        ip_adapter_image_embeds=[embeds],
        num_inference_steps=STEPS,
        height=SIZE,
        width=SIZE,
    )


@pytest.mark.parametrize("scale", [SCALE, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "shortcut"),
    [("face", False), ("face-plus", True), pytest.param("face-plus", False, marks=pytest.mark.slow)],
)
def test_a_face(
    engine: Engine,
    oracle: Oracle,
    faces: Path,
    pictures: Path,
    embedded: Tensor,
    family: str,
    kind: str,
    shortcut: bool,
    scale: float,
) -> None:
    expected = theirs(faces, pictures, family, kind, embedded, shortcut, scale)
    assert_same(ours(engine, family, kind, shortcut=shortcut, scale=scale), expected)


def test_files_of_both_kinds_and_numbers_mean_the_same(
    engine: Engine, faces: Path, pictures: Path, embedded: Tensor
) -> None:
    numpy.save(pictures / "one.npy", embedded[0].numpy())
    made = [
        ours(engine, "sd1", "face", lambda: LoadFaceEmbedding("one.npy")),
        ours(engine, "sd1", "face", lambda: MakeFaceEmbedding(embedded[0].tolist())),
        ours(engine, "sd1", "face", lambda: LoadFaceEmbedding("face.npy")),
        ours(engine, "sd1", "face", lambda: LoadFaceEmbedding("face.safetensors")),
    ]
    assert (made[0] == made[1]).all() and (made[2] == made[3]).all() and (made[0] != made[2]).any()


def test_the_lora_of_the_file_has_a_strength_of_its_own(
    engine: Engine, faces: Path, pictures: Path, embedded: Tensor
) -> None:
    none, half = (ours(engine, "sd1", "face", strength=strength) for strength in (0.0, 0.5))
    assert (none != half).any()


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("face", {"pictured": True}, "unsupported-by-model"),
        ("face-plus", {"pictured": False}, "missing-input"),
        ("plain", {}, "unsupported-by-model"),
        ("face", {"apply": ApplyIPAdapter, "pictured": True}, "unsupported-by-model"),
        ("face", {"face": lambda: LoadFaceEmbedding("short.npy")}, "wrong-channels"),
        ("face", {"face": lambda: LoadFaceEmbedding("ramp.npy")}, "wrong-kind-of-file"),
        ("face", {"face": lambda: LoadFaceEmbedding("words.npy")}, "wrong-kind-of-file"),
        ("face", {"face": lambda: LoadFaceEmbedding("several.safetensors")}, "wrong-kind-of-file"),
    ],
)
def test_what_does_not_fit_is_a_problem_of_the_graph(
    engine: Engine, faces: Path, pictures: Path, embedded: Tensor, kind: str, options: Any, code: str
) -> None:
    numpy.save(pictures / "short.npy", embedded.numpy()[:, :8])
    numpy.save(pictures / "words.npy", numpy.array(["a", "b"]))
    (pictures / "ramp.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{'descr': [")
    save_file({"a": embedded.clone(), "b": embedded.clone()}, pictures / "several.safetensors")
    assert [one.code for one in engine.check(painting("sd1", kind, **options)).problems] == [code]


def test_as_many_pictures_as_faces(engine: Engine, faces: Path, pictures: Path, embedded: Tensor) -> None:
    numpy.save(pictures / "one.npy", embedded[0].numpy())
    with refused("batch-mismatch", 2, 1, node="apply_face_id"):
        ours(engine, "sd1", "face-plus", lambda: LoadFaceEmbedding("one.npy"))


def test_tensors_of_the_file_are_all_read(engine: Engine, faces: Path, pictures: Path, embedded: Tensor) -> None:
    tensors = load_file(faces / "sd1-face.safetensors")
    assert any("_lora." in name for name in tensors)
    assert not engine.check(painting("sd1", "face")).problems
    assert not IPAdapterSource().resolve("sd1-face.safetensors", SearchPaths(working=faces, models=(faces,))).notices
