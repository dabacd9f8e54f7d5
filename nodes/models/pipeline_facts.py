"""What the folder of a pipeline of diffusers says, and whether its parts are there. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.engine import InputError, listed, nearest
from weft.nodes.models.contents import Contents
from weft.nodes.models.pipeline_source import REQUIRED, PipelineClass, exported, pipeline_class, pipeline_folders

LIBRARIES = frozenset({"diffusers", "transformers"})
"""Whose classes components may be of, besides those of a pipeline's own folder in diffusers."""


@dataclass(frozen=True)
class PipelineFacts:
    """What `model_index.json` says.

    Args:
        class_name: diffusers' class.
        components: the library and the class of each component that is there.
        options: the other parameters of the constructor.
        contents: of the folder.
    """

    class_name: str
    components: Mapping[str, tuple[str, str]]
    options: Mapping[str, Any]
    contents: Contents = field(repr=False)

    @property
    def known(self) -> PipelineClass:
        """What diffusers says of the class."""
        found = pipeline_class(self.class_name)
        assert found is not None, "facts are of classes that there are"
        return found

    def __str__(self) -> str:
        takes = [name for name in SHOWN if name in self.known.call]
        return f"{self.class_name}: takes {', '.join(takes) or 'nothing'}; gives {', '.join(gives(self.known))}"


SHOWN = ("prompt", "negative_prompt", "image", "mask_image", "control_image", "video", "audio", "image_embeds")
"""The parameters that a line about a pipeline names."""

OUTPUTS: Mapping[str, str] = {
    "images": "image",
    "image": "image",
    "rgb": "image",
    "frames": "video",
    "video": "video",
    "audios": "audio",
    "audio": "audio",
    "sound": "audio",
    "prediction": "map",
    "depth": "map",
}
"""The output of RunPipeline that each field of what pipelines return becomes."""

NO_MEDIA = frozenset(
    {"nsfw_content_detected", "nsfw_detected", "watermark_detected", "text", "texts", "revised_prompts"}
)
"""Fields that are no tensors."""


def gives(known: PipelineClass) -> tuple[str, ...]:
    """The outputs of RunPipeline that a class gives."""
    media = [OUTPUTS[name] for name in known.outputs if name in OUTPUTS]
    rest = [name for name in known.outputs if name not in OUTPUTS and name not in NO_MEDIA]
    latents = "latents" if "output_type" in known.call and media else ""
    return tuple(dict.fromkeys([*media, *(["tensors"] if rest or latents else [])]))


def pipeline_facts(root: Path, contents: Contents) -> PipelineFacts | None:
    """What the folder of a pipeline says; None where it has no `model_index.json`.

    Raises:
        InputError: where it needs code of others, a class that is not installed, or parts that are not there.
    """
    if not contents.index:
        return None
    named = contents.index.get("_class_name")
    if not isinstance(named, str):
        message = f"`{root.name}` names no class of diffusers, but code of its own ({str(named)[:80]})"
        raise InputError(message, "only classes of the installed diffusers are run", "needs-code")
    known = pipeline_class(named)
    if known is None:
        hint = nearest(named, exported()) or "upgrade diffusers: pip install --upgrade diffusers"
        message = f"`{root.name}` is a {named[:80]}, which the installed diffusers does not have or cannot call"
        raise InputError(message, hint, "unsupported-network")
    entries = {name: one for name, one in contents.index.items() if not name.startswith("_")}
    components = {name: _component(root, name, one) for name, one in entries.items() if _is_component(one)}
    plain = {name: one for name, one in entries.items() if one is not None and not isinstance(one, list)}
    options = {name: one for name, one in plain.items() if name in known.components}
    given = {name for name, one in entries.items() if isinstance(one, list)} | options.keys()
    needed = {name for name, one in known.components.items() if one.default is REQUIRED} - known.optional
    if missing := sorted(needed - given):
        message = f"`{root.name}` lacks {listed(missing)}, which a {named} is made of"
        raise InputError(message, "get the whole folder again", "missing-weights")
    return PipelineFacts(named, components, options, contents)


def _is_component(entry: Any) -> bool:
    """Whether an entry of the index names a class; those without one are [null, null]."""
    return isinstance(entry, list) and entry != [None, None]


def _component(root: Path, name: str, entry: list[Any]) -> tuple[str, str]:
    """The library and the class of a component.

    Raises:
        InputError: where they are of another library, or its folder is not there.
    """
    library, kind = entry if len(entry) == 2 and all(isinstance(one, str) for one in entry) else ("", "")
    if not kind or (library not in LIBRARIES and library not in pipeline_folders()):
        message = (
            f"the component `{name}` of `{root.name}` is a {str(entry)[:100]}, no class of diffusers or transformers"
        )
        raise InputError(
            message, "code that comes with a model is not run; only classes of these two are", "needs-code"
        )
    if not (root / name).is_dir():
        message = f"`{root.name}` has no folder `{name}` for its {kind}"
        raise InputError(message, "get the whole folder again", "missing-weights")
    return library, kind
