"""How networks of denoisers and ControlNets are found in files and loaded: one class for each structure.

A network lies in a component's folder of a diffusers folder, or in a single file in the layout in which its authors
publish it, which carries no configuration. A family has one format, and overrides what its networks have of their own.
Importing this module imports no torch.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.models.contents import Contents
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import NetworkFacts, PromptWidths
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import UNET, Config, below, tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class NetworkFormat(ABC):
    """The networks of a family: a class of diffusers, its folder, and its layout in single files.

    Attributes:
        class_name: diffusers' class.
        aliases: other classes that configurations name it by.
        folder: the component of a diffusers folder.
        entry: a tensor of every network's in a single file, by which it is found; empty where there are no such files.
        prefixes: what the names of its tensors may begin with in a single file; the first is that of whole checkpoints.
    """

    class_name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    folder: ClassVar[str] = "transformer"
    entry: ClassVar[str] = ""
    prefixes: ClassVar[tuple[str, ...]] = (UNET, "")

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether a network of this class and configuration is of the family."""
        return True

    def config_of(self, shapes: Shapes) -> Config:
        """The configuration as diffusers' class takes it, from the shapes below a single file's prefix."""
        raise NotImplementedError(f"{self.class_name} has no layout for single files")

    def weights_of(self, found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
        """The weights under diffusers' names, from those below a single file's prefix."""
        return found

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
            return self._in_file(contents.shapes, self.prefixes[0])
        return self._in_folder(contents, self.folder)

    def alone(self, contents: Contents) -> NetworkFacts | None:
        """What headers say of a network that comes alone; None where it is none of the family."""
        if contents.shapes:
            found = (self._in_file(contents.shapes, prefix) for prefix in self.prefixes)
            return next((facts for facts in found if facts), None)
        return self._in_folder(contents, "")

    def load(self, facts: NetworkFacts, root: Path, variant: str, dtype: torch.dtype) -> Any:
        """The network with its weights, of a whole checkpoint or alone.

        Raises:
            InputError: where files are damaged, or weights are missing.
        """
        import diffusers

        from weft.nodes.models.loading import assembled, pretrained

        kind = getattr(diffusers, self.class_name)
        if root.is_dir():
            return pretrained(kind, component(root, self.folder), variant, torch_dtype=dtype)
        config = dict(facts.config)
        # Nothing here holds the tensors besides the arguments, so that `assembled` frees each one as it casts it.
        weights = self.weights_of(below(facts.prefix, tensors(root, facts.prefix, dtype)), config)
        return assembled(kind, config, weights, dtype)

    def _in_folder(self, contents: Contents, folder: str) -> NetworkFacts | None:
        config = contents.configs.get(folder, {})
        known = contents.class_of(folder) in (self.class_name, *self.aliases)
        return NetworkFacts(config) if known and self.fits(config) else None

    def _in_file(self, shapes: Shapes, prefix: str) -> NetworkFacts | None:
        if not self.entry or prefix + self.entry not in shapes:
            return None
        try:
            config = self.config_of(below(prefix, shapes))
        except (KeyError, IndexError, ValueError, StopIteration):  # another structure with a tensor of this name
            return None
        return NetworkFacts(config, prefix) if self.fits(config) else None
