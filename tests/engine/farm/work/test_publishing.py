"""Publishing: links never replace, the sidecar comes last, and what is not whole is not done."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import InputError
from weft.engine.farm.work.publishing import Staged, published, stage


def staged(folder: Path, name: str, *pictures: bytes, number: int = 0) -> Staged:
    """An item with so many pictures, delivered into a folder of an attempt and made ready."""
    attempt = folder / ".farm" / "attempts" / f"{name}{len([*folder.rglob('*')])}"
    attempt.mkdir(parents=True)
    for index, content in enumerate(pictures):
        (attempt / f"{index}.png").write_bytes(content)
    return stage(folder, name, sorted(attempt.glob("*.png")), {"id": name, "number": number})


def names(folder: Path) -> list[str]:
    """The files outside of the job's own folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if ".farm" not in path.parts)


def test_nothing_has_its_name_before_it_is_published(tmp_path: Path) -> None:
    ready = staged(tmp_path, "a", b"one", b"two")
    assert names(tmp_path) == [] and [*published(tmp_path)] == []
    ready.publish()
    assert names(tmp_path) == ["a.png", "a.sidecar.json", "a_2.png"]
    assert [file["path"] for file in next(published(tmp_path))["files"]] == ["a.png", "a_2.png"]


def test_the_sidecar_is_the_last_to_get_its_name(tmp_path: Path) -> None:
    finals = [final.name for _, final in staged(tmp_path, "a", b"one", b"two").moves]
    assert finals[-1] == "a.sidecar.json"


def test_the_same_item_twice_is_published_once(tmp_path: Path) -> None:
    staged(tmp_path, "a", b"one").publish()
    before = (tmp_path / "a.sidecar.json").read_bytes()
    staged(tmp_path, "a", b"one").publish()
    assert (tmp_path / "a.sidecar.json").read_bytes() == before and len([*published(tmp_path)]) == 1


def test_another_picture_of_the_name_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(InputError) as caught:
        staged(tmp_path, "a", b"one").publish()
    assert caught.value.code == "name-taken" and (tmp_path / "a.png").read_bytes() == b"mine"
    assert [*published(tmp_path)] == []


def without_links(source: object, path: object) -> None:
    """`os.link` of a file system that has no hard links."""
    raise PermissionError(1, "Operation not permitted")


def test_without_hard_links_the_same_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links)
    for _ in range(2):
        staged(tmp_path, "a", b"one", b"two").publish()
    (tmp_path / "b.png").write_bytes(b"mine")
    with refused("name-taken", "b.png"):
        staged(tmp_path, "b", b"one").publish()
    assert names(tmp_path) == ["a.png", "a.sidecar.json", "a_2.png", "b.png"]
    assert (tmp_path / "b.png").read_bytes() == b"mine" and len([*published(tmp_path)]) == 1


@pytest.mark.parametrize(
    "sidecar", [b"", b"{", b"[]", b'{"id": "a"}', b'{"id": 3, "name": "a", "number": 0, "files": []}']
)
@pytest.mark.parametrize("picture", [b"one", b"on", b""])
def test_what_was_cut_short_is_replaced_by_the_whole(sidecar: bytes, picture: bytes, tmp_path: Path) -> None:
    staged(tmp_path, "a", b"one").publish()
    whole = (tmp_path / "a.sidecar.json").read_bytes()
    (tmp_path / "a.sidecar.json").write_bytes(sidecar)
    (tmp_path / "a.png").write_bytes(picture)
    assert [*published(tmp_path)] == []
    staged(tmp_path, "a", b"one").publish()
    assert (tmp_path / "a.sidecar.json").read_bytes() == whole and len([*published(tmp_path)]) == 1


def test_a_sidecar_of_another_item_is_not_replaced(tmp_path: Path) -> None:
    staged(tmp_path, "a", b"one").publish()
    other = replace(staged(tmp_path, "a", b"one"), id="b")
    with refused("name-taken", "a.sidecar.json"):
        other.publish()


@pytest.mark.parametrize("content", [None, b"", b"on"])
def test_an_item_whose_file_is_not_whole_is_not_done(content: bytes | None, tmp_path: Path) -> None:
    staged(tmp_path, "a", b"one").publish()
    (tmp_path / "a.png").unlink()
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    assert [*published(tmp_path)] == []


def test_what_is_published_comes_in_the_order_of_the_job(tmp_path: Path) -> None:
    for number, name in ((2, "a"), (0, "sub/b"), (1, "c")):
        staged(tmp_path, name, name.encode(), number=number).publish()
    assert [one["id"] for one in published(tmp_path)] == ["sub/b", "c", "a"]
