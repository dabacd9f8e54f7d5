"""The builtin models as a package: where they are, and that asking costs nothing."""

import subprocess
import sys

import pytest

from weft.nodes import builtin


def test_landscapes_is_a_pipeline_folder() -> None:
    assert "landscapes" in builtin.names()
    assert (builtin.path("landscapes") / "model_index.json").is_file()


def test_landscapes_is_small() -> None:
    size = sum(file.stat().st_size for file in builtin.path("landscapes").rglob("*") if file.is_file())
    assert size <= 20_000_000


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"'seascapes'.*landscapes"):
        builtin.path("seascapes")


def test_asking_for_the_folder_imports_no_torch() -> None:
    program = "import sys; from weft.nodes.builtin import path; path('landscapes'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
