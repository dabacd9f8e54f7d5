"""What tensors of text models are called in GGUF files, and what transformers calls them.

llama.cpp has one set of names for all language models and one for T5's encoder; `general.architecture` says which a
file has. Files of other parts have the names of their authors. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_T5_BLOCK = "encoder.block.{}.layer."

T5: Mapping[str, str] = {
    "token_embd": "shared",
    "enc.output_norm": "encoder.final_layer_norm",
    "enc.blk.{}.attn_q": _T5_BLOCK + "0.SelfAttention.q",
    "enc.blk.{}.attn_k": _T5_BLOCK + "0.SelfAttention.k",
    "enc.blk.{}.attn_v": _T5_BLOCK + "0.SelfAttention.v",
    "enc.blk.{}.attn_o": _T5_BLOCK + "0.SelfAttention.o",
    "enc.blk.{}.attn_rel_b": _T5_BLOCK + "0.SelfAttention.relative_attention_bias",
    "enc.blk.{}.attn_norm": _T5_BLOCK + "0.layer_norm",
    "enc.blk.{}.ffn_gate": _T5_BLOCK + "1.DenseReluDense.wi_0",
    "enc.blk.{}.ffn_up": _T5_BLOCK + "1.DenseReluDense.wi_1",
    "enc.blk.{}.ffn_down": _T5_BLOCK + "1.DenseReluDense.wo",
    "enc.blk.{}.ffn_norm": _T5_BLOCK + "1.layer_norm",
}

_LANGUAGE = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "blk.{}.attn_norm": "layers.{}.input_layernorm",
    "blk.{}.attn_q": "layers.{}.self_attn.q_proj",
    "blk.{}.attn_k": "layers.{}.self_attn.k_proj",
    "blk.{}.attn_v": "layers.{}.self_attn.v_proj",
    "blk.{}.attn_output": "layers.{}.self_attn.o_proj",
    "blk.{}.attn_q_norm": "layers.{}.self_attn.q_norm",
    "blk.{}.attn_k_norm": "layers.{}.self_attn.k_norm",
    "blk.{}.ffn_norm": "layers.{}.post_attention_layernorm",
    "blk.{}.ffn_gate": "layers.{}.mlp.gate_proj",
    "blk.{}.ffn_up": "layers.{}.mlp.up_proj",
    "blk.{}.ffn_down": "layers.{}.mlp.down_proj",
}


def _language(prefix: str) -> Mapping[str, str]:
    return {"output": "lm_head", **{name: prefix + there for name, there in _LANGUAGE.items()}}


ARCHITECTURES: Mapping[str, Mapping[str, str]] = {
    "t5": T5,
    "t5encoder": T5,
    "qwen3": _language("model."),
    "qwen2vl": _language("model.language_model."),
}
"""The names of modules by `general.architecture`; `{}` stands for the number of a block."""


def text_model_names(architecture: str, names: Iterable[str]) -> dict[str, str]:
    """The name in transformers of each tensor; empty where the architecture is no text model that is known.

    A tensor that the table does not have keeps its name.
    """
    known = ARCHITECTURES.get(architecture)
    return {name: _there(name, known) for name in names} if known else {}


def _there(name: str, known: Mapping[str, str]) -> str:
    module, _, role = name.rpartition(".")
    number = re.search(r"(?<=blk\.)\d+", module)
    there = known.get(module.replace(number[0], "{}", 1) if number else module)
    return f"{there.format(number[0] if number else '')}.{role}" if there else name
