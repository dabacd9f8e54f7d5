"""ControlNets for Z-Image (Alibaba's Fun ControlNet Union), which read latents. Importing this module imports no torch.

One has few layers of its own; what comes before them, the embeddings of patches, prompts and time, it takes from the
model that it steers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.flows import PATCH
from weft.nodes.models.control_networks import (
    ControlNetwork,
    ControlNetworkFormat,
    ControlPicture,
    ControlPixels,
    check_equal,
    check_mask_given,
    with_mask,
)
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

LAYER = "layer "
"""What the name of what is added to a layer begins with; its number follows."""

STEPS = {3: 14, 6: 5, 15: 2}
"""How many layers of the transformer lie between two that are steered, by how many are: those of the light, the first
and the later ones.
"""

EMBEDDING, BEFORE = "control_all_x_embedder.2-1.weight", "control_noise_refiner.0.before_proj.weight"

SEQUENCE = 32
"""Tokens of a picture and of a prompt are padded to multiples of it."""


CHANNELS = 16
"""Channels of Z-Image's latents."""


class ZImageControlNet(ControlNetwork):
    """A ControlNet for Z-Image."""

    conditions = ("prompts", "attention_mask")
    masked_value = 0.5

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        check_equal(control, steered, ("dim", "n_heads", "n_refiner_layers"))
        places, layers = control.get("control_layers_places") or (), steered.get("n_layers")
        if layers is not None and max(places, default=0) >= layers:
            raise InputError(
                f"the ControlNet steers layer {max(places)} of the model, which has {layers}",
                "use a ControlNet that was trained with this model, or one like it",
                "wrong-control-net",
            )

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        """Those from version 2 on read a mask or none."""
        check_mask_given(given, needed=given and _inpaints(config))

    @classmethod
    def check_source(cls, config: Mapping[str, Any], given: bool, mask: bool) -> None:
        if not _inpaints(config):
            super().check_source(config, given, mask)
        elif given and not mask:
            message = "the ControlNet reads a `source` together with a mask"
            raise InputError(message, "give `mask`: 1 where the source is to be replaced", "missing-input")
        elif mask and not given:
            message = "the ControlNet reads a mask together with the picture that is inpainted"
            raise InputError(message, "give that picture as `source`; `image` is what it follows", "missing-input")

    @classmethod
    def reads_latents(cls, config: Mapping[str, Any]) -> bool:
        return True

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        """The latents of a picture of one frame, then its mask and the latents of what is inpainted; zeros without."""
        import torch

        assert vae is not None
        latents = _encoded(vae, given.image)
        if given.source is not None:
            latents = torch.cat([with_mask(latents, given.mask), _encoded(vae, given.source)], dim=1)
        rest = self.network.config.control_in_dim - latents.shape[1]
        return (self.placed(torch.nn.functional.pad(latents, (0, 0, 0, 0, 0, rest))).unsqueeze(2),)

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        (picture,) = pictures
        added = _with_embeddings(self.network, model.network)(
            list(sample.unsqueeze(2)),
            model.network_timestep(timestep).expand(len(sample)),
            prompts_of(conditions),
            list(picture.tensors[0]),
            conditioning_scale=picture.strength,
        )
        return {f"{LAYER}{number}": [tensor] for number, tensor in added.items()}


def _inpaints(config: Mapping[str, Any]) -> bool:
    """Whether a ControlNet of a configuration has channels for a mask and for what is inpainted."""
    return (config.get("control_in_dim") or 0) == 2 * CHANNELS + 1


def _encoded(vae: Autoencoder, pictures: Tensor) -> Tensor:
    import torch

    return torch.cat([vae.encode(one[None].movedim(1, -1)) for one in pictures])


def _with_embeddings(network: Any, transformer: Any) -> Any:
    """The ControlNet with the embeddings of a transformer, next to the one that has none."""
    whole = copy.copy(network)
    for held in ("_modules", "_parameters"):
        setattr(whole, held, dict(getattr(network, held)))
    return type(network).from_transformer(whole, transformer)


def prompts_of(conditions: Conditions) -> list[Tensor]:
    """The tokens of each row's prompt, without padding."""
    prompts = list(conditions["prompts"])
    if "attention_mask" not in conditions:
        return prompts
    masks = conditions["attention_mask"].bool()
    return [prompt[mask] for prompt, mask in zip(prompts, masks, strict=True)]


def layer_residuals(residuals: Residuals | None, sample: Tensor, prompts: Sequence[Tensor]) -> dict[int, Tensor]:
    """What ControlNets add to layers, by number, each as long as the sequence of all rows.

    One that acts on some rows alone has seen shorter prompts.
    """
    import torch

    tokens = sample.shape[-2] // PATCH * (sample.shape[-1] // PATCH)
    longest = _padded(tokens) + max(_padded(len(prompt)) for prompt in prompts)
    return {
        int(name.removeprefix(LAYER)): torch.nn.functional.pad(one, (0, 0, 0, longest - one.shape[1]))
        for name, (one,) in (residuals or {}).items()
    }


def _padded(tokens: int) -> int:
    return -(-tokens // SEQUENCE) * SEQUENCE


def control_config(shapes: Shapes) -> Config:
    """The configuration of a ZImageControlNetModel, from shapes.

    Raises:
        LookupError: where nothing says which layers of the transformer it steers.
    """
    (width, patch), (head,) = shapes[EMBEDDING], shapes["control_layers.0.attention.norm_q.weight"]
    layers, refiners = (count(shapes, f"{one}.{{}}.attention.norm_q.weight") for one in (CONTROL, REFINER))
    later = "control_layers" if BEFORE not in shapes else "control_noise_refiner"
    return {
        "control_layers_places": [number * STEPS[layers] for number in range(layers)],
        "control_refiner_layers_places": [*range(refiners or REFINERS)],
        "control_in_dim": patch // PATCH**2,
        "add_control_noise_refiner": None if BEFORE not in shapes and refiners else later,
        "dim": width,
        "n_refiner_layers": refiners or REFINERS,
        "n_heads": width // head,
        "n_kv_heads": width // head,
    }


CONTROL, REFINER = "control_layers", "control_noise_refiner"

REFINERS = 2
"""Layers of Z-Image that refine the tokens of a picture, where a file has none of its own for them."""


def control_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of a file.

    Raises:
        InputError: for one of version 2.0, whose layers are used otherwise than its tensors tell.
    """
    before = found.get(BEFORE)
    # Renaming is run on tensors without data too, to learn which of them are used; those have no values to look at.
    if before is not None and not before.is_meta and not before.any():
        raise InputError(
            "the ControlNet is version 2.0 of Z-Image's Fun ControlNet, whose file does not say how it is used",
            "give version 2.1, or a folder in diffusers' layout (`hlky/Z-Image-Turbo-Fun-Controlnet-Union-2.0`)",
            "unsupported-weights",
        )
    return found


class ZImageControlNetFormat(ControlNetworkFormat):
    """ControlNets for Z-Image."""

    class_name = "ZImageControlNetModel"
    folder = ""
    layouts = (TensorLayout(EMBEDDING, control_config, control_weights),)
    prefixes = CONTROL_PREFIXES
    network_class = ZImageControlNet
