"""How far two sets of pictures are from each other: FID and KID, over the vectors of any network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

from weft.engine import INJECTED, Context, InputError, Loading, Notice, Range, give_notice, loader_for, node
from weft.nodes.families.picture_model_sources import FeatureNetworkSource
from weft.nodes.library.picture_lists import pictures_of
from weft.nodes.models.inception_facts import InceptionFacts
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.task_models import TaskFacts, TaskModel, load_task_model
from weft.nodes.picture_reading import read_picture
from weft.nodes.picture_sources import PICTURE_FOLDER
from weft.nodes.score_values import FeatureNetwork, PictureFeatures
from weft.nodes.value_checks import has_some
from weft.nodes.values import Image

if TYPE_CHECKING:
    from pathlib import Path

    import PIL.Image
    from torch import Tensor

    from weft.nodes.models.inception_network import InceptionModel

T = TypeVar("T")

CHUNK = 16
"""Pictures that go through a network at once."""


FEW = 50
"""Pictures below which KID warns."""


@loader_for(FeatureNetwork)
def load_feature_network(recipe: FeatureNetwork, loading: Loading) -> TaskModel | InceptionModel:
    """The network that a recipe names."""
    import torch

    source = loading.locate(recipe.source)
    facts, dtype = source.facts, getattr(torch, recipe.dtype)
    with reading_weights(source.text):
        if isinstance(facts, InceptionFacts):
            from weft.nodes.models.inception_network import load_inception

            (file,) = source.files
            return load_inception(source.text, file, dtype, loading.device)
        if isinstance(facts, TaskFacts):
            return load_task_model(source.text, facts, source.root, recipe.variant, dtype, loading.device)
    raise InputError(f"`{source.text}` is no feature network", "load it with LoadFeatureNetwork", "wrong-kind-of-file")


@node(category="loaders", lane="io")
def LoadFeatureNetwork(
    source: Annotated[str, FeatureNetworkSource()], *, variant: str = "", context: Context = INJECTED
) -> FeatureNetwork:
    """Load a network in whose vectors sets of pictures are compared, for FID and KID. It runs in float32.

    Args:
        source: FID's own Inception network, `pt_inception-2015-12-05` as .safetensors by the names of its tensors, for
            numbers that papers compare; or the folder or the name on the hub of any model of transformers that sees
            pictures: CLIP (`openai/clip-vit-base-patch32`), DINOv2 (`facebook/dinov2-base`), a classifier. Distances
            of different networks are not comparable.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return FeatureNetwork(str(context.found(source).digest), variant, "float32")


@node(category="scores", lane="gpu", check=has_some("image", "picture"))
def ExtractFeatures(
    network: FeatureNetwork, image: Image | list[Image], *, context: Context = INJECTED
) -> PictureFeatures:
    """The vectors of pictures, for FID and KID.

    Args:
        network: from LoadFeatureNetwork.
        image: a picture, a batch, or a list of pictures, each of any size; alpha is left out.
    """
    return _features(network, pictures_of(image), lambda one: one, context)


@node(category="scores", lane="gpu")
def ExtractFolderFeatures(
    network: FeatureNetwork,
    folder: Annotated[str, PICTURE_FOLDER],
    pattern: str = "*",
    *,
    context: Context = INJECTED,
) -> PictureFeatures:
    """The vectors of all pictures in a folder, for FID and KID. They are kept, so a large folder is read once.

    Args:
        network: from LoadFeatureNetwork.
        folder: looked up next to the graph, in the working directory and in the input folders. A job's folder has its
            pictures; leave contact_sheet.png out by `pattern`.
        pattern: of file names: `*` takes all, `*.jpg` those of an ending, `item_*` those that begin so.
    """
    import torch

    found = context.found(folder).resolved.files
    files = [file for file in found if fnmatchcase(file.name, pattern)]
    if not files:
        raise InputError(f"no picture in `{folder}` has a name like `{pattern}`", "give another pattern", "empty-list")

    def read(file: Path) -> PIL.Image.Image:
        levels = read_picture(file.read_bytes(), file.name, context.limits)
        (picture,) = pictures_of(Image(torch.from_numpy(levels)[None]))
        return picture

    return _features(network, files, read, context)


def _features(
    network: FeatureNetwork, items: Sequence[T], read: Callable[[T], PIL.Image.Image], context: Context
) -> PictureFeatures:
    """The vectors of pictures that are read as they are needed."""
    import torch

    vectors: list[Tensor] = []
    with context.weights(network) as model:
        for first in range(0, len(items), CHUNK):
            vectors.append(model.features([read(one) for one in items[first : first + CHUNK]]))
            context.progress(min(first + CHUNK, len(items)), len(items))
    return PictureFeatures(network, torch.cat(vectors))


class Distance(NamedTuple):
    """How far two sets of pictures are from each other.

    Args:
        score: the distance.
        pictures: how many the smaller set has.
    """

    score: float
    pictures: int


@node(category="scores", lane="cpu")
def FID(features: PictureFeatures, others: PictureFeatures) -> Distance:
    """The Frechet inception distance of two sets of pictures: 0 where their vectors are spread alike.

    Of the Gaussians through both sets (https://arxiv.org/abs/1706.08500). Few pictures make it too large: papers take
    10,000 to 50,000, and only sets of one size compare. There is a warning where a set has no more pictures than the
    vectors have channels, and KID serves better there.

    Args:
        features: of the pictures that are judged, from ExtractFeatures or ExtractFolderFeatures.
        others: of the pictures that they should be like, by the same network.
    """
    from weft.nodes.models.feature_distances import frechet_distance

    count, channels = _checked(features, others), features.vectors.shape[1]
    if count <= channels:
        message = f"{count} pictures are too few for {channels} channels, and FID is too large"
        give_notice(Notice(message, "give more pictures, or use KID", "too-few-pictures"))
    return Distance(frechet_distance(features.vectors, others.vectors), count)


class KernelDistance(NamedTuple):
    """The outputs of KID."""

    score: float
    deviation: float
    pictures: int


@node(category="scores", lane="cpu")
def KID(
    features: PictureFeatures,
    others: PictureFeatures,
    *,
    subsets: Annotated[int, Range(1, 10_000)] = 100,
    size: Annotated[int, Range(2, 100_000)] = 1000,
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0,
    context: Context = INJECTED,
) -> KernelDistance:
    """The kernel inception distance of two sets of pictures, which has no bias where there are few of them.

    The mean of the squared maximum mean discrepancy over random subsets, with a cubic kernel
    (https://arxiv.org/abs/1801.01401); `deviation` is their standard deviation. It may be a little below 0.

    Args:
        features: of the pictures that are judged, from ExtractFeatures or ExtractFolderFeatures.
        others: of the pictures that they should be like, by the same network.
        subsets: how many are drawn.
        size: pictures in a subset. A set with fewer is taken whole, with a warning where it has less than 50.
        seed: of the drawing.
    """
    from weft.nodes.models.feature_distances import kernel_distances

    count = _checked(features, others)
    if count < FEW:
        message = f"{count} pictures are too few: KID varies by more than it tells apart"
        give_notice(Notice(message, f"give {FEW} at least", "too-few-pictures"))
    found = kernel_distances(features.vectors, others.vectors, subsets, min(size, count), seed, context.progress)
    return KernelDistance(float(found.mean()), float(found.std(correction=0)), count)


def _checked(features: PictureFeatures, others: PictureFeatures) -> int:
    """How many pictures the smaller set has.

    Raises:
        InputError: where the sets are of different networks, or have a single picture.
    """
    if features.network != others.network:
        message = "the vectors are of different networks"
        raise InputError(message, "make both with the same LoadFeatureNetwork", "different-networks")
    count = min(len(features.vectors), len(others.vectors))
    if count < 2:
        raise InputError("a set has a single picture, and no spread", "give more pictures", "too-few-pictures")
    return count
