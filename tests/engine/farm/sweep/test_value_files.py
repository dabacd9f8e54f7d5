"""Files of values as editors and spreadsheets write them; what does not fit is refused with its line, never cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine.farm.sweep.axes import read
from weft.engine.farm.sweep.value_files import column_of, file_lines

ROWS = ("ein Haus, rot", "été\nau lac", "")


def written(folder: Path, name: str, content: bytes | str) -> Path:
    """A file of exactly these bytes."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_table_in_the_forms_that_spreadsheets_write(separator: str, end: str, encoding: str, tmp_path: Path) -> None:
    records = [["seed", " prompt "], *([str(n), f'"{row}"'] for n, row in enumerate(ROWS)), ["", ""]]
    text = end.join(separator.join(record) for record in records)
    path = written(tmp_path, "a.csv", text.encode(encoding))
    assert column_of(path, "prompt") == ROWS and column_of(path, "seed") == ("0", "1", "2")


def test_excels_own_line_names_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "sep=|\r\nprompt|seed\r\na; b, c|3\r\n")
    assert column_of(path, "prompt") == ("a; b, c",) and column_of(path, "seed") == ("3",)


def test_in_a_table_of_one_column_commas_belong_to_the_texts(tmp_path: Path) -> None:
    assert column_of(written(tmp_path, "a.csv", 'prompt\na lake, night\n"a ""red"" house"\n'), "prompt") == (
        "a lake, night",
        'a "red" house',
    )


def test_empty_fields_beyond_the_header_are_nothing(tmp_path: Path) -> None:
    assert column_of(written(tmp_path, "a.csv", "prompt,seed,,\na,1,,\nb,2,,\n"), "seed") == ("1", "2")


@pytest.mark.parametrize(
    ("text", "column", "code", "line"),
    [
        ("prompt,seed\na,1,2\n", "prompt", "malformed-value", 2),
        ("prompt,seed\na,1\nb\n", "seed", "unknown-column", 3),
        ('prompt,seed\na,1\n"b,2\nc,3\n', "prompt", "malformed-value", 3),
        ('prompt,seed\n"a" or b,2\n', "prompt", "malformed-value", 2),
        ("sep=;\nprompt;seed\na;1\nb;2;3\n", "prompt", "malformed-value", 4),
        ('prompt,seed\n"a\nb",1\nc,2,3\n', "prompt", "malformed-value", 4),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_line(
    text: str, column: str, code: str, line: int, tmp_path: Path
) -> None:
    with refused(code, "a.csv", f"line {line}"):
        column_of(written(tmp_path, "a.csv", text), column)


def test_an_open_quote_in_a_long_file_is_a_problem_of_its_line(tmp_path: Path) -> None:
    with refused("malformed-value", "line 2"):
        column_of(written(tmp_path, "a.csv", 'prompt\n"open\n' + "a lake\n" * 40_000), "prompt")


def test_a_column_of_two_names_is_refused(tmp_path: Path) -> None:
    with refused("malformed-value", "prompt"):
        column_of(written(tmp_path, "a.csv", "prompt,prompt\na,b\n"), "prompt")


@pytest.mark.parametrize("content", [b"prompt\na caf\xe9\n", b"PK\x03\x04rest", b"a\0b\0", b"\xff\xfea"])
def test_what_is_no_text_in_a_known_encoding_is_refused(content: bytes, tmp_path: Path) -> None:
    for name in ("a.csv", "a.txt", "a.jsonl"):
        written(tmp_path, name, content)
        with refused("unreadable-resource", name):
            read({"file": name, "column": "prompt"} if name != "a.txt" else {"file": name}, tmp_path)


def test_only_line_feeds_and_carriage_returns_end_lines(tmp_path: Path) -> None:
    text = "one\u2028still one\r\n\r\nnight\u0085sky\rpage\fand tab\vtoo\n"
    assert file_lines(written(tmp_path, "a.txt", text)) == (
        "one\u2028still one",
        "night\u0085sky",
        "page\fand tab\vtoo",
    )
    rows = '\ufeff{"a": "one\u2028still one"}\r\n\r\n{"a": 2, "b": 3}\n'
    assert column_of(written(tmp_path, "a.ndjson", rows), "a") == ("one\u2028still one", 2)


def test_a_hash_begins_a_comment_only_before_a_space(tmp_path: Path) -> None:
    lines = "# a comment\n#\n#1 dad mug\n#\tanother\n  # indented\n#tag\na # b\n"
    assert file_lines(written(tmp_path, "a.txt", lines)) == ("#1 dad mug", "#tag", "a # b")


@pytest.mark.parametrize(
    ("rows", "code", "line"),
    [
        ('{"a": 1}\n{}\n', "unknown-column", 2),
        ('{"a": 1}\n\nnull\n', "malformed-value", 3),
        ('{"a": 1}\n{"a": 2\n', "not-json", 2),
        ('{"a": 1}\n{"a": 2, "a": 3}\n', "duplicate-key", 2),
        ('{"a": {"b": 1, "b": 2}}\n', "duplicate-key", 1),
        ('{"a": 1}\n{"a": 123456789012345678901}\n', "not-a-number", 2),
        ('{"a": NaN}\n', "not-a-number", 1),
    ],
)
def test_no_line_of_json_is_dropped(rows: str, code: str, line: int, tmp_path: Path) -> None:
    with refused(code, f"line {line}"):
        column_of(written(tmp_path, "a.jsonl", rows), "a")


def test_a_column_makes_a_table_of_a_text_file(tmp_path: Path) -> None:
    written(tmp_path, "a.txt", "seed\tprompt\r\n1\ta lake\r\n".encode("utf-16"))
    assert read({"file": "a.txt", "column": "prompt"}, tmp_path) == ("a lake",)


def test_a_json_file_is_no_list_of_lines(tmp_path: Path) -> None:
    with refused("wrong-kind-of-file"):
        file_lines(written(tmp_path, "a.json", '["one", "two"]'))
    with refused("wrong-kind-of-file"):
        column_of(written(tmp_path, "b.json", '[{"a": 1}]'), "a")
