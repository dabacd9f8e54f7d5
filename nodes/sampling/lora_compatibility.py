"""Static checks of LoRAs against the models that they are added to, by what headers say, before a run."""

from __future__ import annotations

from collections.abc import Iterator

from weft.engine import InputError, NodeProblem, Resolved, Upstream, listed
from weft.nodes.families import checkpoint_in, family
from weft.nodes.lora_values import LoRA
from weft.nodes.models import diffusers_folder
from weft.nodes.models.facts import CheckpointFacts, TextModelFacts
from weft.nodes.models.lora_binding import bound
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.lora_file import DENOISER, parts_of
from weft.nodes.models.network_blocks import check_modules, check_unet_blocks, read_blocks
from weft.nodes.models.safetensors_header import Shapes, read_shapes
from weft.nodes.models.single_file import below
from weft.nodes.prompting.text_encoders import TextModel
from weft.nodes.sampling.compatibility import loader_above, text_facts
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


def _model_fits(
    apply: Upstream, source: Resolved, lora: LoRAFacts, model: Resolved, facts: CheckpointFacts, loader: Upstream
) -> Iterator[NodeProblem]:
    checked = "lora"
    try:
        shapes = network_shapes(model, facts, str(loader.literals.get("variant") or ""))
        bound(lora.of_part(DENOISER), shapes, family(facts.family).denoiser.original_modules)
        checked = "blocks"
        blocks = read_blocks(apply.literals.get("blocks") or "")
        check_unet_blocks(blocks, facts.network.config)
        check_modules(blocks, [*shapes])
    except InputError as refusal:
        if refusal.code != "malformed-blocks":  # that is a problem of the node alone
            yield NodeProblem.of(refusal, checked, after=f"; `{source.text}` and `{model.text}` of `{loader.call.id}`")


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


def text_shapes(text: TextModel, facts: TextModelFacts) -> Shapes:
    """The shapes of a text model's linear layers, as far as its facts tell them; 0 for other sizes."""
    stem, modules = LAYERS.get(text.kind, ("", ()))
    found: dict[str, tuple[int, ...]] = {"text_projection.weight": (0, facts.width)} if text.projects else {}
    for layer in range(facts.layers):
        for module in modules:
            wide = module.rpartition(".")[2] in WIDE
            found[f"{stem}.{layer}.{module}.weight"] = (facts.width, 0) if wide else (0, facts.width)
            found[f"{stem}.{layer}.{module}.bias"] = (0,)
    return found


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
