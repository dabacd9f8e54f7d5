"""Pictures as prompts: LoadImageEncoder and EncodeImage; IP-Adapters: LoadIPAdapter and ApplyIPAdapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Generic, NamedTuple

from weft.engine import ADDED_LATER, INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, node
from weft.nodes.families.image_prompt_sources import ImageEncoderSource, IPAdapterSource
from weft.nodes.image_prompt_values import ImageEmbedding, ImageEncoder, ImagePrompt, IPAdapter
from weft.nodes.library.control import check_range
from weft.nodes.library.loaders import check_variant, variant_fits
from weft.nodes.library.picture_lists import pictures_of
from weft.nodes.models.ip_adapter_files import IPAdapterFacts, check_encoder
from weft.nodes.models.network_blocks import read_blocks
from weft.nodes.models.vision_models import EncodedImages, ImageReader
from weft.nodes.sampling.image_prompt_checks import adapter_reads, reads_faces
from weft.nodes.sampling.traits import PromptTraits
from weft.nodes.sizes import SizeTraits, no_size
from weft.nodes.value_checks import has_some
from weft.nodes.values import Conditioning, F, Image, Mask


@node(category="loaders", lane="io", settings=("precision",), fits=variant_fits)
def LoadImageEncoder(
    source: Annotated[str, ImageEncoderSource()], *, variant: str = "", context: Context = INJECTED
) -> ImageEncoder:
    """Load an image encoder: the vision model of CLIP, OpenCLIP or SigLIP.

    Args:
        source: its folder (`MODEL/image_encoder`), the folder of a pipeline that has it, that of a whole CLIP model
            (`openai/clip-vit-large-patch14`), or a .safetensors file under transformers' names. Adapters were trained
            with one of them, and refuse those of other sizes: IP-Adapter for SD 1.x with OpenCLIP ViT-H/14, that of
            SDXL with ViT-bigG/14 (`vit-h` in a name means ViT-H), XLabs' for FLUX.1 with CLIP ViT-L/14, FLUX.1 Redux
            and InstantX's adapter for SD 3.5 with SigLIP.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    found = context.found(source)
    check_variant(found.resolved, variant)
    return ImageEncoder(str(found.digest), variant, context.precision)


@node(
    category="conditioning",
    lane="gpu",
    check=has_some("image", "picture"),
    traits=(SizeTraits(no_size, batch_of=("image",)),),
)
def EncodeImage(
    image_encoder: ImageEncoder,
    image: Image | list[Image],
    *,
    whole: Annotated[bool, ADDED_LATER] = False,
    context: Context = INJECTED,
) -> ImageEmbedding:
    """Encode pictures for an adapter.

    CLIP scales the shorter side to its size (224 pixels) and sees the middle of the picture; SigLIP scales each side by
    itself (to 384 pixels). What lies outside of the square is lost to CLIP: crop first, where that matters.

    Args:
        image_encoder: from LoadImageEncoder.
        image: a picture, a batch, or a list of pictures, each of any size. Alpha is left out.
        whole: smooth the picture and scale each side by itself, so that nothing is cut: for Stable Video Diffusion.
    """
    with context.weights(image_encoder, ImageReader) as reader:
        encoded = reader.read(pictures_of(image), whole)
    return ImageEmbedding(image_encoder, *encoded)


@node(category="loaders", lane="io", settings=("precision",))
def LoadIPAdapter(source: Annotated[str, IPAdapterSource()], *, context: Context = INJECTED) -> IPAdapter:
    """Load an IP-Adapter (https://arxiv.org/abs/2308.06721): plain, Plus, Plus for faces, for whole faces, FaceID.

    Those that read the embedding of a face (FaceID, FaceID Plus) are applied by ApplyFaceID.

    Args:
        source: a .safetensors file in the layout of its authors (`h94/IP-Adapter/models/ip-adapter_sd15.safetensors`,
            `h94/IP-Adapter/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors`), of XLabs for FLUX.1, or of InstantX
            for SD 3.5. Those of FaceID are published as pickles: convert them to safetensors first.
    """
    return IPAdapter(str(context.found(source).digest), "", context.precision)


class Pictured(NamedTuple, Generic[F]):
    """Both prompts with a picture; the negative one is None where none was given."""

    positive: Conditioning[F]
    negative: Conditioning[F] | None


def check_applied(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The range of steps must not be empty, and factors of blocks be written as they are read."""
    yield from check_range(inputs, limits)
    try:
        read_blocks(inputs.get("blocks", ""))
    except InputError as refusal:
        yield NodeProblem.of(refusal, "blocks")


def _for_items(node: Upstream) -> tuple[str, ...]:
    return ("mask", "embedding") if node.literals.get("per_item") else ("mask",)


@node(
    category="conditioning",
    lane="gpu",
    check=check_applied,
    fits=adapter_reads,
    traits=(PromptTraits(for_items=_for_items),),
)
def ApplyIPAdapter(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    ip_adapter: IPAdapter,
    embedding: ImageEmbedding,
    mask: Mask | None = None,
    *,
    scale: Annotated[float, Range(-10.0, 10.0)] = 1.0,
    blocks: str = "",
    per_item: bool = False,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    context: Context = INJECTED,
) -> Pictured[F]:
    """Prompt with pictures, in addition to words, by an IP-Adapter (https://arxiv.org/abs/2308.06721).

    Several of these nodes in a row add up: other adapters, or one adapter with several pictures, each under a mask and
    with a scale of its own. As in diffusers, the negative prompt gets what the adapter makes of no picture.

    Args:
        positive: what the picture is to show; it may be empty words.
        negative: what it is not to show; null without a negative prompt.
        ip_adapter: from LoadIPAdapter, for models of this kind.
        embedding: the pictures, from EncodeImage. Several act together, as one prompt.
        mask: where the pictures act, stretched over the picture: one for all items, or one for each. Left out,
            everywhere.
        scale: how much the pictures count: start with 0.6, so that words are still followed; at 1 and an empty prompt
            the result is a variation. 0 turns it off.
        blocks: factors of `scale` for parts of the denoiser, and 0 for all others; left empty, 1 everywhere. As in
            merges: `IN04=1, M00=0.5`, or by diffusers' names of modules. For SDXL `up_blocks.0.attentions.1=1` takes
            the style alone, with `down_blocks.2.attentions.1=1` the layout too (InstantStyle,
            https://arxiv.org/abs/2404.02733); for FLUX.1 `transformer_blocks.0-9=0.5, transformer_blocks.10-18=1`.
        per_item: give each item of the batch one picture of the embedding, in their order, instead of all to each.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
    """
    from weft.nodes.models.image_projector import ImageProjector

    with context.weights(ip_adapter, ImageProjector) as projector:
        if projector.facts.face:
            raise reads_faces()
        check_encoder(projector.facts, embedding.tokens.shape[-1], embedding.vectors.shape[-1])
        tokens = projector.project(EncodedImages(embedding.tokens, embedding.last, embedding.vectors))
        absent = projector.project(_absent(embedding, projector.facts, context)).expand_as(tokens)
    arranged, blank = (one[:, None] if per_item else one[None] for one in (tokens, absent))
    coverage = mask.coverage.clamp(0, 1) if mask else None
    prompt = ImagePrompt(ip_adapter, arranged, blank.contiguous(), scale, blocks, coverage, start, end)
    return Pictured(with_pictures(prompt, positive), with_pictures(prompt.withheld(), negative) if negative else None)


def _absent(embedding: ImageEmbedding, facts: IPAdapterFacts, context: Context) -> EncodedImages:
    """What stands for no picture, as in diffusers: a vector of zeros, or the tokens of a picture without contrast.

    For joint attention (FLUX.1) it is a black picture, for SD 3 tokens of zeros.
    """
    if facts.timed:
        nothing = embedding.tokens[:1] * 0
        return EncodedImages(nothing, nothing, embedding.vectors[:1])
    if facts.reads_vectors and not facts.joint:
        zeros = embedding.vectors[:1] * 0
        return EncodedImages(embedding.tokens[:1], embedding.last[:1], zeros)
    with context.weights(embedding.encoder, ImageReader) as reader:
        return reader.black() if facts.joint else reader.blank()


def with_pictures(prompt: ImagePrompt, conditioning: Conditioning[F]) -> Conditioning[F]:
    """A conditioning each of whose prompts has one more prompt of pictures."""
    return Conditioning(tuple(replace(one, images=(*one.images, prompt)) for one in conditioning.prompts))
