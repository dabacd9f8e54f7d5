"""How networks of denoisers and ControlNets are found in files and loaded: one class for each structure.

A network lies in a component's folder of a diffusers folder, or in a single file in the layout in which its authors
publish it, which carries no configuration. A family has one format, and overrides what its networks have of their own.
Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import NetworkFacts, PromptWidths
from weft.nodes.models.tensor_layouts import DENOISER_PREFIXES, Config, TensorLayout, placed_layouts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SECOND_DENOISER = "transformer_2"
"""The component of a diffusers folder that is another denoiser, for low noise levels (Wan 2.2)."""


class NetworkFormat(ABC):
    """The networks of a family: a class of diffusers, its folder, and its layout in single files.

    Attributes:
        class_name: diffusers' class.
        aliases: other classes that configurations name it by.
        folder: the component of a diffusers folder.
        layouts: in which it is published in single files; none where there are no such files.
        prefixes: what the names of its tensors may begin with in a single file.
    """

    class_name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    folder: ClassVar[str] = "transformer"
    layouts: ClassVar[tuple[TensorLayout, ...]] = ()
    prefixes: ClassVar[tuple[str, ...]] = DENOISER_PREFIXES

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a network of this class and configuration is of the family."""
        return True

    def completed(self, config: Config) -> Config:
        """The configuration of a single file with what shapes do not say."""
        return config

    def unsupported(self, config: Mapping[str, Any]) -> str:
        """What a network of this configuration reads that no node gives it; empty where there is nothing."""
        return ""

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        """Channels of the latents that the network samples."""
        return int(config["in_channels"])

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        """Channels that it takes in addition to those of the latents (concat conditioning)."""
        return 0

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        """Channels of the prompts that it reads."""
        return PromptWidths(0)

    def whole(self, contents: Contents) -> NetworkFacts | None:
        """What headers say of the network in a whole checkpoint; None where there is none of the family."""
        if contents.shapes:
            return self._in_file(contents, tuple(filter(None, self.prefixes)))
        return self._in_folder(contents, self.folder)

    def alone(self, contents: Contents) -> NetworkFacts | None:
        """What headers say of a network that comes alone or with other parts; None where it is none of the family."""
        if contents.shapes:
            return self._in_file(contents, self.prefixes)
        return self._in_folder(contents, "" if contents.has("") else self.folder)

    def load(self, facts: NetworkFacts, root: Path, variant: str, dtype: torch.dtype) -> Any:
        """The network with its weights, of a whole checkpoint or alone.

        Raises:
            InputError: where files are damaged, or weights are missing.
        """
        from weft.nodes.models.loading import assembled, notice_unused, pretrained
        from weft.nodes.models.packed_renaming import renamed_weights
        from weft.nodes.models.weights_file import file_weights

        kind = self.network_kind()
        if root.is_dir():
            return pretrained(kind, component(root, self.folder), variant, torch_dtype=dtype)
        config = dict(facts.config)
        # Nothing here holds the tensors besides the arguments, so that `assembled` frees each one as it casts it.
        renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]] = partial(_renamed, facts, config)
        network = assembled(kind, config, renamed_weights(file_weights(root, facts.prefix), renamed, dtype), dtype)
        notice_unused(root, facts.prefix, renamed, network)
        return network

    def network_kind(self) -> Any:
        """The class of the network: diffusers' own, unless a format has one that diffusers lacks."""
        import diffusers

        return getattr(diffusers, self.class_name)

    def _in_folder(self, contents: Contents, folder: str) -> NetworkFacts | None:
        config = contents.configs.get(folder, {})
        known = contents.class_of(folder) in (self.class_name, *self.aliases)
        return NetworkFacts(config) if known and self.fits(config) else None

    def _in_file(self, contents: Contents, prefixes: tuple[str, ...]) -> NetworkFacts | None:
        for placed in placed_layouts(contents, prefixes, self.layouts):
            config = self.completed(placed.config)
            if self.fits(config):
                return NetworkFacts(config, placed.prefix, placed.layout)
        return None


def _renamed(facts: NetworkFacts, config: Config, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a single file under diffusers' names."""
    return facts.layout.weights(found, config) if facts.layout else found
