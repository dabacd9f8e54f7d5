"""Models of transformers that say something about pictures: depth, classes, poses, boxes, vectors.

They are recognised by the configuration in their folder; any network of transformers with a head for the task is one.
Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weft.engine import InputError
from weft.nodes.models.contents import Contents
from weft.nodes.models.network_calls import library_errors, network_call

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from torch import Tensor

Task = Literal["depth", "segmentation", "pose", "detection", "classification", "comparison", "features", "texts"]

HEADS: Mapping[Task, tuple[str, ...]] = {
    "depth": ("ForDepthEstimation",),
    "segmentation": ("ForSemanticSegmentation", "ForUniversalSegmentation"),
    "pose": ("ForPoseEstimation",),
    "detection": ("ForObjectDetection",),
    "classification": ("ForImageClassification",),
    "comparison": ("CLIPModel", "SiglipModel"),
}
"""How transformers' classes with a head for a task end; those that compare pictures with texts have these names."""

OF_TEXTS = "ForSequenceClassification"
"""How transformers' classes end that say which class a text is of."""

FEATURES = ("Model", "ModelWithProjection", "Backbone")
"""How transformers' classes without a head end, which make vectors of pictures."""

METRIC = frozenset({"depth_pro", "glpn", "zoedepth"})
"""The `model_type` of networks whose depth grows with the distance; that of others grows towards the viewer."""

PROCESSOR = "preprocessor_config.json"
"""The file that says how pictures are prepared."""


@dataclass(frozen=True)
class TaskFacts:
    """What the configuration of a model says.

    Args:
        task: what it is for.
        architecture: transformers' class.
        labels: the names of the classes that it tells apart, by number.
        metric: whether its depth grows with the distance.
        config: as transformers' class takes it.
    """

    task: Task
    architecture: str
    labels: tuple[str, ...] = ()
    metric: bool = False
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)


def task_facts(contents: Contents) -> TaskFacts | None:
    """What the folder of a model says; None where transformers has no head for a task in it."""
    config = contents.configs.get("", {})
    named = config.get("architectures") or [""]
    task = task_of(str(named[0]))
    if task is None:
        return None
    metric = config.get("model_type") in METRIC or config.get("depth_estimation_type") == "metric"
    return TaskFacts(task, str(named[0]), labels_of(config), metric, config)


MORE_INPUTS = re.compile(r"^(OneFormer|OwlViT|Owlv2|GroundingDino|MMGroundingDino|OmDetTurbo|PromptDepthAnything)")
"""How transformers' classes begin that read a text, or another picture, with the picture."""

JOINTS = 17
"""The joints of a pose model, those of COCO."""

LARGEST_SIDE = 2**13
"""Pixels along a side of what a network sees."""


def check_task(name: str, facts: TaskFacts, processor: Mapping[str, Any]) -> None:
    """Raise `InputError` where a model reads more than a picture, finds other joints, or has pictures made too large.

    Args:
        name: of its folder.
        processor: the configuration that says how pictures are prepared.
    """
    if MORE_INPUTS.match(facts.architecture):
        message = f"`{name}` is a {facts.architecture}, which reads more than a picture"
        raise InputError(message, "use a model that reads pictures alone", "unsupported-network")
    joints = facts.config.get("num_labels") or len(facts.config.get("id2label") or ()) or JOINTS
    if facts.task == "pose" and joints != JOINTS:
        message = f"`{name}` finds {joints} joints, expected the {JOINTS} of COCO"
        raise InputError(message, "use a model that was trained on people of COCO", "unsupported-network")
    for entry in ("size", "crop_size"):
        given = processor.get(entry)
        sides = [*given.values()] if isinstance(given, Mapping) else [given]
        if any(isinstance(side, int) and not 0 < side <= LARGEST_SIDE for side in sides):
            message = f"`{entry}` of `{name}/{PROCESSOR}` is {given}, expected sides of 1 to {LARGEST_SIDE} pixels"
            raise InputError(message, "get the model's own file", "damaged-file")


def text_classifier_facts(contents: Contents) -> TaskFacts | None:
    """What the folder of a model says that tells classes of texts apart; None where it is of something else."""
    config = contents.configs.get("", {})
    named = str((config.get("architectures") or [""])[0])
    return TaskFacts("texts", named, labels_of(config), config=config) if named.endswith(OF_TEXTS) else None


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes that a configuration has, by number; transformers' own where it names none."""
    names = config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}
    return tuple(str(names[number]) for number in sorted(names, key=int))


def task_of(architecture: str) -> Task | None:
    """The task of a class of transformers; None where it has a head for none of them."""
    if architecture in HEADS["comparison"]:
        return "comparison"
    return next((task for task, ends in HEADS.items() if architecture.endswith(ends) and task != "comparison"), None)


class TaskModel:
    """A model with what prepares pictures for it.

    Args:
        network: transformers' model, on its device.
        processor: transformers' image processor.
    """

    def __init__(self, network: Any, processor: Any) -> None:
        self.network = network
        self.processor = processor

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    def depth(self, picture: PIL.Image.Image) -> Tensor:
        """The depth `[height, width]` of a picture, as the network gives it, in the picture's size."""
        outputs, size = self._outputs(picture), (picture.height, picture.width)
        with library_errors(_not_read):
            (found,) = self.processor.post_process_depth_estimation(outputs, [size])
        depth: Tensor = found["predicted_depth"].float().cpu()
        return depth.reshape(size)

    def classes(self, picture: PIL.Image.Image) -> Tensor:
        """The number of the class at each place `[height, width]` of a picture."""
        outputs, size = self._outputs(picture), (picture.height, picture.width)
        with library_errors(_not_read):
            (found,) = self.processor.post_process_semantic_segmentation(outputs, target_sizes=[size])
        numbers: Tensor = found.cpu()
        return numbers

    def boxes(self, picture: PIL.Image.Image, label: str, threshold: float) -> list[list[float]]:
        """The boxes `[left, top, width, height]` around things of a class in a picture, in pixels."""
        outputs, size = self._outputs(picture), (picture.height, picture.width)
        given: dict[str, Any] = {"threshold": threshold, "target_sizes": [size]}
        with library_errors(_not_read):
            (found,) = self.processor.post_process_object_detection(outputs, **given)
        names = self.network.config.id2label
        kept = [box for box, number in zip(found["boxes"], found["labels"], strict=True) if names[int(number)] == label]
        return [[left, top, right - left, low - top] for left, top, right, low in (box.tolist() for box in kept)]

    def keypoints(self, picture: PIL.Image.Image, boxes: list[list[float]]) -> list[tuple[Tensor, Tensor]]:
        """For each box the joints `[joint, 2]` of the person in it, in pixels across and down, and their scores."""
        outputs = self._outputs(picture, boxes=[boxes])
        with library_errors(_not_read):
            (found,) = self.processor.post_process_pose_estimation(outputs, boxes=[boxes])
        return [(one["keypoints"].float(), one["scores"].float()) for one in found]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes, by number."""
        return labels_of(self.network.config.to_dict())

    def shares(self, picture: PIL.Image.Image) -> Tensor:
        """How likely a picture is of each class `[class]`."""
        return shares_of(self._outputs(picture).logits[0], self.network.config)

    def features(self, pictures: Sequence[PIL.Image.Image]) -> Tensor:
        """The vector `[picture, channel]` of each picture: pooled, or the first token where nothing is pooled."""
        import torch

        given = [self.processor(images=one, return_tensors="pt")["pixel_values"] for one in pictures]
        alike = len({one.shape for one in given}) == 1
        return torch.cat([self._vectors(levels) for levels in ([torch.cat(given)] if alike else given)])

    def _vectors(self, levels: Tensor) -> Tensor:
        network = self.network
        call = getattr(network, "get_image_features", None) or network.base_model
        levels = levels.to(network.device, network.dtype)
        with network_call(type(network).__name__, {"picture": levels}):
            output = call(pixel_values=levels)
        found = (output.get(name) for name in ("image_embeds", "pooler_output"))
        pooled = next((one for one in found if one is not None), None)
        if pooled is None:
            last = output["last_hidden_state"]
            pooled = last[:, 0] if last.ndim == 3 else last.mean((-2, -1))
        vectors: Tensor = pooled.flatten(1).float().cpu()
        return vectors

    def _outputs(self, picture: PIL.Image.Image, **options: Any) -> Any:
        """What the network gives for a picture."""

        def refusal(line: str) -> InputError:
            message = (
                f"a picture of {picture.width} x {picture.height} pixels cannot be prepared for the model ({line})"
            )
            return InputError(message, "scale it first (ScaleImage), or use another model", "wrong-size")

        with library_errors(refusal):
            # The order of axes is given, since libraries guess it by sides of three.
            order = {"input_data_format": "channels_last"}
            given = self.processor(images=picture, return_tensors="pt", **order, **options)
            levels = given["pixel_values"].to(self.network.device, self.network.dtype)
        with network_call(type(self.network).__name__, {"picture": levels}):
            return self.network(pixel_values=levels, **_experts(self.network.config, levels))


def _not_read(line: str) -> InputError:
    """The error where what a network gives cannot be read as what it is for."""
    return InputError(f"what the model says cannot be read ({line})", "use another model", "network-failed")


def _experts(config: Any, levels: Tensor) -> dict[str, Tensor]:
    """The number of the data set that a network of several experts (ViTPose+) is to see as: the first, COCO."""
    import torch

    several = getattr(getattr(config, "backbone_config", None), "num_experts", 1) > 1
    return {"dataset_index": levels.new_zeros(len(levels), dtype=torch.long)} if several else {}


def shares_of(logits: Tensor, config: Any) -> Tensor:
    """How likely each class is, as transformers' pipelines have it: sigmoids where there are several labels or one."""
    levels = logits.float().cpu()
    several = config.problem_type == "multi_label_classification" or len(levels) == 1
    return levels.sigmoid() if several else levels.softmax(-1)


def load_task_model(
    name: str, facts: TaskFacts, root: Path, variant: str, dtype: torch.dtype, device: str
) -> TaskModel:
    """The model in a folder.

    Args:
        name: of the source, for messages.

    Raises:
        InputError: where transformers has no such class, or needs what is not installed to prepare pictures for it.
    """
    import transformers

    from weft.nodes.models.finite_weights import check_finite
    from weft.nodes.models.loading import own_config, pretrained, ready

    kind = getattr(transformers, facts.architecture, None)
    if kind is None:
        raise InputError(
            f"`{name}` is a {facts.architecture}, which the installed transformers does not have",
            "upgrade it: pip install --upgrade transformers",
            "unsupported-network",
        )

    def refusal(line: str) -> InputError:
        message = f"pictures cannot be prepared for `{name}` ({line})"
        return InputError(message, "get the whole folder again, or install what is missing", "damaged-file")

    with library_errors(refusal, (Exception,)):
        config = kind.config_class.from_dict(own_config(facts.config))
        # The processors that work with torchvision round otherwise; Pillow is always there.
        kinds: Any = transformers.AutoImageProcessor
        # Without the last, transformers would ask on the terminal whether to run code that comes with the model.
        own = {"local_files_only": True, "trust_remote_code": False}
        processor = kinds.from_pretrained(root, backend="pil", **own)
    network = ready(pretrained(kind, root, variant, dtype=dtype, config=config), device)
    check_finite(network.named_parameters(), name)
    return TaskModel(network, processor)
