"""What a sampler's run starts from: noise, given latents under noise, or given latents as they are; and what it keeps.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from torch import Tensor

from weft.engine import InputError
from weft.nodes.sampling.repainting import Repainting, repainting_of
from weft.nodes.sampling.sampling_run import SamplingRun
from weft.nodes.values import Latent, NoiseMask


@dataclass(frozen=True)
class RunStart:
    """Where a run starts.

    Args:
        latents: at the level of its beginning, on its device.
        repainting: what it keeps of a picture; None keeps nothing.
    """

    latents: Tensor
    repainting: Repainting | None = None

    def mask_for_the_rest(self, mask: NoiseMask | None) -> NoiseMask | None:
        """The noise mask of what a run gives, for another run that goes on from there."""
        if mask is None or self.repainting is None:
            return None
        return replace(mask, source=self.repainting.source.cpu(), noise=self.repainting.noise.cpu())


def start_of(
    run: SamplingRun,
    latent: Latent[Any],
    shape: Sequence[int],
    *,
    add_noise: bool,
    given_noise: Tensor | None,
    begin: Fraction,
) -> RunStart:
    """Where a run starts with a latent.

    Args:
        shape: of one item of the model's latents.
        add_noise: whether given latents get the noise of the beginning.
        given_noise: in place of what the run draws. It draws all the same, so that the noise of later steps does not
            depend on where the first came from.
        begin: the fraction of the schedule that is left out for a part of the strength.

    Raises:
        InputError: where the run needs samples, and the latent is only a size, or the noise has another shape.
    """
    given, mask = latent.samples, latent.mask
    if given is None and (run.skipped or not add_noise or mask):
        raise InputError(
            "the run begins with given latents, and the latent is only a size, with nothing in it",
            "set `denoise` to 1, `start_step` to 0 and `add_noise` to true, or give latents (VAEEncode, KSampler)",
            "empty-latent",
        )
    shape = shape if given is None else given.shape[1:]
    if given_noise is not None:
        _check_noise(given_noise, (latent.batch_size, *shape))
    source = _drawn(given, latent.deviation, run)
    if source is not None and not add_noise and mask is None:
        return RunStart(source)
    noise = run.draw(shape)
    if given_noise is not None:
        noise = given_noise.to(run.device)
    if source is None:
        return RunStart(run.from_noise(noise))
    repainting = repainting_of(mask, source, noise, begin) if mask else None
    if not add_noise:
        return RunStart(source, repainting)
    # As diffusers' inpainting pipelines: at full strength nothing is seen of what is painted over.
    alone = mask is not None and not mask.differential and run.whole
    return RunStart(run.from_noise(noise) if alone else run.from_latents(source, noise), repainting)


def _drawn(given: Tensor | None, deviation: Tensor | None, run: SamplingRun) -> Tensor | None:
    """Given latents on the device of the run, drawn where they are the mean of a distribution."""
    if given is None or deviation is None:
        return None if given is None else given.to(run.device)
    return given.to(run.device) + deviation.to(run.device) * run.draw(given.shape[1:], len(deviation))


def _check_noise(noise: Tensor, shape: Sequence[int]) -> None:
    """Raise `InputError` unless noise is of the shape of the latents."""
    if tuple(noise.shape) != tuple(shape):
        raise InputError(
            f"the noise has the shape {list(noise.shape)}, the latents {list(shape)}",
            "draw it for this latent and this model (DrawNoise)",
            "size-mismatch",
        )
