"""Old configurations of schedulers, corrected as diffusers' pipelines of Stable Diffusion 1.x and 2.x correct them.

`StableDiffusionPipeline` and `StableDiffusionImg2ImgPipeline` set `steps_offset` to 1 and `clip_sample` to false,
`StableDiffusionInpaintPipeline` sets `steps_offset` to 1 and `skip_prk_steps` to true. Pipelines with ControlNets, of
InstructPix2Pix, of latent consistency models and of other families take a configuration as it is. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.nodes.models.parametrisation import SchedulerConfig

WITHOUT_OFFSET = ("DPMSolverSinglestepScheduler", "FlowMatch", "EDM", "CM")
"""What the names of classes begin with that have no `steps_offset`."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "DDIMScheduler": {"clip_sample": True},
    "DDPMScheduler": {"clip_sample": True},
    "PNDMScheduler": {"skip_prk_steps": False},
}
"""Values that a class takes for an entry which its configuration does not have, where they are corrected."""


@dataclass(frozen=True)
class SchedulerCorrections:
    """Entries of a scheduler's configuration that are replaced.

    Args:
        stated: those that the configuration has; every sampler sees them.
        implied: those that it leaves to the defaults of its class; only this class, the sampler `model`, sees them.
            A scheduler that is made from the configuration of another one does not take over its defaults.
    """

    stated: Mapping[str, Any] = field(default_factory=dict)
    implied: Mapping[str, Any] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.stated or self.implied)

    def applied(self, config: SchedulerConfig, own_class: bool) -> SchedulerConfig:
        """A configuration with these entries.

        Args:
            own_class: whether the class that the configuration names is made of it.
        """
        return {**config, **self.stated, **(self.implied if own_class else {})}


NO_CORRECTIONS = SchedulerCorrections()


def corrections_of(config: SchedulerConfig, inpainting: bool) -> SchedulerCorrections:
    """What diffusers' pipelines correct in the configuration of a scheduler.

    Args:
        inpainting: whether the model is an inpainting model, whose pipeline corrects other entries.
    """
    name = str(config.get("_class_name", ""))
    wanted = {"steps_offset": 1, **({"skip_prk_steps": True} if inpainting else {"clip_sample": False})}
    defaults = {**({} if name.startswith(WITHOUT_OFFSET) else {"steps_offset": 0}), **DEFAULTS.get(name, {})}
    wrong = {entry: right for entry, right in wanted.items() if config.get(entry, defaults.get(entry, right)) != right}
    return SchedulerCorrections(
        {entry: right for entry, right in wrong.items() if entry in config},
        {entry: right for entry, right in wrong.items() if entry not in config},
    )
