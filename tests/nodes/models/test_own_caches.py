from __future__ import annotations

import gc
import weakref

import torch
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope

from weft.nodes.models.own_caches import give_own_caches


def test_a_network_with_cached_tables_goes_at_once_and_its_tables_are_those_of_its_class() -> None:
    rotary, plain = (QwenEmbedRope(theta=10_000, axes_dim=[16, 56, 56], scale_rope=True) for _ in range(2))
    give_own_caches(rotary)
    shapes, host = [(1, 4, 6)], torch.device("cpu")
    found, want = (one(shapes, max_txt_seq_len=7, device=host) for one in (rotary, plain))
    assert all(map(torch.equal, found, want))
    gone = weakref.ref(rotary)
    gc.disable()
    try:
        del rotary
        assert gone() is None
    finally:
        gc.enable()
