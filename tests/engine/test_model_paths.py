"""Folders of models as ComfyUI has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine.model_paths import model_folders


def test_folders_of_models_are_those_of_comfyui(tmp_path: Path) -> None:
    root = tmp_path / "ComfyUI"
    (root / "models" / "checkpoints").mkdir(parents=True)
    other = "other:\n  base_path: ../second\n  loras: |\n    a/Lora\n    b\n"
    own = "own:\n  is_default: true\n  base_path: /third\n  vae: v\n"
    (root / "extra_model_paths.yaml").write_text(other + own)
    extra = [Path("/third/v"), root / "../second/a/Lora", root / "../second/b"]
    assert [*model_folders(root / "extra_model_paths.yaml")] == extra
    assert [*model_folders(root)] == [root, root / "models", *extra]
    assert [*model_folders(tmp_path)] == [tmp_path]


@pytest.mark.parametrize("text", ["", "a", "- b", "a: [", "a: 5"])
def test_a_list_of_folders_that_has_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with refused("unreadable-file" if text == "a: [" else "malformed-value", "a.yaml"):
        [*model_folders(tmp_path / "a.yaml")]
