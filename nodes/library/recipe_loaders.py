"""How each kind of recipe is loaded: the functions that the residency calls for the recipes of `weft.nodes.values`.

A recipe is data; the family that it names knows the files. Importing this module registers the functions and imports no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Resolved, loader_for, size_for
from weft.nodes.families import Family, checkpoint_in, family, text_models_in, vae_in
from weft.nodes.lora_values import LoRA
from weft.nodes.models.autoencoder import Autoencoder, Pixels
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import ControlNetFacts, VAEFacts
from weft.nodes.models.hypernetwork import Hypernetwork, load_networks
from weft.nodes.models.hypernetwork_files import HypernetworkFacts
from weft.nodes.models.latent_preview import latent_rgb_factors_of
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.motion_files import MOTION_ADAPTERS, MotionAdapterFacts, check_motion_adapter
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.parametrisation import training_options, with_training
from weft.nodes.models.source_facts import facts_of
from weft.nodes.models.stored_weights import (
    StoredTensors,
    StoredWeights,
    mapped_weights,
    precision_for,
    types_in_files,
    types_in_folder,
)
from weft.nodes.models.vae_formats import load_autoencoder
from weft.nodes.prompting.encoder_loading import load_parts, load_whole
from weft.nodes.prompting.language_model import LanguageModel
from weft.nodes.prompting.text_assignment import model_in
from weft.nodes.prompting.text_encoders import TextModelFiles
from weft.nodes.values import VAE, ControlNet, Embedding, LanguageSight, Model, MotionAdapter, TextEncoder, Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from weft.nodes.models.control_networks import ControlNetwork
    from weft.nodes.models.denoiser import Denoiser
    from weft.nodes.models.lora_merging import LoadedLoRA
    from weft.nodes.prompting.language_sight import SightReader
    from weft.nodes.prompting.prompt_encoder import PromptEncoder


def _parts(recipe: Weights, loading: Loading) -> tuple[Family, Resolved, torch.dtype]:
    """The family that knows the files, the files, and the dtype to load them in."""
    import torch

    return family(recipe.family), loading.locate(recipe.source), getattr(torch, recipe.dtype)


@size_for(Weights)
def size_of_weights(recipe: Weights, loading: Loading) -> int:
    """Bytes of the module of any of these recipes, from the headers of its files."""
    from weft.nodes.library.recipe_sizes import module_size

    return module_size(recipe, loading)


def _store(network: nn.Module, recipe: Weights, device: str) -> None:
    """Keep the weights of a network, which will compute on a device, as its recipe says."""
    if recipe.storage:
        from weft.nodes.models.few_bits import store_in_few_bits

        store_in_few_bits(network, recipe.storage, device)


def _place(recipe: Weights, loading: Loading) -> str:
    """Where a network is loaded before its weights are stored: on the host, so that the device never has them whole."""
    return "cpu" if recipe.storage else loading.device


def _stored(encoder: PromptEncoder, recipe: Weights, loading: Loading) -> PromptEncoder:
    """A prompt encoder with the weights of its text models as the recipe says, on its device."""
    for network in encoder.parts.values() if recipe.storage else ():
        _store(network, recipe, loading.device)
        network.to(loading.device)
    return encoder


@loader_for(Model)
def load_model(recipe: Model[Any], loading: Loading) -> Denoiser:
    """The denoiser, with its checkpoint's scheduler configuration, changed where the recipe has it otherwise."""
    from weft.nodes.models.denoiser_facts import ClipLimits
    from weft.nodes.models.loading import ready
    from weft.nodes.models.weights_file import reading_onto

    family, source, dtype = _parts(recipe, loading)
    facts = checkpoint_in(source.facts)
    if facts is None:
        raise InputError(
            f"`{source.text}` is no checkpoint and no denoiser", "load it with LoadDiffusionModel", "wrong-kind-of-file"
        )
    with reading_weights(source.text), reading_onto(_place(recipe, loading)):
        network = family.network.load(facts.network, source.root, recipe.variant, dtype)
    longest = _add_motion(network, recipe.motion, dtype, loading, _place(recipe, loading)) if recipe.motion else 0
    _store(network, recipe, loading.device)
    denoiser = family.denoiser(
        family.name,
        ready(network, loading.device),
        facts.scheduler,
        facts.latent_channels,
        facts.latent_factor,
        latent_rgb_factors_of(source.root, family.latent_rgb_factors),
        facts.corrections,
    )
    own = family.denoiser.clip_limits(facts.network.config)
    denoiser.clips = ClipLimits(longest=longest, in_rows=True) if longest else own
    denoiser.scheduler = with_training(
        denoiser.scheduler,
        training_options(recipe.prediction, recipe.noise, recipe.terminal_snr, (recipe.beta_start, recipe.beta_end)),
    )
    return denoiser


def _add_motion(network: Any, motion: MotionAdapter, dtype: torch.dtype, loading: Loading, device: str) -> int:
    """Add motion modules to a network; gives the frames of the longest clip that they take."""
    from weft.nodes.models.loading import ready
    from weft.nodes.models.motion_modules import add_motion_modules
    from weft.nodes.models.weights_file import reading_onto

    source = loading.locate(motion.source)
    facts = facts_of(source, MotionAdapterFacts, "a motion adapter", "ApplyMotionAdapter")
    check_motion_adapter(facts, network.config)
    with reading_weights(source.text), reading_onto(device):
        adapter = MOTION_ADAPTERS.load(facts.network, source.root, motion.variant, dtype)
    add_motion_modules(network, ready(adapter, device))
    return facts.longest


@loader_for(TextEncoder)
def load_text_encoder(recipe: TextEncoder[Any], loading: Loading) -> PromptEncoder:
    """The text models with their tokenizers, of a whole checkpoint or each from a source of its own."""
    family, source, dtype = _parts(recipe, loading)
    if recipe.files:
        found = {name: loading.locate(digest) for name, digest in recipe.files}
        files = {name: replace(one, facts=text_models_in(one.facts)) for name, one in found.items()}
        tokenizer = loading.locate(recipe.tokenizer).root if recipe.tokenizer else None
        with reading_weights(", ".join(dict.fromkeys(one.text for one in files.values()))):
            return _stored(
                load_parts(family, files, recipe.width, tokenizer, dtype, _place(recipe, loading)), recipe, loading
            )
    whole = replace(source, facts=checkpoint_in(source.facts))
    with reading_weights(source.text):
        return _stored(load_whole(family, whole, recipe.variant, dtype, _place(recipe, loading)), recipe, loading)


@loader_for(LanguageSight)
def load_language_sight(recipe: LanguageSight[Any], loading: Loading) -> SightReader:
    """The part of a vision-language model that reads pictures, of a whole checkpoint or of a text model alone."""
    from weft.nodes.prompting.language_sight import load_sight

    family, source, dtype = _parts(recipe, loading)
    (text,) = (one for one in family.texts if isinstance(one, LanguageModel))
    whole, parts = checkpoint_in(source.facts), text_models_in(source.facts)
    facts = whole.text_models.get(text.name) if whole else model_in(text, parts) if parts else None
    if facts is None:
        raise InputError(f"`{source.text}` has no {text.name}", "load it with LoadTextEncoder", "wrong-text-models")
    with reading_weights(source.text):
        return load_sight(TextModelFiles.of(source.root, facts), recipe.variant, dtype, loading.device)


@loader_for(VAE)
def load_vae(recipe: VAE[Any], loading: Loading) -> Autoencoder:
    """The VAE, of a whole checkpoint or alone; pixels as they are for families without one.

    Raises:
        InputError: where there is no VAE of a known kind.
    """
    family, source, dtype = _parts(recipe, loading)
    if family.vae is None:
        whole = checkpoint_in(source.facts)
        return Pixels(whole.latent_channels if whole else 3)
    facts = vae_in(source.facts)
    if facts is None:
        raise InputError(
            f"`{source.text}` has no VAE of a kind that Weft loads",
            "load another one with LoadVAE",
            "wrong-kind-of-file",
        )
    from weft.nodes.models.weights_file import reading_onto

    with reading_weights(source.text), reading_onto(loading.device):
        return load_autoencoder(family.vae, facts, source.root, recipe.variant, dtype, loading.device)


@loader_for(ControlNet)
def load_control_net(recipe: ControlNet[Any], loading: Loading) -> ControlNetwork:
    """The ControlNet.

    Raises:
        InputError: where the source has none.
    """
    from weft.nodes.models.finite_weights import check_finite
    from weft.nodes.models.loading import ready
    from weft.nodes.models.weights_file import reading_onto

    if recipe.file:
        return _made_control_net(recipe, loading.device)
    family, source, dtype = _parts(recipe, loading)
    if not isinstance(source.facts, ControlNetFacts):
        raise InputError(
            f"`{source.text}` is no ControlNet of {family.name}", "load it with LoadControlNet", "wrong-kind-of-file"
        )
    format = family.control_format(source.facts)
    with reading_weights(source.text), reading_onto(loading.device):
        network = ready(format.load(source.facts.network, source.root, recipe.variant, dtype), loading.device)
    check_finite(network.named_parameters(), source.text)
    return format.network_class(network)


def _made_control_net(recipe: ControlNet[Any], device: str) -> ControlNetwork:
    """The ControlNet of a file that a node has made."""
    import torch

    from weft.nodes.models.loading import ready
    from weft.nodes.models.made_control_nets import made_network

    network = made_network(recipe.file, getattr(torch, recipe.dtype))
    made = type(network).__name__
    format = next(one for one in family(recipe.family).controls if one.class_name == made)
    return format.network_class(ready(network, device))


@loader_for(LoRA)
def load_lora(recipe: LoRA[Any], loading: Loading) -> LoadedLoRA:
    """The tensors of a LoRA, with what its header says."""
    from weft.nodes.models.lora_merging import LoadedLoRA

    if recipe.file:
        return LoadedLoRA.made(recipe.file, loading.device)
    source = loading.locate(recipe.source)
    assert isinstance(source.facts, LoRAFacts), "LoadLoRA gives digests of LoRAs alone"
    with reading_weights(source.text):
        return LoadedLoRA.of(source.root, source.facts, loading.device)


@loader_for(Hypernetwork)
def load_hypernetwork(recipe: Hypernetwork, loading: Loading) -> Any:
    """The networks of a hypernetwork, in float32."""
    source = loading.locate(recipe.source)
    assert isinstance(source.facts, HypernetworkFacts), "ApplyHypernetwork gives digests of hypernetworks alone"
    with reading_weights(source.text):
        return load_networks(source.root, source.facts, loading.device)


@loader_for(StoredWeights)
def load_stored_weights(recipe: StoredWeights, loading: Loading) -> StoredTensors:
    """The tensors of a recipe's files, in the precision that holds all of its numbers."""
    precision = precision_for(_types_in_files(recipe.recipe, loading))
    with mapped_weights():
        return StoredTensors.of(
            replace(recipe.recipe, dtype=precision, storage="").load(replace(loading, device="cpu"))
        )


def _types_in_files(recipe: Weights, loading: Loading) -> set[str]:
    """The types of numbers of a recipe's weights, as the format spells them."""
    if isinstance(recipe, TextEncoder):
        return _types_of_texts(recipe, loading)
    source = loading.locate(recipe.source)
    facts = checkpoint_in(source.facts) if isinstance(recipe, Model) else None
    placed = facts.network if facts else vae_in(source.facts)
    folder = family(recipe.family).network.folder if isinstance(recipe, Model) else "vae"
    if source.root.is_dir():
        return types_in_folder(component(source.root, folder), recipe.variant)
    halves = placed.contents.halves if isinstance(placed, VAEFacts) else ()
    files = [source.root.with_name(name) for name in halves] or [source.root]
    return types_in_files(files, placed.prefix if placed else "")


def _types_of_texts(recipe: TextEncoder[Any], loading: Loading) -> set[str]:
    sources = [loading.locate(digest) for _, digest in recipe.files] or [loading.locate(recipe.source)]
    found: set[str] = set()
    for source in sources:
        checkpoint = None if recipe.files else checkpoint_in(source.facts)
        texts = text_models_in(source.facts)
        for facts in checkpoint.text_models.values() if checkpoint else texts.models if texts else ():
            if source.root.is_dir():
                found |= types_in_folder(source.root / facts.folder, recipe.variant)
            else:
                found |= types_in_files([source.root], facts.prefix)
    return found


@loader_for(Embedding)
def load_embedding(recipe: Embedding, loading: Loading) -> Mapping[str, Tensor]:
    """The vectors `[vector, channel]`, by the names of their tensors."""
    from weft.nodes.prompting.embeddings import vectors_in, vectors_of

    if recipe.file:
        return {name: vectors.to(loading.device) for name, vectors in vectors_in(recipe.file).items()}
    source = loading.locate(recipe.source)
    (file,) = source.files
    with reading_weights(source.text):
        return {name: vectors.to(loading.device) for name, vectors in vectors_of(file).items()}
