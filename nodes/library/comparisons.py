"""How far pictures are from others (Compare, PerceptualDistance), and how sharp they are (Sharpness)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from weft.engine import INJECTED, Context, InputError, Loading, NodeProblem, Upstream, loader_for, node
from weft.nodes.families.score_sources import PerceptualNetworkSource
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.perceptual_network import PerceptualFacts, PerceptualModel, load_perceptual
from weft.nodes.models.source_facts import facts_of
from weft.nodes.pictures.similarity import WINDOW, peak_ratios, sharpnesses, structural_similarities
from weft.nodes.sampling.size_checks import sizes_match
from weft.nodes.score_values import PerceptualNetwork, Scored
from weft.nodes.sizes import size_above
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor


class Compared(NamedTuple):
    """The outputs of Compare."""

    psnr: float
    ssim: float
    largest: float


def _comparable(node: Upstream) -> Iterator[NodeProblem]:
    """Both must be of one size, and large enough for the window of SSIM."""
    yield from sizes_match(node, "other", "image")
    size = size_above(node, "image")
    if size and min(size) < WINDOW:
        yield NodeProblem.of(_too_small(size.width, size.height), "image")


def _too_small(width: int, height: int) -> InputError:
    message = f"the pictures have {width} x {height} pixels, and SSIM looks at {WINDOW} x {WINDOW}"
    return InputError(message, "give larger pictures", "wrong-size")


@node(category="scores", lane="cpu", fits=_comparable)
def Compare(image: Image, other: Image) -> Compared:
    """Compare pictures with others of the same size, pixel by pixel: PSNR, SSIM, and the largest difference.

    `psnr`: the peak signal-to-noise ratio in dB; more is closer, and equal pictures have infinity. 30 is visible, 40
    seldom. `ssim`: structural similarity (https://doi.org/10.1109/TIP.2003.819861), 1 for equal pictures, by the window
    of the paper, a Gaussian of 11 x 11 pixels, in each channel. Of a batch both are means. `largest`: the largest
    difference of a level of any pixel, in 0..1.

    Args:
        image: the pictures; alpha is left out.
        other: a picture to compare all of them with, or one for each.
    """
    pictures, others = _paired(image, other)
    if min(pictures.shape[1:3]) < WINDOW:
        raise _too_small(pictures.shape[2], pictures.shape[1])
    return Compared(
        float(peak_ratios(pictures, others).mean()),
        float(structural_similarities(pictures, others).mean()),
        float((pictures - others).abs().max()),
    )


def _paired(image: Image, other: Image) -> tuple[Tensor, Tensor]:
    """The pixels of pictures and of those that they are compared with, one for each; alpha is left out.

    Raises:
        InputError: where sizes or numbers differ.
    """
    pictures, others = image.pixels[..., :3], other.pixels[..., :3]
    if pictures.shape[1:] != others.shape[1:]:
        (_, high, wide, _), (_, other_high, other_wide, _) = pictures.shape, others.shape
        message = f"the pictures have {wide} x {high} pixels, and the others {other_wide} x {other_high}"
        raise InputError(message, "scale one of them (ScaleImage)", "size-mismatch")
    if len(others) not in (1, len(pictures)):
        message = f"there are {len(others)} pictures to compare {len(pictures)} with"
        raise InputError(message, "give one for all, or one for each", "batch-mismatch")
    return pictures, others.expand_as(pictures)


@loader_for(PerceptualNetwork)
def load_perceptual_network(recipe: PerceptualNetwork, loading: Loading) -> PerceptualModel:
    """The network that a recipe names."""
    source = loading.locate(recipe.source)
    facts = facts_of(source, PerceptualFacts, "a perceptual network", "LoadPerceptualNetwork")
    (file,) = source.files
    with reading_weights(source.text):
        return load_perceptual(file, facts, loading.device)


@node(category="loaders", lane="io")
def LoadPerceptualNetwork(
    source: Annotated[str, PerceptualNetworkSource()], *, context: Context = INJECTED
) -> PerceptualNetwork:
    """Load the network of LPIPS, over VGG-16 or AlexNet. It runs in float32.

    Args:
        source: a .safetensors file with the weights of the authors' package lpips, which is not needed otherwise:
            `safetensors.torch.save_file(lpips.LPIPS(net="vgg").state_dict(), FILE)`.
    """
    return PerceptualNetwork(str(context.found(source).digest), "", "float32")


def _same_size(node: Upstream) -> Iterator[NodeProblem]:
    yield from sizes_match(node, "other", "image")


@node(category="scores", lane="gpu", fits=_same_size)
def PerceptualDistance(
    network: PerceptualNetwork, image: Image, other: Image, *, context: Context = INJECTED
) -> Scored:
    """How different pictures look: LPIPS (https://arxiv.org/abs/1801.03924), 0 for equal pictures.

    Shifts and textures count less than by PSNR and SSIM. `scores` has the number of each picture, `score` their mean.

    Args:
        network: from LoadPerceptualNetwork; papers that compare pictures mostly take AlexNet.
        image: the pictures, of 64 pixels a side at least; alpha is left out.
        other: a picture to compare all of them with, or one for each.
    """
    pictures, others = _paired(image, other)
    scores = []
    with context.weights(network, PerceptualModel) as model:
        for number, pair in enumerate(zip(pictures, others, strict=True), 1):
            scores.append(model.distance(*pair))
            context.progress(number, len(pictures))
    return Scored.of(scores)


@node(category="scores", lane="cpu")
def Sharpness(image: Image) -> Scored:
    """How sharp pictures are: the variance of the Laplacian of their brightness, for levels of 0 to 255, as in OpenCV.

    Blurred pictures have less. It depends on what is shown and on the size, so compare pictures of one subject and of
    one size (https://doi.org/10.1109/ICPR.2000.903548).

    Args:
        image: the pictures; alpha is left out. `scores` has the number of each, `score` their mean.
    """
    return Scored.of(sharpnesses(image.pixels[..., :3]))
