"""Pictures and prompts that are held back, by tiny classifiers, against transformers' and diffusers' own verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

from tests.nodes.clip_models import SIDE, TINY, WORDS, tokenizer
from tests.refusals import refused
from weft.engine import Engine, GraphError, Limits, NodeError, SafetyDemand
from weft.engine.cli import call
from weft.engine.events import ArtifactWritten, NodeProgress, Previewed
from weft.engine.farm import load
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.publishing import listed
from weft.engine.farm.work.worker import Worker
from weft.engine.picture_text import RUN, texts_of
from weft.nodes import (
    Image,
    LoadImageClassifier,
    LoadTextClassifier,
    PromptCheck,
    SafetyCheck,
    SaveImage,
)

LABELS = {0: "normal", 1: "nsfw"}
NAMES: dict[str, Any] = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pictures, a pipeline's safety checker whose thresholds lie among its cosines, one of texts."""
    folder = tmp_path_factory.mktemp("safety")
    torch.manual_seed(9)
    sizes: dict[str, Any] = {"image_size": SIDE, "patch_size": 8}
    vit: Any = transformers.ViTForImageClassification(transformers.ViTConfig(**TINY, **sizes, **NAMES))
    vit.classifier.weight.data *= 60
    processor: Any = transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    with torch.no_grad():
        logits = vit(**processor(pictures(12).to_pil(), return_tensors="pt")).logits
    vit.classifier.bias.data[0] += (logits[:, 1] - logits[:, 0]).median() + 1e-3  # so that half is held back
    vit.save_pretrained(folder / "vit")
    processor.save_pretrained(folder / "vit")
    vision = transformers.CLIPConfig(vision_config={**TINY, **sizes}, projection_dim=12)
    checker: Any = StableDiffusionSafetyChecker(vision)
    for name in ("concept_embeds", "special_care_embeds"):
        getattr(checker, name).data.normal_()
        getattr(checker, f"{name}_weights").data.uniform_(0.5, 0.8)
    checker.save_pretrained(folder / "pipeline" / "safety_checker")
    clip: Any = transformers.CLIPImageProcessorPil
    clip(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        folder / "pipeline" / "feature_extractor"
    )
    texts: dict[str, Any] = {"dim": 16, "hidden_dim": 16, "n_heads": 2, "n_layers": 1, "max_position_embeddings": 24}
    bert: Any = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(**texts, vocab_size=WORDS, **NAMES)
    )
    bert.classifier.weight.data *= 60
    bert.save_pretrained(folder / "bert")
    tokenizer(24).save_pretrained(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def run(models: Path) -> Callable[..., Any]:
    engine = Engine(store=None, device="cpu", precision="float32", models=[models], guarded=True)
    return lambda node, **given: engine.run_now(node, given)


def pictures(count: int) -> Image:
    """Pictures of one colour each with a little noise, which a random network tells apart."""
    drawn = torch.Generator().manual_seed(1)
    levels = torch.rand(count, 1, 1, 3, generator=drawn) + 0.2 * torch.randn(count, 40, 48, 3, generator=drawn)
    return Image((levels.clamp(0, 1) * 255).round() / 255)


def test_scores_are_those_of_the_pipeline_of_transformers(models: Path, run: Any) -> None:
    pipeline: Any = transformers.pipeline("image-classification", model=str(models / "vit"), device="cpu")
    wanted = [
        next(one["score"] for one in found if one["label"] == "nsfw")
        for found in pipeline(pictures(12).to_pil(), top_k=2)
    ]
    made = run(SafetyCheck, classifier=run(LoadImageClassifier, source="vit"), image=pictures(12), action="flag")
    assert [one.score for one in made.verdicts] == pytest.approx(wanted, abs=1e-4)
    assert made.score == pytest.approx(max(wanted), abs=1e-4) and {one.label for one in made.verdicts} == {"nsfw"}
    assert [one.held for one in made.verdicts] == [score > 0.5 for score in wanted]
    assert 0 < made.held < 12


def test_the_checker_of_a_pipeline_holds_back_what_diffusers_holds_back(models: Path, run: Any) -> None:
    checker: Any = StableDiffusionSafetyChecker.from_pretrained(models / "pipeline" / "safety_checker")
    processor: Any = transformers.CLIPImageProcessor.from_pretrained(models / "pipeline" / "feature_extractor")
    image = pictures(24)
    given = processor(image.to_pil(), return_tensors="pt")["pixel_values"]
    _, wanted = checker(clip_input=given, images=[one.numpy() for one in image.pixels.clone()])
    made = run(SafetyCheck, classifier=run(LoadImageClassifier, source="pipeline"), image=image)
    assert [one.held for one in made.verdicts] == wanted and len({*wanted}) == 2
    assert all((one.pixels.max() == 0) == held for one, held in zip(image_by_image(made.image), wanted, strict=True))


def image_by_image(image: Image) -> list[Image]:
    return [Image(one[None]) for one in image.pixels]


def test_what_is_held_back_is_black_blurred_or_flagged_and_the_rest_stays(run: Any) -> None:
    model, image = run(LoadImageClassifier, source="vit"), pictures(12)
    for action in ("block", "blur", "flag"):
        made = run(SafetyCheck, classifier=model, image=image, action=action)
        for verdict, before, after in zip(made.verdicts, image.pixels, made.image.pixels, strict=True):
            if not verdict.held or action == "flag":
                assert torch.equal(before, after)
            elif action == "block":
                assert after.max() == 0
            else:
                assert after.std((0, 1)).max() < 0.3 * before.std((0, 1)).max()
    assert run(SafetyCheck, classifier=model, image=image, threshold=1.0).held == 0
    with refused("unknown-class"):
        run(SafetyCheck, classifier=model, image=image, labels="gore")


def test_prompts_are_judged_by_words_and_as_the_pipeline_of_transformers_does(models: Path, run: Any) -> None:
    pipeline: Any = transformers.pipeline("text-classification", model=str(models / "bert"), device="cpu", top_k=2)
    classifier = run(LoadTextClassifier, source="bert")
    for text in ("a lake", "mountains", "zz zz zz"):
        (found,) = pipeline([text])
        wanted = next(one["score"] for one in found if one["label"] == "nsfw")
        made = run(PromptCheck, text=text, words=["gore"], classifier=classifier, action="flag")
        assert made.score == pytest.approx(wanted, abs=1e-4) and made.held == (wanted > 0.5)
    blocked = run(PromptCheck, text="much go(re:1.2), blood", words=["gore"], action="block")
    assert blocked.text == "" and blocked.held and blocked.verdict.label == "gore"
    assert run(PromptCheck, text="gorecki's symphony", words=["gore"]).text == "gorecki's symphony"
    with refused("refused-prompt"):
        run(PromptCheck, text="GORE", words=["gore"])


def graph(folder: Path, checked: bool) -> Path:
    """A graph that saves a picture that is held back, with a check of its own or without."""
    nodes: dict[str, Any] = {"picture": {"type": "LoadImage", "inputs": {"path": "held.png"}}}
    save: dict[str, Any] = {"image": {"link": "picture"}, "name": "out"}
    if checked:
        nodes["model"] = {"type": "LoadImageClassifier", "inputs": {"source": "vit"}}
        inputs = {"classifier": {"link": "model"}, "image": {"link": "picture"}}
        nodes["safe"] = {"type": "SafetyCheck", "inputs": inputs}
        save |= {"image": {"link": "safe.image"}, "verdicts": {"link": "safe.verdicts"}}
    nodes["save"] = {"type": "SaveImage", "inputs": save}
    path = folder / f"checked_{checked}.json"
    path.write_text(json.dumps({"weft": 1, "nodes": nodes}))
    return path


@pytest.fixture
def held(models: Path, run: Any, tmp_path: Path) -> Path:
    """A folder with a picture that is held back."""
    made = run(SafetyCheck, classifier=run(LoadImageClassifier, source="vit"), image=pictures(12), action="flag")
    number = next(number for number, one in enumerate(made.verdicts) if one.held)
    Image(pictures(12).pixels[number : number + 1]).save(tmp_path / "held.png")
    return tmp_path


def safety_of(path: Path) -> Any:
    with path.open("rb") as file:
        return json.loads(texts_of(file, 10**6)[RUN])["safety"]


@pytest.mark.parametrize("demanded", [False, True])
def test_the_verdict_is_in_events_and_pictures_by_a_node_and_by_a_setting(
    models: Path, held: Path, demanded: bool
) -> None:
    demand = SafetyDemand("vit") if demanded else None
    heard: list[Any] = []
    with Engine(store=None, device="cpu", models=[models], output=held / "out", safety=demand) as engine:
        result = engine.run(graph(held, checked=not demanded), listener=Previewed(heard.append))
    (written,) = [one for one in heard if isinstance(one, ArtifactWritten)]
    (path,) = result.held
    assert written.plain()["safety"]["held"] and result.plain()["safety"][0]["label"] == "nsfw"
    assert safety_of(path)["held"] and PIL.Image.open(path).getextrema() == ((0, 0),) * 3
    assert not any(isinstance(one, NodeProgress) and one.preview for one in heard)


def test_no_graph_and_no_folder_of_one_goes_around_the_setting(
    models: Path, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_SAFETY", "vit")
    monkeypatch.setenv("WEFT_SAFETY_ACTION", "blur")
    (held / "weft.toml").write_text('safety = ""\n')
    with Engine(store=held / "store", device="cpu", models=[models], output=held / "out") as engine:
        for _ in range(2):  # the second is served from the store
            assert len(engine.run(graph(held, checked=False)).held) == 1
    monkeypatch.setenv("WEFT_SAFETY", "missing")
    with Engine(store=None, device="cpu", models=[models], output=held / "none") as engine, refused("unknown-model"):
        engine.run(graph(held, checked=False))
    assert not [*(held / "none").glob("*")]


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_clips_are_not_given_out_where_all_is_to_be_judged(models: Path, held: Path, format: str) -> None:
    nodes = {
        "picture": {"type": "LoadImage", "inputs": {"path": "held.png"}},
        "turned": {"type": "FlipImage", "inputs": {"image": {"link": "picture"}}},
        "clip": {"type": "MakeVideo", "inputs": {"images": [{"link": "picture"}, {"link": "turned"}]}},
        "save": {"type": "SaveVideo", "inputs": {"video": {"link": "clip"}, "format": format}},
    }
    path = held / "clip.json"
    path.write_text(json.dumps({"weft": 1, "nodes": nodes}))
    for demand, files in ((SafetyDemand("vit"), 0), (None, 1)):
        engine = Engine(store=held / "store", device="cpu", models=[models], output=held / "out", safety=demand)
        with engine, refused("no-judge") if demand else nullcontext():
            engine.run(path)
        assert len([*held.glob("out/*")]) == files


def test_a_job_counts_what_was_held_back(models: Path, held: Path, capfd: pytest.CaptureFixture[str]) -> None:
    graph(held, checked=True)
    sweep = {"safe.threshold": [0.5, 1.0]}
    (held / "job.json").write_text(json.dumps({"weft_job": 1, "graph": "checked_True.json", "sweep": sweep}))
    setup = Setup(store=str(held / "store"), device="cpu", models=(str(models),))
    submit(load(held / "job.json"), held / "job", setup)
    Worker(held / "job").work()
    assert call(["farm", "status", str(held / "job"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["held"] == 1
    found = [one["safety"] for one in listed(held / "job")]
    assert [one["held"] for (one,) in found] == [True, False]


def test_words_of_the_setting_are_refused_in_literals_and_over_links(tmp_path: Path) -> None:
    limits = Limits(refused_words=("gore",))
    template = {"type": "FormatText", "inputs": {"template": "go{0}", "values": ["re"]}}
    nodes = {"text": template, "other": {"type": "Text", "inputs": {"value": {"link": "text"}}}}
    (tmp_path / "joined.json").write_text(
        json.dumps({"weft": 1, "nodes": nodes, "outputs": {"text": {"link": "other"}}})
    )
    plain = {"text": {"type": "Text", "inputs": {"value": "much Gore"}}}
    (tmp_path / "plain.json").write_text(json.dumps({"weft": 1, "nodes": plain, "outputs": {"text": {"link": "text"}}}))
    with Engine(store=None, device="cpu", limits=limits) as engine:
        (problem,) = engine.check(tmp_path / "plain.json").problems
        assert (problem.code, problem.input) == ("refused-word", "value")
        with pytest.raises((NodeError, GraphError)):
            engine.run(tmp_path / "joined.json")


def test_a_verdict_for_each_picture_is_wanted(run: Any) -> None:
    made = run(SafetyCheck, classifier=run(LoadImageClassifier, source="vit"), image=pictures(3))
    assert [one.verdict for one in SaveImage(made.image, verdicts=made.verdicts)] == made.verdicts
    with refused("batch-mismatch"):
        SaveImage(made.image, verdicts=made.verdicts[:2])
