"""Textual inversion: a word of a prompt stands for vectors, as in diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import SCALE, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Context, Engine, Graph, SearchPaths
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadEmbedding,
    SaveImage,
    TextEncode,
    VAEDecode,
    builtin,
)
from weft.nodes.families.sources import EmbeddingSource
from weft.nodes.models.facts import EmbeddingFacts
from weft.nodes.prompting.embeddings import split_at_words
from weft.nodes.prompting.prompts import PLAIN

PROMPT, NEGATIVE = "a <Cat-toy>, by the (lake)", "night, zzyx"

load: Any = LoadEmbedding
encode: Any = TextEncode


def vectors(count: int, seed: int = 0, width: int = 64) -> torch.Tensor:
    """Vectors about as long as those of words, which for the tiny models are of no great length."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def files(models: Path) -> Path:
    """The models folder with embeddings of every form."""
    for count in (1, 3):
        save_file({"<cat-toy>": vectors(count)}, models / f"learned_{count}.safetensors")
        save_file({"emb_params": vectors(count, 1)}, models / f"ugly_{count}.safetensors")
    save_file({"<flat>": vectors(1)[0]}, models / "flat.safetensors")
    save_file({"clip_l": vectors(2), "clip_g": vectors(2, 2)}, models / "both.safetensors")
    save_file({"emb_params": vectors(1, width=32)}, models / "narrow.safetensors")
    save_file({"emb_params": vectors(76)}, models / "many.safetensors")
    save_file({"lora_unet.lora_up.weight": vectors(1)}, models / "lora.safetensors")
    (models / "old.pt").write_bytes(b"PK")
    return models


def painting(model: str, embeddings: Mapping[str, str], prompt: str = PROMPT, negative: str = NEGATIVE) -> Graph:
    """A graph whose prompts may have the words of embeddings: source to token, which may be left empty."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        encoder: Any = checkpoint.text_encoder
        for source, token in embeddings.items():
            encoder = load(encoder, source, token=token)
        guide = CFGGuide(checkpoint.model, *(TextEncode(encoder, text) for text in (prompt, negative)), scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def paint(engine: Engine, *given: Any) -> Pixels:
    return read_pixels(engine.run(painting(*given)).paths)


def called_with(model: str) -> dict[str, Any]:
    """What diffusers' pipelines are called with; parentheses are characters there."""
    prompts = {"prompt": [PROMPT.replace("(lake)", "lake")], "negative_prompt": [NEGATIVE]}
    return {"model": model, **prompts, "guidance_scale": SCALE, "height": SIZE, "width": SIZE}


@pytest.mark.wide
@pytest.mark.parametrize("count", [1, 3])
def test_words_are_read_as_in_diffusers(engine: Engine, files: Path, oracle: Oracle, count: int) -> None:
    """In both prompts, and whatever the case; diffusers repeats words of several vectors as they are written alone."""
    theirs = Oracle(oracle.models)
    pipe = theirs.pipeline("clip")
    pipe.load_textual_inversion(str(files / f"learned_{count}.safetensors"))
    pipe.load_textual_inversion({"zzyx": vectors(count, 1)})
    given = called_with("clip") | {"prompt": ["a <cat-toy>, by the lake"]}
    painted = theirs.run(diffusers.StableDiffusionPipeline, "model", **given)
    embeddings = {f"learned_{count}.safetensors": "", f"ugly_{count}.safetensors": "zzyx"}
    ours = paint(engine, "clip", embeddings, PROMPT.replace("(lake)", "lake"))
    assert_same(ours, painted)
    assert not numpy.array_equal(ours, paint(engine, "clip", {}))


def test_both_text_models_of_sdxl_have_vectors_of_their_own(
    engine: Engine, files: Path, zoo: Any, oracle: Oracle
) -> None:
    theirs = Oracle(oracle.models)
    pipe = theirs.pipeline(zoo("sdxl"))
    for name, end in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = (getattr(pipe, part + end) for part in ("text_encoder", "tokenizer"))
        state = {"<cat-toy>": load_file(files / "both.safetensors")[name]}
        pipe.load_textual_inversion(state, text_encoder=encoder, tokenizer=tokenizer)
    given = called_with("sdxl") | {"prompt": ["a <cat-toy>, by the lake"]}
    painted = theirs.run(diffusers.StableDiffusionXLPipeline, "model", **given)
    assert_same(paint(engine, "sdxl", {"both.safetensors": "<cat-toy>"}, PROMPT.replace("(lake)", "lake")), painted)


def test_the_vectors_of_known_words_paint_what_the_words_paint(engine: Engine, models: Path) -> None:
    folder = builtin.path("landscapes")
    table = load_file(next((folder / "text_encoder").glob("*.safetensors")))
    rows = next(one for name, one in table.items() if name.endswith("token_embedding.weight"))
    tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer")("red house", add_special_tokens=False).input_ids
    save_file({"emb_params": rows[tokens].float()}, models / "dwelling.safetensors")
    source, named = "builtin:landscapes", {"dwelling.safetensors": ""}
    words = paint(engine, source, {}, "a (red house:1.3), a lake", "night")
    assert numpy.array_equal(paint(engine, source, named, "a (Dwelling:1.3), a lake", "night"), words)
    assert not numpy.array_equal(paint(engine, source, named, "a house, a lake", "night"), words)


def hooks(encoder: Any) -> int:
    """How many hooks the token embeddings of the text models have."""
    return sum(len(reader.network.get_input_embeddings()._forward_hooks) for reader in encoder.readers)


def test_nothing_is_left_in_the_text_models(call: Any, context: Context, files: Path) -> None:
    plain = call(LoadCheckpoint, source="clip").text_encoder
    before = call(encode, text_encoder=plain, text=PROMPT).prompts[0]
    known = call(load, text_encoder=plain, source="learned_3.safetensors")
    within = call(encode, text_encoder=known, text=PROMPT).prompts[0]
    with context.weights(known) as encoder:
        assert encoder.words and hooks(encoder)
    with context.weights(plain) as encoder:
        assert not encoder.words and not hooks(encoder)
    after = call(encode, text_encoder=plain, text=PROMPT).prompts[0]
    assert torch.equal(before.embeddings, after.embeddings) and not torch.equal(before.embeddings, within.embeddings)
    assert within.encoder == plain != known, "the weights are shared"
    with context.weights(known) as own:
        assert torch.equal(own.encode(["a <cat-toy>"]).embeddings[0, :5], within.embeddings[0, :5])


def test_the_vectors_of_a_word_stay_in_one_chunk(call: Any, context: Context, files: Path) -> None:
    recipe = call(load, text_encoder=call(LoadCheckpoint, source="clip").text_encoder, source="learned_3.safetensors")
    with context.weights(recipe) as encoder:
        (reader,) = encoder.readers
        chunks = reader.split(PLAIN.of("house " * 73 + "<cat-toy> lake"), encoder.words)
    assert [len(chunk) for chunk in chunks] == [73, 4]
    assert [token.vector is None for token in chunks[1]] == [False, False, False, True]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a style, Style", ["style", "style"]),
        ("freestyle styles", []),
        ("<cat-toy>s <CAT-TOY>", ["<cat-toy>", "<cat-toy>"]),
        ("style-v2 style", ["style-v2", "style"]),
        ("", []),
    ],
)
def test_words_are_found_whole_in_any_case(text: str, found: list[str]) -> None:
    parts = list(split_at_words(text, ["style", "<cat-toy>", "style-v2"]))
    assert [word for _, _, word in parts if word] == found
    assert all(text[start:].startswith(part) for start, part, _ in parts)
    assert "".join(part for _, part, _ in parts) == text


@pytest.mark.parametrize(
    ("model", "source", "code", "values"),
    [
        ("clip", "narrow.safetensors", "wrong-channels", ["narrow.safetensors", 32, "clip_l", 64]),
        ("clip", "many.safetensors", "too-long", ["many.safetensors", 76, 75]),
        ("sdxl", "ugly_1.safetensors", "wrong-text-models", ["emb_params", "clip_l", "clip_g"]),
        ("dit", "ugly_1.safetensors", "unsupported-by-model", ["LoadEmbedding"]),
        ("clip", "lora.safetensors", "wrong-kind-of-file", ["lora.safetensors", "LoRA"]),
        ("clip", "clip", "wrong-kind-of-file", ["clip", "SD1"]),
        ("clip", "old.pt", "pickle-refused", ["old.pt", "torch.load(FILE, weights_only=True)"]),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run(
    zoo: Any, engine: Engine, files: Path, model: str, source: str, code: str, values: list[str | float]
) -> None:
    (problem,) = engine.check(painting(model if model == "clip" else zoo(model), {source: ""})).problems
    assert (problem.code, problem.node, problem.input) == (code, "load_embedding", "source")
    assert names(problem, *values) and problem.hint


@pytest.mark.parametrize(("token", "code"), [("LEARNED", "word-taken"), (" a", "malformed-word")])
def test_a_word_stands_for_one_embedding(engine: Engine, files: Path, token: str, code: str) -> None:
    named = {"learned_1.safetensors": "learned", "ugly_1.safetensors": token}
    (problem,) = engine.check(painting("clip", named)).problems
    assert (problem.code, problem.node, problem.input) == (code, "load_embedding_2", "token")
    assert names(problem, f"`{token}`")


def test_a_word_that_stands_for_two_is_refused_by_the_node_too(call: Any, files: Path) -> None:
    known = call(load, text_encoder=call(LoadCheckpoint, source="clip").text_encoder, source="ugly_1.safetensors")
    assert known.embeddings[0].word == "ugly_1"
    with refused("word-taken", "UGLY_1"):
        call(load, text_encoder=known, source="flat.safetensors", token="UGLY_1")


def test_other_forms_of_files_are_read_and_what_is_not_is_named(tmp_path: Path) -> None:
    """Those of A1111 have `*` as the word; those for SD 3 and FLUX.1 may have vectors for T5 too."""
    save_file({"*": vectors(2)}, tmp_path / "style.safetensors")
    save_file({"clip_l": vectors(2), "t5xxl": vectors(2)}, tmp_path / "both.safetensors")
    places = SearchPaths(working=tmp_path, models=(tmp_path,))
    star, both = (EmbeddingSource().resolve(f"{name}.safetensors", places) for name in ("style", "both"))
    assert isinstance(star.facts, EmbeddingFacts) and isinstance(both.facts, EmbeddingFacts)
    assert (star.facts.word, [*star.facts.sizes.values()], star.notices) == ("style", [(2, 64)], ())
    assert both.facts.sizes.keys() == {"clip_l"} and [one.code for one in both.notices] == ["unread-tensors"]
