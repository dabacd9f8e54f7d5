"""Training of ControlNets: TrainControlNet and SaveControlNet."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, NamedTuple

from weft.engine import INJECTED, Artifact, Context, Range, Work, node
from weft.nodes.fine_tuning.trainable_models import is_plain_unet
from weft.nodes.fine_tuning.training_settings import Optimizer, RateSchedule, TimestepDensity, TrainingSettings
from weft.nodes.fine_tuning.training_workload import training_work
from weft.nodes.library.train_lora import Rate, Share, Steps, check_artifact_name, check_optimizer
from weft.nodes.values import VAE, ControlNet, F, Image, Model, TextEncoder


class TrainedControlNet(NamedTuple, Generic[F]):
    """A ControlNet with the loss of each step of its training."""

    control_net: ControlNet[F]
    losses: list[float]


@node(
    category="training",
    version=2,
    lane="gpu",
    check=check_optimizer,
    fits=is_plain_unet,
    traits=(Work(training_work),),
)
def TrainControlNet(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    control_pictures: Image | list[Image],
    captions: str | list[str],
    *,
    steps: Steps = 2000,
    batch_size: Annotated[int, Range(1, 1024)] = 4,
    accumulation: Annotated[int, Range(1, 1024)] = 1,
    resolution: Annotated[int, Range(0, 8192)] = 0,
    learning_rate: Rate = 1e-4,
    rate_schedule: RateSchedule = "constant",
    warmup: Annotated[int, Range(0, 1_000_000)] = 0,
    optimizer: Optimizer = "adamw",
    caption_dropout: Share = 0.5,
    timesteps: TimestepDensity = "auto",
    min_snr: Annotated[float, Range(0.0, 100.0)] = 0.0,
    debiased: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    context: Context = INJECTED,
) -> TrainedControlNet[F]:
    """Train a ControlNet for a UNet on pairs of pictures (https://arxiv.org/abs/2302.05543).

    It begins as a copy of the UNet's first half and learns what its own pictures say about the others: edges, depth,
    poses. It takes more pictures and steps than a LoRA: for the embedded model 200 pictures and 400 steps of 8, with
    `debiased`, since what lies where is decided at high noise; for others tens of thousands of pictures. Equal inputs
    give the same weights, bit for bit, also where the training was stopped and went on.

    Args:
        model: from LoadCheckpoint: SD 1.x, SD 2.x or SDXL.
        text_encoder: from LoadCheckpoint.
        vae: from LoadCheckpoint.
        pictures: what is to be painted.
        control_pictures: what is read with each of them, of the same sizes: edges (FindEdges), depth (EstimateDepth).
        captions: of the pictures, in their order, or one for all.
        steps: of the optimiser.
        batch_size: pictures in each call of the network.
        accumulation: how many batches make one step.
        resolution: as for TrainLoRA; 0 takes pictures as they are.
        learning_rate: 1e-5 for large models, 1e-4 to 1e-3 for the embedded one.
        rate_schedule: `constant`, or falling to 0 at the end by a line or a cosine.
        warmup: steps over which the rate rises from 0.
        optimizer: AdamW; `adamw_8bit` keeps its state in a quarter of the memory, where bitsandbytes is installed.
        caption_dropout: the share of captions that are left out, so that it reads its picture rather than the prompt.
        timesteps: as for TrainLoRA.
        min_snr: as for TrainLoRA.
        debiased: as for TrainLoRA.
        precision: as for TrainLoRA.
        seed: of everything that is drawn.
    """
    from weft.nodes.fine_tuning.control_net_training import train_control_net
    from weft.nodes.fine_tuning.training_parts import TaskOptions

    settings = TrainingSettings(
        steps, batch_size, accumulation, learning_rate, rate_schedule, warmup, optimizer, 0.01, 1.0, seed
    )
    options = TaskOptions(
        resolution=resolution,
        caption_dropout=caption_dropout,
        timesteps=timesteps,
        min_snr=min_snr,
        debiased=debiased,
        precision=precision,
    )
    parts: Any = (model, text_encoder, vae)
    made, losses = train_control_net(parts, (pictures, captions), control_pictures, settings, options, context)
    return TrainedControlNet(made, losses)


@node(category="training", lane="cpu", check=check_artifact_name)
def SaveControlNet(control_net: ControlNet[F], name: str = "control_net") -> list[Artifact]:
    """Save a trained ControlNet in the output folder, as a folder that diffusers and LoadControlNet read.

    Args:
        control_net: from TrainControlNet.
        name: of the folder; give another one for each training, since its files are numbered where they exist.
    """
    from weft.nodes.models.made_control_nets import config_of

    return [
        Artifact(config_of(control_net.file), "application/json", f"{name}/config"),
        Artifact(control_net.file, "application/x-safetensors", f"{name}/diffusion_pytorch_model"),
    ]
