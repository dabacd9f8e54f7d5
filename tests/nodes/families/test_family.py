"""What headers say of checkpoints, denoisers and ControlNets, read once into one record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weft.engine import InputError, SearchPaths
from weft.nodes.families import FAMILIES, family, of_checkpoint, of_control_net, of_denoiser
from weft.nodes.families.sources import DenoiserSource
from weft.nodes.models.contents import Contents

WHOLE = {
    "clip": ("SD1", 4, 8, 0, 64),
    "inpaint": ("SD1", 4, 8, 5, 64),
    "edit": ("SD1", 4, 8, 4, 64),
    "sd2": ("SD2", 4, 8, 0, 64),
    "lotus": ("Lotus", 4, 8, 4, 64),
    "lotus-noisy": ("Lotus", 4, 8, 4, 64),
    "sdxl": ("SDXL", 4, 8, 0, 128),
    "sd3": ("SD3", 16, 8, 0, 160),
    "flux-dev": ("FLUX", 16, 8, 0, 160),
    "dit": ("DiT", 4, 8, 0, 0),
    "ddpm": ("DDPM", 3, 1, 0, 0),
}
"""Of each tiny checkpoint: its family, channels and factor of latents, extra channels, channels of prompts."""


def contents(zoo: Any, models: Path, name: str) -> Contents:
    """What headers say of a tiny checkpoint, or of a part of it."""
    folder, *inner = name.split("/")
    return Contents.of(models / (folder if folder == "clip" else zoo(folder)) / "/".join(inner))


@pytest.mark.parametrize("name", WHOLE)
def test_headers_say_what_a_checkpoint_is(zoo: Any, models: Path, name: str) -> None:
    facts = of_checkpoint(contents(zoo, models, name))
    assert facts
    sizes = (facts.latent_channels, facts.latent_factor, facts.extra_channels, facts.widths.prompt)
    assert (facts.family, *sizes) == WHOLE[name]
    assert set(facts.text_models) == {text.name for text in family(facts.family).texts}
    assert (facts.vae is None) == (facts.family == "DDPM")


@pytest.mark.parametrize("name", ["clip", "sdxl", "sd3", "flux-dev"])
def test_a_denoiser_alone_is_of_the_family_of_its_checkpoint(zoo: Any, models: Path, name: str) -> None:
    whole = of_checkpoint(contents(zoo, models, name))
    assert whole
    part = "unet" if family(whole.family).network.folder == "unet" else "transformer"
    alone = of_denoiser(contents(zoo, models, f"{name}/{part}"))
    assert alone and (alone.family, alone.network.config) == (whole.family, whole.network.config)
    assert alone.vae is None and not alone.text_models and alone.latent_factor == whole.latent_factor


@pytest.mark.parametrize("part", ["dit/transformer", "ddpm/unet"])
def test_a_denoiser_alone_needs_a_scheduler_of_its_family(zoo: Any, models: Path, part: str) -> None:
    assert of_denoiser(contents(zoo, models, part)) is None


def test_a_control_net_is_of_the_family_that_it_steers(zoo: Any, models: Path) -> None:
    facts = of_control_net(contents(zoo, models, "sdxl-edges"))
    assert facts and facts.family == "SDXL" and facts.network.config["cross_attention_dim"] == 128


@pytest.mark.parametrize("known", [known for known in FAMILIES if known.network.layouts], ids=lambda known: known.name)
def test_a_tensor_of_a_familys_name_in_another_structure_is_not_recognised(known: Any, models: Path) -> None:
    for prefix in known.network.prefixes:
        for layout in known.network.layouts:
            odd = Contents(shapes={prefix + layout.entry: (3, 3)})
            assert known.alone(odd) is None and known.whole(odd) is None


def test_such_a_file_is_refused_in_words(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"input_blocks.0.0.weight": torch.zeros(3)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError):
        DenoiserSource().resolve("odd.safetensors", SearchPaths(working=tmp_path, models=(tmp_path,)))
