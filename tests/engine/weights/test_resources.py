"""Files that a graph names: found in the folders of a run and nowhere else, keyed by content, hashed once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from tests.refusals import refused
from weft.engine import (
    INJECTED,
    Context,
    Engine,
    Graph,
    HashedResource,
    InputError,
    InputFile,
    Resolved,
    SearchPaths,
    node,
)
from weft.engine.keys import digest, digest_bytes
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.resources import find


@node
def ReadText(path: Annotated[str, InputFile((".txt",))], context: Context = INJECTED) -> str:
    """Read a text file."""
    return context.found(path).resolved.files[0].read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `inside` with a file and links out of it, next to a secret."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "up").symlink_to(tmp_path)
    (inside / "fine.txt").symlink_to(inside / "a.txt")
    (inside / "loop.txt").symlink_to(inside / "loop.txt")
    (inside / "nowhere.txt").symlink_to(tmp_path / "none.txt")
    return inside


def test_a_file_is_found_next_to_the_graph(folder: Path) -> None:
    assert find("a.txt", (folder,)) == folder / "a.txt"
    assert find("fine.txt", (folder,)) is not None
    assert find("none.txt", (folder,)) is None and find("../inside/none.txt", (folder,)) is None


@pytest.mark.parametrize(
    "name",
    ["../secret.txt", "link.txt", "up/secret.txt", "/etc/passwd", "/none/at/all", "~/x", "nowhere.txt", "../none.txt"],
)
def test_nothing_outside_is_found(name: str, folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        find(name, (folder,))
    assert caught.value.code == "outside-folders"
    assert "--input DIR" in caught.value.hint and "secret" not in str(caught.value).replace(name, "")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "~nobody-of-this-name/x", "loop.txt"])
def test_strange_names_are_refused(name: str, folder: Path) -> None:
    with pytest.raises(InputError):
        find(name, (folder,))


def test_a_name_longer_than_file_systems_take(folder: Path) -> None:
    assert find("a" * 5000, (folder,)) is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("aa.txt", "there is no file `aa.txt`, did you mean `a.txt`?"),
        ("secret.png", "there is no file `secret.png`"),
        ("sub.txt", "is a folder, expected a file"),
        ("a.md", "ends in `.md`, expected .txt"),
        ("../secret.txt", "lies outside, --input DIR"),
        ("link.txt", "lies outside, --input DIR"),
    ],
)
def test_a_file_that_cannot_be_read_is_found_by_check(path: str, words: str, folder: Path, storeless: Engine) -> None:
    (folder / "sub.txt").mkdir()
    (folder / "a.md").write_text("x")
    with Graph() as graph:
        ReadText(path)
    (problem,) = storeless.check(replace(graph, path=folder / "graph.json"), only=["read_text"]).problems
    assert (problem.node, problem.input) == ("read_text", "path")
    assert not [word for word in words.split(", ") if word not in str(problem)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes of that kind")
def test_a_pipe_is_refused_by_check_and_called_no_folder(folder: Path, storeless: Engine) -> None:
    os.mkfifo(folder / "pipe.txt")
    with Graph() as graph:
        ReadText("pipe.txt")
    (problem,) = storeless.check(replace(graph, path=folder / "graph.json"), only=["read_text"]).problems
    assert problem.code == "wrong-kind-of-file" and "folder" not in str(problem.message)


def test_a_file_is_keyed_by_content(folder: Path, tmp_path: Path) -> None:
    engine = Engine(store=tmp_path / "store", inputs=[folder])
    with Graph() as graph:
        ReadText("a.txt")
    (folder / "copy.txt").write_text("inside")
    assert engine.run(graph, only=["read_text"]).ran
    assert engine.run(graph.set("read_text.path", "copy.txt"), only=["read_text"]).cached
    (folder / "a.txt").write_text("changed")
    assert engine.run(graph, only=["read_text"]).ran


def test_a_folder_is_keyed_by_names_and_contents(folder: Path) -> None:
    (folder / "b.txt").write_text("two")
    both = Resolved("x", folder, (folder / "a.txt", folder / "b.txt"))
    before = FileDigests().of(both).digest
    (folder / "b.txt").rename(folder / "c.txt")
    assert before != FileDigests().of(Resolved("x", folder, (folder / "a.txt", folder / "c.txt"))).digest


def test_what_is_read_otherwise_has_another_digest(tmp_path: Path) -> None:
    """And what is read as ever has the digest that it had."""
    file = tmp_path / "a.txt"
    file.write_text("inside")
    plain, other, third = (Resolved("x", file, (file,), reading=reading) for reading in ("", "shifted", "scaled"))
    digests = FileDigests()
    assert digests.of(plain).digest == digest([(".txt", digest_bytes(b"inside"))])
    assert len({digests.of(one).digest for one in (plain, other, third)}) == 3


def test_a_node_asks_only_for_its_own_files(folder: Path) -> None:
    resolved = Resolved("a.txt", folder / "a.txt", (folder / "a.txt",))
    context = Context("cpu", "float32", None, {"a.txt": HashedResource(resolved, digest_bytes(b""))})  # type: ignore[arg-type]
    assert context.found("a.txt").resolved is resolved
    with refused("unknown-input", "b.txt"):
        context.found("b.txt")


def test_places_are_looked_up_in_order(tmp_path: Path) -> None:
    places = SearchPaths(tmp_path / "base", tmp_path / "working", (tmp_path / "input", tmp_path / "base"))
    assert [folder.name for folder in places.files] == ["base", "working", "input"]
