"""A pipeline of diffusers out of the files of its folder, each component by its own class.

Imports torch and diffusers: only bodies of nodes import this module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import torch
import transformers
from diffusers import ModelMixin, SchedulerMixin
from diffusers.configuration_utils import ConfigMixin
from transformers import FeatureExtractionMixin, ImageProcessingMixin, PreTrainedModel, ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from weft.engine import InputError
from weft.nodes.models.diffusers_folder import read_config
from weft.nodes.models.loading import own_config, pretrained, ready
from weft.nodes.models.network_calls import library_errors
from weft.nodes.models.pipeline_facts import PipelineFacts
from weft.nodes.models.silence_libraries import quietly

READERS: tuple[type, ...] = (
    ConfigMixin,
    SchedulerMixin,
    PreTrainedTokenizerBase,
    FeatureExtractionMixin,
    ImageProcessingMixin,
    ProcessorMixin,
)
"""The kinds of components without weights."""


class LoadedPipeline:
    """A pipeline with all of its components on a device.

    Args:
        pipeline: diffusers' object; nobody but a patch changes it.
        facts: what its folder says.
        root: its folder.
    """

    def __init__(self, pipeline: Any, facts: PipelineFacts, root: Path) -> None:
        self.pipeline = pipeline
        self.facts = facts
        self.root = root
        self.loras: dict[str, float] = {}

    @property
    def networks(self) -> tuple[Any, ...]:
        """The modules whose weights the residency counts."""
        return tuple(one for one in self.pipeline.components.values() if isinstance(one, torch.nn.Module))

    def add_lora(self, file: Path, strength: float) -> Callable[[], None]:
        """Add the layers of a LoRA; gives what takes them out again.

        Raises:
            InputError: where it does not fit the networks of the pipeline.
        """
        name = f"lora_{len(self.loras)}"

        def refusal(line: str) -> InputError:
            message = f"`{file.name}` cannot be added to a {self.facts.class_name} ({line})"
            return InputError(message, "give a LoRA that was trained for this model", "wrong-lora")

        def undo() -> None:
            self.loras.pop(name, None)
            if self.loras:
                self.pipeline.delete_adapters(name)
                self._weigh()
            else:
                self.pipeline.unload_lora_weights()

        try:
            with library_errors(refusal, (Exception,)), quietly():
                self.pipeline.load_lora_weights(
                    file.parent, weight_name=file.name, adapter_name=name, local_files_only=True, use_safetensors=True
                )
                self.loras[name] = strength
                self._weigh()
        except InputError:
            self.loras.pop(name, None)
            raise
        return undo

    def _weigh(self) -> None:
        self.pipeline.set_adapters([*self.loras], [*self.loras.values()])

    def fresh(self) -> Any:
        """The pipeline for one call: with the same components, but schedulers that no other call has stepped."""
        made = copy.copy(self.pipeline)
        made.__dict__ = dict(self.pipeline.__dict__)
        for name, one in self.pipeline.components.items():
            if isinstance(one, SchedulerMixin):
                made.__dict__[name] = copy.deepcopy(one)
        return made


def load_pipeline(facts: PipelineFacts, root: Path, variant: str, dtype: torch.dtype, device: str) -> LoadedPipeline:
    """The pipeline in a folder.

    Raises:
        InputError: where a component is of a class that is not installed, or cannot be read.
    """
    kind = getattr(diffusers, facts.class_name)
    parts: dict[str, Any] = {name: None for name, entry in facts.contents.index.items() if isinstance(entry, list)}
    parts = {name: None for name in parts if name in facts.known.components}
    for name, (library, class_name) in facts.components.items():
        parts[name] = _component(root / name, library, class_name, variant, dtype, device)
    with library_errors(lambda line: _unusable(facts.class_name, line), (Exception,)), quietly():
        made = kind(**parts, **facts.options)
    return LoadedPipeline(made, facts, root)


def _component(folder: Path, library: str, class_name: str, variant: str, dtype: torch.dtype, device: str) -> Any:
    kind = getattr(_module(library), class_name, None)
    if not isinstance(kind, type):
        raise InputError(
            f"`{folder.name}` is a {class_name}, which the installed {library} does not have",
            "upgrade diffusers and transformers",
            "unsupported-network",
        )
    if issubclass(kind, PreTrainedModel):
        configuration: Any = kind.config_class
        config = configuration.from_dict(own_config(read_config(folder / "config.json")))
        return ready(pretrained(kind, folder, variant, dtype=dtype, config=config), device)
    if issubclass(kind, ModelMixin):
        return ready(pretrained(kind, folder, variant, torch_dtype=dtype), device)
    if class_name.startswith("Auto") or issubclass(kind, READERS):
        reader: Any = kind
        with library_errors(lambda line: _unusable(folder.name, line), (Exception,)), quietly():
            return reader.from_pretrained(folder, local_files_only=True)
    message = f"`{folder.name}` is a {class_name}, which is neither a model nor what prepares its input"
    raise InputError(message, "get the model's own folder", "needs-code")


def _module(library: str) -> ModuleType:
    """Where a class of a component is defined: a library, or the folder of a pipeline in diffusers."""
    if library == "transformers":
        return transformers
    if library == "diffusers":
        return diffusers
    return getattr(diffusers.pipelines, library)  # type: ignore[no-any-return]


def _unusable(what: str, line: str) -> InputError:
    return InputError(f"`{what}` cannot be made of its files ({line})", "get the whole folder again", "damaged-file")
