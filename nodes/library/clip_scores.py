"""How well pictures fit texts (ClipScore), and how much people would like them (AestheticScore)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from weft.engine import INJECTED, Context, InputError, Loading, Notice, give_notice, loader_for, node
from weft.nodes.families.picture_model_sources import ClipModelSource
from weft.nodes.families.score_sources import AestheticHeadSource
from weft.nodes.image_prompt_values import ImageEmbedding
from weft.nodes.library.picture_lists import pictures_of
from weft.nodes.models.aesthetic_heads import AestheticHeadFacts, load_aesthetic_head, wrong_width
from weft.nodes.models.network_calls import reading_weights
from weft.nodes.models.source_facts import facts_of
from weft.nodes.models.task_models import TaskFacts
from weft.nodes.prompting.clip_comparer import ClipComparer, load_clip_comparer
from weft.nodes.score_values import AestheticHead, ClipModel, Scored
from weft.nodes.value_checks import has_some
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import nn

CHUNK = 16
"""Pictures that go through a network at once."""


@loader_for(ClipModel)
def load_clip_model(recipe: ClipModel, loading: Loading) -> ClipComparer:
    """The model that a recipe names."""
    import torch

    source = loading.locate(recipe.source)
    facts = facts_of(source, TaskFacts, "a CLIP model", "LoadClipModel")
    with reading_weights(source.text):
        dtype = getattr(torch, recipe.dtype)
        return load_clip_comparer(source.text, facts, source.root, recipe.variant, dtype, loading.device)


@node(category="loaders", lane="io", settings=("precision",))
def LoadClipModel(
    source: Annotated[str, ClipModelSource()], *, variant: str = "", context: Context = INJECTED
) -> ClipModel:
    """Load a model that compares pictures with texts: CLIP or SigLIP of transformers.

    Args:
        source: the folder of a model under a models folder, or a name on the hub (`openai/clip-vit-large-patch14`,
            with which most figures in papers were made) whose files are in the hub's cache.
        variant: the variant of the weights, such as `fp16`; left empty, the plain ones, or the only ones there are.
    """
    return ClipModel(str(context.found(source).digest), variant, context.precision)


@node(category="scores", lane="gpu", check=has_some("image", "picture"))
def ClipScore(
    model: ClipModel, image: Image | list[Image], text: str | list[str], *, context: Context = INJECTED
) -> Scored:
    """How well pictures fit a text: 100 times the cosine of their vectors, 0 at least (https://arxiv.org/abs/2104.08718).

    As torchmetrics has it. Pictures that fit have 25 to 35 by CLIP. Scores of different models are not comparable, and
    a prompt is best scored by a model that did not encode it.

    Args:
        model: from LoadClipModel.
        image: a picture, a batch, or a list of pictures; alpha is left out. The shorter side is scaled and the middle
            is seen, as for EncodeImage. `scores` has the number of each, `score` their mean.
        text: what they should show, such as the prompt: one for all, or one for each. CLIP reads 77 tokens.
    """
    pictures = pictures_of(image)
    texts = [text] if isinstance(text, str) else text
    if len(texts) not in (1, len(pictures)):
        message = f"there are {len(texts)} texts for {len(pictures)} pictures"
        raise InputError(message, "give one for all, or one for each", "batch-mismatch")
    scores: list[float] = []
    with context.weights(model, ClipComparer) as reader:
        for one in texts:
            if reader.cut(one):
                hint = "score a shorter text"
                give_notice(Notice(f"only {reader.tokens} tokens of `{one[:40]}` are read", hint, "text-cut"))
        for first in range(0, len(pictures), CHUNK):
            own = texts[first : first + CHUNK] if len(texts) > 1 else texts
            cosines = reader.likeness(pictures[first : first + CHUNK], own)
            scores += [max(100 * cosine, 0.0) for cosine in cosines.tolist()]
            context.progress(min(first + CHUNK, len(pictures)), len(pictures))
    return Scored.of(scores)


@loader_for(AestheticHead)
def load_head(recipe: AestheticHead, loading: Loading) -> nn.Sequential:
    """The layers that a recipe names."""
    source = loading.locate(recipe.source)
    facts = facts_of(source, AestheticHeadFacts, "an aesthetic head", "LoadAestheticHead")
    (file,) = source.files
    with reading_weights(source.text):
        return load_aesthetic_head(file, facts, loading.device)


@node(category="loaders", lane="io")
def LoadAestheticHead(source: Annotated[str, AestheticHeadSource()], *, context: Context = INJECTED) -> AestheticHead:
    """Load an aesthetic head: linear layers that rate pictures by their CLIP vectors.

    Args:
        source: a .safetensors file in LAION's layout: `sa_0_4_vit_l_14_linear`, one layer, or
            `sac+logos+ava1-l14-linearMSE`, `layers.0` to `layers.7`, which have nothing between them. Both rate from 1
            to 10 and read CLIP ViT-L/14.
    """
    return AestheticHead(str(context.found(source).digest), "", "float32")


@node(category="scores", lane="gpu")
def AestheticScore(head: AestheticHead, embedding: ImageEmbedding, *, context: Context = INJECTED) -> Scored:
    """Rate pictures as people rated others: LAION's aesthetic predictor (https://laion.ai/blog/laion-aesthetics).

    Args:
        head: from LoadAestheticHead.
        embedding: the pictures, from EncodeImage with the encoder that the head was trained with: CLIP ViT-L/14 for
            LAION's. Their vectors are made one long first. `scores` has the rating of each, `score` their mean.
    """
    from torch.nn import functional

    vectors = functional.normalize(embedding.vectors, dim=-1)
    with context.weights(head) as layers:
        weight = layers[0].weight
        if weight.shape[1] != vectors.shape[1]:
            raise wrong_width(weight.shape[1], vectors.shape[1])
        ratings: Sequence[float] = layers(vectors.to(weight.device))[:, 0].tolist()
    return Scored.of(ratings)
