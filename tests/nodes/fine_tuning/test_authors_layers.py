"""LoRAs of FLUX.1 in kohya's layout, whose modules are several of diffusers': diffusers reads back what was trained."""

from __future__ import annotations

from pathlib import Path

import diffusers
import torch

from weft.nodes.families import family
from weft.nodes.fine_tuning.lora_writing import in_layout, lora_file

WIDTH, RANK, ALPHA = 3072, 2, 1.0

DOUBLE, SINGLE = "transformer_blocks.0", "single_transformer_blocks.0"

ROWS = {
    **{f"{DOUBLE}.attn.{name}": WIDTH for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")},
    f"{DOUBLE}.attn.to_out.0": WIDTH,
    **{f"{SINGLE}.attn.to_{name}": WIDTH for name in "qkv"},
}
"""The rows of what is trained."""


def test_diffusers_reads_joined_modules(tmp_path: Path) -> None:
    torch.manual_seed(0)
    downs, ups = ({name: torch.randn(n, RANK) for name, n in ROWS.items()} for _ in range(2))
    tensors = {f"transformer.{name}.lora_A.weight": one.T for name, one in downs.items()}
    tensors |= {f"transformer.{name}.lora_B.weight": one for name, one in ups.items()}
    content = lora_file(tensors, "FLUX", RANK, ALPHA, {}, {f"{SINGLE}.proj_mlp": 4 * WIDTH})
    path = tmp_path / "kohya.safetensors"
    path.write_bytes(in_layout(content, "kohya", "FLUX", family("FLUX").denoiser.original_modules))
    found = diffusers.FluxPipeline.lora_state_dict(str(path))

    def change(name: str) -> torch.Tensor:
        up, down = (found[f"transformer.{name}.lora_{part}.weight"] for part in "BA")
        return torch.as_tensor(up[:64] @ down)

    for name in ROWS:
        torch.testing.assert_close(change(name), ALPHA / RANK * ups[name][:64] @ downs[name].T)
    assert not change(f"{SINGLE}.proj_mlp").any()
