"""What TextEncode makes of a prompt: weights, next to transformers' own text models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.oracle import Oracle
from tests.refusals import refused
from weft.engine import Context, Engine, Graph
from weft.nodes import Conditioning, LoadCheckpoint, Prompt, TextEncode
from weft.nodes.prompting.prompts import PLAIN

Encode = Callable[..., Prompt[Any]]
Lent = Callable[[str], Any]

OWN = ("clip", "epsilon")
"""Models of SD 1.x that are not of the zoo."""

TEXT_MODELS = ("clip", "sd2", "sdxl", "sdxl-refiner", "sd3", "sd3-short", "flux-dev")

LONG = "a red house by the lake, " * 25


@pytest.fixture(scope="module")
def encode(zoo: Any, call: Callable[..., Any]) -> Encode:
    """The prompt that TextEncode gives for a text, with the encoder of a model of the zoo."""

    def give(model: str, text: str, **options: Any) -> Prompt[Any]:
        recipe = call(LoadCheckpoint, source=model if model in OWN else zoo(model)).text_encoder
        encoded: Conditioning[Any] = call(TextEncode, text_encoder=recipe, text=text, **options)
        return encoded.prompts[0]

    return give


@pytest.fixture(scope="module")
def lent(zoo: Any, call: Callable[..., Any], context: Context) -> Lent:
    """The text models of a model of the zoo."""

    def give(model: str) -> Any:
        recipe = call(LoadCheckpoint, source=model if model in OWN else zoo(model)).text_encoder
        with context.weights(recipe) as encoder:
            return encoder

    return give


def same(one: Prompt[Any], other: Prompt[Any]) -> bool:
    """Whether two prompts are the same, bit for bit."""
    if one.pooled is None or other.pooled is None:
        return torch.equal(one.embeddings, other.embeddings) and one.pooled is other.pooled
    return torch.equal(one.embeddings, other.embeddings) and torch.equal(one.pooled, other.pooled)


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_at_weight_1_parentheses_change_nothing(encode: Encode, model: str) -> None:
    plain = encode(model, "a red house (by) the lake", weights=False)
    assert same(encode(model, r"a (red:1.0) ((house:2):0.5) \(by\) the lake"), plain)


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_a_prompt_goes_away_from_itself_without_the_words_by_their_weight(encode: Encode, model: str) -> None:
    empty, plain = encode(model, ""), encode(model, "a red house by the lake")
    weighted = encode(model, "(a red house by the lake:1.5)")
    off = (weighted.embeddings - torch.lerp(empty.embeddings, plain.embeddings, 1.5)).abs().amax(-1)[0] > 1e-4
    assert off.sum() <= 2, "an end token lies elsewhere in the empty prompt"
    assert same(Prompt(plain.embeddings, plain.encoder, pooled=weighted.pooled), plain)


def test_at_weight_0_the_padding_reads_as_if_the_words_were_not_there(encode: Encode) -> None:
    without, plain = (encode("clip", text).embeddings for text in ("a house", "a red house"))
    weighted = encode("clip", "a (red:0) house").embeddings
    assert torch.allclose(weighted[0, 5:], without[0, 5:], atol=1e-5)
    assert torch.allclose(weighted[0, 3], without[0, 2], atol=1e-5), "the house"
    assert not torch.allclose(plain[0, 3], without[0, 2], atol=1e-2)
    assert torch.equal(weighted[0, :2], plain[0, :2])


@pytest.mark.wide
@pytest.mark.parametrize("model", ["sdxl", "sd3"])
def test_layers_of_clip_are_left_out_as_in_diffusers(encode: Encode, oracle: Oracle, zoo: Any, model: str) -> None:
    pipeline = oracle.pipeline(zoo(model))
    more = {"prompt_3": None} if model == "sd3" else {}
    encoded = pipeline.encode_prompt(
        "a red house", prompt_2=None, clip_skip=1, do_classifier_free_guidance=False, **more
    )
    skipped = encode(model, "a red house", clip_skip=1)
    assert torch.allclose(skipped.embeddings, encoded[0], atol=1e-4)
    assert not torch.allclose(encode(model, "a red house").embeddings, encoded[0], atol=1e-2)


@pytest.mark.parametrize("model", ["clip", "sd2"])
def test_a_layer_before_the_last_is_normed_as_the_last_is(encode: Encode, lent: Lent, model: str) -> None:
    (reader,) = lent(model).readers
    tokens = reader.tokenizer("a red house", padding="max_length", max_length=77, return_tensors="pt")
    given = reader.network(tokens.input_ids, output_hidden_states=True)
    normed = getattr(reader.network, "text_model", reader.network).final_layer_norm(given.hidden_states[-2])
    assert torch.allclose(encode(model, "a red house", clip_skip=1).embeddings, normed, atol=1e-5)


@pytest.mark.parametrize(("model", "layer"), [("clip", 1), ("sdxl", 2), ("sd3", 2)])
def test_layers_of_clip_are_counted_from_the_last_one(encode: Encode, model: str, layer: int) -> None:
    assert torch.equal(encode(model, "a house", clip_layer=layer).embeddings, encode(model, "a house").embeddings)
    one_before, skipped = (encode(model, "a house", **more) for more in ({"clip_layer": layer + 1}, {"clip_skip": 1}))
    assert torch.equal(one_before.embeddings, skipped.embeddings)
    with refused("conflicting-inputs", "clip_skip", "clip_layer"):
        encode(model, "a house", clip_skip=1, clip_layer=layer)


def test_more_layers_than_there_are_cannot_be_left_out(encode: Encode) -> None:
    with refused("out-of-range", "clip_skip", 9, 2):
        encode("clip", "a red house", clip_skip=9)


@pytest.mark.parametrize("name", [*TEXT_MODELS, "epsilon", "sd-turbo"])
@pytest.mark.parametrize("text", ["", "a red house", "A  (red) Café, 日本 <|endoftext|> x"])
def test_a_short_prompt_becomes_the_tokens_of_the_tokenizer_itself(lent: Lent, name: str, text: str) -> None:
    for reader in lent(name).readers:
        own = reader.tokenizer([text], padding="max_length", max_length=reader.length, return_tensors="pt")
        (tokens,) = reader.split(PLAIN.of(text))
        given = reader.network(own.input_ids).last_hidden_state
        assert torch.equal(reader.read([[tokens]], 1).embeddings, given)


@pytest.mark.parametrize("name", ["clip", "sd2", "sdxl", "sdxl-refiner"])
def test_a_long_prompt_is_read_in_chunks_each_by_itself(encode: Encode, lent: Lent, name: str) -> None:
    long, columns = encode(name, LONG), []
    for reader in lent(name).readers:
        body = reader.tokenizer(LONG, add_special_tokens=False).input_ids
        parts = [body[at : at + 75] for at in range(0, len(body), 75)]
        chunks = [reader.tokenizer.decode(part) for part in parts]
        tokens = reader.tokenizer(chunks, padding="max_length", max_length=77, return_tensors="pt").input_ids
        given = [reader.network(row[None], output_hidden_states=True) for row in tokens]
        columns.append(
            torch.cat([one.hidden_states[-2] if "sdxl" in name else one.last_hidden_state for one in given], dim=1)
        )
    assert len(parts) == 3
    assert torch.allclose(long.embeddings, torch.cat(columns, dim=-1), atol=1e-5)
    assert long.pooled is None or torch.allclose(long.pooled, given[0].text_embeds, atol=1e-5)


def test_flux_has_clip_read_once_however_long_and_weighed_a_prompt_is(encode: Encode, lent: Lent) -> None:
    """A vector of the first chunk is all that it reads of CLIP; T5 reads the rest, and weights."""
    seen: list[tuple[int, ...]] = []
    clip, _ = lent("flux-dev").readers
    hook = clip.network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    long, weighed = (encode("flux-dev", text) for text in (LONG, f"({LONG}:1.5)"))
    hook.remove()
    assert seen == [(1, 77), (1, 77)]
    assert long.pooled is not None and weighed.pooled is not None and torch.equal(long.pooled, weighed.pooled)
    assert not torch.equal(long.embeddings, weighed.embeddings)


def test_words_at_the_end_of_150_tokens_act(encode: Encode) -> None:
    one, other = (encode("clip", LONG + end).embeddings for end in ("night", "day"))
    assert one.shape == other.shape == (1, 3 * 77, 64)
    assert torch.equal(one[:, :154], other[:, :154])
    assert not torch.equal(one, other)


def test_a_weight_acts_in_every_chunk(encode: Encode) -> None:
    plain, empty = encode("sdxl", LONG), encode("sdxl", "")
    weighted = encode("sdxl", f"({LONG}:1.5)")
    wanted = torch.lerp(empty.embeddings.repeat(1, 3, 1), plain.embeddings, 1.5)
    assert torch.allclose(weighted.embeddings[:, 1:76], wanted[:, 1:76], atol=1e-5)
    assert torch.allclose(weighted.embeddings[:, 78:153], wanted[:, 78:153], atol=1e-5)
    assert same(Prompt(plain.embeddings, plain.encoder, pooled=weighted.pooled), plain)


@pytest.mark.parametrize(("times", "tokens"), [(30, 256), (40, 512), (90, 512)])
def test_t5_reads_long_texts_whole(encode: Encode, lent: Lent, times: int, tokens: int) -> None:
    """The tiny T5 spells: `night. ` has seven tokens."""
    text = "night. " * times
    reader = lent("sd3").readers[-1]
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    given = reader.network(reader.tokenizer([text], max_length=tokens, **options).input_ids)[0]
    clip = 77 * max(len(reader.split(PLAIN.of(text))) for reader in lent("sd3").readers)
    assert torch.equal(encode("sd3", text).embeddings[:, clip:], given)


@pytest.mark.parametrize("model", ["sdxl", "sd3", "flux-dev"])
def test_text_models_read_texts_of_their_own_as_in_diffusers(
    encode: Encode, oracle: Oracle, zoo: Any, model: str
) -> None:
    pipeline, third = oracle.pipeline(zoo(model)), model == "sd3"
    others = {"prompt_2": "a boat", **({"prompt_3": "a tree at night"} if third else {})}
    more = {} if model == "flux-dev" else {"do_classifier_free_guidance": False}
    found = pipeline.encode_prompt("a red house", **others, **more)
    ours = encode(model, "a red house", text_2="a boat", text_3="a tree at night" if third else None)
    assert torch.allclose(ours.embeddings, found[0], atol=1e-4)
    pooled = found[1] if model == "flux-dev" else found[2]
    assert ours.pooled is not None and torch.allclose(ours.pooled, pooled, atol=1e-4)
    assert not torch.allclose(encode(model, "a red house").embeddings, found[0], atol=1e-2)


def test_a_text_for_a_text_model_that_is_not_there_is_refused_before_the_run(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint("epsilon")
        graph.output("prompt", TextEncode(checkpoint.text_encoder, "a house", text_2="a boat"))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.input) == ("unsupported-by-model", "text_2")
