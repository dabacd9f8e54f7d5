"""Training a word: the loss is that of diffusers' own script, and what is trained paints in diffusers as here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tests.nodes.fine_tuning.training import RATE, SEED, STEPS, Restated, pictures
from tests.nodes.oracle import NEGATIVE, SCALE, SIZE, Oracle, assert_same, diffusers
from tests.nodes.oracle import SEED as PAINTED
from tests.refusals import refused
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    SaveEmbedding,
    TextEncode,
    TrainedEmbedding,
    TrainEmbedding,
    VAEDecode,
)
from weft.nodes.fine_tuning.examples import generator_for
from weft.nodes.picture_files import to_pil

Call = Callable[..., Any]

WORD, START, CAPTION = "<thing>", "h", "a picture of <thing>, large"


@pytest.fixture(scope="module")
def trained(call: Call) -> TrainedEmbedding[Any]:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    options = {"word": WORD, "start": START, "steps": STEPS, "batch_size": 2, "learning_rate": RATE, "seed": SEED}
    found: TrainedEmbedding[Any] = call(
        TrainEmbedding, **checkpoint._asdict(), pictures=pictures(), captions=CAPTION, **options
    )
    return found


class RestatedWord(Restated):
    """A training of a word written down plainly: a token is added, and its row of the table is trained."""

    def losses(self) -> list[float]:
        pipeline = copy.deepcopy(self.pipeline)
        tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder.requires_grad_(False)
        (first,) = tokenizer(START, add_special_tokens=False).input_ids
        tokenizer.add_tokens([WORD])
        (number,) = tokenizer(WORD, add_special_tokens=False).input_ids
        encoder.resize_token_embeddings(len(tokenizer))
        table = encoder.get_input_embeddings()
        vector = torch.nn.Parameter(table.weight[first].detach().clone())

        def place(module: Any, given: Any, embedded: torch.Tensor) -> torch.Tensor:
            return torch.where((given[0] == number)[..., None], vector, embedded)

        table.register_forward_hook(place)
        self.pipeline = pipeline
        optimizer = torch.optim.AdamW([vector], lr=RATE, weight_decay=0.0)
        found = []
        for step in range(STEPS):
            loss = self._loss(pipeline.unet.requires_grad_(False), step)
            found.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([vector], 1.0)
            optimizer.step()
        return found


def _unet(pipeline: Any, unet: Any, noisy: torch.Tensor, times: torch.Tensor, captions: list[str]) -> Any:
    tokens = pipeline.tokenizer([CAPTION] * len(captions), padding="max_length", return_tensors="pt").input_ids
    return unet(noisy, times, encoder_hidden_states=pipeline.text_encoder(tokens)[0]).sample


def test_first_losses_are_those_of_the_paper(trained: TrainedEmbedding[Any], oracle: Oracle) -> None:
    def order(step: int) -> list[int]:
        found: list[int] = torch.randperm(2, generator=generator_for(SEED, "order", step)).tolist()
        return found

    theirs = RestatedWord(oracle.pipeline("epsilon"), _unet, order).losses()
    assert trained.losses == pytest.approx(theirs, abs=1e-5)


def test_what_is_trained_paints_in_diffusers(
    call: Call, trained: TrainedEmbedding[Any], oracle: Oracle, tmp_path: Path
) -> None:
    file = call(SaveEmbedding, embedding=trained.embedding).save(tmp_path)
    pipeline = copy.deepcopy(oracle.pipeline("epsilon"))
    pipeline.load_textual_inversion(str(file), token=WORD)
    oracle.loaded["with a word"] = pipeline
    (oracle.models / "with a word").symlink_to(oracle.models / "epsilon")
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": 2}
    kind = diffusers.StableDiffusionPipeline
    theirs = oracle.paint(kind, "model", model="with a word", prompt=[CAPTION], **size)
    checkpoint = call(LoadCheckpoint, source="epsilon")
    positive = call(TextEncode, text_encoder=trained.text_encoder, text=CAPTION)
    negative = call(TextEncode, text_encoder=checkpoint.text_encoder, text=NEGATIVE)
    guide = call(CFGGuide, model=checkpoint.model, positive=positive, negative=negative, scale=SCALE)
    latent = call(EmptyLatent, width=SIZE, height=SIZE)
    sampled = call(KSampler, guide=guide, latent=latent, seed=PAINTED, steps=2, sampler="model")
    pixels = call(VAEDecode, vae=checkpoint.vae, latent=sampled).pixels
    assert_same(numpy.stack([numpy.asarray(one) for one in to_pil(pixels)]), theirs)


@pytest.mark.parametrize("given", [{"captions": "a picture"}, {"word": " "}])
def test_a_word_that_captions_do_not_have_is_refused(call: Call, given: dict[str, Any]) -> None:
    usual = {"pictures": pictures(), "captions": CAPTION, "word": WORD, "steps": 1}
    with refused("malformed-word"):
        call(TrainEmbedding, **call(LoadCheckpoint, source="epsilon")._asdict(), **{**usual, **given})
