"""Loaders: LoadCheckpoint, its parts from files of their own, LoadControlNet and LoadEmbedding.

They read headers and return recipes; weights are loaded when a node uses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any, Generic, Literal, NamedTuple

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Choices,
    Context,
    InputError,
    Limits,
    NodeProblem,
    Range,
    Resolved,
    Upstream,
    node,
)
from weft.nodes.families import checkpoint_in, family
from weft.nodes.families.sources import (
    CheckpointSource,
    ControlNetSource,
    DenoiserSource,
    EmbeddingSource,
    TextEncoderSource,
    VAESource,
)
from weft.nodes.families.tokenizer_source import TokenizerSource
from weft.nodes.models import diffusers_folder
from weft.nodes.models.facts import EmbeddingFacts, PromptWidths
from weft.nodes.models.part_precisions import PartPrecision
from weft.nodes.prompting.embeddings import check_word
from weft.nodes.prompting.text_assignment import assigned, check_tokenizer
from weft.nodes.sampling.loader_checks import (
    embedding_fits,
    own_texts_fit,
    own_vae_fits,
    texts_fit,
    training_fits,
    vae_fits,
)
from weft.nodes.values import VAE, ControlNet, Embedding, F, Model, TextEncoder

Prediction = Literal["checkpoint", "epsilon", "v_prediction", "sample"]

Storage = Annotated[
    Literal["file", "fp8", "int8", "int8_dynamic", "nf4"],
    Choices(
        {
            "file": "as small as the file, or in the precision that they are computed in",
            "fp8": "8-bit floats with a scale for each row: half of the memory of half precision; lossy",
            "int8": "8-bit integers with a scale for each row: the same memory, nearer to the weights as a rule; lossy",
            "int8_dynamic": "the same, multiplied in integers by the package torchao: what enters layers is rounded",
            "nf4": "4-bit normal floats with a scale for each 64 numbers: a quarter of half precision; lossier",
        }
    ),
]
"""How weights are kept in memory."""

TerminalSNR = Literal["checkpoint", "zero", "nonzero"]

Noise = Literal["checkpoint", "linear", "scaled_linear", "cosine"]

NOISES = {"checkpoint": "", "cosine": "squaredcos_cap_v2"}
"""diffusers' names of noise schedules, where they differ from ours."""


class Checkpoint(NamedTuple, Generic[F]):
    """The parts of a checkpoint."""

    model: Model[F]
    text_encoder: TextEncoder[F]
    vae: VAE[F]


def _trained(prediction: Prediction, noise: Noise, terminal_snr: TerminalSNR) -> tuple[str, str, str]:
    """What a recipe has of a model's training, in diffusers' words; empty where its configuration says it."""
    predicted, ends = ("" if given == "checkpoint" else given for given in (prediction, terminal_snr))
    return predicted, NOISES.get(noise, noise), ends


def _storage(weights: str) -> str:
    """What a recipe has of how its weights are kept; empty where they are as their file has them."""
    return "" if weights == "file" else weights


def _check_storage(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """What multiplies in integers must be installed."""
    for name in ("weights", "model_weights", "text_encoder_weights"):
        if inputs.get(name) == "int8_dynamic" and find_spec("torchao") is None:
            message = "weights are multiplied in integers by the package torchao, which is not installed"
            hint = "pip install 'weft-engine[integers]', or keep them in `int8`"
            yield NodeProblem(name, message, hint, "missing-package")


def _check(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    yield from _check_betas(inputs, limits)
    yield from _check_storage(inputs, limits)


def _check_betas(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Betas rise, and belong to a noise schedule that has ends."""
    start, end = inputs.get("beta_start"), inputs.get("beta_end")
    if start is not None and end is not None and start >= end:
        message = f"the last beta, {end:g}, does not lie above the first, {start:g}"
        yield NodeProblem("beta_end", message, "give a greater one", "out-of-range")
    if (start is not None or end is not None) and inputs.get("noise") == "cosine":
        message = "a cosine schedule follows from its formula and has no betas of its ends"
        yield NodeProblem("noise", message, "leave `beta_start` and `beta_end` out", "conflicting-inputs")


def variant_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """The variant must be among those of the source."""
    source, variant = loader.source("source"), loader.literals.get("variant")
    if source and variant:
        try:
            check_variant(source, variant)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "variant")


def _fits(loader: Upstream) -> Iterator[NodeProblem]:
    yield from variant_fits(loader)
    yield from training_fits(loader)


def _whole_fits(loader: Upstream) -> Iterator[NodeProblem]:
    yield from _fits(loader)
    yield from own_vae_fits(loader)
    yield from own_texts_fit(loader)


@node(category="loaders", lane="io", settings=("precision",), check=_check, fits=_whole_fits)
def LoadCheckpoint(
    source: Annotated[str, CheckpointSource()],
    *,
    variant: str = "",
    prediction: Prediction = "checkpoint",
    noise: Noise = "checkpoint",
    terminal_snr: Annotated[TerminalSNR, ADDED_LATER] = "checkpoint",
    beta_start: Annotated[float | None, Range(1e-8, 0.999), ADDED_LATER] = None,
    beta_end: Annotated[float | None, Range(1e-8, 0.999), ADDED_LATER] = None,
    model_precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    text_encoder_precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    vae_precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    model_weights: Annotated[Storage, ADDED_LATER] = "file",
    text_encoder_weights: Annotated[Storage, ADDED_LATER] = "file",
    context: Context = INJECTED,
) -> Checkpoint[F]:
    """Load a checkpoint: its denoiser, text encoder and VAE.

    This node only reads headers; weights are loaded when a node uses them, in the engine's precision. Nothing is
    downloaded. Only safetensors and GGUF are read, since a pickle can run code. Weights in 8-bit floats and in GGUF's
    blocks stay so in memory and are widened for each use.

    Args:
        source: a diffusers folder or a .safetensors file under a models folder, a name on the hub (`org/name`,
            `org/name@REVISION`, `org/name/FILE.safetensors`) whose files are in the hub's cache, or `builtin:NAME`.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        prediction: what the denoiser predicts. `checkpoint` takes it from the configuration; for a single file, from
            what the file says (an empty tensor `v_pred`, metadata `modelspec.prediction_type`), else from the family
            (SD 2.x predicts v, but its 512 pixel base models predict epsilon: set it for these).
        noise: the noise schedule of the training: `linear` in beta, `scaled_linear` in the square root of beta,
            `cosine` (https://arxiv.org/abs/2102.09672). `checkpoint` takes it from the configuration.
        terminal_snr: `zero` where the noise schedule of the training ends in noise alone
            (https://arxiv.org/abs/2305.08891), as of many models that predict v; `checkpoint` takes it from the
            configuration, or from a single file's tensor `ztsnr`.
        beta_start: the first beta of the noise schedule of the training, instead of the configuration's: 0.0001 for
            `linear` as in DDPM, 0.00085 for Stable Diffusion's `scaled_linear`. `cosine` has none.
        beta_end: the last one: 0.02 in DDPM, 0.012 in Stable Diffusion.
        model_precision: that the denoiser runs in. `auto` is the precision of the run (`--precision`); where that is
            `auto` too, float32 on the CPU, and on a GPU what the family was published in: float16 for SD 1.x, SD 2.x
            and SDXL, bfloat16 for SD 3, FLUX.1, Z-Image and Qwen-Image.
        text_encoder_precision: the same for the text encoders. T5 overflows in float16.
        vae_precision: the same for the VAE; `float32` avoids overflow (black pictures) and banding.
        model_weights: how the denoiser's weights are kept in memory. `fp8` and `int8` take half of the memory of half
            precision and change the picture a little, `nf4` takes a quarter and changes it more; layers widen them to
            the precision that they compute in (`nf4` on NVIDIA GPUs by the package bitsandbytes, where it is there).
        text_encoder_weights: the same for the text encoders.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    recipe = (str(found.digest), str(found.resolved.family), variant)
    usual = family(recipe[1]).precisions
    model = context.part_precision(usual.model, model_precision)
    text_encoder = context.part_precision(usual.text_encoder, text_encoder_precision)
    return Checkpoint(
        Model(
            *recipe,
            model,
            *_trained(prediction, noise, terminal_snr),
            beta_start,
            beta_end,
            storage=_storage(model_weights),
        ),
        TextEncoder(*recipe, text_encoder, storage=_storage(text_encoder_weights)),
        VAE(*recipe, context.part_precision(usual.vae, vae_precision)),
    )


@node(category="loaders", lane="io", settings=("precision",), check=_check, fits=_fits)
def LoadDiffusionModel(
    source: Annotated[str, DenoiserSource()],
    *,
    variant: str = "",
    prediction: Prediction = "checkpoint",
    noise: Noise = "checkpoint",
    terminal_snr: Annotated[TerminalSNR, ADDED_LATER] = "checkpoint",
    beta_start: Annotated[float | None, Range(1e-8, 0.999), ADDED_LATER] = None,
    beta_end: Annotated[float | None, Range(1e-8, 0.999), ADDED_LATER] = None,
    precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    weights: Annotated[Storage, ADDED_LATER] = "file",
    context: Context = INJECTED,
) -> Model[F]:
    """Load a denoiser from a file of its own, without VAE and text encoders.

    Such a file has no scheduler configuration, so the default of the family is used; the folder of a whole checkpoint
    has one.

    Args:
        source: a diffusers folder of a UNet or a transformer (`MODEL/unet`), a .safetensors or .gguf file of it in the
            layout of its authors or of diffusers, or a checkpoint that it is part of. GGUF needs an extra: `pip install
            'weft-engine[gguf]'`.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        prediction: what the denoiser predicts; `checkpoint` is what the file says, else the default of the family.
        noise: the noise schedule of the training, as for LoadCheckpoint; `checkpoint` is the default of the family.
        terminal_snr: whether that schedule ends in noise alone, as for LoadCheckpoint.
        beta_start: the first beta of that schedule, as for LoadCheckpoint.
        beta_end: the last one.
        precision: that it runs in, as `model_precision` of LoadCheckpoint.
        weights: how they are kept in memory, as `model_weights` of LoadCheckpoint.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    name = str(found.resolved.family)
    recipe = (str(found.digest), name, variant, context.part_precision(family(name).precisions.model, precision))
    trained = _trained(prediction, noise, terminal_snr)
    return Model(*recipe, *trained, beta_start, beta_end, storage=_storage(weights))


def _vae_fits(loader: Upstream) -> Iterator[NodeProblem]:
    yield from variant_fits(loader)
    yield from vae_fits(loader)


@node(category="loaders", lane="io", settings=("precision",), fits=_vae_fits)
def LoadVAE(
    model: Model[F],
    source: Annotated[str, VAESource()],
    *,
    variant: str = "",
    precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    context: Context = INJECTED,
) -> VAE[F]:
    """Load a VAE from a file of its own.

    Args:
        model: the model that it is for: files of VAEs do not have the scale of latents, which the family defines.
        source: a diffusers folder of a VAE (`MODEL/vae`), a .safetensors file of it in the layout of its authors or of
            diffusers, or a checkpoint that it is part of. A tiny autoencoder (AutoencoderTiny, TAESD) is a VAE too; of
            two files such as `taesd_decoder.safetensors` and `taesd_encoder.safetensors` in one folder, name either.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        precision: that it runs in, as `vae_precision` of LoadCheckpoint.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    usual = family(model.family).precisions.vae
    return VAE(str(found.digest), model.family, variant, context.part_precision(usual, precision))


@node(category="loaders", lane="io", settings=("precision",), check=_check_storage, fits=texts_fit)
def LoadTextEncoder(
    model: Model[F],
    source: Annotated[str, TextEncoderSource()],
    source_2: Annotated[str | None, TextEncoderSource()] = None,
    source_3: Annotated[str | None, TextEncoderSource()] = None,
    source_4: Annotated[str | None, TextEncoderSource(), ADDED_LATER] = None,
    *,
    tokenizer: Annotated[str | None, TokenizerSource(), ADDED_LATER] = None,
    precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    weights: Annotated[Storage, ADDED_LATER] = "file",
    context: Context = INJECTED,
) -> TextEncoder[F]:
    """Load text encoders from files of their own.

    SD 1.x and 2.x use one (`clip_l`, `clip_h`), SDXL two (`clip_l`, `clip_g`), its refiner with `clip_g`, SD 3
    with these and `t5xxl`, which may be left out, FLUX.1 with `clip_l` and `t5xxl`. They may come in any order, since
    their headers identify them. CLIP's tokenizer comes with Weft; T5's is looked for next to its weights, as
    `t5_tokenizer` or as in a diffusers folder, and in the hub's cache. A language model's is read from the diffusers
    folder that it is in; for one in a single file it is looked for next to it, as `qwen3_tokenizer` (Z-Image) or
    `qwen2_5_vl_tokenizer` (Qwen-Image).

    Args:
        model: the model that they are for.
        source: a text encoder's folder in a diffusers folder (`MODEL/text_encoder`), a .safetensors file of one or of
            several in the layout of transformers or of OpenCLIP, a .gguf file of T5 or Qwen, or a checkpoint that they
            are part of.
        source_2: another one.
        source_3: a third.
        source_4: a fourth, as HiDream has.
        tokenizer: that of T5 or of a language model: its folder (`MODEL/tokenizer`), or its `tokenizer.json`.
        precision: that they run in, as `text_encoder_precision` of LoadCheckpoint.
        weights: how they are kept in memory, as `model_weights` of LoadCheckpoint.
    """
    found = [context.found(text) for text in (source, source_2, source_3, source_4) if text is not None]
    checkpoint = checkpoint_in(context.located(model.source).facts)
    widths = checkpoint.widths if checkpoint else PromptWidths(0)
    given = assigned(family(model.family), [one.resolved for one in found], widths)
    files = tuple((text.name, str(found[number].digest)) for text, (number, _) in given.items())
    check_tokenizer(given, [one.resolved for one in found], named=tokenizer is not None)
    apart = "" if tokenizer is None else str(context.found(tokenizer).digest)
    usual = family(model.family).precisions.text_encoder
    recipe = (files[0][1], model.family, "", context.part_precision(usual, precision))
    return TextEncoder(*recipe, files=files, width=widths.prompt, tokenizer=apart, storage=_storage(weights))


@node(category="loaders", lane="io", settings=("precision",), fits=variant_fits)
def LoadControlNet(
    source: Annotated[str, ControlNetSource()],
    *,
    variant: str = "",
    precision: Annotated[PartPrecision, ADDED_LATER] = "auto",
    context: Context = INJECTED,
) -> ControlNet[F]:
    """Load a ControlNet, or a T2I-Adapter, which is used as one.

    ControlNets are read for SD 1.x, SD 2.x, SDXL, SD 3, FLUX.1 and Qwen-Image, also those of several kinds of pictures
    (union); T2I-Adapters for SD 1.x and SDXL. Which family one is for follows from its headers.

    Args:
        source: a diffusers folder or a .safetensors file under a models folder, a name on the hub (`org/name`,
            `org/name@REVISION`, `org/name/FILE.safetensors`) whose files are in the hub's cache, or `builtin:NAME`.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
        precision: that it runs in, as `model_precision` of LoadCheckpoint.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    name = str(found.resolved.family)
    usual = family(name).precisions.model
    return ControlNet(str(found.digest), name, variant, context.part_precision(usual, precision))


@node(category="loaders", lane="io", fits=embedding_fits)
def LoadEmbedding(
    text_encoder: TextEncoder[F],
    source: Annotated[str, EmbeddingSource()],
    *,
    token: str = "",
    context: Context = INJECTED,
) -> TextEncoder[F]:
    """Load a textual inversion embedding under a word (https://arxiv.org/abs/2208.01618).

    In prompts the word is replaced by the embedding's vectors. Case does not matter, as in diffusers; the word is not
    found inside other words; parentheses weight it like any other; T5 reads its letters. An embedding of several
    vectors takes as many of the 75 tokens of a chunk, and begins the next chunk where they do not fit. Several of these
    nodes in a row load several embeddings.

    Args:
        text_encoder: from LoadCheckpoint, LoadTextEncoder or another LoadEmbedding.
        source: a .safetensors file under a models folder, with vectors for one CLIP text model (`emb_params`, or as
            diffusers saves them), or for each by name (`clip_l` and `clip_g` for SDXL and SD 3); others are ignored.
        token: the word, or words; left empty, the one that the file names, or the file's name without its suffix.
    """
    found = context.found(source)
    facts = found.resolved.facts
    word = token or (facts.word if isinstance(facts, EmbeddingFacts) else "")
    check_word(word, (one.word for one in text_encoder.embeddings))
    return replace(text_encoder, embeddings=(*text_encoder.embeddings, Embedding(str(found.digest), word)))


def check_variant(resolved: Resolved, variant: str) -> None:
    """Raise `InputError` where no component has the variant."""
    if not variant:
        return
    held = {path.parent for path in resolved.files if path.name == "config.json"}
    present = {name for folder in held for name in diffusers_folder.weights(folder)}
    if variant not in present:
        named = ", ".join(sorted(filter(None, present))) or "none"
        raise InputError(
            f"`{resolved.text}` has no variant `{variant}`; its variants: {named}",
            "leave `variant` empty",
            "unknown-variant",
        )
