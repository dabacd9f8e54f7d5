"""What a folder of a checkpoint has that no loader reads: entries of its index and of its scheduler, and components.

All of it shows in configurations, so it is a warning of the check. Entries of networks and of text models that their
classes do not know are named as these are loaded (`weft.nodes.models.loading`). Imports no torch and no diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine import Notice
from weft.nodes.families.family import Family
from weft.nodes.models.contents import Contents
from weft.nodes.models.unread import unread_components, unread_configuration

SCHEDULER_ENTRIES = frozenset(
    (
        *(
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "prediction_type",
            "rescale_betas_zero_snr",
            "snr_shift_scale",
        ),
        *("sigma_min", "sigma_max", "sigma_data", "sigma_schedule", "rho"),
        *(
            "timestep_spacing",
            "timestep_type",
            "timestep_scaling",
            "steps_offset",
            "set_alpha_to_one",
            "original_inference_steps",
        ),
        *("interpolation_type", "final_sigmas_type", "lambda_min_clipped"),
        *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"),
        *(
            "use_flow_sigmas",
            "flow_shift",
            "shift",
            "shift_terminal",
            "use_dynamic_shifting",
            "time_shift_type",
            "invert_sigmas",
        ),
        *("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "scale_factors", "upscale_mode"),
        *(
            "algorithm_type",
            "solver_type",
            "solver_order",
            "solver_p",
            "lower_order_final",
            "euler_at_final",
            "skip_prk_steps",
            "predict_x0",
        ),
        *("predictor_order", "corrector_order", "disable_corrector", "tau_func"),
        *("variance_type", "s_noise", "stochastic_sampling"),
        *(
            "clip_sample",
            "clip_sample_range",
            "clip_denoised",
            "thresholding",
            "sample_max_value",
            "dynamic_thresholding_ratio",
        ),
    )
)
"""The entries of configurations that the scheduler classes of the samplers take, each class some of them.

A scheduler's configuration goes to the classes of all samplers, and often has entries of a class other than its own.
"""

FORMER_SCHEDULER_ENTRIES: Mapping[str, str] = {
    "tensor_format": "chose between PyTorch and NumPy in the first versions of diffusers",
    "timestep_values": "null in the configurations of the first versions of diffusers",
}
"""Entries that no class takes any more, with the reason for saying nothing of them."""

INDEX_ENTRIES: Mapping[str, frozenset[str]] = {
    "force_zeros_for_empty_prompt": frozenset({"SDXL"}),
    "id2label": frozenset({"DiT"}),
    "is_distilled": frozenset({"FLUX2Klein"}),
}
"""Entries of `model_index.json` that are read, with the families that read them."""

IMPLIED_INDEX_ENTRIES: Mapping[str, str] = {
    "boundary_ratio": "SwitchGuide has it as an input",
    "expand_timesteps": "the channels of latents say whether a model of Wan reads a timestep for each token",
    "requires_aesthetics_score": "the width of the UNet's embedding of sizes says whether it takes a score",
    "requires_safety_checker": "no safety checker is run",
}
"""Entries of `model_index.json` that nothing needs, with the reason."""

COMPONENTS_LEFT_OUT: Mapping[str, str] = {
    "feature_extractor": "prepares pictures for the safety checker or an image encoder; LoadImageEncoder reads it",
    "guider": "CFGGuide has its scale as an input",
    "image_encoder": "LoadImageEncoder reads it",
    "image_processor": "prepares pictures for an image encoder; LoadImageEncoder reads it",
    "image_normalizer": "ApplyUnCLIP reads it",
    "image_noising_scheduler": "ApplyUnCLIP reads it",
    "safety_checker": "blackens finished pictures, and no node runs it",
    "transformer_2": "the model of Wan 2.2 for low noise; LoadDiffusionModel reads it, and a sampler says so",
    "vae_1_0": "the first VAE of SDXL, which its index does not name",
    "vae_decoder": "the VAE in the format ONNX or OpenVINO",
    "vae_encoder": "the VAE in the format ONNX or OpenVINO",
}
"""Components that published checkpoints have and nothing loads, with the reason for saying nothing of them."""


def scheduler_notices(name: str, contents: Contents) -> Iterator[Notice]:
    """The notice of entries of a folder's scheduler that the class of no sampler takes.

    Args:
        name: of the folder, for messages.
    """
    known = SCHEDULER_ENTRIES | FORMER_SCHEDULER_ENTRIES.keys()
    if left := [entry for entry in contents.configs.get("scheduler", {}) if entry not in known and entry[:1] != "_"]:
        yield unread_configuration(f"{name}/scheduler", left)


def folder_notices(name: str, contents: Contents, family: Family) -> Iterator[Notice]:
    """The notices of a whole checkpoint's folder: its components and the entries of its index that nothing reads.

    Args:
        name: of the folder, for messages.
    """
    entries = {entry: found for entry, found in contents.index.items() if entry[:1] != "_" and found is not None}
    parts = {entry for entry, found in entries.items() if _is_component(found)}
    null = {entry for entry in parts if entries[entry] == [None, None]}
    taken = {*_components_of(family), *COMPONENTS_LEFT_OUT, *null}
    if left := sorted((parts | contents.configs.keys()) - taken):
        yield unread_components(name, left)
    known = {entry for entry, families in INDEX_ENTRIES.items() if family.name in families}
    if unread := sorted(entries.keys() - parts - known - IMPLIED_INDEX_ENTRIES.keys()):
        yield unread_configuration(f"{name}/model_index.json", unread)


def _is_component(found: Any) -> bool:
    """Whether an entry of an index is a component: the names of a library and of its class, or null for none."""
    return isinstance(found, list) and len(found) == 2 and all(one is None or isinstance(one, str) for one in found)


def _components_of(family: Family) -> Iterator[str]:
    """The folders that are loaded of a whole checkpoint; the empty name is a component alone."""
    yield from ("", "scheduler", family.network.folder)
    if family.vae:
        yield "vae"
    for text in family.texts:
        yield from (text.folder, text.folder.replace("text_encoder", "tokenizer"))
