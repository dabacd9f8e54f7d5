"""How large a pipeline will be, from the headers of its components' files. Imports no torch."""

from __future__ import annotations

import math
from pathlib import Path

from weft.engine import InputError
from weft.nodes.models.pipeline_facts import PipelineFacts
from weft.nodes.models.safetensors_header import read_header
from weft.nodes.models.stored_weights import files_of_variant


def bytes_of_pipeline(facts: PipelineFacts, root: Path, variant: str, dtype: str) -> int:
    """Bytes of all components in memory."""
    return sum(_bytes_of_component(root / name, variant, 4 if dtype == "float32" else 2) for name in facts.components)


def _bytes_of_component(folder: Path, variant: str, each: int) -> int:
    try:
        files = files_of_variant(folder, variant)
    except InputError:
        return 0  # a scheduler, a tokenizer, what prepares pictures
    return sum(each * math.prod(shape) for path in files for shape in read_header(path).shapes.values())
