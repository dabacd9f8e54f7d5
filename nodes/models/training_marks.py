"""What single files of UNets say of their training: names of tensors, and texts in the header.

A single file carries no configuration of a scheduler. One that was not trained as the rest of its family says so in
other ways: by tensors that are empty or hold numbers (`v_pred`, `ztsnr`, `edm_vpred.sigma_max`, `edm_mean`), which
come first, then by metadata (`modelspec.prediction_type` of the ModelSpec standard, `ss_*` of kohya's scripts).
Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.engine import InputError
from weft.nodes.models.contents import Contents
from weft.nodes.models.parametrisation import SchedulerConfig, retrained

V_PREDICTION, ZERO_SNR = "v_pred", "ztsnr"
"""Tensors of a UNet that predicts v, and of one that was trained down to a signal of zero."""

EDM_LEAST, EDM_MOST = "edm_vpred.sigma_min", "edm_vpred.sigma_max"
"""Tensors with the noise levels of a UNet that was trained under EDM's preconditioning and predicts v (CosXL)."""

LATENTS_MEAN, LATENTS_STD = "edm_mean", "edm_std"
"""Tensors with the mean and deviation of each channel of the latents of a UNet under EDM (Playground v2.5)."""

PREDICTION_KEYS = ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type")

PREDICTIONS: Mapping[str, str] = {
    **dict.fromkeys(("epsilon", "eps", "noise"), "epsilon"),
    **dict.fromkeys(("v", "v_prediction", "v-prediction", "v_pred", "v-pred", "vpred", "velocity"), "v_prediction"),
    **dict.fromkeys(("sample", "x0", "x_0"), "sample"),
}
"""diffusers' word for a prediction, by what metadata call it."""

ARCHITECTURES: Mapping[str, str] = {
    "stable-diffusion-v2-512": "epsilon",
    "stable-diffusion-v2-768-v": "v_prediction",
}
"""What the models of an architecture predict (`modelspec.architecture`), where its name says it."""

SILENT = ("", "none", "null")
"""Texts that say nothing."""

PLAYGROUND: SchedulerConfig = {
    "_class_name": "EDMDPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "final_sigmas_type": "zero",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "sigma_data": 0.5,
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "solver_order": 2,
    "solver_type": "midpoint",
}
"""The scheduler that Playground v2.5 is published with, as diffusers has it for its single file."""

PLAYGROUND_SCALE = 0.5
"""The factor of Playground v2.5's latents, after they are brought to mean 0 and deviation 1."""

COSXL: SchedulerConfig = {
    "_class_name": "EDMEulerScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_data": 1.0,
    "sigma_max": 120.0,
    "sigma_min": 0.002,
    "sigma_schedule": "exponential",
}
"""The scheduler that CosXL's card names."""


def trained_as_marked(contents: Contents, scheduler: SchedulerConfig) -> SchedulerConfig:
    """The configuration of a scheduler for a UNet as its file says that it was trained.

    Args:
        scheduler: that of most of its family.

    Raises:
        InputError: where a file has half of what says it.
    """
    if latent_statistics(contents):
        return PLAYGROUND
    if contents.marked(EDM_MOST):
        given = {"sigma_min": contents.numbers.get(EDM_LEAST), "sigma_max": contents.numbers.get(EDM_MOST)}
        found = {**COSXL, **{name: numbers[0] for name, numbers in given.items() if numbers}}
        _check_levels(found["sigma_min"], found["sigma_max"])
        return found
    return retrained(scheduler, {**_stated(contents.metadata), **_marked(contents)})


def _check_levels(least: float, most: float) -> None:
    """Raise `InputError` where numbers are not the lowest and the highest noise level of a training."""
    if not (0 < least < most < math.inf):
        raise InputError(
            f"the file has the noise levels {least:g} (`{EDM_LEAST}`) to {most:g} (`{EDM_MOST}`), expected two above 0 "
            "in rising order",
            "get the file again",
            "damaged-file",
        )


def latent_statistics(contents: Contents) -> Mapping[str, Any]:
    """The entries of a VAE's configuration that a UNet's file says of its latents; none where it says nothing.

    Raises:
        InputError: where it has a mean or a deviation alone.
    """
    mean, deviation = contents.numbers.get(LATENTS_MEAN), contents.numbers.get(LATENTS_STD)
    if mean is None and deviation is None:
        return {}
    if not mean or not deviation or len(mean) != len(deviation):
        raise InputError(
            f"the file has the mean or the deviation of its latents alone (`{LATENTS_MEAN}`, `{LATENTS_STD}`)",
            "get the file again",
            "missing-weights",
        )
    return {"scaling_factor": PLAYGROUND_SCALE, "latents_mean": list(mean), "latents_std": list(deviation)}


def _marked(contents: Contents) -> Mapping[str, object]:
    """What names of tensors say."""
    prediction = {"prediction_type": "v_prediction"} if contents.marked(V_PREDICTION) else {}
    return {**prediction, **({"rescale_betas_zero_snr": True} if contents.marked(ZERO_SNR) else {})}


def _stated(metadata: Mapping[str, str]) -> Mapping[str, object]:
    """What texts in the header say; a prediction that is unknown keeps its name, and is refused by it."""
    texts = {name: text.strip().lower() for name, text in metadata.items()}
    given = [text for name in PREDICTION_KEYS if (text := texts.get(name, "")) not in SILENT]
    architecture = ARCHITECTURES.get(texts.get("modelspec.architecture", "").split("/")[0])
    v_base = texts.get("ss_base_model_version", "").endswith("_v")  # as kohya's scripts name SD 2 of 768 pixels
    if not given and (v_base or texts.get("ss_v_parameterization") == "true"):
        given = ["v"]
    prediction = PREDICTIONS.get(given[0], given[0]) if given else architecture
    stated: dict[str, object] = {"prediction_type": prediction} if prediction else {}
    if texts.get("ss_zero_terminal_snr") == "true":
        stated["rescale_betas_zero_snr"] = True
    return stated
