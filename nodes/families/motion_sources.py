"""Sources of motion adapters. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from weft.engine import InputError
from weft.nodes.families.image_prompt_sources import refused
from weft.nodes.families.sources import ModelSource
from weft.nodes.models.contents import Contents
from weft.nodes.models.motion_files import MotionAdapterFacts, motion_adapter_facts
from weft.nodes.models.recognition import recognised


class MotionAdapterSource(ModelSource):
    """A motion adapter, for UNets."""

    kind = "motion adapter"
    components = ("",)

    def facts(self, contents: Contents, root: Path) -> MotionAdapterFacts | None:
        return recognised(motion_adapter_facts, contents)

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give a diffusers folder of a MotionAdapter, or AnimateDiff's motion modules as safetensors"
        return refused(root, contents, "a motion adapter", hint)
