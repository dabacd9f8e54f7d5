"""Attention whose queries, keys and values are computed by one product in place of three, as diffusers fuses them.

diffusers copies the weights. What changes them afterwards (LoRAs, also such as act in some steps alone) would change
nothing, so the copies follow: before each call of the network, those are made again whose weights lie elsewhere than
before. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.optimisations import unsupported
from weft.nodes.models.replaced_forward import replaced_forward

if TYPE_CHECKING:
    from torch import Tensor

FUSED: Mapping[str, tuple[str, ...]] = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
    "to_added_kv": ("add_k_proj", "add_v_proj"),
}
"""What diffusers calls the layers that it makes, and those of which it makes each."""


@dataclass
class _Fused:
    """A layer that stands for others.

    Args:
        layer: has their weights, one below the other.
        parts: the others.
    """

    layer: Any
    parts: tuple[Any, ...]
    _read: list[Tensor] = field(default_factory=list)

    def follow(self) -> None:
        """Take the weights of the others again where a patch has exchanged some."""
        present = [one.data for part in self.parts for one in (part.weight, part.bias) if one is not None]
        # Those that were read are kept until then, so that no other tensor can lie where one of them lay.
        if [one.data_ptr() for one in present] == [one.data_ptr() for one in self._read]:
            return
        import torch

        with torch.no_grad():
            self.layer.weight.copy_(torch.cat([part.weight for part in self.parts]))
            if self.layer.bias is not None:
                self.layer.bias.copy_(torch.cat([part.bias for part in self.parts]))
        self._read = present


@value
@dataclass(frozen=True)
class FusedProjections(Patch[Denoiser]):
    """Fuses the projections of a network's attention; nothing where some of them wait on the host."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        import torch

        from weft.nodes.models.packed_weights import PackedLayer

        network = module.network
        attentions = [one for one in network.modules() if hasattr(one, "fuse_projections")]
        if not module.fuses_projections or not attentions:
            raise unsupported(module.family, "no attention whose projections are fused", "fuse")
        projections = [getattr(one, name, None) for one in attentions for name in ("to_q", "to_k", "to_v")]
        if any(isinstance(one, PackedLayer) for one in projections):
            raise InputError(
                "projections whose weights are kept in few bits are not fused: the copies would be wide",
                "leave `fuse` out, or load the model with `weights` as `wide`",
                "conflicting-inputs",
            )
        device = torch.device(loading.device)
        if any(one is not None and one.weight.device.type != device.type for one in projections):
            return lambda: None
        processors = dict(network.attn_processors)
        network.fuse_qkv_projections()
        network.set_attn_processor({**network.attn_processors, **_alone(network, processors)})
        fused = [*_fused(attentions)]
        own = network.forward

        def forward(*given: Any, **named: Any) -> Any:
            for one in fused:
                one.follow()
            return own(*given, **named)

        put_back = replaced_forward(network, forward)

        def undo() -> None:
            put_back()
            for one in attentions:
                for name in FUSED.keys() & one._modules.keys():
                    delattr(one, name)
                one.fused_projections = False
            network.set_attn_processor(processors)

        return undo


def _alone(network: Any, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """The processors of attention within the picture alone, which diffusers' fused one for SD 3 takes for a joint one.

    Args:
        before: the processors of the network as it is without fused projections.
    """
    from diffusers.models.attention_processor import FusedJointAttnProcessor2_0

    fused = {name for name, one in network.attn_processors.items() if isinstance(one, FusedJointAttnProcessor2_0)}
    inner = {name: network.get_submodule(name.removesuffix(".processor")) for name in fused}
    return {name: before[name] for name, attention in inner.items() if attention.add_q_proj is None}


def _fused(attentions: list[Any]) -> Iterator[_Fused]:
    for one in attentions:
        for name, parts in FUSED.items():
            if name in one._modules:
                made = _Fused(one._modules[name], tuple(getattr(one, part) for part in parts))
                made.follow()
                yield made
