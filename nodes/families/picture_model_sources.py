"""Sources of models that read or make pictures without sampling: upscalers, models of tasks. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from weft.engine import InputError, Resolved, SearchPaths
from weft.nodes.families.image_prompt_sources import refused
from weft.nodes.families.sources import ModelSource
from weft.nodes.models import diffusers_folder
from weft.nodes.models.contents import Contents
from weft.nodes.models.inception_facts import InceptionFacts, inception_facts
from weft.nodes.models.safety_checker import FEATURE_EXTRACTOR, SAFETY_CHECKER, safety_checker_facts
from weft.nodes.models.task_models import (
    FEATURES,
    HEADS,
    PROCESSOR,
    Task,
    TaskFacts,
    check_task,
    task_facts,
    task_of,
    text_classifier_facts,
)
from weft.nodes.models.upscaler_facts import UpscalerFacts, upscaler_facts
from weft.nodes.prompting.tokenizers import tokenizer_files

_CONVERT = (
    "convert it where you trust it: `safetensors.torch.save_model(spandrel.ModelLoader().load_from_file(FILE).model, "
    "NEW_FILE)`"
)


class UpscalerSource(ModelSource):
    """An upscaler, in one file."""

    kind = "upscaler"
    components = ()

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The upscaler of that name.

        Raises:
            InputError: for a pickle, with how to convert it, and for what any other source is refused for.
        """
        try:
            return super().resolve(text, places)
        except InputError as refusal:
            if refusal.code != "pickle-refused":
                raise
            raise InputError(refusal.message, _CONVERT, refusal.code) from None

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """Those whose names and shapes tell what they are: any file may be one of the others."""
        for name, found in super().available(places):
            if isinstance(found.facts, UpscalerFacts) and found.facts.scale:
                yield name, found

    def details(self, found: Resolved) -> Mapping[str, str]:
        """By which sides grow, and its licence."""
        scale = found.facts.scale if isinstance(found.facts, UpscalerFacts) else 0
        return {**super().details(found), **({"size": f"x {scale}"} if scale else {})}

    def facts(self, contents: Contents, root: Path) -> UpscalerFacts | None:
        return upscaler_facts(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return refused(root, contents, "an upscaler", "give the safetensors file of an upscaler, such as ESRGAN")


class TaskSource(ModelSource):
    """A model of transformers for a task: a folder with its configuration, its weights and how pictures are prepared.

    Attributes:
        task: what the model is for.
    """

    task: Task
    components: tuple[str, ...] = ("",)

    def facts(self, contents: Contents, root: Path) -> object | None:
        found = task_facts(contents)
        if found is None or found.task != self.task:
            return None
        if not (root / PROCESSOR).is_file():
            message = f"`{root.name}` has no {PROCESSOR}, which says how pictures are prepared for the model"
            raise InputError(message, "get the whole folder again", "damaged-file")
        check_task(root.name, found, diffusers_folder.read_config(root / PROCESSOR))
        return found

    def refusal(self, root: Path, contents: Contents) -> InputError:
        found, wanted = task_facts(contents), with_article(self.kind)
        if found is None:
            hint = f"give the folder of a model of transformers whose class ends in {HEADS[self.task][0]}"
            return refused(root, contents, wanted, hint)
        other = next(source for source in TASK_SOURCES if source.task == found.task)
        message = f"`{root.name}` is {with_article(other.kind)}, expected {wanted}"
        return InputError(message, f"load it with Load{other.__name__.removesuffix('Source')}", "wrong-kind-of-file")


class DepthModelSource(TaskSource):
    """A model that estimates depth."""

    task, kind = "depth", "depth model"


class SegmentationModelSource(TaskSource):
    """A model that divides pictures by classes."""

    task, kind = "segmentation", "segmentation model"


class PoseModelSource(TaskSource):
    """A model that finds the joints of people."""

    task, kind = "pose", "pose model"


class ObjectDetectorSource(TaskSource):
    """A model that finds things and people."""

    task, kind = "detection", "object detector"


class OwnReading(ModelSource):
    """A kind whose files other kinds may name too, so that its digest has the kind: recipes of both are kept apart."""

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The model of that name.

        Raises:
            InputError: for what any other source is refused for.
        """
        return replace(super().resolve(text, places), reading=self.kind)


class ClipModelSource(OwnReading, TaskSource):
    """A model that compares pictures with texts, with its tokenizer."""

    task, kind = "comparison", "CLIP model"

    def facts(self, contents: Contents, root: Path) -> object | None:
        found = super().facts(contents, root)
        if found and not tokenizer_files(root):
            raise InputError(f"`{root.name}` has no tokenizer", "get the whole folder again", "no-tokenizer")
        return found


class ImageClassifierSource(OwnReading, TaskSource):
    """A model that says which class a picture is of, or the safety checker of a Stable Diffusion pipeline."""

    task, kind = "classification", "image classifier"
    components = ("", SAFETY_CHECKER, FEATURE_EXTRACTOR)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        own = ("",) if contents.has("") else (SAFETY_CHECKER, FEATURE_EXTRACTOR)
        return root, diffusers_folder.content(root, own)

    def facts(self, contents: Contents, root: Path) -> object | None:
        return safety_checker_facts(contents) or super().facts(contents, root)


class FeatureNetworkSource(OwnReading, TaskSource):
    """Any model of transformers that makes a vector of a picture, or the file of FID's Inception network."""

    task, kind = "features", "feature network"

    def facts(self, contents: Contents, root: Path) -> TaskFacts | InceptionFacts | None:
        if contents.shapes:
            return inception_facts(contents.shapes)
        config = contents.configs.get("", {})
        architecture = str((config.get("architectures") or [""])[0])
        seen = task_of(architecture) in ("classification", "comparison") or architecture.endswith(FEATURES)
        if not seen or not (root / PROCESSOR).is_file():
            return None
        return TaskFacts(self.task, architecture, config=config)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = (
            "give the folder of a model of transformers that sees pictures (CLIP, DINOv2, ViT, ResNet), or the "
            "safetensors file of FID's Inception network"
        )
        return refused(root, contents, "a feature network", hint)


class TextClassifierSource(ModelSource):
    """A model that says which class a text is of, with its tokenizer."""

    kind = "text classifier"
    components = ("",)

    def facts(self, contents: Contents, root: Path) -> TaskFacts | None:
        found = text_classifier_facts(contents)
        if found and not tokenizer_files(root):
            raise InputError(f"`{root.name}` has no tokenizer", "get the whole folder again", "no-tokenizer")
        return found

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give the folder of a model of transformers whose class ends in ForSequenceClassification"
        return refused(root, contents, "a text classifier", hint)


TASK_SOURCES = (
    *(DepthModelSource, SegmentationModelSource, PoseModelSource, ObjectDetectorSource),
    *(ImageClassifierSource, ClipModelSource),
)
"""The source of each task."""


def with_article(name: str) -> str:
    """`a depth model`, `an object detector`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
