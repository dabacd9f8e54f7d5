"""Training of LoRAs: TrainLoRA and SaveLoRA, and the plot of a training's loss: PlotLosses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Generic, Literal, NamedTuple

from weft.engine import INJECTED, Artifact, Context, InputError, Limits, NodeProblem, Range, Work, name_fault, node
from weft.engine.show.plots import PlotAxis
from weft.nodes.fine_tuning.trainable_models import learns_from_pictures
from weft.nodes.fine_tuning.training_settings import Optimizer, RateSchedule, TimestepDensity, TrainingSettings
from weft.nodes.fine_tuning.training_workload import training_work
from weft.nodes.lora_values import LoRA
from weft.nodes.pictures.curves import curve
from weft.nodes.values import VAE, F, Image, Model, TextEncoder


class TrainedLoRA(NamedTuple, Generic[F]):
    """A LoRA with the loss of each step of its training."""

    lora: LoRA[F]
    losses: list[float]


def check_packages(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The packages that train must be installed."""
    if find_spec("peft") is None:
        message = "training needs the package peft, which is not installed"
        yield NodeProblem("model", message, "pip install 'weft-engine[train]'", "missing-package")
    yield from check_optimizer(inputs, limits)


def check_optimizer(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The package of the optimiser must be installed."""
    if inputs.get("optimizer") == "adamw_8bit" and find_spec("bitsandbytes") is None:
        message = "`adamw_8bit` needs the package bitsandbytes, which is not installed"
        yield NodeProblem("optimizer", message, "pip install bitsandbytes, or choose `adamw`", "missing-package")


Share = Annotated[float, Range(0.0, 1.0)]

Rate = Annotated[float, Range(1e-9, 10.0)]

Steps = Annotated[int, Range(1, 1_000_000)]


@node(
    category="training",
    version=2,
    lane="gpu",
    check=check_packages,
    fits=learns_from_pictures,
    traits=(Work(training_work),),
)
def TrainLoRA(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    captions: str | list[str],
    class_pictures: Image | list[Image] | None = None,
    *,
    class_captions: str | list[str] = "",
    class_weight: Annotated[float, Range(0.0, 100.0)] = 1.0,
    steps: Steps = 500,
    batch_size: Annotated[int, Range(1, 1024)] = 1,
    accumulation: Annotated[int, Range(1, 1024)] = 1,
    resolution: Annotated[int, Range(0, 8192)] = 0,
    rank: Annotated[int, Range(1, 1024)] = 8,
    alpha: Annotated[float | None, Range(0.0, 4096.0)] = None,
    layers: Literal["attention", "all"] = "attention",
    train_text_encoder: bool = False,
    learning_rate: Rate = 1e-4,
    rate_schedule: RateSchedule = "constant",
    warmup: Annotated[int, Range(0, 1_000_000)] = 0,
    optimizer: Optimizer = "adamw",
    weight_decay: Annotated[float, Range(0.0, 10.0)] = 0.01,
    clip_gradients: Annotated[float, Range(1e-6, 1e6)] = 1.0,
    caption_dropout: Share = 0.1,
    timesteps: TimestepDensity = "auto",
    flow_shift: Annotated[float | None, Range(0.01, 100.0)] = None,
    min_snr: Annotated[float, Range(0.0, 100.0)] = 0.0,
    debiased: bool = False,
    noise_offset: Share = 0.0,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    gradient_checkpointing: bool = False,
    sample_prompt: str = "",
    sample_every: Annotated[int, Range(0, 1_000_000)] = 50,
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    context: Context = INJECTED,
) -> TrainedLoRA[F]:
    """Train a LoRA on pictures with captions (https://arxiv.org/abs/2106.09685): a style, a subject, a thing.

    The network learns what its paper's loss asks for: the noise, v, or the velocity of a flow, as the scheduler of the
    model says. Latents and prompts are encoded once. Equal inputs give the same LoRA, bit for bit, on one kind of
    device; a training that was stopped goes on from its last checkpoint in the store (setting `checkpoint_every`) and
    ends with the same bytes. Steps are reported with their loss, and previews are samples. `weft train GRAPH` runs a
    graph with what one wants to see of it for hours.

    Link `lora` to ApplyLoRA to paint with it in the same graph, and to SaveLoRA for a file. Training needs an extra:
    `pip install 'weft-engine[train]'`.

    Args:
        model: from LoadCheckpoint; its weights stay as they are. LoRAs that it has act while this one is trained.
        text_encoder: from LoadCheckpoint.
        vae: from LoadCheckpoint.
        pictures: what is learned; 10 to 50 of a style or 4 to 10 of a subject are a good start. Those of different
            sizes, in a list, train in batches of their own. What the VAE cannot show is not learned: see what VAEEncode
            and VAEDecode leave of one. LoadCaptionedPictures reads a folder.
        captions: of the pictures, in their order, or one for all. Describe what is to stay free; what no caption names
            is what is learned. For a subject take a rare word and its class: `a photo of sks dog`.
        class_pictures: of the class of a subject (`a photo of a dog`), painted by the model itself or not: prior
            preservation (DreamBooth, https://arxiv.org/abs/2208.12242). With them, what the model knew of the class
            stays.
        class_captions: of these, in their order, or one for all.
        class_weight: of the loss over these.
        steps: of the optimiser; 500 to 2000 for most. More learns more, up to the pictures themselves.
        batch_size: pictures in each call of the network; larger ones are steadier and take more memory.
        accumulation: how many batches make one step, for the effect of larger batches without their memory.
        resolution: the side of a square with as many pixels as pictures are scaled to, keeping their proportions nearly
            (aspect buckets): the native size of the model, 512 for SD 1.x, 1024 for SDXL and later. 0 takes pictures as
            they are.
        rank: of the changes: 4 to 16 for most, up to 128 for what is far from the model. The file grows with it.
        alpha: scales the changes by alpha / rank; left out it is the rank.
        layers: `attention` trains projections of attention layers, `all` also convolutions and the layers between,
            which takes styles better and needs more memory.
        train_text_encoder: whether CLIP's text models are trained too, which helps with new words.
        learning_rate: 1e-4 for most; up to 2e-3 for few steps of a small model. Too high a rate ends in an error that
            says so, or in pictures that fall apart.
        rate_schedule: `constant`, or falling to 0 at the end by a line or a cosine.
        warmup: steps over which the rate rises from 0.
        optimizer: AdamW; `adamw_8bit` keeps its state in a quarter of the memory, where bitsandbytes is installed.
        weight_decay: of AdamW.
        clip_gradients: the greatest norm of all gradients together.
        caption_dropout: the share of captions that are left out, so that guidance goes on working: 0.1 to 0.2.
        timesteps: which are drawn more often. `auto` draws those of a noise schedule alike and those of a flow by the
            logit-normal density of SD 3 (https://arxiv.org/abs/2403.03206, section 3.1); `mode` favours the ends.
        flow_shift: of a flow's levels towards noise; left out it is the model's own, or 1 where that depends on the
            size.
        min_snr: the gamma of min-SNR weighting (https://arxiv.org/abs/2303.09556): 5 is its authors'; 0 is without.
        debiased: weighs errors at high noise more, by SNR^-1/2 (https://arxiv.org/abs/2310.08442): colours and large
            shapes, which are decided there, are learned in fewer steps. Not for flows, nor together with `min_snr`.
        noise_offset: lets brightness be learned: 0.05 to 0.1; 0 is without.
        precision: `bfloat16` computes in it, in less time on hardware that knows it; `auto` does so where the model's
            weights are in half precision. What is trained is in float32 always.
        gradient_checkpointing: the denoiser takes less memory, and about a third more time.
        sample_prompt: of previews; empty is the first caption.
        sample_every: steps from one sample to the next, where previews are shown; 0 paints none.
        seed: of everything that is drawn: weights, noise, timesteps, order.
    """
    from weft.nodes.fine_tuning.lora_training import LoRAOptions, train_lora

    settings = TrainingSettings(
        steps,
        batch_size,
        accumulation,
        learning_rate,
        rate_schedule,
        warmup,
        optimizer,
        weight_decay,
        clip_gradients,
        seed,
    )
    options = LoRAOptions(
        rank=rank,
        alpha=float(rank) if alpha is None else alpha,
        layers=layers,
        train_text_encoder=train_text_encoder,
        resolution=resolution,
        caption_dropout=caption_dropout,
        timesteps=timesteps,
        flow_shift=flow_shift,
        min_snr=min_snr,
        debiased=debiased,
        noise_offset=noise_offset,
        precision=precision,
        gradient_checkpointing=gradient_checkpointing,
        class_weight=class_weight,
        sample_prompt=sample_prompt,
        sample_every=sample_every,
    )
    learned, kept = (pictures, captions), None if class_pictures is None else (class_pictures, class_captions)
    file, losses = train_lora((model, text_encoder, vae), learned, kept, settings, options, context)
    return TrainedLoRA(file, losses)


def check_artifact_name(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The name must be one of a file in the output folder."""
    fault = name_fault(inputs["name"]) if "name" in inputs else None
    if fault:
        hint = "give a plain name, without folders above it and without an ending"
        yield NodeProblem("name", fault, hint, "malformed-path")


@node(category="training", lane="cpu", check=check_artifact_name)
def SaveLoRA(lora: LoRA[F], name: str = "lora", *, layout: Literal["diffusers", "kohya"] = "diffusers") -> Artifact:
    """Save a trained LoRA in the output folder, as a safetensors file with what made it in its metadata.

    Args:
        lora: from TrainLoRA.
        name: of the file, without number and suffix.
        layout: `diffusers` is read by diffusers and by this library; `kohya` has the names of kohya's scripts, which
            other programs read, for SD 1.x, 2.x, SDXL, SD 3 and FLUX.1.
    """
    from weft.nodes.families import family
    from weft.nodes.fine_tuning.lora_writing import in_layout

    if not lora.file:
        raise InputError("the LoRA comes from a file already", "link the output of TrainLoRA", "unused-input")
    content = in_layout(lora.file, layout, lora.family, family(lora.family).denoiser.original_modules)
    return Artifact(content, "application/x-safetensors", name)


@node(category="training", lane="cpu")
def PlotLosses(losses: list[float], *, smoothing: Annotated[int, Range(1, 100_000)] = 20) -> Image:
    """Plot the loss of a training over its steps.

    The loss of one step says little, since noise and timesteps are drawn: look at where the mean goes.

    Args:
        losses: from a training.
        smoothing: steps that each point is the mean of.
    """
    if not losses:
        raise InputError("there are no losses to plot", "link those of a training", "empty-list")
    width = min(smoothing, len(losses))
    means = [sum(losses[at : at + width]) / width for at in range(len(losses) - width + 1)]
    points = [(float(at + width), mean) for at, mean in enumerate(means)]
    points = points if len(points) > 1 else [(float(width) - 1, points[0][1]), *points]
    up = PlotAxis("loss", 0.0, 1.05 * max(means) or 1.0)
    return Image(curve(points, PlotAxis("step", points[0][0], points[-1][0]), up))
