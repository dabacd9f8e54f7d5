"""The Sana-Sprint family: Sana distilled to one to four steps (https://arxiv.org/abs/2503.09641).

The transformer was made to follow TrigFlow, x = cos t x_0 + sin t epsilon, by a change of coordinates alone: divided by
cos t + sin t, that is a flow whose level is sin t / (cos t + sin t), and what the network predicts is its velocity
(sections 3.1 and 3.2). diffusers' SCMScheduler takes x_0 at each step and draws the noise of the next level, which is
LCM over these levels. The network reads the scale of guidance, and no negative prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.sana import SANA, SanaDenoiser, SanaFormat
from weft.nodes.models.denoiser import Conditions
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent

FIRST, MIDDLE = 1.57080, 1.3
"""The angle t that steps begin with, and the one in the middle of two; the defaults of diffusers' pipeline."""


class SanaSprintDenoiser(SanaDenoiser):
    """Sana-Sprint's transformer."""

    spaces_steps = True

    @classmethod
    def distilled(cls, config: Mapping[str, Any]) -> bool:
        return True

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """The levels of angles from `FIRST` down to 0, which is left out."""
        import numpy

        angles = numpy.array([FIRST, MIDDLE]) if steps == 2 else numpy.linspace(FIRST, 0, steps + 1)[:-1]
        return {"sigmas": numpy.sin(angles) / (numpy.cos(angles) + numpy.sin(angles))}

    def guidance_conditions(self, scale: float) -> Conditions:
        import torch

        times = float(self.network.config.guidance_embeds_scale)
        return {"guidance": torch.tensor([scale * times], dtype=torch.float32)}

    def network_timestep(self, timestep: Tensor) -> Tensor:
        """The level, 0 to 1."""
        return timestep / 1000


class SanaSprintFormat(SanaFormat):
    """Sana-Sprint's transformer."""

    def fits(self, config: Mapping[str, Any]) -> bool:
        return bool(config.get("guidance_embeds"))


SCHEDULER: Mapping[str, Any] = {"_class_name": "FlowMatchLCMScheduler", "num_train_timesteps": 1000, "shift": 1.0}


def restated(scheduler: SchedulerConfig) -> SchedulerConfig:
    """The scheduler of TrigFlow as the one of the flow that it is."""
    return SCHEDULER if scheduler.get("_class_name") == "SCMScheduler" else scheduler


SANA_SPRINT = Family(
    name="SanaSprint",
    network=SanaSprintFormat(),
    denoiser=SanaSprintDenoiser,
    prompts=SANA.prompts,
    latent_rgb_factors=SANA.latent_rgb_factors,
    precisions=all_parts(IN_BFLOAT16, "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers"),
    texts=SANA.texts,
    vae=SANA.vae,
    restated=restated,
    scheduler=SCHEDULER,
)
