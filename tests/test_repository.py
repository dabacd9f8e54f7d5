"""The repository as a whole: its top level, its packages, and what its README shows."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_top_level_is_the_given_one() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = {line.split("/")[0] for line in listed.splitlines()}
    given = {"engine", "nodes", "graphs", "tests", "schema"}
    given |= {"pyproject.toml", "README.md", "constraints.txt", "LICENSE"}
    assert {name for name in names if not name.startswith(".")} <= given


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for top in ("engine", "nodes") for path in (ROOT / top).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {re.split(r"[<>=\[]", one)[0] for one in wanted} == pinned


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_STORE", str(tmp_path / "store"))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert len(blocks) == 3
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"landscape_0001.png", "four_seeds_0001.png"}
