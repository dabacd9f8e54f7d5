"""Sources of weights: what loaders accept, found and recognised by names and headers alone.

A source is a path under a models folder (a diffusers folder or a safetensors file), a hub id whose files are in the
hub's cache, or `builtin:NAME`. Imports no torch. Nothing is downloaded unless the run allows it (`--download`).
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weft.engine import InputError, Notice, Resolved, Resource, SearchPaths, find, inside, listed, nearest
from weft.engine.weights.merge_request import MergeRequest
from weft.nodes import builtin
from weft.nodes.families import (
    FAMILIES,
    of_checkpoint,
    of_control_net,
    of_denoiser,
    of_text_models,
    of_vae,
)
from weft.nodes.families import (
    family as family_of,
)
from weft.nodes.families.configuration_keys import folder_notices, scheduler_notices
from weft.nodes.families.model_details import details, structure
from weft.nodes.models import diffusers_folder, hub
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import (
    CheckpointFacts,
    ControlNetFacts,
    EmbeddingFacts,
    TextModelFacts,
    TextSourceFacts,
    VAEFacts,
)
from weft.nodes.models.model_folder import check_component, check_folder
from weft.nodes.models.network_format import SECOND_DENOISER
from weft.nodes.models.quantised_weights import refuse_quantised, refuse_quantised_config, refuse_scales_in_folder
from weft.nodes.models.recognition import read_as_model
from weft.nodes.models.redux_files import REDUX_FOLDER
from weft.nodes.models.revisions import reading_of
from weft.nodes.models.safetensors_header import ENDINGS, PICKLES, kind_of, read_header, refuse_pickle
from weft.nodes.models.shards import check_shards
from weft.nodes.models.tiny_halves import OTHER, half_of, named, other_half
from weft.nodes.models.unclip import NOISE, NORMALISER
from weft.nodes.models.unread import outside, unread_tensors
from weft.nodes.models.vision_models import FOLDER, PROCESSORS
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.embeddings import sizes_of, word_of

if TYPE_CHECKING:
    from weft.nodes.models.hypernetwork_files import HypernetworkFacts
    from weft.nodes.models.lora_facts import LoRAFacts

BUILTIN = "builtin:"


class ModelSource(Resource):
    """A string input that names weights of one kind; a kind is a subclass.

    Attributes:
        kind: as `weft models list` calls it.
        components: the folders of a model folder that make it up; the empty name is the folder itself.
    """

    kind: str
    components: tuple[str, ...]

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The weights of that name.

        Raises:
            InputError: where they are missing, damaged, a pickle, or not what is wanted here.
        """
        root = located(text, places)
        if root is None and places.download and hub.is_hub_id(text):
            root = self.pull(text)
        if root is None:
            raise missing(text, places)
        root = weights_file(text, root)
        if root.is_dir():
            check_folder(root, (*_searched(places), hub.cache_folder()))
        with read_as_model(root.name):
            contents = self.contents(root, places)
            facts = self.facts(contents, root)
            if facts is None:
                raise self.refusal(root, contents)
            for component in self.components:
                refuse_quantised_config(component or root.name, contents.configs.get(component, {}))
            if isinstance(facts, CheckpointFacts):
                family_of(facts.family).check(facts, root.name)
            family = getattr(facts, "family", None) or None
            reading = reading_of(facts, contents)
            notices = (*notices_of(root.name, contents, facts), *self.folder_notices(text, contents, facts))
            found = Resolved(
                text,
                *self.placed(root, contents),
                family,
                self.kind,
                facts,
                reading=reading,
                notices=notices,
                about=self.about(facts),
            )
            return self.with_tokenizers(found, places)

    def available(self, places: SearchPaths) -> Iterator[tuple[str, Resolved]]:
        """The models of this kind among the builtins, in the hub's cache and in the models folders."""
        for name in _names(places):
            with suppress(InputError):
                yield name, self.resolve(name, places)

    def details(self, found: Resolved) -> Mapping[str, str]:
        """The size that it was trained at, and its licence."""
        return details(found)

    def about(self, facts: object) -> str:
        """What its headers say of it in words, for listings; empty for most."""
        return ""

    def structure(self, found: Resolved) -> str:
        """Its kind and family, its configurations, and about how large its files are, which tells their precision."""
        return structure(found)

    def pull(self, text: str, variant: str = "") -> Path:
        """Fetch a hub id into the hub's cache."""
        return hub.fetch(text, self.components, variant)

    def contents(self, root: Path, places: SearchPaths) -> Contents:
        """What names and headers say of a folder or a file."""
        return Contents.of(root)

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """The folder that file names are relative to, and the files whose content makes the digest.

        A part of a whole checkpoint has the digest of the checkpoint. The headers of a folder's files are read, so that
        damage shows.
        """
        if not root.is_dir():
            return root, (root,)
        components = self.components if contents.has("") else WHOLE
        for component in components:
            if (root / component / "config.json").is_file():
                _read_headers(root / component)
        return root, diffusers_folder.content(root, components)

    def folder_notices(self, text: str, contents: Contents, facts: object) -> Iterator[Notice]:
        """The notices of what a folder of this name has besides what is loaded."""
        yield from ()

    def with_tokenizers(self, found: Resolved, places: SearchPaths) -> Resolved:
        """A source with the files of tokenizers that are read with it and lie elsewhere, such as next to a file.

        Raises:
            InputError: where they lead out of the folders that the run may read.
        """

        models = [model for model in _text_models(found) if model.kind != Clip.kind]  # CLIP's is never elsewhere
        if not models:
            return found
        from weft.nodes.prompting.language_model import tokenizer_next_to
        from weft.nodes.prompting.t5 import separate_tokenizer
        from weft.nodes.prompting.tokenizers import tokenizer_files

        def apart(root: Path, model: TextModelFacts) -> Path | None:
            return separate_tokenizer(root, model) or tokenizer_next_to(root, model.kind)

        folders = [folder for model in models if (folder := apart(found.root, model))]
        for folder in folders:
            check_component(folder, (*_searched(places), hub.cache_folder()))
        files = (path for folder in folders for path in tokenizer_files(folder))
        return replace(found, files=tuple(dict.fromkeys((*found.files, *files))))

    @abstractmethod
    def facts(self, contents: Contents, root: Path) -> object | None:
        """What the headers say, for checks, nodes and loaders; None where it is another kind of file."""

    @abstractmethod
    def refusal(self, root: Path, contents: Contents) -> InputError:
        """The error that names what was found instead."""


def _text_models(found: Resolved) -> tuple[TextModelFacts, ...]:
    """The text models in a source of text encoders or in a checkpoint."""
    if isinstance(found.facts, TextSourceFacts):
        return found.facts.models
    return tuple(found.facts.text_models.values()) if isinstance(found.facts, CheckpointFacts) else ()


def notices_of(name: str, contents: Contents, facts: object) -> tuple[Notice, ...]:
    """The notice of a file's tensors that belong to no part of it that a loader reads.

    Args:
        name: of the file, for messages.
    """
    if isinstance(facts, EmbeddingFacts):
        rest = sorted(contents.shapes.keys() - facts.sizes.keys())
        return (unread_tensors(name, rest),) if rest else ()
    if isinstance(facts, ControlNetFacts):
        prefixes = {facts.network.prefix}
    else:
        own = (facts,) if isinstance(facts, VAEFacts) else facts.models if isinstance(facts, TextSourceFacts) else ()
        prefixes = {part.prefix for part in own}
        whole = facts if isinstance(facts, CheckpointFacts) else None
        if contents.shapes and whole is None and "" not in prefixes:
            # A part that is read from the file of a checkpoint leaves its other parts to other loaders.
            whole = of_checkpoint(contents) or of_denoiser(contents)
        parts = (whole.network, whole.vae, *whole.text_models.values()) if whole else ()
        prefixes |= {part.prefix for part in parts if part}
    left = outside(contents.shapes, prefixes) if prefixes else []
    return (unread_tensors(name, left),) if left else ()


WHOLE = (
    *("", "scheduler"),
    *("text_encoder", "text_encoder_2", "text_encoder_3"),
    *("tokenizer", "tokenizer_2", "tokenizer_3"),
    *("transformer", "unet", "vae"),
    *(NORMALISER, NOISE),
)
"""The components of a whole checkpoint."""


class CheckpointSource(ModelSource):
    """A whole checkpoint: a denoiser with, as far as its family has them, text encoders and a VAE."""

    kind = "checkpoint"
    components: tuple[str, ...] = WHOLE

    def pull(self, text: str, variant: str = "") -> Path:
        """Fetch what the loaders of all parts of a folder read."""
        return hub.fetch(text, (*WHOLE, SECOND_DENOISER, FOLDER, *PROCESSORS, REDUX_FOLDER), variant)

    def facts(self, contents: Contents, root: Path) -> CheckpointFacts | None:
        found = of_checkpoint(contents)
        if found:
            family_of(found.family).check_prompts(found, root.name)
        return found

    def folder_notices(self, text: str, contents: Contents, facts: object) -> Iterator[Notice]:
        assert isinstance(facts, CheckpointFacts)
        yield from scheduler_notices(text, contents)
        yield from folder_notices(text, contents, family_of(facts.family))

    def refusal(self, root: Path, contents: Contents) -> InputError:
        known = ", ".join(family.name for family in FAMILIES)
        part = of_denoiser(contents)
        lacks = family_of(part.family).lacks(part) if part else []
        if part and lacks and not contents.has(""):
            return InputError(
                f"`{root.name}` is no whole checkpoint of {part.family}: it lacks {listed(lacks)}",
                "load its denoiser with LoadDiffusionModel, a VAE with LoadVAE, text encoders with LoadTextEncoder",
                "wrong-kind-of-file",
            )
        if contents.shapes:
            kind = kind_of(contents.shapes)
            found = kind.name if kind else "nothing that Weft knows"
            return InputError(
                f"`{root.name}` is {found}, expected a checkpoint",
                kind.hint if kind else _CHECKPOINT,
                "wrong-kind-of-file",
            )
        if contents.configs.get("", {}).get("_class_name") == "ControlNetModel":
            return InputError(
                f"`{root.name}` is a ControlNet, expected a checkpoint",
                "load it with LoadControlNet",
                "wrong-kind-of-file",
            )
        parts = ", ".join(sorted(filter(None, contents.configs))) or "no components"
        return InputError(
            f"`{root.name}` ({parts}) is no checkpoint of a family that Weft loads: {known}",
            _CHECKPOINT,
            "unknown-family",
        )


class DenoiserSource(CheckpointSource):
    """A denoiser, alone or in a checkpoint: a UNet or a transformer."""

    kind = "denoiser"
    components = ("",)

    def facts(self, contents: Contents, root: Path) -> CheckpointFacts | None:
        return of_checkpoint(contents) or of_denoiser(contents)

    def folder_notices(self, text: str, contents: Contents, facts: object) -> Iterator[Notice]:
        """Those of the scheduler: the rest of a checkpoint is left to other loaders."""
        yield from scheduler_notices(text, contents)

    def merge(self, request: MergeRequest, places: SearchPaths) -> Path:
        """Write merged weights in the layout of the first source; gives where."""
        from weft.nodes.families.merged_files import merge_files

        return merge_files(request, self, LoRASource(), places)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, "give a folder or a safetensors file of a UNet or a transformer")


class VAESource(ModelSource):
    """A VAE, alone or in a checkpoint, for any family whose latents it can make.

    The model that it is loaded for decides the family.
    """

    kind = "VAE"
    components = ("",)

    def contents(self, root: Path, places: SearchPaths) -> Contents:
        """Those of both files of a tiny autoencoder whose halves are in a file each, of which the source names one."""
        contents = super().contents(root, places)
        half = half_of(contents.shapes)
        if half is None:
            return contents
        other = other_half(root, half)
        if not inside(other, (*_searched(places), hub.cache_folder())):
            raise InputError(
                f"`{other.name}` is a link that leads out of the folders that this run may read",
                "put the file itself there",
                "outside-folders",
            )
        rest = super().contents(other, places)
        if half_of(rest.shapes) != OTHER[half]:
            raise InputError(
                f"`{other.name}` is not the {OTHER[half]} of a tiny autoencoder, as its name has it",
                f"put the one that belongs to `{root.name}` there",
                "wrong-kind-of-file",
            )
        pair = (root.name, other.name) if half == "decoder" else (other.name, root.name)
        shapes = named(half, contents.shapes) | named(OTHER[half], rest.shapes)
        return replace(contents, shapes=shapes, halves=pair, read={})

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        if contents.halves:
            files = tuple(root.with_name(name) for name in contents.halves)
            return files[0], files
        return super().placed(root, contents)

    def facts(self, contents: Contents, root: Path) -> VAEFacts | None:
        return of_vae(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, "give a folder or a safetensors file of the VAE of a family")


class ControlNetSource(ModelSource):
    """A ControlNet alone."""

    kind = "ControlNet"
    components = ("",)

    def facts(self, contents: Contents, root: Path) -> ControlNetFacts | None:
        found = of_control_net(contents)
        if found:
            family_of(found.family).check_control(found, root.name)
        return found

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, _CONTROL_NET)


class TextEncoderSource(ModelSource):
    """Text encoders of any kind that a family encodes prompts with: one alone, several, or those of a checkpoint."""

    kind = "text encoder"
    components = ("",)

    def with_tokenizers(self, found: Resolved, places: SearchPaths) -> Resolved:
        """A text model with the tokenizer that a model's folder has for it."""
        facts, folder = found.facts, found.root.name
        assert isinstance(facts, TextSourceFacts)
        tokenizer = found.root.parent / folder.replace("text_encoder", "tokenizer")
        carried = tokenizer != found.root and tokenizer.is_dir() and inside(tokenizer, _searched(places))
        if not (facts.contents.has("") and carried):
            return super().with_tokenizers(found, places)
        check_component(tokenizer, (*_searched(places), hub.cache_folder()))
        root = found.root.parent
        files = diffusers_folder.content(root, (folder, tokenizer.name))
        models = tuple(replace(model, folder=folder) for model in facts.models)
        carrying = replace(found, root=root, files=files, facts=replace(facts, models=models))
        return super().with_tokenizers(carrying, places)

    def facts(self, contents: Contents, root: Path) -> TextSourceFacts | None:
        return of_text_models(contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, "give a folder or a safetensors file of a text model")


class LoRASource(ModelSource):
    """A LoRA, for models of any family."""

    kind = "LoRA"
    components = ()

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """A file alone."""
        return root, (root,)

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The LoRA of that name, with PEFT's configuration next to a file of PEFT's, which has the scale of it.

        Raises:
            InputError: for what any other source is refused for, and where the configuration cannot be read.
        """
        from weft.nodes.models.lora_facts import lora_facts

        found = super().resolve(text, places)
        config = found.root.with_name("adapter_config.json")
        if found.root.name != "adapter_model.safetensors" or not config.is_file():
            return found
        if not inside(config, (*_searched(places), hub.cache_folder())):
            raise InputError(
                f"`{config.name}` of `{text}` is a link that leads out of the folders that this run may read",
                "put the file itself there",
                "outside-folders",
            )
        with read_as_model(found.root.name):
            contents = Contents.of(found.root)
            facts = lora_facts(contents.shapes, contents.metadata, diffusers_folder.read_config(config))
        return replace(found, files=(*found.files, config), facts=facts, about=str(facts))

    def about(self, facts: object) -> str:
        """Its rank and what it changes."""
        return str(facts)

    def facts(self, contents: Contents, root: Path) -> LoRAFacts | None:
        from weft.nodes.models.lora_facts import lora_facts

        return lora_facts(contents.shapes, contents.metadata)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, "give a safetensors file of a LoRA")


class HypernetworkSource(ModelSource):
    """A hypernetwork, for UNets."""

    kind = "hypernetwork"
    components = ()

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The hypernetwork of that name.

        Raises:
            InputError: for a pickle, with how to convert it, and for what any other source is refused for.
        """
        try:
            return super().resolve(text, places)
        except InputError as refusal:
            raise (
                InputError(refusal.message, _CONVERT_HYPERNETWORK, refusal.code) if _is_pickle(text) else refusal
            ) from None

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """A file alone."""
        return root, (root,)

    def facts(self, contents: Contents, root: Path) -> HypernetworkFacts | None:
        from weft.nodes.models.hypernetwork_files import hypernetwork_facts

        return hypernetwork_facts(contents.shapes, contents.metadata)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, self.kind, "give a safetensors file of a hypernetwork")


_CONVERT_HYPERNETWORK = (
    "convert it where you trust it: read it by `torch.load(FILE, weights_only=True)`, and write its tensors as "
    "`WIDTH.0.NAME` and `WIDTH.1.NAME`, and `activation_func` and `activate_output` as metadata, by "
    "`safetensors.torch.save_file`"
)


class EmbeddingSource(ModelSource):
    """A textual inversion embedding, for any text encoder that reads as many channels."""

    kind = "embedding"
    components = ()

    def resolve(self, text: str, places: SearchPaths) -> Resolved:
        """The embedding of that name.

        Raises:
            InputError: for a pickle, with how to convert it, and for what any other source is refused for.
        """
        try:
            return super().resolve(text, places)
        except InputError as refusal:
            raise InputError(refusal.message, _CONVERT, refusal.code) if _is_pickle(text) else refusal from None

    def placed(self, root: Path, contents: Contents) -> tuple[Path, tuple[Path, ...]]:
        """Its name counts too, since it may be the word that it stands for."""
        return root.parent, (root,)

    def facts(self, contents: Contents, root: Path) -> EmbeddingFacts | None:
        sizes = sizes_of(contents.shapes)
        return EmbeddingFacts(word_of(sizes, root), sizes) if sizes else None

    def refusal(self, root: Path, contents: Contents) -> InputError:
        return _refused(root, contents, "textual inversion embedding", "give a safetensors file of vectors alone")


def _is_pickle(text: str) -> bool:
    return Path(text).suffix.lower() in PICKLES


_CONVERT = (
    "convert it where you trust it: read it by `torch.load(FILE, weights_only=True)`, and write its vectors as "
    "`emb_params` by `safetensors.torch.save_file`"
)


def _refused(root: Path, contents: Contents, wanted: str, hint: str) -> InputError:
    """The error that names what was found where a part was wanted.

    Args:
        wanted: the part, as `Kind.part` calls it.
    """
    kind, whole = kind_of(contents.shapes), of_checkpoint(contents)
    found = kind.name if kind else contents.class_of("") or "nothing that Weft knows"
    if whole:
        found, hint = f"a checkpoint ({whole.family})", "load it with LoadCheckpoint"
    elif kind and kind.part == wanted:
        known = ", ".join(family.name for family in FAMILIES)
        return InputError(
            f"`{root.name}` is {kind.name}, in a layout or of a structure that Weft does not read",
            f"give one of the families {known}, in the layout of diffusers or of its authors",
            "unknown-family",
        )
    elif kind and kind.part:
        hint = kind.hint
    return InputError(f"`{root.name}` is {found}, expected a {wanted}", hint, "wrong-kind-of-file")


_CHECKPOINT = "give a diffusers folder, or a safetensors file with the denoiser, the VAE and the text encoders"
_CONTROL_NET = "give a diffusers folder of a ControlNet, or a safetensors file in the original layout"


def weights_file(text: str, root: Path) -> Path:
    """What a source names: a folder without configurations that has one safetensors file is that file.

    Raises:
        InputError: where it has several, with their names.
    """
    files = _lone_files(root)
    if len(files) > 1:
        raise InputError(
            f"`{text}` is a folder of several files of weights and no configuration",
            f"name one of them: {listed(f'{text}/{path.name}' for path in files[:5])}",
            "wrong-kind-of-file",
        )
    return files[0] if files else root


def _lone_files(root: Path) -> list[Path]:
    """The safetensors files in a folder that has no configuration."""
    if not root.is_dir() or (root / "model_index.json").is_file() or diffusers_folder.configs(root):
        return []
    return sorted(path for path in root.iterdir() if path.suffix in ENDINGS and path.is_file())


def located(text: str, places: SearchPaths) -> Path | None:
    """The file or folder that a source names: a builtin, a path in the places, or a snapshot in the hub's cache.

    Raises:
        InputError: for a builtin that there is not, a pickle, and a path outside the places.
    """
    if text.startswith(BUILTIN):
        return _builtin(text.removeprefix(BUILTIN))
    if not text.strip():
        raise InputError("the name of the model is empty", f"give a path, a hub id or `{BUILTIN}NAME`", "unknown-model")
    refuse_pickle(Path(text))
    path = find(text, _searched(places)) or _in_kind_of_model(text, places)
    return hub.cached(text, hub.cache_folder()) if path is None else path


KINDS = (
    *("checkpoints", "diffusion_models", "unet", "text_encoders", "clip", "clip_vision", "vae", "vae_approx"),
    *("loras", "controlnet", "embeddings", "hypernetworks", "upscale_models", "style_models", "model_patches"),
)
"""The folders that ComfyUI has for kinds of models in its folder of models; its graphs name files in them."""


def _in_kind_of_model(text: str, places: SearchPaths) -> Path | None:
    """The file of a name in the folder of a kind of models: under its path, else under its own name alone."""
    folders = tuple(folder / kind for folder in places.models for kind in KINDS if inside(folder / kind, places.models))
    there = tuple(folder for folder in folders if folder.is_dir())
    names = dict.fromkeys((text, Path(text).name)) if Path(text).suffix else ()
    return next((path for name in names if there and (path := find(name, there))), None)


def _searched(places: SearchPaths) -> tuple[Path, ...]:
    return (*places.models, *places.files)


def missing(text: str, places: SearchPaths) -> InputError:
    """The refusal of a name that nothing here has."""
    searched = _searched(places)
    near = _near(text, searched)
    if hub.is_hub_id(text) and not near:
        return InputError(
            f"`{text}` is no path under {listed(map(str, searched))}, and no hub id that is in the hub's cache",
            f"get it with: weft models pull {text}",
            "not-downloaded",
        )
    return InputError(
        f"there is no model `{text}` in {listed(map(str, searched))}",
        near or "check the name, or add its folder with --models DIR",
        "unknown-model",
    )


def _near(text: str, searched: tuple[Path, ...]) -> str:
    """The nearest name in the folders where `text` would lie; only folders that may be read are looked into."""
    wanted = Path(text)
    around = [folder / wanted.parent for folder in searched if inside(folder / wanted.parent, searched)]
    return nearest(wanted.name, [entry.name for folder in around if folder.is_dir() for entry in folder.iterdir()])


def _builtin(name: str) -> Path:
    if name not in builtin.names():
        known = f"there are: {', '.join(builtin.names()) or 'none'}"
        raise InputError(
            f"there is no builtin model `{name}`", nearest(name, builtin.names()) or known, "unknown-model"
        )
    return builtin.path(name)


def _read_headers(folder: Path) -> None:
    """Read the header of each weights file of a component, so that a damaged one is found before anything runs."""
    for variant, paths in diffusers_folder.weights(folder).items():
        held = {}
        for path in paths:
            header = read_header(path)
            refuse_quantised(f"{folder.name}/{path.name}", header)
            refuse_scales_in_folder(f"{folder.name}/{path.name}", header)
            held[path.name] = header.shapes
        check_shards(folder, variant, held)


def _names(places: SearchPaths) -> Iterator[str]:
    """Every name that might be a model here: builtins, the hub's cache, and what lies in the models folders."""
    yield from (BUILTIN + name for name in builtin.names())
    for hub_id in hub.cached_ids(hub.cache_folder()):
        yield hub_id
        root = hub.snapshot(hub_id, hub.cache_folder())
        yield from (f"{hub_id}/{path.name}" for path in (_lone_files(root) if root else ()))
    for folder in places.models:
        for path in _models_below(folder, _searched(places)):
            yield path.relative_to(folder).as_posix()


def _models_below(folder: Path, searched: tuple[Path, ...]) -> Iterator[Path]:
    """Model folders and single files under a folder; nothing inside a model folder is one of its own.

    Links to folders are followed as those to files are: where they lead into a folder that may be read, each once.
    """
    seen = set()
    for root, subfolders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen or not inside(Path(root), searched):
            subfolders.clear()
            continue
        seen.add(real)
        if "model_index.json" in files or "config.json" in files:
            subfolders.clear()
            yield Path(root)
        else:
            subfolders.sort()
            yield from (Path(root, name) for name in sorted(files) if name.endswith(ENDINGS))
