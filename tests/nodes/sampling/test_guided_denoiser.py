"""What a family's denoiser may say of guidance, masks and frames by its own small methods, without any other code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.sampling.guided_denoiser import guided
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.values import Conditioning, Guide, Latent, Model, Prompt, TextEncoder

RECIPE = ("digest", "TEST", "", "float32")
LATENT = Latent[Any](width=16, height=16, batch_size=2)
FIRST = Position(0, 1)


class Echo(Denoiser):
    """Predicts the mean of the prompt's tokens that its mask keeps, times the network's timestep."""

    prompt_width = 1
    calls: list[int]

    def __init__(self) -> None:
        network = SimpleNamespace(dtype=torch.float32, config={})
        super().__init__("TEST", network, {}, 4, 8, LatentRGBFactors(((0.0, 0.0, 0.0),) * 4))
        self.calls = []

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {"tokens": prompt.embeddings, "mask": prompt.embeddings[..., 0] > -100}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        tokens, mask = conditions["tokens"], conditions["mask"]
        assert mask.dtype is torch.bool
        self.calls.append(len(sample))
        mean = torch.stack([row[kept].mean() for row, kept in zip(tokens, mask, strict=True)])
        return mean.reshape(-1, *[1] * (sample.ndim - 1)) * self.network_timestep(timestep).expand_as(sample)


class ZImageLike(Echo):
    """positive + scale (positive - negative), timesteps from 0 to 1, predictions of the other sign."""

    def network_timestep(self, timestep: Tensor) -> Tensor:
        return (1000 - timestep) / 1000

    def guidance_step(self, before: Tensor, after: Tensor, scale: float) -> Tensor:
        return (1 + scale) * (after - before)

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        return -super().predict(sample, timestep, conditions)


class QwenImageLike(Echo):
    """A guided prediction has the length of the positive one over its channels."""

    def normalised(self, guided: Tensor, positive: Tensor) -> Tensor:
        found: Tensor = guided * positive.norm(dim=1, keepdim=True) / guided.norm(dim=1, keepdim=True)
        return found


class DistilledLike(Echo):
    """Reads the scale itself."""

    def guidance_conditions(self, scale: float) -> Conditions:
        return {"guidance": torch.tensor([scale])}


def values(found: Tensor) -> list[float]:
    """The different numbers in a tensor."""
    return sorted(set(found.flatten().tolist()))


def prompt(*tokens: float, **options: Any) -> Prompt[Any]:
    return Prompt(torch.tensor(tokens)[None, :, None], TextEncoder(*RECIPE), **options)


def guide_of(positive: tuple[Prompt[Any], ...], negative: Prompt[Any] | None, scale: float) -> Guide[Any]:
    against = None if negative is None else Conditioning((negative,))
    return Guide(Model(*RECIPE), Conditioning(positive), against, scale)


def predicted(model: Denoiser, guide: Guide[Any], *, frames: tuple[int, ...] = (), timestep: float = 1.0) -> Tensor:
    context: Any = SimpleNamespace(device="cpu", saves=lambda way: False)
    with guided(guide, model, LATENT, context) as predict:
        return predict(torch.zeros(2, 4, *frames, 2, 2), torch.tensor(timestep), FIRST)


@pytest.mark.parametrize("frames", [(), (3,)])
def test_plain_guidance_leads_from_the_negative_prompt(frames: tuple[int, ...]) -> None:
    found = predicted(Echo(), guide_of((prompt(3.0),), prompt(1.0), 5.0), frames=frames)
    assert found.shape == (2, 4, *frames, 2, 2) and values(found) == [11.0]


def test_a_family_may_have_its_own_step_timesteps_and_sign() -> None:
    found = predicted(ZImageLike(), guide_of((prompt(3.0),), prompt(1.0), 5.0), timestep=500)
    assert values(found) == [-0.5 * (3 + 5 * (3 - 1))]


def test_a_family_may_bring_a_guided_prediction_to_the_length_of_the_positive_one() -> None:
    assert values(predicted(QwenImageLike(), guide_of((prompt(3.0),), prompt(1.0), 5.0))) == [3.0]


def test_a_distilled_network_is_called_with_the_positive_prompt_alone() -> None:
    model = DistilledLike()
    assert values(predicted(model, guide_of((prompt(3.0),), prompt(1.0), 5.0))) == [3.0]
    assert model.calls == [2]


def test_prompts_of_one_length_share_a_call_and_others_take_one_each() -> None:
    together, apart = Echo(), Echo()
    predicted(together, guide_of((prompt(3.0, 3.0),), prompt(1.0, 1.0), 5.0))
    assert values(predicted(apart, guide_of((prompt(3.0, 3.0),), prompt(1.0), 5.0))) == [11.0]
    assert (together.calls, apart.calls) == ([4], [2, 2])


def test_tokens_of_padding_are_masked_for_each_item() -> None:
    both = Prompt[Any](torch.tensor([[3.0, 5.0], [3.0, -1000.0]])[..., None], TextEncoder(*RECIPE))
    found = predicted(Echo(), guide_of((both,), None, 1.0))
    assert found[:, 0, 0, 0].tolist() == [4.0, 3.0]


@pytest.mark.parametrize("frames", [(), (3,)])
def test_an_area_holds_for_every_frame(frames: tuple[int, ...]) -> None:
    left, everywhere = prompt(3.0, area=(0.0, 0.0, 0.5, 1.0)), prompt(1.0)
    found = predicted(Echo(), guide_of((left, everywhere), None, 1.0), frames=frames)
    assert values(found[..., 0]) == [2.0] and values(found[..., 1]) == [1.0]


def test_masks_of_items_hold_for_every_frame() -> None:
    mask = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 16, 16)
    found = predicted(Echo(), guide_of((prompt(3.0, mask=mask), prompt(1.0)), None, 1.0), frames=(3,))
    assert [values(item) for item in found] == [[1.0], [2.0]]
