"""`weft settings`: each setting with its origin; trusted folders; runs that follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli.conftest import Weft
from weft.engine.settings import TABLE


@pytest.fixture
def config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file, which is empty."""
    path = folder / "config" / "weft.toml"
    path.parent.mkdir()
    path.write_text("")
    monkeypatch.setenv("WEFT_CONFIG", str(path))
    return path


def test_every_setting_is_printed_with_its_value_and_origin(weft: Weft, config: Path) -> None:
    config.write_text('\ndevice = "cpu"\n')
    lines = {line["name"]: line for line in weft("settings", "--json").lines()}
    assert [*lines] == [one.name for one in TABLE]
    assert (lines["device"]["value"], lines["device"]["origin"]) == ("cpu", [f"{config}:2"])
    assert lines["store"]["origin"] == ["WEFT_STORE"] and lines["precision"]["origin"] == ["default"]
    text = weft("settings").out
    assert all(one.name in text and one.variable in text for one in TABLE) and f"{config}:2" in text


def test_a_folder_is_trusted_and_distrusted(weft: Weft, folder: Path, config: Path) -> None:
    (folder / "weft.toml").write_text('precision = "bfloat16"\n')

    def precision() -> object:
        return {line["name"]: line["value"] for line in weft("settings", "--graph", "sum.json", "--json").lines()}[
            "precision"
        ]

    assert precision() == "auto"
    assert weft("settings", "trust", ".").code == 0 and precision() == "bfloat16"
    assert weft("settings", "distrust", ".").code == 0 and precision() == "auto"
    assert weft("settings", "trust", "nowhere").code == 2


def test_commands_follow_the_file_and_options_win(weft: Weft, folder: Path, config: Path) -> None:
    config.write_text(f'output = "{folder / "pictures"}"\n')
    assert weft("run", "sum.json").out.splitlines()[-1] == str(folder / "pictures/dot_0001.png")
    assert weft("run", "sum.json", "--out", "elsewhere").out.splitlines()[-1] == "elsewhere/dot_0001.png"


def test_what_waits_on_the_host_is_one_word(weft: Weft) -> None:
    assert weft("run", "sum.json", "--lowvram").code == 0
    assert weft("run", "sum.json", "--offload", "medvram").code == 0
    assert weft("run", "sum.json", "--offload", "blocks").code == 2
    assert weft("run", "sum.json", "--lowvram", "--offload", "none").code == 2


def test_a_wrong_file_is_refused_whole(weft: Weft, config: Path) -> None:
    config.write_text('devise = "cpu"\nprecision = "float8"\n')
    ended = weft("run", "sum.json", "--json")
    assert ended.code == 2 and "Traceback" not in ended.err
    assert [(line["event"], line["file"]) for line in ended.lines()] == [
        ("problem", f"{config}:1"),
        ("problem", f"{config}:2"),
    ]


def test_a_file_next_to_a_graph_changes_no_run(weft: Weft, folder: Path, config: Path) -> None:
    (folder / "weft.toml").write_text('output = "stolen"\ndevice = "mps"\n')
    assert weft("run", "sum.json").code == 0 and not (folder / "stolen").exists()


def test_the_version_is_printed(weft: Weft, folder: Path) -> None:
    from weft.engine import __version__

    assert weft("--version").out.split() == ["weft", __version__]


def test_a_folder_whose_file_is_refused_is_not_trusted(weft: Weft, folder: Path, config: Path) -> None:
    (folder / "weft.toml").write_text('store = "elsewhere"\n')
    ended = weft("settings", "trust", ".")
    assert ended.code == 2 and "weft.toml:1" in ended.err
    assert weft("run", "sum.json").code == 0
