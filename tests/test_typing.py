"""Types where one types: what type checkers and completion see of Weft in a user's file outside of this repository.

The tests of the suite look from the environment that runs them. The slow ones install a fresh clone into an environment
of its own, as the README does and as a wheel, and need the network for the build backend:

    pytest -m slow tests/test_typing.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import jedi
import pytest

ROOT = Path(__file__).parents[1]

RIGHT = """
from weft.engine import Engine, Graph, named
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, LoadImage
from weft.nodes import SaveImage, TextEncode, VAEDecode, VAEEncode

with Graph(title="A landscape") as graph:
    checkpoint = LoadCheckpoint("builtin:landscapes")
    guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"), scale=5.0)
    latent = named("sampler", KSampler)(guide, EmptyLatent(width=128, height=128), seed=1)
    again = KSampler(guide, VAEEncode(checkpoint.vae, LoadImage("lake.png")), denoise=0.5, id="again")
    SaveImage(VAEDecode(checkpoint.vae, latent), name="landscape")

with Engine() as engine:
    print(engine.run(graph).paths, engine.run("landscape.json").status)
"""

WRONG = """
from weft.engine import Graph, named
from weft.nodes import CFGGuide, KSampler, LoadCheckpoint, LoadImage, TextEncode

with Graph() as graph:
    checkpoint = LoadCheckpoint("builtin:landscapes")
    guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a lake"))
    KSampler(guide, LoadImage("lake.png"))
    named("sampler", KSampler)(guide, LoadImage("lake.png"))
    KSampler(guide, LoadImage("lake.png"), id="sampler")
    KSampler(guide)
    checkpoint.modell
"""

MISTAKES = [8, 9, 10, 11, 12]
"""The lines of `WRONG` that a checker must report: an image for a latent, three times; no latent; no such output."""


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A folder of a user, with a right and a wrong program."""
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    return tmp_path


def of_pyright(folder: Path, python: str) -> list[tuple[str, int]]:
    """The file and line of each error that pyright reports."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python, str(folder)]
    quiet = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=quiet)
    found = json.loads(ended.stdout)["generalDiagnostics"]
    return sorted((Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found)


def of_mypy(folder: Path, python: str) -> list[tuple[str, int]]:
    """The file and line of each error that mypy reports, in strict mode."""
    options = ["--strict", "--python-executable", python, "--cache-dir", str(folder.parent / "mypy")]
    command = [sys.executable, "-m", "mypy", *options, "right.py", "wrong.py"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    lines = (line.split(":") for line in ended.stdout.splitlines() if ": error:" in line)
    return sorted((name, int(number)) for name, number, *_ in lines)


def assert_completed(folder: Path, python: str) -> None:
    """Assert that jedi completes the inputs of KSampler and shows its help."""
    environment = jedi.create_environment(python, safe=False)
    (signature,) = _script(folder, environment, "KSampler(").get_signatures()
    names = [one.name for one in signature.params]
    assert names[:2] == ["guide", "latent"] and {"seed", "steps", "sampler"} <= {*names}
    (help,) = _script(folder, environment, "KSampler").help(2, 8)
    assert "Sample latents from noise" in help.docstring()
    assert "steps=" in [one.name for one in _script(folder, environment, "KSampler(guide, latent, ste").complete()]
    outputs = [one.name for one in _script(folder, environment, 'LoadCheckpoint("x").').complete()]
    assert outputs[:3] == ["model", "text_encoder", "vae"]


def _script(folder: Path, environment: object, line: str) -> jedi.Script:
    code = f"from weft.nodes import KSampler, LoadCheckpoint\n{line}"
    return jedi.Script(code, path=folder / "typed.py", environment=environment)


def test_pyright_reports_wrong_wiring_in_a_users_file(user_folder: Path) -> None:
    assert of_pyright(user_folder, sys.executable) == [("wrong.py", line) for line in MISTAKES]


def test_jedi_completes_inputs_and_shows_help(user_folder: Path) -> None:
    assert_completed(user_folder, sys.executable)


@pytest.fixture(scope="module", params=["editable", "wheel"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Python of an environment into which a clone was installed; it borrows the dependencies of this one."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    target = ["-e", str(folder / "clone")] if request.param == "editable" else [str(folder / "clone")]
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *target], check=True)
    if request.param == "wheel":
        (folder / "clone").rename(folder / "gone")
    yield python


@pytest.fixture
def no_other_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package is found by a path of the environment of the tests."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("no_other_path")
def test_an_installed_weft_is_typed(installed: str, user_folder: Path) -> None:
    wanted = [("wrong.py", line) for line in MISTAKES]
    assert of_pyright(user_folder, installed) == wanted and of_mypy(user_folder, installed) == wanted
    assert_completed(user_folder, installed)


@pytest.mark.slow
@pytest.mark.usefixtures("no_other_path")
def test_an_installed_weft_paints(installed: str, user_folder: Path) -> None:
    graph = (
        "from weft.engine import *; from weft.nodes import *\n" + RIGHT[RIGHT.index("with") : RIGHT.index("    again")]
    )
    picture = "    SaveImage(VAEDecode(checkpoint.vae, latent))\ngraph.save('graph.json')\n"
    subprocess.run([installed, "-c", graph + picture], cwd=user_folder, check=True)
    weft = str(Path(installed).parent / "weft")
    run = [weft, "run", "graph.json", "--store", "store", "--device", "cpu", "--set", "sampler.steps=1"]
    assert (
        subprocess.run(run, cwd=user_folder, capture_output=True, text=True, check=True).stdout
        == "output/image_0001.png\n"
    )
    where = "import weft.engine, weft.nodes; print(weft.engine.__file__, weft.nodes.__file__, sep='\\n')"
    ended = subprocess.run([installed, "-c", where], cwd=user_folder, capture_output=True, text=True, check=True)
    packages = [Path(line).parent for line in ended.stdout.splitlines()]
    assert all((package / "py.typed").is_file() for package in packages)
    assert not any(package.is_relative_to(ROOT) for package in packages)
