"""Mutated headers and configurations of models: each source recognises or refuses them, within time and memory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.fuzz.budget import Budgeted
from tests.fuzz.fuzzing import IN_SUITE, SHORT, Cases, counts, hold
from tests.fuzz.mutations import GENERAL, documents
from tests.nodes import layouts
from weft.engine import Engine, InputError, SearchPaths
from weft.nodes import builtin
from weft.nodes.families.sources import (
    CheckpointSource,
    ControlNetSource,
    DenoiserSource,
    EmbeddingSource,
    TextEncoderSource,
    VAESource,
)
from weft.nodes.models.safetensors_header import read_header

SOURCES = (CheckpointSource, DenoiserSource, VAESource, ControlNetSource, TextEncoderSource, EmbeddingSource)

MODELS = ("sdxl", "flux-dev", "qwen-image")
"""Pipelines whose folders are cases, besides the built-in model; those with a single file also by that."""

GRAPH = json.loads((Path(__file__).parents[2] / "graphs" / "text_to_image.json").read_text())

Case = tuple[str, str, bytes]
"""A model's folder and a file in it, or a single file and nothing, and what is there instead."""

NONE: Case = ("landscapes", "unet/config.json", b"{}")


@cache
def _engine(folder: Path) -> Engine:
    return Engine(store=None, device="cpu", models=[folder / "models"], output=folder / "output")


def recognised(case: Case, folder: Path) -> None:
    """Put a file in place of one of a model, ask a kind of source for it, and check a graph that paints with it."""
    root, name, content = case
    with _placed(folder / "models", root, name, content) as source:
        _asked(source, name, len(content), folder)


def _asked(source: str, name: str, number: int, folder: Path) -> None:
    """Ask one kind of source for a model, and check a graph with it for every third number."""
    places = SearchPaths(working=folder / "models")
    text = f"{source}/{Path(name).parent}" if name and number % 2 else source
    with suppress(InputError):
        SOURCES[number % len(SOURCES)]().resolve(text, places)
    path = folder / "graph.json"
    GRAPH["nodes"]["checkpoint"]["inputs"]["source"] = source
    path.write_text(json.dumps(GRAPH))
    if number % 3:  # the source was asked for already; what else a check looks at takes most of the time
        return
    for problem in _engine(folder).check(path).problems:
        assert problem.code != "failed-check", problem
        json.dumps(problem.plain())


@contextmanager
def _placed(models: Path, root: str, name: str, content: bytes) -> Iterator[str]:
    """The name of a model that has this file and is the model `root` otherwise."""
    if not name:
        (models / "case.safetensors").write_bytes(len(content).to_bytes(8, "little") + content)
        yield "case.safetensors"
        return
    original, case = models.parent / "originals" / root, models / f"case-{root}"
    if not case.exists():
        shutil.copytree(original, case, copy_function=os.link)
    (case / name).unlink()
    (case / name).write_bytes(content)
    try:
        yield case.name
    finally:
        (case / name).unlink()
        os.link(original / name, case / name)


def resized(chance: Random, document: Any) -> Any:
    """Some shapes have other sizes."""
    entries = list(document.values()) if isinstance(document, dict) else []
    shaped = [one for one in entries if isinstance(one, dict) and isinstance(one.get("shape"), list)]
    for entry in chance.sample(shaped, min(len(shaped), chance.choice((1, 3, 50)))):
        entry["shape"] = [chance.choice((0, 1, 2, 3, 7, 64, 10**6, 2**40)) for _ in range(chance.randrange(6))]
    return document


def thinned(chance: Random, document: Any) -> Any:
    """Many members are missing."""
    if isinstance(document, dict) and document:
        for key in chance.sample(sorted(document), chance.randrange(len(document))):
            del document[key]
    return document


def numbered(chance: Random, document: Any) -> Any:
    """The numbers in a name are others."""
    if isinstance(document, dict) and document:
        name = chance.choice(sorted(document))
        parts = [str(chance.choice((0, 1, 99, 10**8, "x", ""))) if part.isdigit() else part for part in name.split(".")]
        document[".".join(parts)] = document[name]
    return document


HEADER_MUTATIONS = (*GENERAL, resized, thinned, numbered)


def _header(path: Path) -> bytes:
    """The header of a file whose tensors have no data."""
    header = read_header(path)
    entries = {
        name: {"dtype": header.dtypes[name], "shape": list(shape), "data_offsets": [0, 0]}
        for name, shape in header.shapes.items()
    }
    return json.dumps(entries).encode()


def _cases(originals: Path, most: int | None) -> Cases[Case]:
    """Mutations of every header of a single file, and of every configuration of a folder, of at most so many bytes."""
    single = documents([_header(path) for path in sorted(originals.glob("*.safetensors"))], HEADER_MUTATIONS)
    configs = [
        (folder.name, path.relative_to(folder).as_posix(), documents([path.read_bytes()], GENERAL))
        for folder in sorted(originals.iterdir())
        if folder.is_dir()
        for path in sorted(folder.rglob("*.json"))
        if "tokenizer" not in path.parent.name
    ]

    def made(chance: Random) -> Case:
        root, name, texts = ("", "", single) if chance.random() < 0.5 else chance.choice(configs)
        return root, name, texts(chance)[:most]

    return made


@pytest.fixture
def originals(count: int, tmp_path: Path) -> Path:
    """Folders and files of tiny models, in the folder `inside`; in the suite, of the built-in one alone."""
    folder = tmp_path / "inside" / "originals"
    shutil.copytree(builtin.path("landscapes"), folder / "landscapes")
    save_file(layouts.sd1(folder / "landscapes"), folder / "landscapes.safetensors")
    for name in MODELS if count > IN_SUITE else ():
        _make(name, folder)
    return folder


def _make(name: str, folder: Path) -> None:
    """A pipeline's folder, its single file, and the files of its parts."""
    from tests.nodes.families.single_files import SINGLE_FILES
    from tests.nodes.families.tiny import PIPELINES

    torch.manual_seed(0)
    PIPELINES[name]().to(torch.float16).save_pretrained(folder / name)
    if name in SINGLE_FILES:
        save_file(SINGLE_FILES[name](folder / name), folder / f"{name}.safetensors")
    for part in ("vae", "text_encoder"):
        shutil.copy(next((folder / name / part).glob("*.safetensors")), folder / f"{name}-{part}.safetensors")


@pytest.fixture
def child(originals: Path) -> Iterator[Budgeted[Case]]:
    inside = originals.parent
    (inside / "models").mkdir()
    (inside.parent / "outside").mkdir()
    (inside.parent / "outside" / "config.json").write_text("{}")
    with Budgeted(recognised, inside, NONE) as made:
        yield made


@counts(5_000)
def test_mutated_models_are_recognised_or_refused(
    count: int, child: Budgeted[Case], originals: Path, tmp_path: Path
) -> None:
    cases = _cases(originals, SHORT if count == IN_SUITE else None)
    hold(cases, count, child, tmp_path / "spoil")
