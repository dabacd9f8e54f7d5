"""Whether models can be merged, by what their headers say. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.engine import InputError
from weft.nodes.models.parametrisation import SchedulerConfig, parametrisation_of

SIZES = (
    *("block_out_channels", "layers_per_block", "cross_attention_dim", "use_linear_projection", "addition_embed_type"),
    *("num_layers", "num_single_layers", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim"),
    *("dim", "n_layers", "n_refiner_layers", "cap_feat_dim", "patch_size", "qk_norm", "dual_attention_layers"),
    *("latent_channels", "z_dim", "base_dim", "out_channels", "num_embeds_ada_norm"),
)
"""Entries of configurations that decide which weights a network has, and of which shapes."""


@dataclass(frozen=True)
class MergedModel:
    """A model that is merged with another, as messages and checks have it.

    Args:
        name: of its loader or its file.
        config: of its network.
        scheduler: the configuration of its scheduler.
        extra_channels: channels that it reads in addition to its latents.
    """

    name: str
    config: Mapping[str, Any]
    scheduler: SchedulerConfig
    extra_channels: int


def check_models(first: MergedModel, other: MergedModel) -> None:
    """Raise `InputError` where a model cannot be merged into another one of its family."""
    check_predictions(first, other)
    check_structure(first.name, first.config, other.name, other.config)
    if other.extra_channels > first.extra_channels:
        raise InputError(
            f"`{other.name}` reads {other.extra_channels} channels in addition to its latents, and `{first.name}` "
            f"{first.extra_channels}",
            f"merge the others into `{other.name}`",
            "wrong-channels",
        )


def check_predictions(first: MergedModel, other: MergedModel) -> None:
    """Raise `InputError` where two models predict different things."""
    predicted, found = (parametrisation_of(one.scheduler).kind for one in (first, other))
    if found != predicted:
        raise InputError(
            f"`{other.name}` predicts {found}, and `{first.name}` {predicted}",
            "merge models that predict the same; where a file does not say it, set `prediction` of its loader",
            "wrong-prediction",
        )


def check_structure(first: str, config: Mapping[str, Any], other: str, found: Mapping[str, Any]) -> None:
    """Raise `InputError` where networks differ in what decides the shapes of weights, as far as both say it."""
    for name in SIZES:
        wanted, given = _plain(config.get(name)), _plain(found.get(name))
        if None not in (wanted, given) and wanted != given:
            raise InputError(
                f"`{other}` is of another structure than `{first}`: its {name} are {given}, those of `{first}` "
                f"{wanted}",
                "merge models of the same structure",
                "wrong-size",
            )


def _plain(given: Any) -> Any:
    """A number for each level as one number, where all are the same."""
    if isinstance(given, list | tuple):
        return given[0] if given and all(one == given[0] for one in given) else list(given)
    return given
