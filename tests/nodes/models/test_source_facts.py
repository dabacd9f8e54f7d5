"""Facts of a source are given where they are of the kind that is wanted, and refused else."""

from __future__ import annotations

from pathlib import Path

from tests.refusals import refused
from weft.engine import Resolved
from weft.nodes.models.aesthetic_heads import AestheticHeadFacts
from weft.nodes.models.source_facts import facts_of


def test_facts_of_another_kind_are_refused_with_the_node_that_loads_them() -> None:
    facts = AestheticHeadFacts(("layers.0.",), 8)
    source = Resolved("head.safetensors", Path("head.safetensors"), (), facts=facts)
    assert facts_of(source, AestheticHeadFacts, "an aesthetic head", "LoadAestheticHead") is facts
    with refused("wrong-kind-of-file", "head.safetensors", "LoadRedux"):
        facts_of(source, str, "a Redux", "LoadRedux")
