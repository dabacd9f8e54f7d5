"""Static checks of LoRAs against the models that they are added to, by what headers say, before a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from weft.engine import InputError, NodeProblem, Resolved, Upstream, listed
from weft.nodes.families import checkpoint_in, family
from weft.nodes.lora_values import LoRA
from weft.nodes.models import diffusers_folder
from weft.nodes.models.facts import CheckpointFacts, TextModelFacts
from weft.nodes.models.lora_binding import bound, widened_shapes
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.lora_file import DENOISER, parts_of, read_parts
from weft.nodes.models.motion_files import motion_shapes
from weft.nodes.models.network_blocks import BlockNumber, check_modules, check_unet_blocks, read_blocks
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.models.single_file import below
from weft.nodes.prompting.text_encoders import TextModel
from weft.nodes.sampling.loader_checks import text_facts
from weft.nodes.sampling.model_links import checkpoint_facts, loader_above
from weft.nodes.values import Model, TextEncoder


def lora_fits(apply: Upstream) -> Iterator[NodeProblem]:
    """A LoRA must change modules that model and text encoder have, of their sizes; `blocks` name parts of the model."""
    lora, loader, texts = apply.above_by_type(LoRA), loader_above(apply, Model), loader_above(apply, TextEncoder)
    source = lora.source("source") if lora else None
    if source is None or not isinstance(source.facts, LoRAFacts):
        return
    if "text_encoder" not in apply.call.type.inputs and not source.facts.of_part(DENOISER):
        message = f"`{source.text}` changes text encoders alone: {listed(source.facts.parts)}"
        yield NodeProblem("lora", message, "add it with ApplyLoRA, which takes the text encoder too", "wrong-lora")
    model = loader.source("source") if loader else None
    facts = checkpoint_in(model.facts) if model else None
    if loader and model and facts and source.family in (None, facts.family):  # two families are a problem of the types
        yield from _model_fits(apply, source, source.facts, model, facts, loader)
    if texts and (not facts or source.family in (None, facts.family)):
        yield from _texts_fit(source, source.facts, texts)
        named = [text.name for text in text_facts(texts) or {}]
        if named and not source.facts.of_part(*read_parts(named)):
            message = (
                f"`{source.text}` changes {listed(source.facts.parts)} alone, and `{texts.call.id}` has {listed(named)}"
            )
            yield NodeProblem("lora", message, "use a LoRA that was made for this model, or one like it", "wrong-lora")


def _model_fits(
    apply: Upstream, source: Resolved, lora: LoRAFacts, model: Resolved, facts: CheckpointFacts, loader: Upstream
) -> Iterator[NodeProblem]:
    checked = "lora"
    try:
        shapes = network_shapes(model, facts, str(loader.literals.get("variant") or ""))
        shapes = {**shapes, **_of_motion(apply)}
        denoiser, layers = family(facts.family).denoiser, lora.of_part(DENOISER)
        wide = widened_shapes(layers, shapes, denoiser.widened_module, denoiser.original_modules)
        bound(layers, wide, denoiser.original_modules)
        if wide != shapes and (apply.literals.get("start", 0.0), apply.literals.get("end", 1.0)) != (0.0, 1.0):
            raise InputError(
                "a Control LoRA changes what the model reads, which it does in all steps or in none",
                "leave `start` at 0 and `end` at 1",
                "conflicting-inputs",
            )
        checked = "blocks"
        blocks = readable_blocks(apply)
        check_unet_blocks(blocks, facts.network.config)
        check_modules(blocks, [*shapes])
    except InputError as refusal:
        yield NodeProblem.of(refusal, checked, after=f"; `{source.text}` and `{model.text}` of `{loader.call.id}`")


def _of_motion(apply: Upstream) -> Shapes:
    """The shapes of the motion modules that a model has before a LoRA is added to it."""
    above, found = apply.above_by_type(Model), dict[str, tuple[int, ...]]()
    while above:
        source = above.source("source")
        found.update(motion_shapes(source) if source else {})
        above = above.above_by_type(Model)
    return found


def readable_blocks(node: Upstream) -> tuple[BlockNumber, ...]:
    """The numbers for blocks that a node has; none where its own check says that they cannot be read."""
    try:
        return read_blocks(node.literals.get("blocks") or "")
    except InputError:
        return ()


def _texts_fit(source: Resolved, lora: LoRAFacts, loader: Upstream) -> Iterator[NodeProblem]:
    models = text_facts(loader) or {}
    names = [text.name for text in models]
    for text, facts in models.items():
        layers = lora.of_part(*parts_of(text.name, names)) if text.kind in LAYERS else ()
        try:
            bound(layers, text_shapes(text, facts), lambda modules: {})
        except InputError as refusal:
            yield NodeProblem.of(refusal, "lora", after=f"; `{source.text}`, and {text.name} of `{loader.call.id}`")


CLIP_MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")

T5_MODULES = (
    *(f"layer.0.SelfAttention.{one}" for one in "qkvo"),
    *(f"layer.1.DenseReluDense.{one}" for one in ("wi_0", "wi_1", "wo")),
)

WIDE = ("fc2", "o", "wo")
"""The ends of names of modules that read other channels than those of tokens, and write these."""


LAYERS = {"clip": ("encoder.layers", CLIP_MODULES), "t5": ("encoder.block", T5_MODULES)}
"""What names of a layer's modules begin with, and these, by the kind of a text model."""

NORMS = {"clip": ("layer_norm1", "layer_norm2"), "t5": ("layer.0.layer_norm", "layer.1.layer_norm")}
"""The normalisations of a layer."""

ENDS = {"clip": "final_layer_norm", "t5": "encoder.final_layer_norm"}
"""The last normalisation."""

TABLES = {"clip": ("embeddings.token_embedding", "embeddings.position_embedding"), "t5": ("shared",)}
"""Tables of vectors, of tokens and of places."""


def text_shapes(text: TextModel, facts: TextModelFacts) -> Shapes:
    """The shapes of a text model's weights, as far as its facts tell them; 0 for other sizes."""
    stem, modules = LAYERS.get(text.kind, ("", ()))
    found: dict[str, tuple[int, ...]] = {"text_projection.weight": (0, facts.width)} if text.projects else {}
    found |= {f"{table}.weight": (0, facts.width) for table in TABLES.get(text.kind, ())}
    inner = [f"{stem}.{layer}.{norm}" for layer in range(facts.layers) for norm in NORMS.get(text.kind, ())]
    for norm in (*inner, ENDS.get(text.kind, "")):
        found[f"{norm}.weight"] = (facts.width,)
        if text.kind == "clip":
            found[f"{norm}.bias"] = (facts.width,)
    for layer in range(facts.layers):
        for module in modules:
            wide = module.rpartition(".")[2] in WIDE
            found[f"{stem}.{layer}.{module}.weight"] = (facts.width, 0) if wide else (0, facts.width)
            found[f"{stem}.{layer}.{module}.bias"] = (0,)
    return found


def shapes_of(loader: Upstream | None) -> Shapes:
    """The shapes of the weights of a loader's denoiser, under diffusers' names; none where headers do not tell them."""
    model, facts = (loader.source("source"), checkpoint_facts(loader)) if loader else (None, None)
    if loader is None or model is None or facts is None:
        return {}
    with suppress(InputError):  # the loader's own check says what is damaged
        return network_shapes(model, facts, str(loader.literals.get("variant") or ""))
    return {}


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
