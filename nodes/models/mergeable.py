"""Whether models can be merged, by what their headers say. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.engine import InputError, listed
from weft.nodes.models.parametrisation import SchedulerConfig, parametrisation_of
from weft.nodes.models.safetensors_header import Shapes

OWN = ("time_text_embed.guidance_embedder.", "time_embedding.cond_proj.")
"""Parts that only models distilled with guidance have, which they keep where another model has none."""

MOST_NAMED = 3

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


def common_weights(wanted: Shapes, found: Shapes, source: str, exact: bool = False) -> frozenset[str]:
    """The names of weights that can be added to those of other shapes.

    Args:
        source: of the weights that are found, for messages.
        exact: whether a convolution may not read fewer channels either.

    Raises:
        InputError: where some are missing, or of another shape.
    """
    missing = [name for name in wanted if name not in found and not name.startswith(OWN)]
    if missing:
        raise _unlike(source, f"lacks {len(missing)} of its weights: {listed(missing[:MOST_NAMED])}")
    common = frozenset(wanted.keys() & found.keys())
    for name in sorted(common):
        if found[name] != wanted[name] and (exact or not _reads_less(wanted[name], found[name])):
            raise _unlike(source, f"has `{name}` of shape {list(found[name])}, expected {list(wanted[name])}")
    return common


def _reads_less(wanted: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether a weight is that of a convolution like another one that reads fewer channels."""
    both = len(found) == len(wanted) == 4
    return both and found[1] < wanted[1] and (found[0], *found[2:]) == (wanted[0], *wanted[2:])


def _unlike(source: str, what: str) -> InputError:
    message = f"`{source}` cannot be merged into the other one: it {what}"
    return InputError(message, "merge models of the same structure", "wrong-size")
