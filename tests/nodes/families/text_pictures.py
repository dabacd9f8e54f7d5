"""Pictures from text by a family's model, as a graph has it: what tests of single families compare with pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.nodes.conftest import read_pixels
from tests.nodes.families import lora_files
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, Pixels
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyLoRA,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    LoadLoRA,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)


def picture_graph(
    model: str,
    *,
    size: tuple[int, int] = (SIZE, SIZE),
    batch: int = 1,
    scale: float = SCALE,
    texts: tuple[str, str | None] = (PROMPT, NEGATIVE),
    image: str = "",
    longest: int | None = None,
    lora: str = "",
    lead: Callable[[Any, Any], Any] = lambda guide, checkpoint: guide,
    **sampling: Any,
) -> Graph:
    """A graph from text, or from a picture where one is named.

    Args:
        texts: the prompt, and what guidance leads away from; None is no negative prompt.
        longest: tokens that a prompt is padded to; None leaves it to the family.
        lead: makes another guide of the plain one, with the checkpoint.
    """
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        network: Any = (
            ApplyLoRA(LoadLoRA(lora), checkpoint.model, checkpoint.text_encoder).model if lora else checkpoint.model
        )
        wanted, unwanted = (
            None if text is None else TextEncode(checkpoint.text_encoder, text, max_sequence_length=longest)
            for text in texts
        )
        assert wanted is not None
        guide = lead(CFGGuide(network, wanted, unwanted, scale=scale), checkpoint)
        start = VAEEncode(checkpoint.vae, LoadImage(image)) if image else EmptyLatent(*size, batch)
        latent = KSampler(guide, start, **{"seed": SEED, "steps": STEPS, **sampling})
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def painted(engine: Engine, model: str, **options: Any) -> Pixels:
    """The pictures of such a graph."""
    return read_pixels(engine.run(picture_graph(model, **options)).paths)


@contextmanager
def with_lora(oracle: Oracle, models: Path, model: str, pattern: str) -> Iterator[str]:
    """The name of a LoRA of a transformer's modules, which diffusers' pipeline has too while the block runs."""
    pipeline, name = oracle.pipeline(model), f"{model}-attention.safetensors"
    changes = lora_files.low_rank(pipeline.transformer, 0, pattern)
    lora_files.save(lora_files.peft(changes, "transformer."), models / name)
    pipeline.load_lora_weights(models / name)
    try:
        yield name
    finally:
        pipeline.unload_lora_weights()
