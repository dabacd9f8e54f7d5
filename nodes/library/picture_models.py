"""What models of transformers say about pictures, for ControlNets and masks: depth, normals, classes, poses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar

from weft.engine import (
    INJECTED,
    Context,
    InputError,
    Loading,
    NodeProblem,
    Range,
    Upstream,
    loader_for,
    nearest,
    node,
)
from weft.nodes.families.picture_model_sources import (
    DepthModelSource,
    ObjectDetectorSource,
    PoseModelSource,
    SegmentationModelSource,
)
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.task_models import TaskFacts, TaskModel, load_task_model
from weft.nodes.picture_files import from_pil, to_pil
from weft.nodes.picture_model_values import DepthModel, ObjectDetector, PoseModel, SegmentationModel, TaskWeights
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import Image, Mask

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor


T = TypeVar("T")

_SAME = (SizeTraits(same_size, of="image"),)


def load_model_of_task(recipe: TaskWeights, loading: Loading) -> TaskModel:
    """The model of transformers that a recipe names."""
    import torch

    source = loading.locate(recipe.source)
    facts = source.facts
    if not isinstance(facts, TaskFacts):
        raise InputError(f"`{source.text}` is no model of transformers", "give another source", "wrong-kind-of-file")
    dtype = getattr(torch, recipe.dtype)
    with reading_weights(source.text):
        return load_task_model(source.text, facts, source.root, recipe.variant, dtype, loading.device)


loader_for(DepthModel)(load_model_of_task)
loader_for(SegmentationModel)(load_model_of_task)
loader_for(PoseModel)(load_model_of_task)
loader_for(ObjectDetector)(load_model_of_task)


@node(category="loaders", lane="io", settings=("precision",))
def LoadDepthModel(
    source: Annotated[str, DepthModelSource()], *, variant: str = "", context: Context = INJECTED
) -> DepthModel:
    """Load a model that estimates depth: any of transformers for that task, such as Depth Anything, DPT or ZoeDepth.

    Args:
        source: the folder of a model under a models folder, or a name on the hub
            (`depth-anything/Depth-Anything-V2-Small-hf`) whose files are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    found = context.found(source)
    return DepthModel(str(found.digest), variant, context.precision, _metric(found.resolved.facts))


def _metric(facts: object) -> bool:
    return isinstance(facts, TaskFacts) and facts.metric


@node(category="loaders", lane="io", settings=("precision",))
def LoadSegmentationModel(
    source: Annotated[str, SegmentationModelSource()], *, variant: str = "", context: Context = INJECTED
) -> SegmentationModel:
    """Load a model that divides pictures by classes: any of transformers for semantic segmentation, such as SegFormer.

    Args:
        source: the folder of a model under a models folder, or a name on the hub
            (`nvidia/segformer-b0-finetuned-ade-512-512`) whose files are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return SegmentationModel(str(context.found(source).digest), variant, context.precision)


@node(category="loaders", lane="io", settings=("precision",))
def LoadPoseModel(
    source: Annotated[str, PoseModelSource()], *, variant: str = "", context: Context = INJECTED
) -> PoseModel:
    """Load a model that finds the joints of people: any of transformers for that task, such as ViTPose.

    Args:
        source: the folder of a model under a models folder, or a name on the hub
            (`usyd-community/vitpose-base-simple`) whose files are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return PoseModel(str(context.found(source).digest), variant, context.precision)


@node(category="loaders", lane="io", settings=("precision",))
def LoadObjectDetector(
    source: Annotated[str, ObjectDetectorSource()], *, variant: str = "", context: Context = INJECTED
) -> ObjectDetector:
    """Load a model that finds things and people: any of transformers for object detection, such as DETR or RT-DETR.

    Args:
        source: the folder of a model under a models folder, or a name on the hub (`PekingU/rtdetr_r50vd_coco_o365`)
            whose files are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return ObjectDetector(str(context.found(source).digest), variant, context.precision)


@node(category="image", lane="gpu", traits=_SAME)
def EstimateDepth(model: DepthModel, image: Image, *, invert: bool = False, context: Context = INJECTED) -> Image:
    """Estimate the depth of pictures, white near and black far, as ControlNets for depth take it.

    Each picture is stretched from its nearest point, 1, to its farthest, 0. Networks that give the distance in metres
    are turned round.

    Args:
        model: from LoadDepthModel.
        image: the pictures; alpha is left out.
        invert: black near and white far.
    """
    with context.weights(model) as network:
        depths = [*_each(image, network.depth, context)]
    return _grey([_stretched(depth, invert != model.metric) for depth in depths])


def _each(image: Image, see: Callable[[PIL.Image.Image], T], context: Context) -> Iterator[T]:
    """What a model says about each picture of a batch."""
    pictures = to_pil(image.pixels[..., :3])
    for number, picture in enumerate(pictures, 1):
        yield see(picture)
        context.progress(number, len(pictures))


def _stretched(depth: Tensor, turned: bool) -> Tensor:
    """A depth from 0 to 1; 0 where it is the same everywhere."""
    low, high = depth.min(), depth.max()
    stretched = (depth - low) / (high - low) if high > low else depth * 0
    return 1 - stretched if turned else stretched


def _grey(levels: list[Tensor]) -> Image:
    import torch

    return Image(torch.stack(levels)[..., None].expand(-1, -1, -1, 3).contiguous())


@node(category="image", lane="cpu", traits=(SizeTraits(same_size, of="depth"),))
def DepthToNormals(depth: Image, *, strength: Annotated[float, Range(0.0, 100.0)] = 0.25) -> Image:
    """Draw the normals of a depth map: red to the right, green up, blue to the viewer, each from -1 to 1 as 0 to 1.

    The depth is a relief z over the picture, whose normal is (-dz/dx, -dz/dy, 1), made one long, y upwards. This is the
    convention of OpenGL, and of ControlNets for normals.

    Args:
        depth: from EstimateDepth, white near; the first channel counts.
        strength: how far the nearest point rises above the farthest, in shares of the picture's longer side: 0.25 for
            scenes, 0.1 to flatten, 0.5 and more to sharpen.
    """
    import torch
    from torch.nn import functional

    relief = depth.pixels[..., 0] * strength * max(depth.pixels.shape[1:3])
    padded = functional.pad(relief[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    # At the border the neighbour outside is the pixel itself, so the difference is over one pixel.
    rise = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / _span(relief.shape[2])
    fall = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / _span(relief.shape[1])[:, None]
    normals = functional.normalize(torch.stack([-rise, fall, torch.ones_like(rise)], -1), dim=-1)
    return Image((normals + 1) / 2)


def _span(length: int) -> Tensor:
    """The distance of the two pixels whose difference is taken, along a side: 2, at both ends 1."""
    import torch

    span = torch.full((length,), 2.0)
    span[[0, -1]] = 1.0
    return span


@node(category="image", lane="gpu", traits=_SAME)
def SegmentImage(model: SegmentationModel, image: Image, *, context: Context = INJECTED) -> Image:
    """Paint each part of pictures in the colour of its class, as ControlNets for segmentation take it.

    The colours are those of ADE20K's 150 classes, by the number of the class; beyond 150 they begin again.

    Args:
        model: from LoadSegmentationModel; for ControlNets one of ADE20K.
        image: the pictures; alpha is left out.
    """
    import torch

    from weft.nodes.models.class_colours import ADE20K, COUNT

    palette = torch.frombuffer(bytearray(ADE20K), dtype=torch.uint8).reshape(COUNT, 3).float() / 255
    with context.weights(model) as network:
        return Image(torch.stack([palette[numbers % COUNT] for numbers in _each(image, network.classes, context)]))


def _known_labels(masking: Upstream) -> Iterator[NodeProblem]:
    """The model must have the classes."""
    model = masking.above("model")
    source = model.source("source") if model else None
    labels, facts = masking.literals.get("labels"), source.facts if source else None
    if isinstance(labels, str) and isinstance(facts, TaskFacts):
        try:
            class_numbers(labels, facts.labels)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "labels")


def class_numbers(labels: str, known: Iterable[str]) -> list[int]:
    """The numbers of classes by their names.

    Args:
        labels: names with commas between them, in any case of letters.
        known: the names of all classes, in their order. A name may have others behind commas: `sky, heaven`.

    Raises:
        InputError: for a name that no class has.
    """
    numbers: dict[str, int] = {}
    for number, names in enumerate(known):
        for name in (names, *names.split(",")):
            numbers.setdefault(name.strip().lower(), number)
    wanted = [label.strip().lower() for label in labels.split(",") if label.strip()]
    for label in wanted:
        if label not in numbers:
            hint = nearest(label, numbers) or f"it has, among others: {', '.join([*numbers][:12])}"
            raise InputError(f"the model has no class `{label}`", hint, "unknown-class")
    if not wanted:
        raise InputError("no class is named", "name one, such as sky", "unknown-class")
    return sorted({numbers[label] for label in wanted})


@node(category="mask", lane="gpu", fits=_known_labels, traits=_SAME)
def MaskObjects(model: SegmentationModel, image: Image, labels: str, *, context: Context = INJECTED) -> Mask:
    """Mask what is of some classes in pictures: 1 there, 0 elsewhere. Grow and feather it before inpainting.

    Args:
        model: from LoadSegmentationModel.
        image: the pictures; alpha is left out.
        labels: the names of classes, with commas between them: `sky`, or `tree, grass`. They are the model's own.
    """
    import torch

    with context.weights(model) as network:
        names = network.network.config.id2label
        numbers = torch.tensor(class_numbers(labels, (str(names[number]) for number in sorted(names))))
        masks = [torch.isin(found, numbers).float() for found in _each(image, network.classes, context)]
    return Mask(torch.stack(masks))


PERSON = "person"
"""The class of people of an object detector."""


def _finds_people(drawing: Upstream) -> Iterator[NodeProblem]:
    """The detector must know people."""
    detector = drawing.above("detector")
    source = detector.source("source") if detector else None
    facts = source.facts if source else None
    if detector and isinstance(facts, TaskFacts) and PERSON not in facts.labels:
        message = f"the detector of `{detector.call.id}` has no class `{PERSON}`, by which people are found"
        yield NodeProblem("detector", message, "use one that was trained on COCO", "unknown-class")


@node(category="image", lane="gpu", fits=_finds_people, traits=_SAME)
def DrawPose(
    model: PoseModel,
    image: Image,
    detector: ObjectDetector | None = None,
    *,
    threshold: Annotated[float, Range(0.0, 1.0)] = 0.3,
    context: Context = INJECTED,
) -> Image:
    """Draw the poses of people as coloured limbs on black, as OpenPose does and ControlNets for poses take it.

    Args:
        model: from LoadPoseModel; it finds the 17 joints of COCO.
        image: the pictures; alpha is left out.
        detector: from LoadObjectDetector, which finds the people; without it each picture is taken as one person.
        threshold: the score from which on a joint is drawn, and a person found; 0.3 to 0.5.
    """
    from weft.nodes.models.body_drawing import draw_bodies

    people = _people(detector, image, threshold, context)
    with context.weights(model) as network:
        pictures = to_pil(image.pixels[..., :3])
        drawn = []
        for number, (picture, boxes) in enumerate(zip(pictures, people, strict=True), 1):
            bodies = network.keypoints(picture, boxes) if boxes else []
            drawn.append(draw_bodies(picture.size, bodies, threshold))
            context.progress(number, len(pictures))
    return Image(from_pil(drawn))


def _people(detector: ObjectDetector | None, image: Image, least: float, context: Context) -> list[list[list[float]]]:
    """The boxes around people in each picture; the whole picture where nothing finds them."""
    batch, height, width, _ = image.pixels.shape
    if detector is None:
        return [[[0.0, 0.0, float(width), float(height)]]] * batch
    with context.weights(detector) as network:
        return [network.boxes(picture, PERSON, least) for picture in to_pil(image.pixels[..., :3])]
