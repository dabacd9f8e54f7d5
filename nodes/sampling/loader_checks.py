"""Static checks of loaders against each other: parts of a model that come from several files, and prompts' texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from weft.engine import InputError, NodeProblem, Resolved, Upstream, listed
from weft.nodes.families import family
from weft.nodes.models.facts import EmbeddingFacts, TextModelFacts, TextSourceFacts, VAEFacts
from weft.nodes.models.parametrisation import BETAS, parametrisation_of
from weft.nodes.prompting.embeddings import check_word, match_vectors
from weft.nodes.prompting.prompt_encoder import OTHER_TEXTS_HINT
from weft.nodes.prompting.text_assignment import Assigned, assigned, check_tokenizer
from weft.nodes.prompting.text_encoders import TextModel, TextModelFiles
from weft.nodes.sampling.image_prompt_checks import encoder_of
from weft.nodes.sampling.model_links import TRAINING, checkpoint_facts, loaded, loader_above, model_loader_of
from weft.nodes.sampling.traits import unlike_vectors
from weft.nodes.values import Conditioning, TextEncoder


def vae_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """A VAE must make the latents of the model that it is for."""
    vae, model = loader.source("source"), model_loader_of(loader)
    found = model.source("source") if model else None
    able = vae.facts.families if vae and isinstance(vae.facts, VAEFacts) else ()
    if vae and model and found and found.family and found.family not in able:
        message = f"`{vae.text}` is a VAE of {listed(able)}, and `{model.call.id}` is of family {found.family}"
        yield NodeProblem("source", message, "give a VAE of the model's family", "family-mismatch")


def own_vae_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """The VAE that a checkpoint comes with must be read, and make its latents, where a link takes it."""
    facts, source = checkpoint_facts(loader), loader.source("source")
    spec = family(facts.family).vae if facts else None
    if facts is None or source is None or spec is None or (facts.vae and spec.takes(facts.vae)):
        return
    if _is_taken(loader, "vae"):
        found = f"latents of {facts.vae.channels} channels" if facts.vae else facts.contents.class_of("vae") or "none"
        yield NodeProblem(
            "source",
            f"the VAE of `{source.text}` ({found}) is not read; {facts.family} needs one of latents of "
            f"{spec.channels} channels",
            "load one of the family with LoadVAE",
            "wrong-kind-of-file",
        )


def own_texts_fit(loader: Upstream) -> Iterator[NodeProblem]:
    """A checkpoint must have text encoders that are read, with their tokenizers, where a link takes them."""
    facts, source = checkpoint_facts(loader), loader.source("source")
    if facts is None or source is None or not _is_taken(loader, "text_encoder"):
        return
    for text in family(facts.family).texts:
        if text.name in facts.text_models:
            try:
                text.check_tokenizer(TextModelFiles.of(source.root, facts.text_models[text.name]))
            except InputError as refusal:
                hint = f"{refusal.hint}; LoadTextEncoder takes `{source.text}` too"
                yield NodeProblem("source", refusal.message, hint, refusal.code)
        elif not text.optional:
            message = f"`{source.text}` has no text encoder that {facts.family} reads as {text.name}"
            yield NodeProblem("source", message, "load those of the model with LoadTextEncoder", "wrong-text-models")


def _is_taken(loader: Upstream, output: str) -> bool:
    """Whether a link takes this output of a node."""
    links = (link for call in loader.calls.values() for _, link in call.links)
    return any((link.node, link.output) == (loader.call.id, output) for link in links)


def texts_fit(loader: Upstream) -> Iterator[NodeProblem]:
    """Standalone text encoders must be those of the model's family, with the tokenizers that they need."""
    checked = "source"
    try:
        given, sources = _texts(loader)
        checked = "tokenizer"
        check_tokenizer(given, sources, named=loader.call.inputs.get("tokenizer") is not None)
    except InputError as refusal:
        yield NodeProblem.of(refusal, checked)


def _texts(loader: Upstream) -> tuple[Assigned, list[Resolved]]:
    """The text models of a LoadTextEncoder, and their sources; none where they are not known before a run.

    Raises:
        InputError: where they are not the model's.
    """
    model = model_loader_of(loader)
    found, names = checkpoint_facts(model) if model else None, ("source", "source_2", "source_3", "source_4")
    given = [name for name in names if loader.call.inputs.get(name) is not None]
    sources = [one for name in given if (one := loader.source(name))]
    if found is None or len(sources) < len(given):
        return {}, []
    return assigned(family(found.family), sources, found.widths), sources


def text_facts(loader: Upstream) -> dict[TextModel, TextModelFacts] | None:
    """What headers say of the text models that a loader names; None where they are not known."""
    source, checkpoint = loader.source("source"), checkpoint_facts(loader)
    if checkpoint:
        known, found = family(checkpoint.family).texts, checkpoint.text_models
        return {text: found[text.name] for text in known if text.name in found}
    if source and isinstance(source.facts, TextSourceFacts):
        with suppress(InputError):
            given, _ = _texts(loader)
            return {text: facts for text, (_, facts) in given.items()} if given else None
    return None


def _clips(loader: Upstream) -> dict[str, int] | None:
    """The channels of each CLIP text model that a loader names; None where they are not known."""
    found = text_facts(loader)
    return None if found is None else {text.name: one.width for text, one in found.items() if text.takes_embeddings}


def embedding_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """An embedding must be of the text encoder's size, and its word must not be another one's."""
    source, others, above = loader.source("source"), list[str](), loader.above_by_type(TextEncoder)
    while above:
        others += _words(above)
        above = above.above_by_type(TextEncoder)
    for word in _words(loader):
        try:
            check_word(word, others)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "token")
    encoder = loader_above(loader, TextEncoder)
    clips = _clips(encoder) if encoder else None
    if source and clips is not None and isinstance(source.facts, EmbeddingFacts):
        try:
            match_vectors(source.text, source.facts.sizes, clips)
        except InputError as refusal:
            yield NodeProblem.of(refusal, "source")


def _words(loader: Upstream) -> list[str]:
    """The word that a LoadEmbedding loads; none where it is linked, or its file is not here."""
    token, source = loader.literals.get("token"), loader.source("source")
    named = source.facts.word if source and isinstance(source.facts, EmbeddingFacts) else None
    own = named if token == "" else token
    return [own] if own else []


def length_fits(encoder: Upstream) -> Iterator[NodeProblem]:
    """Only T5 and language models can be asked for another number of tokens."""
    node = loader_above(encoder, TextEncoder)
    model = node and (node if checkpoint_facts(node) else model_loader_of(node))
    facts = checkpoint_facts(model) if model else None
    if encoder.literals.get("max_sequence_length") is None or facts is None:
        return
    if not any(text.takes_length for text in family(facts.family).texts):
        message = f"the text models of family {facts.family} read chunks of 75 tokens, or no tokens at all"
        yield NodeProblem("max_sequence_length", message, "leave it out", "unsupported-by-model")


def other_texts_fit(encoder: Upstream) -> Iterator[NodeProblem]:
    """Only families of several text models can be given several texts."""
    node = loader_above(encoder, TextEncoder)
    model = node and (node if checkpoint_facts(node) else model_loader_of(node))
    facts = checkpoint_facts(model) if model else None
    if facts is None:
        return
    count = len(facts.text_models) or len(family(facts.family).texts)
    count = max(count, len(family(facts.family).texts)) if family(facts.family).prompts.fills_length else count
    for number, name in ((2, "text_2"), (3, "text_3")):
        if encoder.literals.get(name) is not None and number > count:
            message = f"family {facts.family} has no text model {number}; this model has {count}"
            yield NodeProblem(name, message, OTHER_TEXTS_HINT, "unsupported-by-model")


def prompt_width(loader: Upstream) -> int:
    """Channels of the prompts that a loader's text encoders make; 0 where that is not known."""
    facts = checkpoint_facts(loader)
    if facts:
        widths = {name: one.width for name, one in facts.text_models.items()}
        return family(facts.family).prompts.widths(widths).prompt if widths else 0
    with suppress(InputError):
        model, (given, _) = model_loader_of(loader), _texts(loader)
        own = checkpoint_facts(model) if model else None
        if own and given:
            return family(own.family).prompts.widths({text.name: one.width for text, (_, one) in given.items()}).prompt
    return 0


def _pooled_width(loader: Upstream) -> int | None:
    """Channels of the pooled vectors of a loader's prompts, 0 where they have none; None where that is not known."""
    own = checkpoint_facts(loader) or ((model := model_loader_of(loader)) and checkpoint_facts(model)) or None
    texts = text_facts(loader)
    if own is None or not texts:
        return None
    return family(own.family).prompts.pooled_width({text.name: one.width for text, one in texts.items()})


def pooled_vectors_fit(node: Upstream) -> Iterator[NodeProblem]:
    """The vector of a picture must have the channels of the pooled vectors of the prompt that it is put into."""
    prompt, encoder = node.above_by_type(Conditioning), encoder_of(node)
    while prompt and not prompt.above_by_type(TextEncoder):
        prompt = prompt.above_by_type(Conditioning)
    loader = loader_above(prompt, TextEncoder) if prompt else None
    width = _pooled_width(loader) if loader else None
    if loader and width is not None and encoder and encoder[1].vector != width:
        refusal = unlike_vectors(width, encoder[1].vector)
        yield NodeProblem.of(refusal, "embedding", after=f"; `{loader.call.id}` and `{encoder[0].call.id}`")


def training_fits(loader: Upstream) -> Iterator[NodeProblem]:
    """A model's parametrisation may leave no choice of `prediction` and `noise`."""
    model, given = loaded(loader), loader.literals
    try:
        fixed = parametrisation_of(model.scheduler).fixed_settings if model else frozenset()
    except InputError as refusal:
        yield NodeProblem.of(refusal, "prediction", after=f"; {model}")
        return
    for name, option in {**TRAINING, **dict(zip(BETAS, BETAS, strict=True))}.items():
        if given.get(name, "checkpoint") not in ("checkpoint", None) and option in fixed:
            yield NodeProblem(
                name, f"`{name}` cannot be set for this model; {model}", f"leave `{name}` out", "unsupported-by-model"
            )
