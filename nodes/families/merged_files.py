"""Writing merged weights: a file or a folder in the layout of the first source, made tensor by tensor.

What is merged is read from maps of the files, and no more than one tensor is in memory. The result has another name
until it is whole. Importing this module imports no torch.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from weft.engine import InputError, Loading, Notice, Resolved, Resource, SearchPaths, listed
from weft.engine.atomic_write import place_new
from weft.engine.notices import give_notice
from weft.engine.weights.file_digests import FileDigests
from weft.engine.weights.merge_request import MergeRequest
from weft.engine.weights.recipes import Sources
from weft.engine.weights.residency import Residency
from weft.nodes.families import checkpoint_in, family
from weft.nodes.lora_values import AddedLoRAs, AppliedLoRA, LoRA
from weft.nodes.models.diffusers_folder import component, component_variant, weights
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.models.lora_facts import LoRAFacts
from weft.nodes.models.lora_file import read_parts
from weft.nodes.models.mergeable import MergedModel, check_models
from weft.nodes.models.network_blocks import check_unet_blocks, read_blocks
from weft.nodes.models.quantised_weights import is_scale
from weft.nodes.models.safetensors_header import ENDINGS, Header, read_header
from weft.nodes.models.single_file import diffusers_vae_weights, tensors
from weft.nodes.models.stored_weights import aliases_of, mapped_weights, stored_weights
from weft.nodes.models.weight_merging import MergedWeights, MergeStep, weights_with_changes
from weft.nodes.values import VAE, Model, TextEncoder, WeightPatch, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.tensor_places import Place
    from weft.nodes.models.tensor_sources import Rename

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""Types of numbers as the format spells them, and torch's names of them."""

MOST_SHARE, MOST_STRENGTH = 10.0, 100.0
"""How far from 0 shares of models and strengths of LoRAs may be, as for MergeModels and ApplyLoRA."""

STALE = ("sshs_", "modelspec.hash")
"""What entries of metadata begin with that hold for the content of a file."""

IDENTITY = "text_projection.weight"
"""The weight of text models that files may leave out, where it changes nothing."""

RECORD = "weft.merge"
"""The entry of metadata that says what was merged."""


Convert = Callable[["dict[str, Tensor]", dict[str, Any]], "dict[str, Tensor]"]


@dataclass(frozen=True)
class MergeSource:
    """A source that takes part, with what its headers say."""

    resolved: Resolved
    digest: str

    @property
    def facts(self) -> CheckpointFacts:
        """Those of its denoiser and of what comes with it."""
        found = checkpoint_in(self.resolved.facts)
        assert found is not None, "only such sources are resolved"
        return found

    def recipe(self, kind: type[Weights]) -> Weights:
        """The recipe of a component."""
        return kind(self.digest, self.facts.family, "", "float32")

    @property
    def model(self) -> MergedModel:
        """The denoiser, for checks."""
        facts = self.facts
        return MergedModel(self.resolved.text, facts.network.config, facts.scheduler, facts.extra_channels)


@dataclass(frozen=True)
class FilePart:
    """A component in the files of the first source.

    Args:
        recipe: with its changes.
        model: the name of a text model; empty for others.
        files: that have its tensors.
        prefix: what their names begin with.
        rename: gives the tensors below the prefix the names that the component's class has.
    """

    recipe: Weights
    model: str
    files: tuple[Path, ...]
    prefix: str
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]


def merge_files(request: MergeRequest, denoisers: Resource, loras: Resource, places: SearchPaths) -> Path:
    """Write merged weights; gives where.

    Args:
        denoisers: resolves names of checkpoints and denoisers.
        loras: resolves names of LoRAs.

    Raises:
        InputError: where the sources cannot be merged, the layout cannot be written, or the name is taken.
    """
    sources, digests = Sources(), FileDigests()
    sources.verify = digests.verify

    def learned(text: str, resource: Resource) -> MergeSource:
        found = digests.of(resource.resolve(text, places))
        sources.learn(found)
        return MergeSource(found.resolved, str(found.digest))

    first = learned(request.first, denoisers)
    _check_request(request, first)
    others = {text: learned(text, denoisers) for text, _ in (*request.mixed, *request.added)}
    minus = learned(request.minus, denoisers) if request.minus else None
    adapters = [(learned(text, loras), strength) for text, strength in request.adapters]
    for other in (*others.values(), *((minus,) if minus else ())):
        _check_other(first, other)
    for adapter, _ in adapters:
        _check_adapter(first, adapter)
    check_unet_blocks(read_blocks(request.blocks), first.facts.network.config)
    record = _record(request, first, others, minus, adapters)
    with sources.unchanged() as unchanged:
        parts = [*_parts(request, first, others, minus, adapters)]
        with _opened(parts, Loading("cpu", unchanged, Residency(unchanged).hold)) as merged:
            return _written(request, first, merged, record)


def _check_request(request: MergeRequest, first: MergeSource) -> None:
    if not (request.mixed or request.added or request.adapters):
        raise InputError("there is nothing to merge", "name another source: --mix, --add or --lora", "missing-input")
    if request.minus and not request.added:
        raise InputError("`minus` goes with what is added", "name that with --add", "missing-input")
    if (request.out.exists() or request.out.is_symlink()) and not request.replace:
        raise InputError(f"{request.out} exists already", "give another name, or --force", "name-taken")
    folder = first.resolved.root.is_dir()
    if folder != (request.out.suffix != ".safetensors"):
        kind, ending = ("a folder", "a name without an ending") if folder else ("a file", "a name in .safetensors")
        raise InputError(f"the result is {kind}, as `{request.first}` is", f"give {ending}", "malformed-path")
    for given, most in (((*request.mixed, *request.added), MOST_SHARE), (request.adapters, MOST_STRENGTH)):
        for text, number in given:
            if abs(number) > most:
                message = f"`{text}={number:g}` is not between -{most:g} and {most:g}"
                raise InputError(message, "give a smaller number", "out-of-range")
    if request.precision and request.precision not in DTYPES.values():
        raise InputError(f"there is no precision `{request.precision}`", listed(DTYPES.values()), "unknown-choice")
    for path in _weight_files(first.resolved):
        header = read_header(path)
        if header.gguf or any(map(is_scale, header.shapes)):
            form = "in GGUF" if header.gguf else "with scales"
            message = f"`{request.first}` has weights {form}, which are not written"
            raise InputError(message, "start from one of the others", "unsupported-weights")


def _check_other(first: MergeSource, other: MergeSource) -> None:
    if other.facts.family != first.facts.family:
        raise InputError(
            f"`{other.resolved.text}` is of family {other.facts.family}, and `{first.resolved.text}` of "
            f"{first.facts.family}",
            "merge models of one family",
            "family-mismatch",
        )
    check_models(first.model, other.model)


def _check_adapter(first: MergeSource, adapter: MergeSource) -> None:
    """Raise `InputError` where a LoRA changes nothing of the first source."""
    facts = adapter.resolved.facts
    assert isinstance(facts, LoRAFacts)
    texts = [*first.facts.text_models] if _has_texts(first) else []
    if not facts.of_part(*read_parts(texts)):
        raise InputError(
            f"`{adapter.resolved.text}` changes {listed(facts.parts)} alone, and `{first.resolved.text}` has "
            f"{listed(texts) or 'no text encoders'}",
            "use a LoRA that was made for this model, or one like it",
            "wrong-lora",
        )


def _record(
    request: MergeRequest,
    first: MergeSource,
    others: Mapping[str, MergeSource],
    minus: MergeSource | None,
    adapters: Sequence[tuple[MergeSource, float]],
) -> str:
    """What was merged, as JSON: names, digests of contents, shares."""

    def named(source: MergeSource, **number: float) -> dict[str, Any]:
        return {"source": source.resolved.text, "blake3": source.digest, **number}

    found: dict[str, Any] = {
        "first": named(first),
        "mixed": [named(others[text], share=share) for text, share in request.mixed],
        "added": [named(others[text], factor=factor) for text, factor in request.added],
        "minus": named(minus) if minus else None,
        "loras": [named(source, strength=strength) for source, strength in adapters],
        "blocks": request.blocks,
        "vae": request.everything,
    }
    return orjson.dumps({name: one for name, one in found.items() if one}).decode()


def _parts(
    request: MergeRequest,
    first: MergeSource,
    others: Mapping[str, MergeSource],
    minus: MergeSource | None,
    adapters: Sequence[tuple[MergeSource, float]],
) -> Iterator[FilePart]:
    """What is merged of the first source, with the changes to it."""
    texts, vaes = [TextEncoder] if _has_texts(first) else [], [VAE] if request.everything else []
    kinds: list[type[Weights]] = [Model, *texts, *vaes]
    for kind in kinds:
        taking = {text: one for text, one in others.items() if kind is not TextEncoder or _has_texts(one)}
        left = [text for text in others if text not in taking]
        if left:
            message = f"{listed(left)} has no text encoders of its own; those of `{request.first}` stay as they are"
            give_notice(Notice(message, "", "unread-component"))
        changes = _changes(request, kind, taking, minus, adapters)
        if changes:
            yield from _in_files(first, replace(first.recipe(kind), changes=changes))


def _has_texts(source: MergeSource) -> bool:
    texts = family(source.facts.family).texts
    return bool(texts) and all(text.name in source.facts.text_models for text in texts if not text.optional)


def _changes(
    request: MergeRequest,
    kind: type[Weights],
    others: Mapping[str, MergeSource],
    minus: MergeSource | None,
    adapters: Sequence[tuple[MergeSource, float]],
) -> tuple[WeightPatch, ...]:
    blocks = read_blocks(request.blocks) if kind is Model else ()
    own = minus.recipe(kind) if minus and (kind is not TextEncoder or _has_texts(minus)) else None
    steps = [
        *(MergeStep(others[text].recipe(kind), share, blocks, True) for text, share in request.mixed if text in others),
        *(
            MergeStep(others[text].recipe(kind), factor, blocks, minus=own)
            for text, factor in request.added
            if text in others and (own or not minus)
        ),
    ]
    loras = [AppliedLoRA(LoRA(one.digest, one.resolved.family or ""), strength) for one, strength in adapters]
    merged = (MergedWeights(tuple(steps)),) if steps else ()
    return (*merged, *((AddedLoRAs(tuple(loras)),) if loras and kind is not VAE else ()))


def _in_files(first: MergeSource, recipe: Weights) -> Iterator[FilePart]:
    """Where a component lies in the files of the first source."""
    root, facts, known = first.resolved.root, first.facts, family(first.facts.family)
    if isinstance(recipe, TextEncoder):
        for text in known.texts:
            if own := facts.text_models.get(text.name):
                files = _folder_files(root / own.folder) if root.is_dir() else (root,)
                yield FilePart(recipe, text.name, files, own.prefix, text.renamed)
        return
    if isinstance(recipe, Model):
        rename: Rename
        folder, prefix, layout = known.network.folder, facts.network.prefix, facts.network.layout
        config, rename = dict(facts.network.config), _as_they_are
    else:
        assert facts.vae is not None and known.vae is not None
        folder, prefix, layout = "vae", facts.vae.prefix, facts.vae.layout
        config, rename = {**known.vae.config, **facts.vae.config}, partial(diffusers_vae_weights, config={})
    if root.is_dir():
        yield FilePart(recipe, "", _folder_files(component(root, folder)), "", rename)
    else:
        assert layout is not None, "what is in a file has a layout"
        yield FilePart(recipe, "", (root,), prefix, partial(_by_layout, layout.weights, config))


def _as_they_are(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return found


def _by_layout(convert: Convert, config: dict[str, Any], found: dict[str, Tensor]) -> dict[str, Tensor]:
    return convert(found, dict(config))


def _folder_files(folder: Path) -> tuple[Path, ...]:
    return tuple(weights(folder)[component_variant(folder, "") or ""])


def _weight_files(resolved: Resolved) -> tuple[Path, ...]:
    """The files that hold weights, without tokenizers and settings that lie with them."""
    return tuple(path for path in resolved.files if path.suffix.lower() in ENDINGS)


Merged = Mapping[tuple[Path, str], tuple["list[Place]", Callable[[str], "Tensor"]]]
"""What lies in each tensor of a file, and what reads a merged weight."""


@contextmanager
def _opened(parts: Sequence[FilePart], loading: Loading) -> Iterator[Merged]:
    """What is written in place of the tensors of the first source, while the block runs.

    Raises:
        InputError: where a weight has no place in its files.
    """
    from weft.nodes.models.tensor_places import matched, places

    found: dict[tuple[Path, str], tuple[list[Place], Callable[[str], Tensor]]] = {}
    with ExitStack() as stack:
        for part in parts:
            shapes, read = stack.enter_context(weights_with_changes(part.recipe, loading))
            stored = stack.enter_context(stored_weights(part.recipe, loading))
            own = f"{part.model}." if part.model else ""
            weights = {name.removeprefix(own) for name in shapes if name.startswith(own)}
            aliases = {
                name.removeprefix(own): one.removeprefix(own)
                for name, one in aliases_of(stored.module).items()
                if name.startswith(own)
            }
            tensors, where = _tensors(part)
            placed = places(tensors, part.rename)
            named = {place.weight for ones in placed.values() for place in ones}
            called = matched(weights, named, aliases)
            missing = weights - set(called.values()) - {IDENTITY}
            if missing:
                raise InputError(
                    f"{len(missing)} weights have no place in the file: {listed(sorted(missing)[:3])}",
                    "start from another source",
                    "unsupported-weights",
                )
            for tensor, ones in placed.items():
                kept = [replace(one, weight=own + called[one.weight]) for one in ones if one.weight in called]
                if kept:
                    found[where[tensor], part.prefix + tensor] = (kept, read)
        yield found


def _tensors(part: FilePart) -> tuple[dict[str, Tensor], dict[str, Path]]:
    """The tensors of a part as maps of its files, below its prefix, and the file of each."""
    found: dict[str, Tensor] = {}
    where: dict[str, Path] = {}
    with mapped_weights():
        for path in part.files:
            own = {name.removeprefix(part.prefix): one for name, one in tensors(path, part.prefix).items()}
            found |= own
            where |= dict.fromkeys(own, path)
    return found, where


def _written(request: MergeRequest, first: MergeSource, merged: Merged, record: str) -> Path:
    """Write the result under another name, and give it its own."""
    root, out = first.resolved.root, request.out
    partial_name = out.parent / f".{out.name}.{os.getpid()}"
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        if root.is_dir():
            _write_folder(root, partial_name, request, merged, record)
        else:
            _write_file(root, partial_name, request, merged, record)
        _place(partial_name, out, request)
    except OSError as fault:
        message = f"{out} cannot be written: {fault.strerror or fault}"
        raise InputError(message, "give another folder", "unwritable-file") from fault
    finally:
        if partial_name.is_dir():
            shutil.rmtree(partial_name, ignore_errors=True)
        else:
            partial_name.unlink(missing_ok=True)
    return out


def _place(made: Path, out: Path, request: MergeRequest) -> None:
    """Give what is whole its name."""
    if made.is_dir() and request.replace and out.exists():
        aside = out.parent / f".{out.name}.{os.getpid()}.old"
        out.rename(aside)
        made.rename(out)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    elif made.is_dir():
        made.rename(out)
    elif request.replace:
        made.replace(out)
    else:
        try:
            place_new(made, out)
        except FileExistsError:
            raise InputError(f"{out} exists already", "give another name, or --force", "name-taken") from None


def _write_folder(root: Path, out: Path, request: MergeRequest, merged: Merged, record: str) -> None:
    """Write a folder like another one, with merged weights in place of its own; links are followed."""
    changed = {path for path, _ in merged}
    for path in sorted(root.rglob("*")):
        target = out / path.relative_to(root)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path in changed:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_file(path, target, request, merged, record)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _write_file(path: Path, out: Path, request: MergeRequest, merged: Merged, record: str) -> None:
    """Write a file like another one, with merged weights in place of its own."""
    import torch
    from safetensors import safe_open

    header = read_header(path)
    names = sorted(header.shapes, key=lambda name: header.offsets[name])
    types = {name: _type(request, header, name, (path, name) in merged) for name in names}
    with safe_open(path, framework="pt") as file, out.open("wb") as target:
        target.write(_head(header, names, types, record))
        for name in names:
            tensor = file.get_tensor(name)
            if (path, name) in merged:
                placed, read = merged[path, name]
                tensor = tensor.to(torch.float32, copy=True).contiguous()
                for place in placed:
                    place.put(read(place.weight), tensor)
            dtype = getattr(torch, DTYPES[types[name]], None) if types[name] in DTYPES else None
            converted = tensor if dtype is None else tensor.to(dtype)
            target.write(memoryview(converted.contiguous().flatten().view(torch.uint8).numpy()))


def _type(request: MergeRequest, header: Header, name: str, is_merged: bool) -> str:
    """The type of numbers that a tensor is written in."""
    own = header.dtypes[name]
    wanted = next((one for one, named in DTYPES.items() if named == request.precision), own)
    return wanted if is_merged else own


def _head(header: Header, names: Sequence[str], types: Mapping[str, str], record: str) -> bytes:
    """The beginning of a safetensors file: the length of its header, and the header."""
    kept = {name: text for name, text in header.metadata.items() if not name.startswith(STALE)}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **kept, RECORD: record}}
    start = 0
    for name in names:
        end = start + math.prod(header.shapes[name]) * SIZES[types[name]]
        entries[name] = {"dtype": types[name], "shape": list(header.shapes[name]), "data_offsets": [start, end]}
        start = end
    text = orjson.dumps(entries)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


SIZES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""Bytes of a number of each type."""
