"""Static checks of LoRAs against the models that they are added to, by what headers say, before a run."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Resolved, Upstream
from weft.nodes.families import checkpoint_in, family
from weft.nodes.lora_values import LoRA
from weft.nodes.models import diffusers_folder
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.models.lora_binding import bound, modules_of
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.lora_file import DENOISER
from weft.nodes.models.network_blocks import check_modules, check_unet_blocks, read_blocks
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.models.single_file import below
from weft.nodes.sampling.compatibility import loader_above
from weft.nodes.values import Model


def lora_fits(apply: Upstream) -> Iterator[NodeProblem]:
    """A LoRA must change modules that the model has, of their sizes, and `blocks` name parts of it."""
    lora, loader = apply.above_by_type(LoRA), loader_above(apply, Model)
    source, model = lora and lora.source("source"), loader and loader.source("source")
    if not (lora and loader and source and model and isinstance(source.facts, LoRAFacts)):
        return
    facts = checkpoint_in(model.facts)
    if facts is None or (source.family and source.family != facts.family):
        return  # Two families are a problem of the types.
    checked = "lora"
    try:
        shapes = network_shapes(model, facts, str(loader.literals.get("variant") or ""))
        modules = modules_of(shapes)
        originals = family(facts.family).denoiser.original_modules(modules)
        bound(source.facts.of_part(DENOISER), modules, originals)
        checked = "blocks"
        blocks = read_blocks(apply.literals.get("blocks") or "")
        check_unet_blocks(blocks, facts.network.config)
        check_modules(blocks, [*shapes])
    except InputError as refusal:
        if refusal.code != "malformed-blocks":  # that is a problem of the node alone
            yield NodeProblem.of(refusal, checked, after=f"; `{source.text}` and `{model.text}` of `{loader.call.id}`")


def network_shapes(model: Resolved, facts: CheckpointFacts, variant: str) -> Shapes:
    """The shapes of the weights of a denoiser, under diffusers' names, as headers tell them.

    Raises:
        InputError: where a file is damaged.
    """
    if facts.network.layout:
        return facts.network.layout.shapes(below(facts.network.prefix, facts.contents.shapes))
    folder = diffusers_folder.component(model.root, family(facts.family).network.folder)
    files = diffusers_folder.weights(folder)
    paths = files.get(diffusers_folder.component_variant(folder, variant) or "", [])
    return {name: shape for path in paths for name, shape in read_shapes(path).items()}
