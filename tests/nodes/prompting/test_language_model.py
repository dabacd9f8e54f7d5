"""Language models read prompts as diffusers' own pipelines have them read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.nodes.families.tiny import PIPELINES
from tests.refusals import refused
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import TextModelFacts
from weft.nodes.prompting.chat import Chat
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.language_model import QWEN2_5_VL, QWEN3, LanguageModel
from weft.nodes.prompting.language_reader import LanguageModelReader
from weft.nodes.prompting.prompt_encoder import OneTextModel, PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.t5 import T5
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles

ASKED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"

DESCRIBE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n" + ASKED
)

SPECS = {
    "z-image": LanguageModel("qwen3_4b", "text_encoder", (), chat=Chat(ASKED, {"enable_thinking": True}), states=(-2,)),
    "qwen-image": LanguageModel(
        "qwen_2.5_vl_7b", "text_encoder", (), architecture=QWEN2_5_VL, chat=Chat(DESCRIBE), dropped=34
    ),
}

TEXTS = ["a red house by the lake", "", "night", '  "Café, 日本"\n{x} 100%\n']


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Any, Path]]:
    """diffusers' pipelines, each with the folder that it was saved to."""
    made = {}
    for name in SPECS:
        torch.manual_seed(0)
        pipeline = PIPELINES[name]()
        folder = tmp_path_factory.mktemp("pipeline") / name
        pipeline.save_pretrained(folder)
        made[name] = (pipeline, folder)
    return made


def encoder(name: str, files: TextModelFiles) -> PromptEncoder:
    return OneTextModel([SPECS[name].reader(files, "", torch.float32, "cpu")])


def in_folder(name: str, folder: Path) -> TextModelFiles:
    """Where it is in the folder of a pipeline."""
    facts = SPECS[name].facts(Contents.of(folder))
    assert facts
    return TextModelFiles.of(folder, facts)


def alone(text: TextModel, contents: Contents) -> TextModelFacts | None:
    """The facts about a text model in a folder or a file of its own."""
    return text.of_shapes(contents.shapes) if contents.shapes else text.of_config(contents.configs[""])


def in_file(name: str, file: Path, tokenizer: Path | None = None) -> TextModelFiles:
    """Where it is as a file of its own."""
    facts = alone(SPECS[name], Contents.of(file))
    assert facts
    return replace(TextModelFiles.of(file, facts), tokenizer=tokenizer)


def theirs(pipeline: Any, texts: Sequence[str]) -> list[Tensor]:
    """The embeddings of diffusers' `encode_prompt`, those of each text without padding."""
    if pipeline.__class__.__name__ == "ZImagePipeline":
        return list(pipeline.encode_prompt(list(texts), "cpu", do_classifier_free_guidance=False)[0])
    rows, mask = pipeline.encode_prompt(list(texts), "cpu", max_sequence_length=512)
    kept = torch.ones(rows.shape[:2]) if mask is None else mask
    return [row[one.bool()] for row, one in zip(rows, kept, strict=True)]


def single_file(folder: Path, file: Path) -> Path:
    """The text encoder of a folder as one file, by the names under which such files are published."""
    named = {}
    for path in (folder / "text_encoder").glob("*.safetensors"):
        for name, tensor in load_file(path).items():
            parts = name.removeprefix("model.").removeprefix("language_model.")
            inner = "visual." in name or parts.startswith("lm_head")
            named[parts if inner else f"model.{parts}"] = tensor
    save_file(named, file)
    return file


@pytest.mark.parametrize("name", SPECS)
def test_texts_are_read_as_diffusers_reads_them(pipelines: Any, name: str) -> None:
    pipeline, folder = pipelines[name]
    ours = encoder(name, in_folder(name, folder)).encode(TEXTS)
    assert ours.attention_mask is not None and ours.pooled is None
    for row, mask, wanted in zip(ours.embeddings, ours.attention_mask, theirs(pipeline, TEXTS), strict=True):
        assert int(mask.sum()) == len(wanted)
        assert torch.allclose(row[: len(wanted)], wanted, atol=1e-5)
        assert not row[len(wanted) :].any()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", SPECS)
def test_one_text_alone_has_no_mask(pipelines: Any, name: str, text: str) -> None:
    pipeline, folder = pipelines[name]
    ours = encoder(name, in_folder(name, folder)).encode([text])
    assert ours.attention_mask is None
    assert torch.allclose(ours.embeddings[0], theirs(pipeline, [text])[0], atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_what_is_longer_than_the_denoiser_reads_is_cut_as_diffusers_cuts_it(pipelines: Any, name: str) -> None:
    pipeline, folder = pipelines[name]
    long = "by the lake, " * 50
    ours = encoder(name, in_folder(name, folder)).encode([long])
    assert ours.embeddings.shape[1] == 512
    assert torch.allclose(ours.embeddings[0], theirs(pipeline, [long])[0], atol=1e-5)


@pytest.mark.parametrize("tokenizer", ["tokenizer", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("name", SPECS)
def test_a_single_file_reads_what_its_folder_reads(pipelines: Any, tmp_path: Path, name: str, tokenizer: str) -> None:
    """A tokenizer.json carries no chat template: the family's own is used, which is the same."""
    _, folder = pipelines[name]
    file = single_file(folder, tmp_path / "alone.safetensors")
    one = encoder(name, in_folder(name, folder)).encode(TEXTS)
    other = encoder(name, in_file(name, file, folder / tokenizer)).encode(TEXTS)
    assert torch.equal(one.embeddings, other.embeddings)


@pytest.mark.parametrize("name", SPECS)
def test_headers_of_folders_and_files_have_the_same_facts(pipelines: Any, tmp_path: Path, name: str) -> None:
    pipeline, folder = pipelines[name]
    text = SPECS[name]
    config = pipeline.text_encoder.config.get_text_config()
    facts = TextModelFacts(text.kind, config.hidden_size, config.num_hidden_layers)
    file = single_file(folder, tmp_path / "alone.safetensors")
    contents = [Contents.of(folder / "text_encoder"), Contents.of(file)]
    assert [alone(text, one) for one in contents] == [facts] * 2
    assert text.facts(Contents.of(folder)) == replace(facts, folder="text_encoder")
    others = [spec for spec in SPECS.values() if spec != text] + [Clip("c", "", ()), T5("t", "", ())]
    assert not [spec for spec in others for one in contents if alone(spec, one)]


def test_shapes_give_the_published_sizes() -> None:
    """Z-Image's Qwen3 4B and Qwen-Image's Qwen2.5-VL 7B."""
    layer = "layers.0.self_attn."
    qwen3 = {"embed_tokens.weight": (151936, 2560), f"{layer}q_norm.weight": (128,)}
    qwen3 |= {f"{layer}q_proj.weight": (4096, 2560), f"{layer}k_proj.weight": (1024, 2560)}
    qwen3 |= {f"layers.{one}.mlp.gate_proj.weight": (9728, 2560) for one in range(36)}
    found = QWEN3.config(qwen3)
    assert [found[f"num_{one}"] for one in ("hidden_layers", "attention_heads", "key_value_heads")] == [36, 32, 8]
    sight = {"embed_tokens.weight": (152064, 3584), f"{layer}q_proj.bias": (3584,), "norm.weight": (3584,)}
    sight |= {f"{layer}q_proj.weight": (3584, 3584), f"{layer}k_proj.weight": (512, 3584)}
    sight |= {f"layers.{one}.mlp.gate_proj.weight": (18944, 3584) for one in range(28)}
    found = QWEN2_5_VL.config(sight)
    assert [found[f"num_{one}"] for one in ("hidden_layers", "attention_heads", "key_value_heads")] == [28, 28, 4]


def test_a_file_without_a_tokenizer_is_refused_with_what_to_give(pipelines: Any, tmp_path: Path) -> None:
    file = single_file(pipelines["z-image"][1], tmp_path / "alone.safetensors")
    with refused("no-tokenizer", "alone.safetensors"):
        SPECS["z-image"].reader(in_file("z-image", file), "", torch.float32, "cpu")


def test_what_is_no_tokenizer_is_refused(pipelines: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    whole = in_folder("z-image", pipelines["z-image"][1])
    for tokenizer in (tmp_path / "tokenizer.json", tmp_path):
        with refused("damaged-file", tokenizer.name):
            SPECS["z-image"].reader(replace(whole, tokenizer=tokenizer), "", torch.float32, "cpu")


@pytest.mark.parametrize("name", SPECS)
def test_at_weight_1_parentheses_change_nothing(pipelines: Any, name: str) -> None:
    ours = encoder(name, in_folder(name, pipelines[name][1]))
    plain = ours.encode(["a red (house)"]).embeddings
    assert torch.equal(ours.encode([r"a (red:1.0) \(house\)"], Reading(weights=True)).embeddings, plain)


@pytest.mark.parametrize("name", SPECS)
def test_weights_move_a_prompt_away_from_itself_without_the_words(pipelines: Any, name: str) -> None:
    """What is in front of the words stays, and what is behind them is compared with itself."""
    ours = encoder(name, in_folder(name, pipelines[name][1]))
    plain, without = (ours.encode([text]).embeddings[0] for text in ("a red house", "a  house"))
    weighted = ours.encode(["a (red:1.5) house"], Reading(weights=True)).embeddings[0]
    assert len(plain) == len(weighted) == len(without) + 3
    first = next(at for at, (one, other) in enumerate(zip(plain, weighted, strict=True)) if not torch.equal(one, other))
    after = first + 3
    assert torch.equal(weighted[:first], plain[:first])
    assert torch.allclose(weighted[after:], torch.lerp(without[first:], plain[after:], 1.5), atol=1e-4)
    assert not torch.allclose(weighted[after:], plain[after:], atol=1e-3)


@pytest.mark.parametrize("name", SPECS)
def test_at_weight_0_words_read_as_the_end_of_an_empty_prompt(pipelines: Any, name: str) -> None:
    ours = encoder(name, in_folder(name, pipelines[name][1]))
    (reader,) = ours.readers
    assert isinstance(reader, LanguageModelReader)
    none = ours.encode(["(red:0)"], Reading(weights=True)).embeddings[0]
    empty = ours.encode([""]).embeddings[0]
    start = len(empty) - len(reader.tokenizer("<|im_end|>\n<|im_start|>assistant\n").input_ids)
    assert torch.allclose(none[start : start + 3], empty[start].expand(3, -1), atol=1e-5)
    assert torch.allclose(none[start + 3 :], empty[start:], atol=1e-5)


def test_words_have_weights_where_nothing_comes_after_a_prompt(pipelines: Any) -> None:
    """As of Sana and Lumina, whose prompts come behind an instruction."""
    files = in_folder("z-image", pipelines["z-image"][1])
    ours = OneTextModel([replace(SPECS["z-image"], chat=Chat("Paint: {}")).reader(files, "", torch.float32, "cpu")])
    none = ours.encode(["(red:0)"], Reading(weights=True)).embeddings[0]
    front = ours.encode([""]).embeddings[0]
    assert torch.allclose(none[: len(front)], front, atol=1e-5)
    assert torch.allclose(none[len(front) :], front[-1].expand(3, -1), atol=1e-5)
