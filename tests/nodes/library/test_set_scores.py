"""FID and KID against torchmetrics, on tiny random networks that both are given, and FID's own Inception network.

Inception with random weights against torch-fidelity: `pip install torch-fidelity torchvision`, then
`pytest -m slow tests/nodes/library/test_set_scores.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from tests.nodes.clip_models import TINY, save_clip
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import (
    FID,
    KID,
    ExtractFeatures,
    ExtractFolderFeatures,
    Image,
    LoadFeatureNetwork,
    PictureFeatures,
)
from weft.nodes.score_values import FeatureNetwork

SIZE = {"height": 32, "width": 32}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP, DINOv2, a ViT and a ResNet that classify: networks that pool in four ways."""
    folder = tmp_path_factory.mktemp("networks")
    save_clip(folder / "clip")
    torch.manual_seed(6)
    sizes: dict[str, Any] = {"image_size": 32, "patch_size": 8}
    processor: Any = transformers.ViTImageProcessorPil(size=SIZE)
    resnet: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic"}
    for name, network in {
        "dino": transformers.Dinov2Model(transformers.Dinov2Config(**TINY, **sizes)),
        "vit": transformers.ViTForImageClassification(transformers.ViTConfig(**TINY, **sizes)),
        "resnet": transformers.ResNetForImageClassification(transformers.ResNetConfig(**resnet)),
    }.items():
        network.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def run(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    engine = Engine(store=None, device="cpu", precision="float32", models=[models], inputs=[models], guarded=True)
    return lambda node, **given: engine.run_now(node, given)


def pictures(seed: int, count: int, brightness: float = 1.0) -> Image:
    levels = torch.randint(0, 256, (count, 32, 32, 3), generator=torch.Generator().manual_seed(seed))
    return Image((levels * brightness).round() / 255)


class Features(nn.Module):
    """A network of transformers, as torchmetrics takes one: from bytes `[picture, 3, height, width]` to vectors."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        auto: Any = transformers
        self.network: Any = auto.AutoModel.from_pretrained(folder)
        self.processor: Any = auto.AutoImageProcessor.from_pretrained(folder, backend="pil")

    def forward(self, levels: Tensor) -> Tensor:
        given = self.processor(images=[*levels.byte()], return_tensors="pt")["pixel_values"]
        if hasattr(self.network, "get_image_features"):
            vectors: Tensor = self.network.get_image_features(given).pooler_output
            return vectors
        output = self.network(given)
        made: Tensor = output.last_hidden_state[:, 0] if "ViT" in type(self.network).__name__ else output.pooler_output
        return made.flatten(1)


def as_bytes(image: Image) -> Tensor:
    return (255 * image.pixels).round().byte().movedim(-1, 1)


@pytest.mark.parametrize("name", ["clip", "dino", "vit", "resnet"])
def test_distances_are_those_of_torchmetrics_in_the_vectors_of_the_same_network(
    models: Path, run: Any, name: str
) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    one, other = pictures(1, 40), pictures(2, 60, 0.6)
    network = run(LoadFeatureNetwork, source=name)
    features, others = (run(ExtractFeatures, network=network, image=each) for each in (one, other))
    reference = Features(models / name).eval()
    fid = FrechetInceptionDistance(feature=reference, input_img_size=(3, 32, 32))
    kid = KernelInceptionDistance(feature=reference, subsets=7, subset_size=30)
    with torch.no_grad():
        for metric in (fid, kid):
            metric.update(as_bytes(other), real=True)
            metric.update(as_bytes(one), real=False)
        torch.manual_seed(5)
        mean, deviation = kid.compute()
        assert run(FID, features=features, others=others).score == pytest.approx(float(fid.compute()), abs=1e-4)
    # torchmetrics draws from the real pictures first.
    found = run(KID, features=others, others=features, subsets=7, size=30, seed=5)
    assert found.score == pytest.approx(float(mean), abs=1e-4)
    assert found.deviation == pytest.approx(float(deviation), abs=1e-4)


def vectors(seed: int, count: int, channels: int = 5) -> PictureFeatures:
    drawn = torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))
    return PictureFeatures(FeatureNetwork("a" * 64, "", "float32"), drawn)


def test_a_set_is_at_no_distance_from_itself_and_a_shift_counts_squared() -> None:
    own = vectors(1, 200)
    moved = PictureFeatures(own.network, own.vectors + torch.tensor([3.0, 4.0, 0.0, 0.0, 0.0]))
    assert FID(own, own).score == pytest.approx(0.0, abs=1e-6)
    assert FID(own, moved).score == pytest.approx(25.0, abs=1e-3) and FID(moved, own).pictures == 200


def test_few_pictures_are_warned_of_and_single_ones_or_other_networks_refused() -> None:
    with pytest.warns(UserWarning, match="too few"):
        FID(vectors(1, 5), vectors(2, 200))
    with pytest.warns(UserWarning, match="too few"):
        assert KID(vectors(1, 20), vectors(2, 200), subsets=2).pictures == 20
    with refused("too-few-pictures"):
        FID(vectors(1, 1), vectors(2, 200))
    other = PictureFeatures(FeatureNetwork("b" * 64, "", "float32"), vectors(2, 9).vectors)
    with refused("different-networks"):
        FID(vectors(1, 9), other)


def test_a_folder_has_the_vectors_of_its_pictures_in_their_order(models: Path, run: Any) -> None:
    image = pictures(7, 18)
    (models / "set").mkdir()
    image.save(models / "set" / "item.png")
    pictures(8, 1).save(models / "set" / "contact_sheet.png")
    network = run(LoadFeatureNetwork, source="resnet")
    whole = run(ExtractFolderFeatures, network=network, folder="set", pattern="item_*")
    torch.testing.assert_close(whole.vectors, run(ExtractFeatures, network=network, image=image).vectors)
    with refused("empty-list"):
        run(ExtractFolderFeatures, network=network, folder="set", pattern="*.jpg")


@pytest.mark.slow
def test_inception_is_that_of_torch_fidelity(tmp_path: Path) -> None:
    reference_of = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    from safetensors.torch import save_file

    from weft.nodes.models.inception_network import InceptionNetwork, load_inception

    torch.manual_seed(1)
    network = InceptionNetwork()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    weights = network.state_dict()
    weights |= {"fc.weight": torch.randn(1008, 2048), "fc.bias": torch.randn(1008)}
    save_file(weights, tmp_path / "inception.safetensors")
    torch.save(weights, tmp_path / "inception.pth")
    kind = reference_of.FeatureExtractorInceptionV3
    reference = kind("inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "inception.pth"))
    own = load_inception("inception", tmp_path / "inception.safetensors", torch.float32, "cpu")
    given = pictures(3, 2)
    (wanted,) = reference(as_bytes(given))
    torch.testing.assert_close(own.features(given.to_pil()), wanted, atol=1e-4, rtol=1e-4)
