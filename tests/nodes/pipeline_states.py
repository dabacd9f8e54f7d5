"""What is known of each pipeline that the installed diffusers exports, for the page that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.nodes.whole_pipelines import CASES
from weft.nodes.models.pipeline_facts import gives
from weft.nodes.models.pipeline_source import exported, pipeline_class

EQUAL = "equal bit for bit"

NOT_COMPARED = "not compared: the test has no tiny checkpoint of it yet"

REASONS: Mapping[str, str] = {
    r".*Onnx.*|Onnx.*": "no: its weights are ONNX, which is not read",
    r"Flax.*": "no: its weights are Flax's, which are not read",
    r"Wan.*(ImageTo|VideoTo)Video.*": "not compared: it needs the package ftfy, which the tests do not have",
    r"FluxFillPipeline|(TextToVideo|VideoToVideo)SDPipeline": "differs by rounding: not bit for bit, and so in no test",
    r"KarrasVePipeline": "no: diffusers itself cannot load it from a folder (its scheduler is no longer exported)",
    r"LLaDA2Pipeline|DiffusionGemmaPipeline": "no: it gives text",
    r"RFD4ProteinaPipeline": "no: it gives the structure of a protein",
    r"AudioDiffusionPipeline": "no: it gives sound and pictures at once, in an output without names",
    r"DiffusionPipeline": "no: the base of all others",
    r"VersatileDiffusionPipeline": "no: it cannot be called; its parts can",
}
"""Why a pipeline is not compared, by patterns of names."""


def states() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Each pipeline by name, with the outputs of RunPipeline that it gives, and what is known of it."""
    for name in sorted(name for name in exported() if name.endswith("Pipeline")):
        known = pipeline_class(name)
        given = tuple(one for one in gives(known) if one != "tensors") if known else ()
        yield name, given, EQUAL if name in CASES else _reason(name)


def _reason(name: str) -> str:
    return next((why for pattern, why in REASONS.items() if re.fullmatch(pattern, name)), NOT_COMPARED)
