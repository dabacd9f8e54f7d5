"""What this version reads of model files otherwise than version 0.1 did: part of the digests of these files.

Results that were made by the other reading are kept under the old digests, so they are not found any more. The digests
of all other files, and the keys of their results, are unchanged. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import CheckpointFacts, VAEFacts
from weft.nodes.models.parametrisation import Flow

CHECKPOINTS: Mapping[str, Callable[[CheckpointFacts], bool]] = {
    "flow-steps": lambda facts: Flow.of(facts.scheduler) is not None,
    "scheduler-corrections": lambda facts: facts.corrections.any,
    "inpainting-noise": lambda facts: facts.family == "SD2" and facts.extra_channels == 5 and not _has_scheduler(facts),
    "training-marks": lambda facts: facts.marked,
    "null-components": lambda facts: bool(facts.contents.left_out),
}
"""A condition on a checkpoint or on a denoiser alone, by the name of what is read otherwise.

`flow-steps`: image to image leaves out `int(steps - steps * denoise)` steps; `flow_shift` is a shift, and the network's
configuration says whether FLUX.1 takes a scale. `scheduler-corrections`: `weft.nodes.models.old_schedulers`.
`inpainting-noise`: SD 2's inpainting model predicts the noise. `training-marks`: a single file says how it was trained.
`null-components`: a folder that `model_index.json` has as null is no component.
"""

VAES: Mapping[str, Callable[[VAEFacts], bool]] = {
    "latent-statistics": lambda facts: (
        bool(facts.config.get("latents_mean") and facts.config.get("latents_std"))
        and facts.classes == ("AutoencoderKL",)
    ),
    "no-shift": lambda facts: facts.channels == 4 and bool(facts.config.get("shift_factor")),
}
"""A condition on a VAE, by the name of what is read otherwise.

`latent-statistics`: SDXL's latents may be normalised by channel. `no-shift`: those of SD 1.x, 2.x and SDXL are not
shifted.
"""


def reading_of(facts: object, contents: Contents) -> str:
    """The names of what is read otherwise of the files with these facts and headers; empty where nothing is.

    `scaled-weights`: weights are multiplied by their scales.
    """
    names = ["scaled-weights"] if contents.scaled else []
    if isinstance(facts, CheckpointFacts):
        names += [name for name, applies in CHECKPOINTS.items() if applies(facts)]
    vae = facts.vae if isinstance(facts, CheckpointFacts) else facts
    if isinstance(vae, VAEFacts):
        names += [name for name, applies in VAES.items() if applies(vae)]
    return " ".join(names)


def _has_scheduler(facts: CheckpointFacts) -> bool:
    return "scheduler" in facts.contents.configs
