"""What is held back: pictures by a classifier (SafetyCheck), prompts by words and a classifier (PromptCheck)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from weft.engine import (
    INJECTED,
    Context,
    InputError,
    Limits,
    Loading,
    NodeProblem,
    Range,
    SearchPaths,
    Upstream,
    loader_for,
    node,
)
from weft.engine.refused_words import refused_word
from weft.engine.verdict import CallNow, PictureJudge, SafetyAction, SafetyDemand, Verdict
from weft.nodes.families.picture_model_sources import ImageClassifierSource, TextClassifierSource
from weft.nodes.library.picture_lists import pictures_of
from weft.nodes.library.picture_models import class_numbers
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.safety_checker import SafetyChecker, SafetyCheckerFacts, load_safety_checker
from weft.nodes.models.source_facts import facts_of
from weft.nodes.models.task_models import TaskFacts, TaskModel, load_task_model
from weft.nodes.picture_model_values import ImageClassifier, TextClassifier
from weft.nodes.prompting.text_classifier import TextJudge, load_text_classifier
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import Image

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KNOWN = (
    *("nsfw", "porn", "hentai", "sexy", "explicit", "unsafe", "nude", "nudity", "sexual", "violence", "gore"),
    *("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate", "hate", "injection"),
)
"""Classes that are held back where none is named, by the names that classifiers have for them."""

BLUR = 0.06
"""The standard deviation of a blur that holds a picture back, in shares of its longer side."""


@loader_for(ImageClassifier)
def load_image_classifier(recipe: ImageClassifier, loading: Loading) -> TaskModel | SafetyChecker:
    """The classifier that a recipe names."""
    import torch

    source = loading.locate(recipe.source)
    facts, dtype = source.facts, getattr(torch, recipe.dtype)
    with reading_weights(source.text):
        if isinstance(facts, SafetyCheckerFacts):
            return load_safety_checker(facts, source.root, recipe.variant, dtype, loading.device)
        if isinstance(facts, TaskFacts):
            return load_task_model(source.text, facts, source.root, recipe.variant, dtype, loading.device)
    message = f"`{source.text}` is no image classifier"
    raise InputError(message, "load it with LoadImageClassifier", "wrong-kind-of-file")


@loader_for(TextClassifier)
def load_classifier_of_texts(recipe: TextClassifier, loading: Loading) -> TextJudge:
    """The classifier that a recipe names."""
    import torch

    source = loading.locate(recipe.source)
    facts = facts_of(source, TaskFacts, "a text classifier", "LoadTextClassifier")
    dtype = getattr(torch, recipe.dtype)
    with reading_weights(source.text):
        return load_text_classifier(source.text, facts, source.root, recipe.variant, dtype, loading.device)


@node(category="loaders", lane="io")
def LoadImageClassifier(
    source: Annotated[str, ImageClassifierSource()], *, variant: str = "", context: Context = INJECTED
) -> ImageClassifier:
    """Load a model that says which class a picture is of, for SafetyCheck. It runs in float32.

    Args:
        source: the folder of a model of transformers for image classification, or its name on the hub
            (`Falconsai/nsfw_image_detection`, `AdamCodd/vit-base-nsfw-detector`); or the folder of a Stable Diffusion
            pipeline that has a `safety_checker`, or that of the checker alone.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return ImageClassifier(str(context.found(source).digest), variant, "float32")


@node(category="loaders", lane="io")
def LoadTextClassifier(
    source: Annotated[str, TextClassifierSource()], *, variant: str = "", context: Context = INJECTED
) -> TextClassifier:
    """Load a model that says which class a text is of, for PromptCheck. It runs in float32.

    Args:
        source: the folder of a model of transformers for sequence classification, or its name on the hub
            (`eliasalbouzidi/distilbert-nsfw-text-classifier`, `unitary/toxic-bert`).
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return TextClassifier(str(context.found(source).digest), variant, "float32")


class SafetyChecked(NamedTuple):
    """The outputs of SafetyCheck."""

    image: Image
    verdicts: list[Verdict]
    score: float
    held: int


def _known_labels(checking: Upstream) -> Iterator[NodeProblem]:
    """The classifier must have the classes."""
    loader = checking.above("classifier")
    source = loader.source("source") if loader else None
    labels, facts = checking.literals.get("labels"), source.facts if source else None
    if isinstance(labels, str) and isinstance(facts, (TaskFacts, SafetyCheckerFacts)):
        try:
            held_classes(labels, facts.labels)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "labels")


def held_classes(labels: str, known: Sequence[str]) -> list[int]:
    """The numbers of the classes that are held back.

    Args:
        labels: their names with commas between them; empty takes those of `KNOWN`.
        known: the names of all classes.

    Raises:
        InputError: for a name that no class has, and where none is named and none is known.
    """
    if labels.strip():
        return class_numbers(labels, known)
    found = [number for number, name in enumerate(known) if name.strip().lower() in KNOWN]
    if not found:
        message = f"none of the classes is known to be meant: {', '.join(known[:12])}"
        raise InputError(message, "name those that are held back in `labels`", "unknown-class")
    return found


def _judge(data: bytes, media_type: str, demand: SafetyDemand, call: CallNow) -> tuple[bytes, Verdict]:
    """The file of a picture as it may be given out, with the verdict: what the setting `safety` demands.

    Raises:
        InputError: for a clip.
    """
    import PIL.Image

    from weft.nodes.picture_files import encoded

    if media_type.startswith("video/"):
        raise _unjudged()
    with PIL.Image.open(BytesIO(data)) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise _unjudged()
        image = Image.from_pil(picture)
    given = {"labels": demand.labels, "threshold": demand.threshold, "action": demand.action}
    classifier = call("LoadImageClassifier", {"source": demand.model})
    found = call("SafetyCheck", {"classifier": classifier, "image": image, **given})
    (verdict,) = found.verdicts
    if not verdict.held or demand.action == "flag":
        return data, verdict
    (made,) = found.image.to_pil()
    return encoded(made, media_type.removeprefix("image/")), verdict  # type: ignore[arg-type]


def _unjudged() -> InputError:
    hint = "save its frames as pictures: SplitVideo, then SaveImage"
    return InputError(
        "a clip cannot be judged, and the setting `safety` has all that is given out judged", hint, "no-judge"
    )


def _demanded(model: str, places: SearchPaths) -> None:
    ImageClassifierSource().resolve(model, places)


@node(
    category="safety",
    lane="gpu",
    fits=_known_labels,
    traits=(SizeTraits(same_size, of="image"), PictureJudge(_demanded, _judge)),
)
def SafetyCheck(
    classifier: ImageClassifier,
    image: Image,
    *,
    labels: str = "",
    threshold: Annotated[float, Range(0.0, 1.0)] = 0.5,
    action: SafetyAction = "block",
    context: Context = INJECTED,
) -> SafetyChecked:
    """Hold pictures back that a classifier takes for something that is not to be given out.

    Link `verdicts` to SaveImage: the verdict is then in the picture's metadata, in events and in sidecars of jobs, and
    `weft farm status` counts what was held back. `score` is the greatest of all pictures, `held` how many are held
    back. The setting `safety` judges every picture of every graph so, without this node.

    Args:
        classifier: from LoadImageClassifier.
        image: the pictures; alpha is left out of what is judged.
        labels: the classes that are held back, with commas between them; left empty, those whose names are known, such
            as `nsfw`, `porn` and `hentai`.
        threshold: the score above which a picture is held back: 0.5, lower to hold back more. That of Stable
            Diffusion's own checker is 0.5 where its authors drew the line.
        action: what is done then: `block` gives a black picture, `blur` one that shows colours alone, `flag` the
            picture as it is.
    """
    import torch

    verdicts = []
    with context.weights(classifier) as model:
        numbers = held_classes(labels, model.labels)
        by = f"{type(model.network).__name__} {classifier.source[:12]}"
        pictures = pictures_of(image)
        for number, picture in enumerate(pictures, 1):
            verdicts.append(_verdict(model.shares(picture), model.labels, numbers, threshold, action, by))
            context.progress(number, len(pictures))
    given = [_held(one, action) if verdict.held else one for one, verdict in zip(image.pixels, verdicts, strict=True)]
    score, held = max(one.score for one in verdicts), sum(one.held for one in verdicts)
    return SafetyChecked(Image(torch.stack(given)), verdicts, score, held)


def _verdict(
    shares: Tensor, labels: Sequence[str], numbers: Sequence[int], threshold: float, action: str, by: str
) -> Verdict:
    """The verdict by the class that is held back and most likely."""
    worst = max(numbers, key=lambda number: float(shares[number]))
    score = float(shares[worst])
    return Verdict(score > threshold, score, labels[worst], threshold, action, by)


def _held(pixels: torch.Tensor, action: SafetyAction) -> torch.Tensor:
    """What is given in place of a picture `[height, width, channel]`."""
    from weft.nodes.pictures.smoothing import blurred

    if action == "flag":
        return pixels
    if action == "blur":
        return blurred(pixels[None], BLUR * max(pixels.shape[:2]))[0]
    black = pixels.clone()
    black[..., :3] = 0
    return black


class PromptChecked(NamedTuple):
    """The outputs of PromptCheck."""

    text: str
    verdict: Verdict
    score: float
    held: bool


def _check_prompt(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """There must be something to look for."""
    if inputs.get("words") == [] and "classifier" in inputs and inputs["classifier"] is None:
        yield NodeProblem("words", "neither words nor a classifier are given", "give one of them", "nothing-to-check")


@node(category="safety", lane="gpu", check=_check_prompt, fits=_known_labels)
def PromptCheck(
    text: str,
    words: list[str],
    classifier: TextClassifier | None = None,
    *,
    labels: str = "",
    threshold: Annotated[float, Range(0.0, 1.0)] = 0.5,
    action: Literal["refuse", "block", "flag"] = "refuse",
    context: Context = INJECTED,
) -> PromptChecked:
    """Hold prompts back that have some words, or that a classifier takes for something that is not to be painted.

    Put it between the text and TextEncode. The setting `limits.refused_words` refuses words in every text of every
    graph, without this node.

    Args:
        text: the prompt. Weights are seen through: `nu(de:1.2)` is read as `nude`.
        words: those that hold it back, whole ones in any case of letters; an entry may be several words.
        classifier: from LoadTextClassifier; null looks at the words alone.
        labels: its classes that hold a prompt back, with commas between them; left empty, those whose names are known,
            such as `nsfw` and `toxic`.
        threshold: the score of the classifier above which a prompt is held back. A word has 1.
        action: what is done then: `refuse` fails the node, before anything is painted; `block` gives an empty text,
            `flag` the text as it is.
    """
    word = refused_word(text, words)
    verdict = Verdict(bool(word), float(bool(word)), word, threshold, action, "words")
    if not word and classifier is not None:
        with context.weights(classifier, TextJudge) as model:
            numbers = held_classes(labels, model.labels)
            by = f"{type(model.network).__name__} {classifier.source[:12]}"
            verdict = _verdict(model.shares(text), model.labels, numbers, threshold, action, by)
    if verdict.held and action == "refuse":
        found = f"the word `{word}`" if word else f"`{verdict.label}` with {verdict.score:.2f}"
        raise InputError(f"the prompt is held back: {found}", "write another prompt", "refused-prompt")
    return PromptChecked("" if verdict.held and action == "block" else text, verdict, verdict.score, verdict.held)
