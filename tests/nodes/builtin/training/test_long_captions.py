"""Long captions: what stands around a caption, how they are chunked, and that the text encoder's stage learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, TextEncode, VAEDecode
from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.long_captions import LongCaptionsStage, chunked, surrounded
from weft.nodes.builtin.training.loop import Schedule, train_stage
from weft.nodes.builtin.training.unet_stage import DenoiserStage
from weft.nodes.builtin.training.vocabulary import TOKENS, new_tokenizer

CAPTION = "a snowy mountain at sunset, a lake in front, a red house on the left, a clear sky"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return new_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_caption_stays_in_its_order_and_fits_its_chunks(tokenizer: CLIPTokenizer, count: int) -> None:
    numbers = np.random.default_rng(count)
    for _ in range(50):
        text = surrounded(CAPTION, tokenizer, count, numbers)
        places = [text.index(part) for part in CAPTION.split(", ")]
        assert places == sorted(places)
        assert len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids) <= count * (TOKENS - 2)


def test_chunks_are_what_a_text_is_without_their_ends(tokenizer: CLIPTokenizer) -> None:
    text = surrounded(CAPTION, tokenizer, 3, np.random.default_rng(5))
    chunks = chunked(text, tokenizer, 3)
    assert chunks.shape == (3, TOKENS) and (chunks[:, 0] == tokenizer.bos_token_id).all()
    inside = [token for row in chunks.tolist() for token in row if token < tokenizer.bos_token_id]
    assert inside == tokenizer(text, add_special_tokens=False, verbose=False).input_ids


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_leave_the_unet_alone(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    latents = torch.randn(8, 2, 4, 16, 16).half()
    denoiser = DenoiserStage(draw_scenes(8, seed=2), latents, tokenizer, seed=1)
    denoiser.unet.conv_out.weight.data *= 10  # untrained, it hardly looks at words
    stage = LongCaptionsStage(denoiser, seed=1, batch=4)
    before, unet = stage.loss(99).item(), [weight.clone() for weight in denoiser.unet.parameters()]
    train_stage(stage, Schedule(steps=12, rate=1e-3, warmup=1, decay=0.0), tmp_path)
    assert stage.loss(99).item() < before
    assert all(torch.equal(one, other) for one, other in zip(unet, denoiser.unet.parameters(), strict=True))


TAGS = "masterpiece, best quality, highly detailed, photograph, wide angle lens, cinematic composition, "


def brightness(text: str) -> float:
    """How bright the model that comes with Weft paints a text."""
    model, text_encoder, vae = LoadCheckpoint("builtin:landscapes")
    guide = CFGGuide(model, TextEncode(text_encoder, text), scale=5.0)
    return float(VAEDecode(vae, KSampler(guide, EmptyLatent(128, 128), seed=3, steps=8)).pixels.mean())


@pytest.mark.parametrize("before", ["", 2 * TAGS])
def test_words_are_followed_at_the_end_of_a_long_text(before: str) -> None:
    day, night = (brightness(f"{before}green hills {time}, a lake in front") for time in ("in daylight", "at night"))
    assert day > night + 0.2
