"""The hub's cache, and which files of a repository make up a model."""

from __future__ import annotations

from pathlib import Path

from weft.nodes import hub
from weft.nodes.sources import CheckpointSource

REPOSITORY = [
    ".gitattributes",
    "README.md",
    "model_index.json",
    "v1-5-pruned.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "tokenizer/merges.txt",
    "safety_checker/model.safetensors",
]


def test_the_plain_weights_are_wanted() -> None:
    wanted = set(hub.wanted(REPOSITORY, CheckpointSource.components, ""))
    assert wanted == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.fp16.safetensors",
        "tokenizer/merges.txt",
    }


def test_a_variant_is_wanted_where_there_is_one() -> None:
    wanted = {name for name in hub.wanted(REPOSITORY, CheckpointSource.components, "fp16") if "safetensors" in name}
    assert wanted == {
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.fp16.safetensors",
    }


def test_the_cache_lies_where_the_hub_puts_it() -> None:
    assert hub.cache_folder({"HF_HUB_CACHE": "/a"}) == Path("/a")
    assert hub.cache_folder({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub.cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub.cache_folder({}) == Path("~/.cache/huggingface/hub").expanduser()


def test_ids_are_told_from_paths() -> None:
    assert hub.is_hub_id("org/name-1.5")
    assert not any(map(hub.is_hub_id, ["name", "a/b/c", "folder/model.safetensors", "../name", "/etc"]))
