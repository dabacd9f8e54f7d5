"""One training of a ControlNet: a copy of a UNet's first half learns to steer it by pictures. Imports torch.

https://arxiv.org/abs/2302.05543: the UNet stays as it is; what the copy adds goes through layers that begin at zero.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import Context, InputError
from weft.engine.keys import digest_bytes
from weft.nodes.families import family
from weft.nodes.fine_tuning.denoising_task import Captions
from weft.nodes.fine_tuning.examples import CONTROL
from weft.nodes.fine_tuning.lora_writing import TRAINING, sorted_file
from weft.nodes.fine_tuning.training_loop import TrainingLoop
from weft.nodes.fine_tuning.training_parts import (
    Captioned,
    Parts,
    TaskOptions,
    made_of,
    task_of,
    trainable,
    training_data,
)
from weft.nodes.fine_tuning.training_settings import TrainingSettings
from weft.nodes.models.control_networks import ControlNetwork, ControlPicture, ControlPixels
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.made_control_nets import control_net_file
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.values import ControlNet, Image

CLASS = "ControlNetModel"


def train_control_net(
    parts: Parts,
    learned: Captioned,
    controls: Image | list[Image],
    settings: TrainingSettings,
    options: TaskOptions,
    context: Context,
) -> tuple[ControlNet[Any], list[float]]:
    """A ControlNet, with the loss of each step.

    Args:
        controls: what it reads with each of the pictures.

    Raises:
        InputError: where the model is no UNet, and for what any training is refused for.
    """
    model, texts, vae = parts
    model = trainable(model)
    kind = next((one.network_class for one in family(model.family).controls if one.class_name == CLASS), None)
    if kind is None:
        message = f"a ControlNet of {model.family} is no copy of a UNet, and cannot be trained here"
        raise InputError(message, "use a model of SD 1.x, SD 2.x or SDXL", "unsupported-by-model")
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as held:
        data = training_data(model, vae, learned, None, settings, options, context, controls)
        encoder = held.enter_context(context.weights(texts, PromptEncoder))
        denoiser = held.enter_context(context.weights(model, Denoiser))
        control = kind(begun(denoiser, settings.seed))
        steered = _steered(denoiser, control)
        task = task_of(denoiser, model.dtype, Captions(encoder, texts), data, settings, options, context, steered)
        losses = TrainingLoop(dict(control.network.named_parameters()), task.loss, settings).run(context)
        made = json.dumps(made_of(parts, learned, None, settings, options), sort_keys=True)
        file = sorted_file(control_net_file(control.network, {TRAINING: made}))
    return ControlNet(digest_bytes(file), model.family, "", model.dtype, file=file), losses


def begun(denoiser: Denoiser, seed: int) -> Any:
    """A ControlNet at the beginning of its training, in float32: its UNet's weights, zeros, and layers for pictures."""
    from diffusers.models.controlnets.controlnet import ControlNetModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any = ControlNetModel.from_unet(denoiser.network)
        _begin_reading(network.controlnet_cond_embedding)
    return network.float().train().requires_grad_(True).to(denoiser.network.device)


def _begin_reading(embedding: Any) -> None:
    """Weights of the layers for pictures that keep the variance (https://arxiv.org/abs/1502.01852, section 2.2).

    Those that PyTorch's layers begin with take two thirds of it in each of seven layers, and their biases know nothing
    of the picture: of what reaches the end, a three-hundredth would come from the edges of one.
    """
    for layer in (embedding.conv_in, *embedding.blocks):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)


def _steered(denoiser: Denoiser, control: ControlNetwork) -> Any:
    """The denoiser's prediction with what the ControlNet adds."""

    def predict(sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        given = dict(conditions)
        picture = ControlPicture(control.prepared(ControlPixels(given.pop(CONTROL)), None, None), 1.0, 0.0, 1.0)
        read = {name: given[name].float() for name in control.conditions if name in given}
        added = control.residuals(denoiser, sample.float(), timesteps, read, [picture])
        placed = {name: [one.to(denoiser.dtype) for one in tensors] for name, tensors in added.items()}
        return denoiser.predict(sample, timesteps, given, placed)

    return predict
