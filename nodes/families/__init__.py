"""The families of models that this library knows, one file each. Importing this package imports no torch.

A family is imported when it is asked whether a file is its own, in the order of `PLACES`: a check imports few of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module

from weft.nodes.families.family import Family
from weft.nodes.models.contents import Contents
from weft.nodes.models.facts import CheckpointFacts, ControlNetFacts, TextModelFacts, TextSourceFacts, VAEFacts
from weft.nodes.models.recognition import is_sound, recognised
from weft.nodes.models.single_file import below
from weft.nodes.models.vae_formats import vae_facts
from weft.nodes.prompting.text_encoders import TextModel

__all__ = [
    "FAMILIES",
    "Family",
    "checkpoint_in",
    "family",
    "of_checkpoint",
    "of_control_net",
    "of_denoiser",
    "of_text_models",
    "of_vae",
    "text_models_in",
    "vae_in",
]

PLACES = (
    "sd1.SD1",
    "sd2.SD2",
    "lotus.LOTUS",
    "sdxl.SDXL",
    "sd3.SD3",
    "flux.FLUX",
    "chroma.CHROMA",
    "flux2.FLUX2",
    "flux2.FLUX2_KLEIN",
    "hidream.HIDREAM",
    "lumina2.LUMINA2",
    "z_image.Z_IMAGE",
    "qwen_image.QWEN_IMAGE",
    "sana.SANA",
    "sana_sprint.SANA_SPRINT",
    "pixart.PIXART",
    "pixart.PIXART_ALPHA",
    "wan.WAN",
    "wan_5b.WAN_5B",
    "ltx_video.LTX_VIDEO",
    "cogvideox.COGVIDEOX",
    "hunyuan_video.HUNYUAN_VIDEO",
    "stable_video.STABLE_VIDEO",
    "dit.DIT",
    "ddpm.DDPM",
    "consistency.CM",
)
"""The module of each family in this package, and its name there; the first that recognises a file has it."""


class _Families(Iterable[Family]):
    """Every family, in the order of `PLACES`, each imported when it is reached."""

    def __iter__(self) -> Iterator[Family]:
        for place in PLACES:
            module, name = place.split(".")
            found: Family = getattr(import_module(f"{__name__}.{module}"), name)
            yield found


FAMILIES: Iterable[Family] = _Families()
"""Every family; going through them imports those that are reached."""


def family(name: str) -> Family:
    """The family of this name."""
    return next(known for known in FAMILIES if known.name == name)


def of_checkpoint(contents: Contents) -> CheckpointFacts | None:
    """What headers say of a whole checkpoint, of the first family that recognises it; None where none does."""
    return next((facts for known in FAMILIES if (facts := recognised(known.whole, contents))), None)


def of_denoiser(contents: Contents) -> CheckpointFacts | None:
    """What headers say of a denoiser alone; None where no family recognises it."""
    return next((facts for known in FAMILIES if (facts := recognised(known.alone, contents))), None)


def of_vae(contents: Contents) -> VAEFacts | None:
    """What headers say of the VAE in a source, with the families whose latents it may make; None where there is none.

    They follow from the kind of VAE, its channels, and its scale where the configuration has it.
    """
    checkpoint = of_checkpoint(contents) or of_denoiser(contents)
    facts = checkpoint.vae if checkpoint else recognised(vae_facts, contents)
    if facts is None:
        return None
    specs = {known.name: known.vae for known in FAMILIES if known.vae is not None and known.vae.takes(facts)}
    given = facts.config.get("scaling_factor")
    known = specs.items() if given is not None else ()
    scaled = tuple(name for name, spec in known if spec.config.get("scaling_factor") == given)
    return replace(facts, families=scaled or tuple(specs), contents=contents) if specs else None


def of_control_net(contents: Contents) -> ControlNetFacts | None:
    """What headers say of a ControlNet; None where no family recognises it."""
    return next((facts for known in FAMILIES if (facts := recognised(known.control, contents))), None)


def of_text_models(contents: Contents) -> TextSourceFacts | None:
    """What headers say of the text encoders in a folder or a file, of any family; None where there is none."""
    return recognised(_text_models, contents)


def _text_models(contents: Contents) -> TextSourceFacts | None:
    texts = [text for known in FAMILIES for text in known.texts]
    kinds = {text.kind: text for text in texts}.values()
    found = _texts_in_file(texts, kinds, contents) if contents.shapes else _texts_in_folder(texts, kinds, contents)
    sound = tuple(filter(is_sound, found))
    return TextSourceFacts(sound, contents) if sound else None


def _texts_in_folder(
    texts: Iterable[TextModel], kinds: Iterable[TextModel], contents: Contents
) -> Sequence[TextModelFacts]:
    """The text model that a folder is, or those in the folders of a checkpoint's components."""
    folders = [""] if contents.has("") else sorted({text.folder for text in texts})
    facts = ((folder, kind.of_config(contents.configs.get(folder, {}))) for folder in folders for kind in kinds)
    return [replace(one, folder=folder) for folder, one in facts if one]


def _texts_in_file(
    texts: Iterable[TextModel], kinds: Iterable[TextModel], contents: Contents
) -> Sequence[TextModelFacts]:
    """The text models of a file below any prefix that is known, each once."""
    found: dict[str, TextModelFacts] = {}
    for prefix in sorted({"", *(prefix for text in texts for prefix in text.known_prefixes)}, key=len):
        present = [kind for kind in kinds if any(prefix + entry in contents.shapes for entry in kind.entries)]
        own = below(prefix, contents.shapes) if present else {}
        for kind in present:
            table, facts = kind.entry(own), kind.of_shapes(own)
            if table and facts:
                found.setdefault(prefix + table, replace(facts, prefix=prefix))
    return [*found.values()]


def checkpoint_in(facts: object) -> CheckpointFacts | None:
    """The denoiser with its parts in a source that any loader has read; None where there is none.

    Facts of one source differ by the loader that read them; all have its contents.
    """
    if isinstance(facts, CheckpointFacts):
        return facts
    contents = _contents_of(facts)
    return (of_checkpoint(contents) or of_denoiser(contents)) if contents else None


def vae_in(facts: object) -> VAEFacts | None:
    """The VAE in a source that any loader has read; None where there is none."""
    if isinstance(facts, VAEFacts):
        return facts
    if isinstance(facts, CheckpointFacts) and facts.vae:
        return facts.vae
    contents = _contents_of(facts)
    return of_vae(contents) if contents else None


def text_models_in(facts: object) -> TextSourceFacts | None:
    """The text encoders in a source that any loader has read; None where there is none."""
    if isinstance(facts, TextSourceFacts):
        return facts
    contents = _contents_of(facts)
    return of_text_models(contents) if contents else None


def _contents_of(facts: object) -> Contents | None:
    known = CheckpointFacts | VAEFacts | TextSourceFacts | ControlNetFacts
    return facts.contents if isinstance(facts, known) else None
