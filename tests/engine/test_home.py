"""Homes that are not there, not known or not writable, and stores that can only be read."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.test_robust_full import ROOT, may_mount
from tests.engine.workers.light import woven
from tests.refusals import refused
from weft.engine import Engine, Graph, SettingsError, events, node
from weft.engine.home import with_home
from weft.engine.settings import resolve
from weft.engine.settings_file import trust, trusted_folders, user_file


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a user that is not known, without HOME, as in a container."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "WEFT_CONFIG", "WEFT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_graphs_run_and_nothing_is_kept(tmp_path: Path) -> None:
    reports: list[str] = []
    with Engine.of(resolve(), output=tmp_path, device="cpu", report=reports.append) as engine:
        first, second = engine.run(woven(3)), engine.run(woven(3))
    assert first.outputs == second.outputs and second.ran == first.ran and len(reports) == 1
    assert user_file() is None and trusted_folders() == ()
    with refused("unusable-store"):
        _ = resolve().store_folder
    with pytest.raises(Exception, match="settings"):
        trust(tmp_path)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("path", ["~", "~/a", "~nobody-of-this-name/a"])
def test_a_home_that_is_not_known_is_a_wrong_path(path: str) -> None:
    with refused("malformed-path", path):
        with_home(path)
    with refused("malformed-path", path):
        Engine(store=path)
    with pytest.raises(SettingsError):
        resolve(environment={"WEFT_CONFIG": "", "WEFT_STORE": path})


@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/deeper"])
def test_a_home_that_cannot_be_written_keeps_nothing_and_fails_nothing(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "WEFT_CONFIG", "WEFT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    assert resolve().usable_store is None
    with Engine(output=tmp_path, device="cpu") as engine:
        assert engine.run(woven(3)).status == "done"


def test_a_store_that_the_user_names_is_used_or_refused(tmp_path: Path) -> None:
    settings = resolve({"store": tmp_path / "new" / "store"}, environment={"WEFT_CONFIG": ""})
    assert settings.usable_store == tmp_path / "new" / "store"


def test_a_store_that_cannot_be_written_is_warned_of_before_the_work_which_is_done(tmp_path: Path) -> None:
    called: list[object] = []

    @node
    def Called(number: int) -> int:
        called.append(number)
        return number

    with Graph() as graph:
        graph.output("out", Called(1))
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "file" / "store"):
        with Engine(store=place, output=tmp_path, device="cpu") as engine:
            result = engine.run(graph, listener=called.append)
        assert result.outputs == {"out": 1} and [one.code for one in result.warnings] == ["unusable-store"]
        kinds = [type(one) for one in called]
        assert kinds.index(events.WarningGiven) == 1 and kinds.index(int) > 1
        called.clear()


def test_a_store_that_can_only_be_read_serves_all_that_it_has(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("mounting a folder as one that can only be read needs rights that are not given here")
    woven(5).save(tmp_path / "graph.json")
    nodes = Path(__file__).parent / "workers" / "light.py"
    command = f'{sys.executable} -c "from weft.engine.cli import main; main()" run graph.json --nodes {nodes} --store s'
    line = f"cd {tmp_path} && {command} && mount --bind s s && mount -o remount,bind,ro s && {command} && ! touch s/x"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", line],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout[: len(done.stdout) // 2], done.stdout[len(done.stdout) // 2 :]
    assert first == second and " 0 ran" in done.stderr
