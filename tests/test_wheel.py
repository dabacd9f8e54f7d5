"""The wheel: what it has, and that the graphs in it run from an environment that knows nothing of this repository.

Builds and installs, so it is slow: `pytest -m slow tests/test_wheel.py`.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True
    )
    return next(folder.glob("*.whl"))


def test_it_has_engine_nodes_and_graphs_under_one_name(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"weft"}
    assert {"weft/engine/cli/new.py", "weft/nodes/__init__.py", "weft/graphs/text_to_image.json"} <= {*names}
    assert {"weft/graphs/pictures/lake.png", "weft/engine/serve/page/index.html"} <= {*names}


def test_a_new_graph_runs_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    ZipFile(wheel).extractall(packages)
    others = site.getsitepackages()
    (packages / "outer.pth").write_text("\n".join(others))  # paths alone: links of an editable install do not count
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["WEFT_STORE"] = str(tmp_path / "store")

    def weft(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from weft.engine.cli import call; sys.exit(call(sys.argv[1:]))"
        command = [str(tmp_path / "env/bin/python"), "-c", code, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert "text_to_image" in weft("graphs", "txt2img").stdout
    assert weft("new", "text_to_image").stdout == "text_to_image.json\n"
    assert weft("new", "control").stdout == "control.json\npictures/lake.png\n"
    few = ("--device", "cpu", "--set", "steps=1")
    assert weft("run", "text_to_image.json", *few).stdout == "output/landscape_0001.png\n"
    assert weft("run", "text_to_image", *few).stdout == "output/landscape_0001.png\n"
    assert len(weft("run", "control.json", *few).stdout.splitlines()) == 2
