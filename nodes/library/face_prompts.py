"""Faces as prompts: LoadFaceEmbedding, MakeFaceEmbedding and ApplyFaceID."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from weft.engine import INJECTED, Context, InputError, NodeProblem, Range, Upstream, node
from weft.nodes.families.face_files import FACE_FILE, FaceFacts, face_facts
from weft.nodes.image_prompt_values import FaceEmbedding, ImageEmbedding, ImagePrompt, IPAdapter
from weft.nodes.library.image_prompts import Pictured, check_applied, with_pictures
from weft.nodes.models.ip_adapter_files import check_encoder, check_faces
from weft.nodes.models.vision_models import EncodedImages, ImageReader
from weft.nodes.sampling.image_prompt_checks import adapter_reads, ip_adapter_of
from weft.nodes.sampling.traits import PromptTraits, always
from weft.nodes.values import Conditioning, F, Mask

if TYPE_CHECKING:
    from torch import Tensor


@node(category="loaders", lane="io")
def LoadFaceEmbedding(path: Annotated[str, FACE_FILE], *, context: Context = INJECTED) -> FaceEmbedding:
    """Read what InsightFace makes of faces: 512 numbers for each, for IP-Adapter FaceID.

    InsightFace itself is not part of Weft. With it, `numpy.save("face.npy", app.get(picture)[0].normed_embedding)`
    writes such a file, where `app` is its `FaceAnalysis`.

    Args:
        path: a .npy file, or a .safetensors file with one tensor: the numbers of one face, or a row for each of several
            pictures of it, which act together.
    """
    import torch

    facts = face_facts(context.found(path).resolved.root)
    content = context.content(path)
    if path.lower().endswith(".npy"):
        import io

        import numpy

        vectors = torch.from_numpy(numpy.load(io.BytesIO(content), allow_pickle=False).astype("float32"))
    else:
        from safetensors.torch import load

        vectors = next(iter(load(content).values())).float()
    return FaceEmbedding(vectors.reshape(facts.faces, facts.channels).contiguous())


@node(category="loaders")
def MakeFaceEmbedding(numbers: list[float]) -> FaceEmbedding:
    """Make the embedding of one face of its numbers.

    Args:
        numbers: what InsightFace calls `normed_embedding`, usually 512.
    """
    import torch

    return FaceEmbedding(torch.tensor([numbers], dtype=torch.float32))


def _faces_fit(apply: Upstream) -> Iterator[NodeProblem]:
    """The adapter must read faces, of as many numbers, and a picture with them where it is one that does."""
    adapter = ip_adapter_of(apply)
    if adapter is None:
        return
    loader, facts = adapter
    source = apply.above("face")
    found = source.source("path") if source else None
    channels = found.facts.channels if found and isinstance(found.facts, FaceFacts) else facts.face
    try:
        check_faces(facts, channels, apply.call.inputs.get("embedding") is not None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, "ip_adapter", after=f"; `{loader.call.id}`")
        return
    yield from adapter_reads(apply)


@node(
    category="conditioning",
    lane="gpu",
    check=check_applied,
    fits=_faces_fit,
    traits=(PromptTraits(for_items=always("mask")),),
)
def ApplyFaceID(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    ip_adapter: IPAdapter,
    face: FaceEmbedding,
    embedding: ImageEmbedding | None = None,
    mask: Mask | None = None,
    *,
    scale: Annotated[float, Range(-10.0, 10.0)] = 1.0,
    blocks: str = "",
    shortcut: bool = False,
    start: Annotated[float, Range(0.0, 1.0)] = 0.0,
    end: Annotated[float, Range(0.0, 1.0)] = 1.0,
    context: Context = INJECTED,
) -> Pictured[F]:
    """Prompt with a face, by an IP-Adapter FaceID (`h94/IP-Adapter-FaceID`), in addition to words.

    These adapters were trained with a LoRA: apply it to the model with LoadLoRA, which reads it from the same file, or
    from the one next to it (`ip-adapter-faceid_sd15_lora.safetensors`). As in diffusers, the negative prompt gets what
    the adapter makes of a face of zeros.

    Args:
        positive: what the picture is to show; it may be empty words.
        negative: what it is not to show; null without a negative prompt.
        ip_adapter: from LoadIPAdapter, a FaceID or a FaceID Plus.
        face: from LoadFaceEmbedding. Several rows, of pictures of one face, act together.
        embedding: for FaceID Plus alone: the pictures that the faces were cut out of, one for each row of `face`, from
            EncodeImage with the encoder that the adapter was trained with (OpenCLIP ViT-H/14).
        mask: where the face acts, stretched over the picture; left out, everywhere.
        scale: how much the face counts: 0.6 to 1; 0 turns it off.
        blocks: factors of `scale` for parts of the denoiser, and 0 for all others, as in ApplyIPAdapter.
        shortcut: for FaceID Plus v2 alone, whose files cannot be distinguished from those of the first version: add
            what the adapter makes of the face alone.
        start: the fraction of the steps at which it begins.
        end: the fraction of the steps at which it ends.
    """
    from weft.nodes.models.image_projection import FixedImageProjector

    with context.weights(ip_adapter, FixedImageProjector) as projector:
        check_faces(projector.facts, face.vectors.shape[-1], embedding is not None)
        seen, unseen = _seen(embedding, len(face.vectors), context)
        if embedding is not None:
            check_encoder(projector.facts, embedding.tokens.shape[-1], embedding.vectors.shape[-1])
        tokens = projector.project_faces(face.vectors, seen, shortcut)
        blank = projector.project_faces(face.vectors * 0, unseen, shortcut)
    coverage = mask.coverage.clamp(0, 1) if mask else None
    prompt = ImagePrompt(ip_adapter, tokens[None], blank[None].contiguous(), scale, blocks, coverage, start, end)
    return Pictured(with_pictures(prompt, positive), with_pictures(prompt.withheld(), negative) if negative else None)


def _seen(embedding: ImageEmbedding | None, faces: int, context: Context) -> tuple[Tensor | None, Tensor | None]:
    """The tokens of the pictures of faces, and those of as many pictures without contrast."""
    if embedding is None:
        return None, None
    if embedding.count != faces:
        message = f"there are {embedding.count} pictures for {faces} faces"
        raise InputError(message, "give the picture of each face", "batch-mismatch")
    with context.weights(embedding.encoder, ImageReader) as reader:
        blank: EncodedImages = reader.blank()
    return embedding.tokens, blank.tokens.expand_as(embedding.tokens)
