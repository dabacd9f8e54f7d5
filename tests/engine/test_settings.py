"""Settings: which source wins, what a file may contain, and which files count."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from weft.engine import Engine, Limits, SettingsError
from weft.engine.farm.work.job_facts import Setup
from weft.engine.settings import BY_NAME, TABLE, Settings, resolve
from weft.engine.settings_file import trust

TEXTS = {
    "a folder": ("~/a", "/b", "/c"),
    "a text": ("x", "y", "z"),
    "a name": ("x", "y", "z"),
    "words": ("x", "y", "z"),
    "block": ("block", "blur", "flag"),
    "a number": ("0.25", "0.5", "0.75"),
    "a URL": ("s3://x", "s3://y", "s3://z"),
    "auto, cpu": ("cpu", "mps", "cuda:3"),
    "one of auto, float32": ("float32", "float16", "bfloat16"),
    "one of auto, none": ("none", "group", "lowvram"),
    "a size": ("1k", "2k", "3k"),
    "true or": ("true", "false", "true"),
    "a whole": ("1", "2", "3"),
    "folders": ("/a", "/b", "/c"),
    "seconds": ("600", "90s", "1.5"),
}
"""Three values of each kind of setting, as texts."""

NAMES = [one.name for one in TABLE]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """An environment with a settings file, which is empty."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "weft.toml").write_text("")
    return {"WEFT_CONFIG": str(tmp_path / "config" / "weft.toml")}


def write(variables: Mapping[str, str], text: str) -> None:
    Path(variables["WEFT_CONFIG"]).write_text(text)


def values_of(name: str) -> list[str]:
    expected = BY_NAME[name].kind.expected
    return [*next(texts for beginning, texts in TEXTS.items() if expected.startswith(beginning))]


def as_toml(name: str, text: str) -> str:
    """A line that sets a setting, in its table."""
    table, dot, key = name.rpartition(".")
    plain = text in ("true", "false") or text.isdecimal()
    return f"{f'[{table}]' if dot else ''}\n{key} = {text if plain else repr(text)}\n"


def first(settings: Settings, name: str) -> object:
    """The value of a setting, of a list its first element."""
    value = settings.value(name)
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", NAMES)
def test_the_call_wins_over_the_environment_over_the_file_over_the_default(
    variables: dict[str, str], name: str
) -> None:
    kind, (in_file, in_variable, in_call) = BY_NAME[name].kind, values_of(name)
    read = [kind.of_text(text) for text in (in_file, in_variable, in_call)]
    wanted = [one[0] if isinstance(one, tuple) else one for one in read]
    default = resolve(environment=variables)
    assert default.origin(name) == ("default",)
    write(variables, as_toml(name, in_file))
    by_file = resolve(environment=variables)
    assert first(by_file, name) == wanted[0] and by_file.origin(name)[0].startswith(variables["WEFT_CONFIG"] + ":")
    variables[BY_NAME[name].variable] = in_variable
    by_variable = resolve(environment=variables)
    assert first(by_variable, name) == wanted[1] and by_variable.origin(name)[0] == BY_NAME[name].variable
    by_call = resolve({name: read[2]}, environment=variables)
    assert first(by_call, name) == wanted[2] and by_call.origin(name)[0] == "call"


def test_the_table_has_every_field_of_the_record() -> None:
    record = {one.name for one in fields(Settings)} - {"origins", "limits"}
    assert record | {f"limits.{one.name}" for one in fields(Limits)} == set(NAMES)
    assert len({one.variable for one in TABLE}) == len(TABLE)


def test_folders_of_all_sources_are_searched_the_calls_first(variables: dict[str, str]) -> None:
    write(variables, 'models = ["/file", "/other"]')
    variables["WEFT_MODELS"] = "/variable"
    settings = resolve({"models": [Path("/call")]}, environment=variables)
    assert [*map(str, settings.models)] == ["/call", "/variable", "/file", "/other"]
    assert settings.origin("models")[:2] == ("call", "WEFT_MODELS")


def strangers_graph(tmp_path: Path, text: str) -> Path:
    """The folder of a graph, with a weft.toml of its own."""
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "weft.toml").write_text(text)
    return tmp_path / "stranger"


def test_a_file_next_to_a_strangers_graph_changes_nothing(tmp_path: Path, variables: dict[str, str]) -> None:
    text = "".join(as_toml(name, values_of(name)[0]) for name in NAMES if not name.startswith("limits."))
    for content in (text, "this is no TOML"):
        folder = strangers_graph(tmp_path, content)
        with_it = resolve(graph_folder=folder, environment=variables)
        assert with_it == resolve(environment=variables) and not with_it.origins
        (folder / "weft.toml").unlink()
        folder.rmdir()


def test_in_a_trusted_folder_it_counts_for_some_settings(tmp_path: Path, variables: dict[str, str]) -> None:
    folder = strangers_graph(tmp_path, 'device = "cpu"\nmemory = "1k"\n')
    write(variables, 'device = "mps"\nprecision = "float16"\n')
    assert trust(folder, variables) and not trust(folder, variables)
    settings = resolve(graph_folder=folder, environment=variables)
    assert (settings.device, settings.memory, settings.precision) == ("cpu", 1000, "float16")
    assert resolve(graph_folder=tmp_path, environment=variables).device == "mps"
    variables["WEFT_DEVICE"] = "auto"
    assert resolve(graph_folder=folder, environment=variables).device == "auto"
    assert trust(folder, variables, withdraw=True)
    del variables["WEFT_DEVICE"]
    assert resolve(graph_folder=folder, environment=variables).device == "mps"


@pytest.mark.parametrize("name", [one.name for one in TABLE if not one.next_to_graph])
def test_even_there_folders_limits_and_downloads_are_refused(
    tmp_path: Path, variables: dict[str, str], name: str
) -> None:
    folder = strangers_graph(tmp_path, as_toml(name, values_of(name)[0]))
    trust(folder, variables)
    with pytest.raises(SettingsError) as caught:
        resolve(graph_folder=folder, environment=variables)
    assert [(one.input, one.code) for one in caught.value.problems] == [(name, "setting-not-allowed")]


def test_folders_limits_downloads_and_commands_are_never_set_next_to_a_graph() -> None:
    never = {"models", "inputs", "output", "store", "shared_store", "download", "node_timeout", "notify"}
    never |= {"comfy_nodes", "preview_decoders", "safety", "safety_labels", "safety_threshold", "safety_action"}
    never |= {name for name in NAMES if name.startswith("limits.")}
    assert {one.name for one in TABLE if not one.next_to_graph} == never


def test_every_problem_of_a_file_comes_at_once_with_its_line(variables: dict[str, str]) -> None:
    write(variables, 'devise = "cpu"\n\nprecision = "float8"\nmodels = [3]\n[limits]\nmax_pixels = -1\nmax_bach = 2\n')
    variables["WEFT_MAX_NODES"] = "1e3"
    with pytest.raises(SettingsError) as caught:
        resolve(environment=variables)
    found = {problem.input: problem for problem in caught.value.problems}
    lines = {name: problem.file.rpartition(":")[2] for name, problem in found.items()}
    assert lines == {
        "devise": "1",
        "precision": "3",
        "models": "4",
        "limits.max_pixels": "6",
        "limits.max_bach": "7",
        "limits.max_nodes": "WEFT_MAX_NODES",
    }
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["unknown-setting", *["malformed-setting"] * 3, "unknown-setting", "malformed-setting"]
    assert "`device`" in found["devise"].hint and "`limits.max_batch`" in found["limits.max_bach"].hint
    assert "float16" in found["precision"].message


def test_without_a_file_nothing_is_imported_to_read_one(tmp_path: Path) -> None:
    code = (
        "import sys; from weft.engine.settings import resolve; resolve(); print({'tomllib', 'torch'} & {*sys.modules})"
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    del environment["WEFT_CONFIG"]
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_what_is_no_toml_is_refused_with_its_line(variables: dict[str, str]) -> None:
    write(variables, "\ndevice = cpu\n")
    with pytest.raises(SettingsError) as caught:
        resolve(environment=variables)
    assert [problem.file for problem in caught.value.problems] == [f"{variables['WEFT_CONFIG']}:2"]


def test_a_missing_file_is_an_error_where_it_was_named() -> None:
    with pytest.raises(SettingsError):
        resolve(environment={"WEFT_CONFIG": "/no/such/file.toml"})


def test_engines_and_workers_have_the_users_settings(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(variables, 'device = "cpu"\nprecision = "bfloat16"\nmodels = "/models"\n[limits]\nmax_batch = 3\n')
    monkeypatch.setenv("WEFT_CONFIG", variables["WEFT_CONFIG"])
    engine = Engine(store=None)
    assert (engine.device, engine.precision, engine.limits.max_batch) == ("cpu", "bfloat16", 3)
    assert Engine(store=None, models=["/own"]).places().models == (Path("/own"), Path("/models"))
    assert Engine(store=None, precision="float32").precision == "float32"
    assert (Setup().device, Setup().precision) == ("cpu", "bfloat16")
    assert Engine.of(resolve(), store=None).places() == engine.places()


def test_a_configuration_folder_that_cannot_be_looked_into_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "weft").write_text("a file where the folder should be")
    code = "from weft.engine.settings import resolve; print(resolve().device)"
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    del environment["WEFT_CONFIG"]
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "auto\n"


def test_relative_folders_of_a_file_lie_in_its_folder(
    tmp_path: Path, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(variables, 'models = ["models", "~/own"]\noutput = "pictures"\nshared_store = "shared"\n')
    settings = resolve(environment=variables)
    assert settings.models == (tmp_path / "config" / "models", Path("~/own").expanduser())
    assert settings.output == tmp_path / "config" / "pictures"
    assert settings.shared_store == (tmp_path / "config" / "shared").as_uri()


def test_urls_stay_as_a_file_has_them(variables: dict[str, str]) -> None:
    write(variables, 'shared_store = "s3://bucket/weft"\n')
    assert resolve(environment=variables).shared_store == "s3://bucket/weft"
