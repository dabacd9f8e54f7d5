"""The weights of a recipe as its files have them, for what reads them once: merges, and putting back what was changed.

They are maps of the files, which take no memory that the system could not take back, and are in the precision of the
files. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from weft.engine import Loading, Recipe, value
from weft.nodes.models.diffusers_folder import component_variant, weights
from weft.nodes.models.gguf_header import BLOCKS
from weft.nodes.models.quantised_weights import FLOATS, FLOATS_8, is_scale
from weft.nodes.models.safetensors_header import read_header
from weft.nodes.values import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from weft.nodes.models.packed_weights import PackedLayer

_MAPPED: ContextVar[bool] = ContextVar("whether weights stay maps of their files", default=False)


@contextmanager
def mapped_weights() -> Iterator[None]:
    """While open, weights that are loaded stay maps of their files, where loading does not change them."""
    token = _MAPPED.set(True)
    try:
        yield
    finally:
        _MAPPED.reset(token)


def stays_mapped() -> bool:
    """Whether what is loaded now stays a map of its file."""
    return _MAPPED.get()


def is_map(tensor: Tensor) -> bool:
    """Whether a tensor is a map of a file."""
    return not tensor.untyped_storage().resizable()


@value
@dataclass(frozen=True)
class StoredWeights(Recipe["StoredTensors"]):
    """Names the weights of another recipe as its files have them.

    Args:
        recipe: without changes.
    """

    recipe: Weights


@dataclass(frozen=True, eq=False)
class StoredTensors:
    """The weights of a recipe, for reading alone.

    Args:
        module: what the recipe was loaded as.
        tensors: by the names that `weights_of` gives them.
        networks: those whose weights are in memory, since they had to be changed on the way from their files.
    """

    module: Networks
    tensors: Mapping[str, Tensor]
    networks: tuple[nn.Module, ...]

    @classmethod
    def of(cls, loaded: Networks) -> StoredTensors:
        """Those of what a recipe was loaded as."""
        networks = loaded.parts.values()
        in_memory = (one for one in networks if not any(map(is_map, one.state_dict().values())))
        return cls(loaded, weights_of(loaded), tuple(in_memory))


class Networks(Protocol):
    """What a recipe of weights is loaded as."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Its networks: text models by name, any other under the empty name."""
        ...


def weights_of(loaded: Networks) -> dict[str, Tensor]:
    """The weights of what a recipe was loaded as, by diffusers' names; those of text models below these models' names.

    Weights are parameters and the other floating-point numbers that files have. One that has two names is under the
    first.
    """
    found: dict[str, Tensor] = {}
    seen: set[tuple[int, int]] = set()
    for part, network in loaded.parts.items():
        for name, tensor in network.state_dict().items():
            place = (tensor.data_ptr(), tensor.numel())
            if tensor.is_floating_point() and place not in seen:
                seen.add(place)
                found[f"{part}.{name}" if part else name] = tensor
    return found


def packed_weights_of(loaded: Networks) -> dict[str, PackedLayer]:
    """The layers of what a recipe was loaded as whose weights are packed, by the names of these weights."""
    from weft.nodes.models.packed_weights import packed_layers

    return {
        f"{part}.{name}.weight" if part else f"{name}.weight": layer
        for part, network in loaded.parts.items()
        for name, layer in packed_layers(network)
    }


def aliases_of(loaded: Networks) -> dict[str, str]:
    """The further names of weights that have several, each with the first, which `weights_of` gives."""
    first: dict[tuple[int, int], str] = {}
    found: dict[str, str] = {}
    for part, network in loaded.parts.items():
        for name, tensor in network.state_dict().items():
            own = f"{part}.{name}" if part else name
            if (known := first.setdefault((tensor.data_ptr(), tensor.numel()), own)) != own:
                found[own] = known
    return found


def types_in_files(paths: Iterable[Path], prefix: str = "") -> set[str]:
    """The types of numbers of weights, as the format spells them; `F32` for those with scales and in blocks.

    Args:
        prefix: what the names of the weights begin with.
    """
    found: set[str] = set()
    for path in paths:
        dtypes = {name: dtype for name, dtype in read_header(path).dtypes.items() if name.startswith(prefix)}
        widened = any(map(is_scale, dtypes)) or any(one in BLOCKS for one in dtypes.values())
        found |= {"F32"} if widened else set(dtypes.values())
    return found


def types_in_folder(folder: Path, variant: str) -> set[str]:
    """The types of numbers of the weights in a component's folder, of a variant."""
    return types_in_files(files_of_variant(folder, variant))


def files_of_variant(folder: Path, variant: str) -> Sequence[Path]:
    """The files of weights in a component's folder, of a variant."""
    return weights(folder)[component_variant(folder, variant) or ""]


def precision_for(dtypes: Iterable[str]) -> str:
    """The precision that holds numbers of all these types."""
    found = {dtype for dtype in dtypes if dtype in FLOATS} - FLOATS_8
    if not found - {"F16"}:
        return "float16"
    return "bfloat16" if found == {"BF16"} else "float32"


def stored_weights(recipe: Weights, loading: Loading) -> AbstractContextManager[StoredTensors]:
    """The weights of a recipe's files, without its changes, while the block runs.

    What asks for them, such as a patch, is undone where the files turn out to have been changed.
    """
    for digest in recipe.sources:
        loading.locate(digest)
    return loading.weights(StoredWeights(recipe.base))
