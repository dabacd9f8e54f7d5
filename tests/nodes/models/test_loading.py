"""Loaded modules: what happens to their files afterwards changes no weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from weft.nodes.models.loading import pretrained, ready
from weft.nodes.prompting.embeddings import vectors_of


def vae() -> tuple[Any, Any]:
    import diffusers

    kind: Any = diffusers.AutoencoderKL
    return kind(block_out_channels=(32,), norm_num_groups=32), kind


def text_model() -> tuple[Any, Any]:
    import transformers

    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.CLIPTextConfig(**sizes, num_attention_heads=1, vocab_size=100, bos_token_id=1, eos_token_id=2)
    return transformers.CLIPTextModel(config), transformers.CLIPTextModel


def overwrite(file: Path) -> None:
    """Write other weights into a file, in place."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(bytes(len(content) - start))


@pytest.mark.parametrize(("make", "option"), [(vae, "torch_dtype"), (text_model, "dtype")])
def test_weights_stay_as_they_were_read(make: Callable[[], tuple[Any, Any]], option: str, tmp_path: Path) -> None:
    module, kind = make()
    module.save_pretrained(tmp_path)
    loaded = ready(pretrained(kind, tmp_path, "", **{option: torch.float32}), "cpu")
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    (file,) = tmp_path.glob("*.safetensors")
    overwrite(file)
    assert not any(tensor.any() for tensor in load_file(file).values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.state_dict().items())


def test_vectors_of_an_embedding_stay_as_they_were_read(tmp_path: Path) -> None:
    file = tmp_path / "word.safetensors"
    save_file({"emb_params": torch.ones(2, 8)}, file)
    found = vectors_of(file)
    overwrite(file)
    assert torch.equal(found["emb_params"], torch.ones(2, 8))
