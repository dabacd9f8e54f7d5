"""A type checker believes node calls: an Image wired into a Latent input is an error before anything runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFIG = f"""
[mypy]
strict = true
mypy_path = {ROOT / ".typing"}
explicit_package_bases = true
namespace_packages = true
follow_imports = silent

[mypy-torch.*,safetensors.*,diffusers.*,transformers.*,numpy.*,PIL.*,scipy.*]
follow_imports = skip
"""

WIRED = """
from weft.engine import Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, LoadImage, SaveImage, TextEncode, VAEDecode

with Graph() as graph:
    checkpoint = LoadCheckpoint("builtin:landscapes")
    guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"))
    SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, START)))
"""


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[str], str]:
    """Type-check a program in strict mode; what the checker says."""

    def check(program: str) -> str:
        (tmp_path / "mypy.ini").write_text(CONFIG)
        (tmp_path / "program.py").write_text(program)
        options = ["--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache")]
        command = [sys.executable, "-m", "mypy", *options, str(tmp_path / "program.py")]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    return check


@pytest.mark.slow
def test_an_image_is_no_latent(checked: Callable[[str], str]) -> None:
    right, wrong = WIRED.replace("START", "EmptyLatent(128, 128)"), WIRED.replace("START", 'LoadImage("lake.png")')
    assert "Success" in checked(right)
    assert 'Argument 2 to "KSampler" has incompatible type "Image"; expected "Latent' in checked(wrong)
