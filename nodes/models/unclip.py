"""unCLIP: the vector of a picture, with noise, as an input of the denoiser (https://arxiv.org/abs/2204.06125).

A checkpoint of Stable unCLIP has the mean and the deviation of such vectors, and a schedule of noise for them. More
noise leaves more to chance and to the words. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component_variant, read_config, weights
from weft.nodes.models.scheduler_entries import check_entries
from weft.nodes.models.single_file import tensors

if TYPE_CHECKING:
    from torch import Tensor

NORMALISER, NOISE = "image_normalizer", "image_noising_scheduler"
"""The components of a diffusers folder with the statistics of vectors, and with their schedule of noise."""

AUGMENTOR = "noise_augmentor."
"""What the names of these statistics begin with in a single file in the original layout."""

SCHEDULE: Mapping[str, Any] = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
"""The schedule of noise of the published models; a single file carries none."""


def image_vector_width(config: Mapping[str, Any]) -> int:
    """Channels of the vector of a picture that a UNet of this configuration reads; 0 where it reads none.

    The embedding of its level of noise, of as many channels, is joined to it.
    """
    if config.get("class_embed_type") != "projection":
        return 0
    return int(config.get("projection_class_embeddings_input_dim") or 0) // 2


def has_noise(contents: Contents) -> bool:
    """Whether a checkpoint has what noise for vectors of pictures depends on."""
    return contents.has(NORMALISER) or f"{AUGMENTOR}data_mean" in contents.shapes


@dataclass(frozen=True, eq=False)
class ImageNoise:
    """Noise for vectors of pictures.

    Args:
        mean: of vectors in the training `[1, channel]`.
        deviation: of vectors in the training `[1, channel]`.
        scheduler: diffusers' scheduler of the noise.
    """

    mean: Tensor
    deviation: Tensor
    scheduler: Any

    @property
    def levels(self) -> int:
        """How many levels of noise there are."""
        return int(self.scheduler.config.num_train_timesteps)

    def noised(self, vectors: Tensor, level: int, noise: Tensor) -> Tensor:
        """Vectors with noise, each joined to the embedding of the level `[picture, 2 x channel]`."""
        import torch
        from diffusers.models.embeddings import get_timestep_embedding

        levels = torch.full((len(vectors),), level)
        normal = (vectors - self.mean) / self.deviation
        noisy = self.scheduler.add_noise(normal, noise, levels) * self.deviation + self.mean
        embedded = get_timestep_embedding(levels, vectors.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
        return torch.cat([noisy, embedded], dim=1)


def load_image_noise(contents: Contents, root: Path, variant: str) -> ImageNoise:
    """What a checkpoint says of noise for vectors of pictures, in float32 on the CPU.

    Raises:
        InputError: where it has no such thing.
    """
    import diffusers
    import torch

    if not has_noise(contents):
        raise no_noise(root.name)
    schedule = dict(SCHEDULE)
    if root.is_dir():
        folder = root / NORMALISER
        (path,) = weights(folder)[component_variant(folder, variant) or ""][:1]
        found = tensors(path)
        mean, deviation = found["mean"], found["std"]
        config = root / NOISE / "scheduler_config.json"
        if config.is_file():
            schedule = dict(read_config(config))
            check_entries(f"{NOISE}/{config.name}", schedule)
    else:
        found = tensors(root, f"{AUGMENTOR}data_")
        mean, deviation = found[f"{AUGMENTOR}data_mean"], found[f"{AUGMENTOR}data_std"]
    scheduler_class: Any = diffusers.DDPMScheduler
    mean, deviation = (one.to(torch.float32).reshape(1, -1) for one in (mean, deviation))
    return ImageNoise(mean, deviation, scheduler_class.from_config(schedule))


def no_noise(name: str) -> InputError:
    """The refusal of a source without the statistics of vectors.

    Args:
        name: of the source.
    """
    return InputError(
        f"`{name}` has no mean and deviation of vectors of pictures ({NORMALISER}), which unCLIP needs",
        "load the whole checkpoint of a Stable unCLIP model with LoadCheckpoint",
        "missing-weights",
    )
