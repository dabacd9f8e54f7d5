"""A single file in the original layout paints what the folder that it was made from paints, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.nodes.families.single_files import SINGLE_FILES
from tests.nodes.families.tiny import PIPELINES
from tests.refusals import refused
from weft.nodes.families import FAMILIES, of_checkpoint
from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import configs
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.models.safetensors_header import read_shapes
from weft.nodes.prompting.t5 import t5_tokenizer_folder
from weft.nodes.prompting.text_encoders import TextModelFiles


@pytest.mark.parametrize("model", SINGLE_FILES)
def test_a_single_file_paints_what_its_folder_paints(zoo: Any, weft_paints: Any, model: str) -> None:
    one, other = (weft_paints(zoo(name), sampler="model", batch=2) for name in (model, f"{model}.safetensors"))
    assert one.std() > 5
    assert numpy.array_equal(one, other)


@pytest.mark.parametrize("model", SINGLE_FILES)
def test_a_single_file_starts_from_a_picture_as_its_folder_does(zoo: Any, weft_paints: Any, model: str) -> None:
    sampling = {"sampler": "model", "image": "ramp.png", "denoise": 0.6}
    one, other = (weft_paints(zoo(name), **sampling) for name in (model, f"{model}.safetensors"))
    assert numpy.array_equal(one, other)


@pytest.mark.parametrize(("model", "family"), [("sd2", "SD2"), ("sdxl", "SDXL"), ("sd3", "SD3"), ("flux-dev", "FLUX")])
def test_headers_tell_the_family(zoo: Any, models: Path, model: str, family: str) -> None:
    found = of_checkpoint(Contents(shapes=read_shapes(models / zoo(f"{model}.safetensors"))))
    assert found and found.family == family


@pytest.mark.parametrize("model", PIPELINES)
def test_one_family_recognises_each_checkpoint(zoo: Any, models: Path, model: str) -> None:
    folder = Contents(configs=configs(models / zoo(model)))
    files = [Contents(shapes=read_shapes(models / zoo(f"{model}.safetensors")))] if model in SINGLE_FILES else []
    known = [[one.name for one in FAMILIES if one.whole(found)] for found in (folder, *files)]
    families = int(folder.has("unet") or folder.has("transformer"))  # a control network alone is no checkpoint
    assert all(names == known[0] and len(names) == families for names in known)


def test_a_t5_without_its_tokenizer_is_refused(
    zoo: Any, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "alone.safetensors").symlink_to(models / zoo("sd3.safetensors"))
    with refused("no-tokenizer", "alone.safetensors", "t5_tokenizer"):
        t5_tokenizer_folder(TextModelFiles(tmp_path / "alone.safetensors", TextModelFacts("t5", 64, 2)))
