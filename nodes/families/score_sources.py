"""Sources of what rates and compares pictures. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from weft.engine import InputError
from weft.nodes.families.image_prompt_sources import refused
from weft.nodes.families.sources import ModelSource
from weft.nodes.models.aesthetic_heads import AestheticHeadFacts, aesthetic_head_facts
from weft.nodes.models.contents import Contents
from weft.nodes.models.perceptual_network import PerceptualFacts, perceptual_facts


class AestheticHeadSource(ModelSource):
    """Linear layers that rate the vector of a picture, in one file."""

    kind = "aesthetic head"
    components = ()

    def facts(self, contents: Contents, root: Path) -> AestheticHeadFacts | None:
        return aesthetic_head_facts(contents.shapes) if contents.shapes else None

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "give linear layers in a row, from a vector to one number, as safetensors"
        return refused(root, contents, "an aesthetic head", hint)


class PerceptualNetworkSource(ModelSource):
    """LPIPS's network with the weights of its channels, in one file."""

    kind = "perceptual network"
    components = ()

    def facts(self, contents: Contents, root: Path) -> PerceptualFacts | None:
        return perceptual_facts(contents.shapes) if contents.shapes else None

    def refusal(self, root: Path, contents: Contents) -> InputError:
        hint = "write the weights of the package lpips as safetensors: `save_file(LPIPS(net='vgg').state_dict(), FILE)`"
        return refused(root, contents, "a perceptual network", hint)
