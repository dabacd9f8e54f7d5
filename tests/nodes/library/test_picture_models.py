"""Models of transformers for depth, classes and poses against transformers' own pipelines; normals against formulas."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.refusals import refused
from weft.engine import Engine, Graph, InputError
from weft.nodes import (
    DepthToNormals,
    DrawPose,
    EstimateDepth,
    Image,
    LoadDepthModel,
    LoadImage,
    LoadObjectDetector,
    LoadPoseModel,
    LoadSegmentationModel,
    MaskObjects,
    SaveImage,
    SegmentImage,
)
from weft.nodes.library.picture_models import class_numbers
from weft.nodes.models.class_colours import ADE20K
from weft.nodes.models.contents import Contents
from weft.nodes.models.task_models import load_task_model, task_facts

PICTURE = PIL.Image.open(Path(__file__).parents[3] / "graphs/pictures/lake.png").convert("RGB").resize((96, 64))

LABELS = {0: "wall", 1: "sky, heaven", 2: "sea"}


def _dpt() -> tuple[Any, Any]:
    sizes: dict[str, Any] = {"image_size": 32, "patch_size": 8, "backbone_out_indices": [0, 1, 2, 3]}
    config = transformers.DPTConfig(**TINY, **NECK, **sizes, num_hidden_layers=4)
    processor: Any = transformers.DPTImageProcessorPil
    return transformers.DPTForDepthEstimation(config), processor(size={"height": 32, "width": 32})


def _depth_anything() -> tuple[Any, Any]:
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    own: dict[str, Any] = {"image_size": 28, "patch_size": 14, "out_features": stages, "reshape_hidden_states": False}
    backbone = transformers.Dinov2Config(**TINY, **own, num_hidden_layers=4)
    sizes: dict[str, Any] = {"reassemble_hidden_size": 16, "patch_size": 14, "head_hidden_size": 4}
    config = transformers.DepthAnythingConfig(backbone_config=backbone, **NECK, **sizes)
    processor: Any = transformers.DPTImageProcessorPil
    prepared = processor(size={"height": 28, "width": 28}, keep_aspect_ratio=True, ensure_multiple_of=14)
    return transformers.DepthAnythingForDepthEstimation(config), prepared


def _glpn() -> tuple[Any, Any]:
    config = transformers.GLPNConfig(**STAGES)
    return transformers.GLPNForDepthEstimation(config), transformers.GLPNImageProcessorPil()


def _segformer() -> tuple[Any, Any]:
    names: dict[str, Any] = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
    processor: Any = transformers.SegformerImageProcessorPil
    config = transformers.SegformerConfig(**STAGES, **names)
    return transformers.SegformerForSemanticSegmentation(config), processor(size={"height": 32, "width": 32})


def _vitpose() -> tuple[Any, Any]:
    sizes: dict[str, Any] = {"image_size": [64, 48], "patch_size": [16, 16], "out_indices": [1]}
    backbone = transformers.VitPoseBackboneConfig(**TINY, **sizes, num_hidden_layers=1)
    processor: Any = transformers.VitPoseImageProcessorPil
    config = transformers.VitPoseConfig(backbone_config=backbone, **JOINTS)
    return transformers.VitPoseForPoseEstimation(config), processor(size={"height": 64, "width": 48})


def _vitpose_plus() -> tuple[Any, Any]:
    """A network of several experts, of which one is for people of COCO."""
    sizes: dict[str, Any] = {"image_size": [64, 48], "patch_size": [16, 16], "out_indices": [1]}
    experts: dict[str, Any] = {"num_experts": 3, "part_features": 4}
    backbone = transformers.VitPoseBackboneConfig(**TINY, **sizes, **experts, num_hidden_layers=1)
    config = transformers.VitPoseConfig(backbone_config=backbone, **JOINTS)
    return transformers.VitPoseForPoseEstimation(config), _vitpose()[1]


def _yolos() -> tuple[Any, Any]:
    names: dict[str, Any] = {"id2label": {0: "cat", 1: "person"}, "label2id": {"cat": 0, "person": 1}}
    sizes: dict[str, Any] = {"image_size": [64, 96], "patch_size": 16, "num_detection_tokens": 6}
    config = transformers.YolosConfig(**TINY, **sizes, **names, num_hidden_layers=1)
    processor: Any = transformers.YolosImageProcessorPil
    return transformers.YolosForObjectDetection(config), processor(size={"height": 64, "width": 96})


NECK: dict[str, Any] = {"neck_hidden_sizes": [4, 4, 8, 8], "fusion_hidden_size": 8}
JOINTS: dict[str, Any] = {"num_labels": 17}
TINY: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
STAGES: dict[str, Any] = {
    "hidden_sizes": [8] * 4,
    "depths": [1] * 4,
    "num_attention_heads": [1] * 4,
    "decoder_hidden_size": 8,
}

MAKE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "dpt": _dpt,
    "depth-anything": _depth_anything,
    "glpn": _glpn,
    "segformer": _segformer,
    "vitpose": _vitpose,
    "vitpose-plus": _vitpose_plus,
    "yolos": _yolos,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models with random weights, each in its folder."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, make in MAKE.items():
        torch.manual_seed(5)
        model, processor = make()
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def run(models: Path) -> Callable[..., Any]:
    """Call a node type on values."""
    engine = Engine(store=None, device="cpu", precision="float32", models=[models], guarded=True)
    return lambda node, **given: engine.run_now(node, given)


def picture() -> Image:
    return Image.from_pil(PICTURE)


@pytest.mark.parametrize("name", ["dpt", "depth-anything", "glpn"])
def test_depth_is_that_of_the_pipeline_stretched_and_white_where_it_is_near(models: Path, run: Any, name: str) -> None:
    pipeline: Any = transformers.pipeline("depth-estimation", model=str(models / name), device="cpu")
    wanted = pipeline(PICTURE)["predicted_depth"].reshape(64, 96)
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    model = run(LoadDepthModel, source=name)
    made, turned = (run(EstimateDepth, model=model, image=picture(), invert=invert).pixels for invert in (False, True))
    torch.testing.assert_close(made[0, ..., 0], 1 - wanted if name == "glpn" else wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned, 1 - made)
    assert made.shape == (1, 64, 96, 3)


def test_masks_and_colours_are_those_of_the_pipelines_classes(models: Path, run: Any) -> None:
    pipeline: Any = transformers.pipeline("image-segmentation", model=str(models / "segformer"), device="cpu")
    wanted = {one["label"]: numpy.asarray(one["mask"]) / 255 for one in pipeline(PICTURE, subtask="semantic")}
    model = run(LoadSegmentationModel, source="segformer")
    painted = run(SegmentImage, model=model, image=picture()).pixels[0]
    for number, label in LABELS.items():
        mask = run(MaskObjects, model=model, image=picture(), labels=label.split(",")[0].upper()).coverage[0].numpy()
        assert numpy.array_equal(mask, wanted.get(label, numpy.zeros((64, 96))))
        colours = {tuple((255 * colour).round().int().tolist()) for colour in painted[torch.from_numpy(mask) == 1]}
        assert colours <= {tuple(ADE20K[3 * number : 3 * number + 3])}
    every = run(MaskObjects, model=model, image=picture(), labels="wall, sky, sea").coverage
    assert every.min() == 1 and len(wanted) > 1


def test_joints_are_those_of_transformers_and_are_drawn_in_their_places(models: Path, run: Any) -> None:
    box = [0.0, 0.0, 96.0, 64.0]
    processor: Any = transformers.AutoImageProcessor.from_pretrained(models / "vitpose", backend="pil")  # type: ignore[no-untyped-call]
    network = transformers.VitPoseForPoseEstimation.from_pretrained(models / "vitpose")
    inputs = processor(PICTURE, boxes=[[box]], return_tensors="pt")
    with torch.no_grad():
        ((found,),) = processor.post_process_pose_estimation(network(**inputs), boxes=[[box]])
    drawn = run(DrawPose, model=run(LoadPoseModel, source="vitpose"), image=picture(), threshold=0.0).pixels[0]
    across, down = found["keypoints"][9].round().int().tolist()  # the left wrist, which nothing is drawn over
    assert drawn[min(down, 63), min(across, 95)].max() > 0.5
    assert run(DrawPose, model=run(LoadPoseModel, source="vitpose"), image=picture(), threshold=1.0).pixels.max() == 0


def test_people_are_those_that_the_pipeline_finds(models: Path, run: Any) -> None:
    pipeline: Any = transformers.pipeline("object-detection", model=str(models / "yolos"), device="cpu")
    found = pipeline(PICTURE, threshold=0.0)
    facts = task_facts(Contents.of(models / "yolos"))
    assert facts and facts.task == "detection" and facts.labels == ("cat", "person")
    network = load_task_model("yolos", facts, models / "yolos", "", torch.float32, "cpu")
    for label in ("cat", "person"):
        wanted = [tuple(one["box"].values()) for one in found if one["label"] == label]
        boxes = network.boxes(PICTURE, label, 0.0)
        made = [(int(left), int(top), int(left + width), int(top + height)) for left, top, width, height in boxes]
        assert sorted(made) == sorted(wanted)
    pose, detector = run(LoadPoseModel, source="vitpose"), run(LoadObjectDetector, source="yolos")
    nobody = run(DrawPose, model=pose, image=picture(), detector=detector, threshold=1.0).pixels
    assert nobody.max() == 0 and nobody.shape == (1, 64, 96, 3)


def sphere(side: int) -> tuple[Tensor, Tensor]:
    """The depth `[side, side]` of a half ball over the picture, and its normals at the same places."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    across, up = torch.meshgrid(line, -line, indexing="xy")
    height = (1 - across**2 - up**2).clamp(0).sqrt()
    return height, torch.stack([across, up, height], -1)


def test_normals_of_a_ball_point_away_from_its_middle() -> None:
    height, wanted = sphere(200)
    depth = Image(height[None, ..., None].expand(1, -1, -1, 3).contiguous())
    made = DepthToNormals(depth, strength=0.5).pixels[0] * 2 - 1
    within = height > 0.5
    assert (made - wanted)[within].abs().max() < 0.02
    assert torch.allclose(made.norm(dim=-1), torch.ones(200, 200))


def test_the_normal_of_a_plane_is_the_same_everywhere() -> None:
    slope = torch.linspace(0, 1, 50)[None, None, :, None].expand(1, 40, 50, 3).contiguous()
    made = DepthToNormals(Image(slope), strength=1.0).pixels * 2 - 1
    angle = math.atan(50 / 49)
    wanted = torch.tensor([-math.sin(angle), 0.0, math.cos(angle)])
    torch.testing.assert_close(made, wanted.expand(1, 40, 50, 3), atol=1e-5, rtol=0)
    assert torch.equal(DepthToNormals(Image(slope * 0)).pixels[0, 0, 0], torch.tensor([0.5, 0.5, 1.0]))


def codes(models: Path, nodes: dict[str, Any]) -> set[tuple[str, str]]:
    """The problems of a graph over a picture: code and input."""
    given = {"picture": {"type": "LoadImage", "inputs": {"path": "lake.png"}}, **nodes}
    outputs = {id: {"link": id} for id in nodes if id != "model"}
    (models / "graph.json").write_text(json.dumps({"weft": 1, "nodes": given, "outputs": outputs}))
    pictures = Path(__file__).parents[3] / "graphs/pictures"
    with Engine(store=None, device="cpu", models=[models], inputs=[pictures]) as engine:
        return {(problem.code, problem.input) for problem in engine.check(models / "graph.json").problems}


def test_models_of_other_tasks_and_unknown_classes_are_refused_at_the_check(models: Path) -> None:
    segment = {"type": "LoadSegmentationModel", "inputs": {"source": "segformer"}}
    inputs = {"model": {"link": "model"}, "image": {"link": "picture"}}
    mask = {"type": "MaskObjects", "inputs": {**inputs, "labels": "sky"}}
    assert codes(models, {"model": segment, "mask": mask}) == set()
    unknown = {"type": "MaskObjects", "inputs": {**inputs, "labels": "sky, skye"}}
    assert codes(models, {"model": segment, "mask": unknown}) == {("unknown-class", "labels")}
    wrong = {"type": "LoadDepthModel", "inputs": {"source": "segformer"}}
    depth = {"type": "EstimateDepth", "inputs": inputs}
    assert codes(models, {"model": wrong, "depth": depth}) == {("wrong-kind-of-file", "source")}
    (models / "bare").mkdir(exist_ok=True)
    (models / "bare/config.json").write_bytes((models / "dpt/config.json").read_bytes())
    bare = {"type": "LoadDepthModel", "inputs": {"source": "bare"}}
    assert codes(models, {"model": bare, "depth": depth}) == {("damaged-file", "source")}


def test_classes_are_found_by_any_of_their_names() -> None:
    known = LABELS.values()
    assert class_numbers("Heaven,sea , sea", known) == [1, 2] and class_numbers("sky, heaven", known) == [1]
    with refused("unknown-class", "sea"):
        class_numbers("se", known)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("size", [(3, 7), (1, 1), (500, 3)])
def test_small_and_narrow_pictures_are_seen_or_refused_in_words(run: Any, name: str, size: tuple[int, int]) -> None:
    """Three rows are no three channels."""
    image = Image(torch.rand(1, *size, 3))
    try:
        made = seen(run, name, image).pixels
    except InputError as refusal:
        assert refusal.code == "wrong-size"
    else:
        assert made.shape == (1, *size, 3) and made.min() >= 0 and made.max() <= 1


def seen(run: Any, name: str, image: Image) -> Image:
    """What the node for a model makes of a picture."""
    if name.startswith("vitpose"):
        return run(DrawPose, model=run(LoadPoseModel, source=name), image=image)  # type: ignore[no-any-return]
    if name == "yolos":
        pose, detector = run(LoadPoseModel, source="vitpose"), run(LoadObjectDetector, source=name)
        return run(DrawPose, model=pose, image=image, detector=detector, threshold=0.0)  # type: ignore[no-any-return]
    if name == "segformer":
        return run(SegmentImage, model=run(LoadSegmentationModel, source=name), image=image)  # type: ignore[no-any-return]
    return run(EstimateDepth, model=run(LoadDepthModel, source=name), image=image)  # type: ignore[no-any-return]


def changed(models: Path, base: str, name: str, **entries: Any) -> str:
    """A model with other entries in its configuration, or in that of its processor."""
    shutil.copytree(models / base, models / name)
    for file in ("config.json", "preprocessor_config.json"):
        given = {key: one for key, one in entries.items() if (key in ("size", "auto_map")) == (file != "config.json")}
        config = json.loads((models / name / file).read_text())
        (models / name / file).write_text(json.dumps({**config, **given}))
    return name


@pytest.mark.parametrize(
    ("load", "base", "entries", "code"),
    [
        (LoadSegmentationModel, "segformer", {"size": {"height": 10**6, "width": 10**6}}, "damaged-file"),
        (LoadSegmentationModel, "segformer", {"size": {"height": 0, "width": 0}}, "damaged-file"),
        (
            LoadSegmentationModel,
            "segformer",
            {"architectures": ["OneFormerForUniversalSegmentation"]},
            "unsupported-network",
        ),
        (LoadObjectDetector, "yolos", {"architectures": ["OwlViTForObjectDetection"]}, "unsupported-network"),
        (LoadPoseModel, "vitpose", {"id2label": {str(one): str(one) for one in range(21)}}, "unsupported-network"),
    ],
)
def test_what_a_folder_asks_for_is_held_to_what_is_done_with_it(
    models: Path, run: Any, load: Any, base: str, entries: dict[str, Any], code: str, request: pytest.FixtureRequest
) -> None:
    name = changed(models, base, f"changed-{abs(hash(request.node.name))}", **entries)
    with refused(code, name):
        run(load, source=name)


def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(
    models: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question on the terminal"))
    name = changed(models, "segformer", "with-code", auto_map={"AutoImageProcessor": "own.Processor"})
    file = models / name / "preprocessor_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "image_processor_type": "Processor"}))
    with refused("damaged-file", name):
        run(SegmentImage, model=run(LoadSegmentationModel, source=name), image=picture())


def test_a_detector_that_knows_no_people_is_a_problem(models: Path, tmp_path: Path) -> None:
    name = changed(models, "yolos", "of-cats", id2label={"0": "cat", "1": "dog"}, label2id={"cat": 0, "dog": 1})
    PICTURE.save(tmp_path / "picture.png")
    with Graph() as graph:
        SaveImage(DrawPose(LoadPoseModel("vitpose"), LoadImage("picture.png"), LoadObjectDetector(name)))
    engine = Engine(store=None, device="cpu", models=[models], inputs=[tmp_path])
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("unknown-class", "draw_pose", "detector")


def test_weights_that_are_not_finite_are_named(models: Path, run: Any) -> None:
    """A class is found for them too: without words the picture would be wrong."""
    shutil.copytree(models / "segformer", models / "spoilt")
    file = models / "spoilt" / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("classifier.weight"))
    tensors[name].flatten()[0] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    with refused("damaged-file", name, "spoilt"):
        run(SegmentImage, model=run(LoadSegmentationModel, source="spoilt"), image=picture())
