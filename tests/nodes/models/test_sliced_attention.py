"""Attention in slices is attention, whatever its shapes, and holds few scores at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention as attend

from tests.device.pretended import MIB, PretendedDevices
from weft.engine import INJECTED, Context, Engine, Graph, events, node
from weft.engine.weights.savings import WORDS
from weft.nodes.models.sliced_attention import holds_scores, in_slices, spared


@given(
    shape=st.sampled_from([(7, 5), (2, 7, 5), (2, 3, 7, 5), (2, 2, 3, 7, 5)]),
    keys=st.integers(1, 9),
    most=st.integers(1, 2_000),
    mask=st.sampled_from(["none", "rows", "all"]),
    causal=st.booleans(),
)
def test_slices_are_the_whole(shape: tuple[int, ...], keys: int, most: int, mask: str, causal: bool) -> None:
    draw = torch.Generator().manual_seed(keys)
    query = torch.randn(shape, generator=draw)
    key, value = (torch.randn(*shape[:-2], keys, shape[-1], generator=draw) for _ in range(2))
    rows = {"rows": (1, keys), "all": (*shape[:-1], keys)}
    masks = None if mask == "none" or causal else torch.randn(rows.get(mask, (1, keys)), generator=draw)
    options: Any = {"attn_mask": masks, "is_causal": causal, "scale": 0.3}
    with in_slices(most):
        found = attend(query, key, value, **options)
    torch.testing.assert_close(found, attend(query, key, value, **options))


def test_grouped_heads_are_cut_by_queries() -> None:
    query, key = torch.randn(1, 4, 6, 8), torch.randn(1, 2, 6, 8)
    with in_slices(64):
        found = attend(query, key, key, enable_gqa=True)
    torch.testing.assert_close(found, attend(query, key, key, enable_gqa=True))


def test_a_device_without_kernels_that_do_without_scores_is_known() -> None:
    assert holds_scores("mps") and not holds_scores("cpu")


@node(lane="gpu")
def Attends(queries: int, *, context: Context = INJECTED) -> float:
    """The mean of an attention."""
    query = torch.randn(1, 2, queries, 16, generator=torch.Generator().manual_seed(0)).to(context.device)
    with spared(context):
        return float(attend(query, query, query).mean())


def test_a_node_that_is_out_of_memory_goes_on_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_slices, "__defaults__", (2**16,))
    with Graph() as graph:
        graph.output("mean", Attends(512))

    def found(memory: int | None) -> tuple[float, list[str]]:
        heard: list[events.Event] = []
        with PretendedDevices("mps", memory, scores=True), Engine(store=None, device="mps") as engine:
            mean = engine.run(graph, listener=heard.append).outputs["mean"]
        return mean, [one.what for one in heard if isinstance(one, events.MemoryRelieved) and one.action == "retried"]

    whole, nothing = found(None)
    sliced, ways = found(MIB)
    assert sliced == pytest.approx(whole, abs=1e-6) and not nothing
    assert len(ways) == 2 and WORDS["attention"] in ways[-1]
