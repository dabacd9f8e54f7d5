"""Every file that is read for a result is in the digest of its source, so that a change of it makes another key."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.conftest import Lend
from tests.nodes.families.tiny import chat_tokenizer, t5, t5_tokenizer
from tests.refusals import refused
from weft.engine import Engine, NodeType, Resource, SearchPaths
from weft.engine.weights.file_digests import FileDigests
from weft.nodes import LoadCheckpoint, LoadControlNet, LoadDiffusionModel, LoadTextEncoder, LoadVAE
from weft.nodes.families.sources import (
    CheckpointSource,
    ControlNetSource,
    DenoiserSource,
    TextEncoderSource,
    VAESource,
)
from weft.nodes.families.tokenizer_source import TokenizerSource
from weft.nodes.models.diffusers_folder import WEIGHTS

load: Any = LoadCheckpoint
load_denoiser: Any = LoadDiffusionModel
load_vae: Any = LoadVAE
load_texts: Any = LoadTextEncoder
load_control: Any = LoadControlNet

WATCHED: list[tuple[Path, set[Path]]] = []
"""The folders that are watched, each with its files that were opened."""


def note_opened(event: str, given: tuple[object, ...]) -> None:
    """Note a file that is opened below a watched folder; a hook cannot be removed, so it does nothing otherwise."""
    if event == "open" and WATCHED and isinstance(given[0], str | bytes | os.PathLike):
        path = Path(os.fsdecode(given[0])).absolute()
        for folder, opened in WATCHED:
            if path.is_relative_to(folder) and path.is_file():
                opened.add(path)


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    sys.addaudithook(note_opened)


@contextmanager
def opened_below(folder: Path) -> Iterator[set[Path]]:
    """The files below a folder that Python opens in the block."""
    WATCHED.append((folder, set()))
    try:
        yield WATCHED[-1][1]
    finally:
        WATCHED.pop()


def files(source: Resource, text: str, models: Path) -> set[Path]:
    """The files whose content makes the digest of a source."""
    return set(source.resolve(text, SearchPaths(models=(models,))).files)


def loaded(models: Path, *calls: tuple[Any, dict[str, Any]]) -> None:
    """Load every module of some loaders' outputs, in an engine that has loaded nothing yet."""
    fresh = Engine(store=None, device="cpu", precision="float32", models=[models])
    context: Any = fresh.run_now(cast(NodeType, Lend), {})
    for loader, given in calls:
        made = fresh.run_now(loader, given)
        for recipe in made if isinstance(made, tuple) else (made,):
            with context.weights(recipe):
                pass


WHOLE = ("clip", "sdxl", "tiny-vae", "sd3", "flux-dev", "z-image", "qwen-image", "dit", "ddpm", "consistency")


@pytest.mark.parametrize("name", [*WHOLE, "sd3.safetensors", "flux-dev.safetensors"])
def test_every_file_of_a_checkpoint_that_is_opened_is_in_its_digest(zoo: Any, models: Path, name: str) -> None:
    """Also those next to a file."""
    if not (models / name).exists():
        zoo(name)
    given = files(CheckpointSource(), name, models)
    with opened_below(models) as opened:
        loaded(models, (load, {"source": name}))
    assert opened and not opened - given
    assert {one.name for one in given if one.suffix == ".safetensors"} - {name} == {
        one.name for one in (models / name).glob("*/*.safetensors") if WEIGHTS.fullmatch(one.name)
    }


@pytest.mark.parametrize("name", ["sd3", "sd3.safetensors", "qwen-image"])
def test_every_file_of_a_part_that_is_opened_is_in_its_digest(zoo: Any, models: Path, name: str) -> None:
    folder = zoo(name) if name.endswith(".safetensors") else f"{zoo(name)}/"
    denoiser, vae = (folder, folder) if folder == name else (f"{folder}transformer", f"{folder}vae")
    texts = sorted(path.name for path in (models / name).glob("text_encoder*"))
    named = dict(zip(("source", "source_2", "source_3"), [f"{folder}{one}" for one in texts] or [name], strict=False))
    given = files(DenoiserSource(), denoiser, models) | files(VAESource(), vae, models)
    for text in named.values():
        given |= files(TextEncoderSource(), text, models)
    context: Any = Engine(store=None, models=[models]).run_now(load_denoiser, {"source": denoiser})
    with opened_below(models) as opened:
        loaded(
            models,
            (load_denoiser, {"source": denoiser}),
            (load_vae, {"model": context, "source": vae}),
            (load_texts, {"model": context, **named}),
        )
    assert opened and not opened - given


def test_every_file_of_a_control_net_that_is_opened_is_in_its_digest(models: Path) -> None:
    given = files(ControlNetSource(), "edges", models)
    with opened_below(models) as opened:
        loaded(models, (load_control, {"source": "edges"}))
    assert opened and not opened - given


def t5_alone(folder: Path, form: str) -> str:
    """T5 alone, as a file or as a folder, with its tokenizer next to it; its name."""
    torch.manual_seed(0)
    network = t5()
    t5_tokenizer().save_pretrained(folder / "t5_tokenizer")
    (folder / "t5_tokenizer" / "spiece.model").write_bytes(b"pieces")
    if form == "folder":
        network.save_pretrained(folder / "t5xxl")
        return "t5xxl"
    tensors = {name: one.clone() for name, one in network.state_dict().items() if "embed_tokens" not in name}
    save_file(tensors, folder / "t5xxl.safetensors")
    return "t5xxl.safetensors"


def digest(source: Resource, text: str, models: Path) -> str:
    return str(FileDigests().of(source.resolve(text, SearchPaths(models=(models,)))).digest)


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_tokenizer_next_to_its_text_model_is_in_the_digest(tmp_path: Path, form: str) -> None:
    name = t5_alone(tmp_path, form)
    digests = {digest(TextEncoderSource(), name, tmp_path)}
    for number, path in enumerate(sorted((tmp_path / "t5_tokenizer").iterdir()), 1):
        path.write_bytes(path.read_bytes() + b" ")
        digests.add(digest(TextEncoderSource(), name, tmp_path))
        assert len(digests) == 1 + number, path.name
    shutil.rmtree(tmp_path / "t5_tokenizer")
    assert digest(TextEncoderSource(), name, tmp_path) not in digests


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_tokenizer_next_to_its_text_model_may_not_lead_elsewhere(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, form: str
) -> None:
    name = t5_alone(tmp_path, form)
    outside = tmp_path_factory.mktemp("outside") / "pieces"
    path = tmp_path / "t5_tokenizer" / "spiece.model"
    path.rename(outside)
    path.symlink_to(outside)
    with refused("outside-folders", "spiece.model"):
        TextEncoderSource().resolve(name, SearchPaths(models=(tmp_path,)))


NAMES = (
    *("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template.jinja", "spiece.model", "tokenizer.model"),
)
"""Files that transformers' tokenizers are read from."""


@pytest.mark.parametrize("source", [CheckpointSource(), TextEncoderSource(), TokenizerSource()])
def test_every_file_of_a_tokenizer_is_in_the_digest(zoo: Any, models: Path, tmp_path: Path, source: Resource) -> None:
    shutil.copytree(models / zoo("z-image"), tmp_path / "model")
    chat_tokenizer().save_pretrained(tmp_path / "model" / "tokenizer")
    text = "model/text_encoder" if isinstance(source, TextEncoderSource) else "model"
    for name in NAMES:
        path = tmp_path / "model" / "tokenizer" / name
        path.write_bytes((path.read_bytes() if path.exists() else b"{}") + b" ")
    digests = {digest(source, text, tmp_path)}
    for number, name in enumerate(NAMES, 1):
        path = tmp_path / "model" / "tokenizer" / name
        path.write_bytes(path.read_bytes() + b" ")
        digests.add(digest(source, text, tmp_path))
        assert len(digests) == 1 + number, name
