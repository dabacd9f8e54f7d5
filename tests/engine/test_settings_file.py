"""weft.toml: where the user's lies, and its values with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine.errors import SettingsError
from weft.engine.settings_file import CONFIG, file_values, user_file


def test_the_environment_names_the_file_or_turns_it_off(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    assert (
        user_file({CONFIG: str(tmp_path / "mine.toml")}) == tmp_path / "mine.toml" and user_file({CONFIG: ""}) is None
    )
    with pytest.raises(SettingsError):
        user_file({CONFIG: str(tmp_path / "none.toml")})


def test_values_of_tables_have_dotted_names_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "weft.toml"
    path.write_text('device = "cpu"\n\n[limits]\nmax_pixels = 5\n')
    values = {value.name: (value.value, value.place) for value in file_values(path)}
    assert values == {"device": ("cpu", f"{path}:1"), "limits.max_pixels": (5, f"{path}:4")}


def test_no_file_has_no_values_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert file_values(tmp_path / "weft.toml") == ()
    (tmp_path / "weft.toml").write_text("device =")
    with pytest.raises(SettingsError):
        file_values(tmp_path / "weft.toml")
