"""CLIP scores against torchmetrics and transformers, aesthetic heads against their definition, on tiny models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from tests.nodes.clip_models import save_clip, save_siglip
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import (
    AestheticScore,
    ClipScore,
    EncodeImage,
    Image,
    LoadAestheticHead,
    LoadClipModel,
    LoadImageEncoder,
)

TEXTS = ["a snowy mountain at sunset", "a lake"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder / "clip")
    save_siglip(folder / "siglip")
    return folder


@pytest.fixture(scope="module")
def run(models: Path) -> Callable[..., Any]:
    engine = Engine(store=None, device="cpu", precision="float32", models=[models], guarded=True)
    return lambda node, **given: engine.run_now(node, given)


def pictures() -> Image:
    levels = torch.randint(0, 256, (2, 40, 56, 3), generator=torch.Generator().manual_seed(2))
    return Image(levels.float() / 255)


class Pooled:
    """A model whose vectors come without what they were pooled of, as transformers gave them before version 5."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def to(self, device: object) -> Pooled:
        return self

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.network, name)
        return (lambda *given: found(*given).pooler_output) if name.endswith("_features") else found


def test_clip_scores_are_those_of_torchmetrics(models: Path, run: Any) -> None:
    from torchmetrics.functional.multimodal import clip_score

    network: Any = Pooled(transformers.CLIPModel.from_pretrained(models / "clip"))
    processor: Any = transformers.CLIPProcessor.from_pretrained(models / "clip")
    found = run(ClipScore, model=run(LoadClipModel, source="clip"), image=pictures(), text=TEXTS)
    given = [(255 * one).round().byte().movedim(-1, 0) for one in pictures().pixels]
    for score, picture, text in zip(found.scores, given, TEXTS, strict=True):
        wanted = clip_score(picture, text, lambda: (network, processor))
        assert score == pytest.approx(float(wanted), abs=1e-4)
    assert found.score == pytest.approx(float(clip_score(given, TEXTS, lambda: (network, processor))), abs=1e-4)
    assert len({round(score, 3) for score in found.scores}) == 2 and min(found.scores) >= 0


def test_siglip_compares_as_transformers_does(models: Path, run: Any) -> None:
    network = transformers.SiglipModel.from_pretrained(models / "siglip")
    processor: Any = transformers.AutoProcessor.from_pretrained(models / "siglip")  # type: ignore[no-untyped-call]
    given = processor(text=TEXTS, images=pictures().to_pil(), padding="max_length", return_tensors="pt")
    with torch.no_grad():
        output = network(input_ids=given["input_ids"], pixel_values=given["pixel_values"])
    wanted = 100 * (output.image_embeds * output.text_embeds).sum(-1)
    found = run(ClipScore, model=run(LoadClipModel, source="siglip"), image=pictures(), text=TEXTS)
    torch.testing.assert_close(torch.tensor(found.scores), wanted.clamp(min=0), atol=1e-4, rtol=0)


def test_a_model_is_read_as_a_whole_and_as_an_encoder_of_pictures_in_one_graph(run: Any) -> None:
    for _ in range(2):
        model, encoder = run(LoadClipModel, source="clip"), run(LoadImageEncoder, source="clip")
        embedding = run(EncodeImage, image_encoder=encoder, image=pictures())
        assert run(ClipScore, model=model, image=pictures(), text="a lake").scores
        assert embedding.vectors.shape == (2, 12) and model.source != encoder.source


def test_as_many_texts_as_pictures_or_one_are_taken_and_long_ones_are_cut_with_a_warning(run: Any) -> None:
    model = run(LoadClipModel, source="clip")
    one = run(ClipScore, model=model, image=pictures(), text=TEXTS[0])
    assert len(one.scores) == 2
    with refused("batch-mismatch"):
        run(ClipScore, model=model, image=pictures(), text=[*TEXTS, "a third"])
    with pytest.warns(UserWarning, match="77"):
        run(ClipScore, model=model, image=pictures(), text="a lake " * 60)


def test_heads_rate_as_their_authors_define_it(models: Path, run: Any) -> None:
    torch.manual_seed(4)
    # LAION's predictor of linear layers with dropout between them, and the one of a single layer.
    layers = nn.Sequential(
        *(nn.Linear(12, 10), nn.Dropout(0.2), nn.Linear(10, 8), nn.Dropout(0.2)),
        *(nn.Linear(8, 6), nn.Dropout(0.1), nn.Linear(6, 4), nn.Linear(4, 1)),
    ).eval()
    single = nn.Linear(12, 1)
    save_file({f"layers.{name}": one for name, one in layers.state_dict().items()}, models / "mlp.safetensors")
    save_file(single.state_dict(), models / "single.safetensors")
    embedding = run(EncodeImage, image_encoder=run(LoadImageEncoder, source="clip"), image=pictures())
    network = transformers.CLIPModel.from_pretrained(models / "clip")
    processor: Any = transformers.CLIPProcessor.from_pretrained(models / "clip")
    with torch.no_grad():
        vectors: Any = network.get_image_features(**processor(images=pictures().to_pil(), return_tensors="pt"))
        vectors = vectors.pooler_output / vectors.pooler_output.norm(dim=-1, keepdim=True)
        for name, wanted in (("mlp", layers(vectors)), ("single", single(vectors))):
            head = run(LoadAestheticHead, source=f"{name}.safetensors")
            found = run(AestheticScore, head=head, embedding=embedding)
            torch.testing.assert_close(torch.tensor(found.scores), wanted[:, 0], atol=1e-4, rtol=0)


def test_heads_of_other_encoders_and_other_files_are_refused(models: Path, run: Any) -> None:
    save_file(nn.Linear(9, 1).state_dict(), models / "narrow.safetensors")
    save_file(nn.Linear(9, 2).state_dict(), models / "two.safetensors")
    embedding = run(EncodeImage, image_encoder=run(LoadImageEncoder, source="clip"), image=pictures())
    with refused("wrong-channels"):
        run(AestheticScore, head=run(LoadAestheticHead, source="narrow.safetensors"), embedding=embedding)
    with refused("wrong-kind-of-file"):
        run(LoadAestheticHead, source="two.safetensors")
    with refused("wrong-kind-of-file"):
        run(LoadClipModel, source="two.safetensors")
