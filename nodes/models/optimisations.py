"""Changes to a network that make it faster: compiled blocks, another layout, other attention, blocks that are skipped.

Importing this module imports no torch. Read next: `weft.nodes.library.optimize`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from weft.engine import InputError, Loading, Patch, value
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.replaced_forward import replaced_forward

_COMPILED = "_weft_compiled"
"""The attribute in which a block keeps what it was compiled to, so that it is never compiled twice."""


@value
@dataclass(frozen=True)
class CompiledBlocks(Patch[Denoiser]):
    """Compiles the blocks of which a network has many, for all sizes at once (torch's regional compilation)."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        blocks = [one for one in module.network.modules() if type(one).__name__ in module.repeated_blocks]
        if not blocks:
            raise unsupported(module.family, "no blocks that repeat, which could be compiled", "compile")
        check_compiler(loading.device)
        for block in blocks:
            block._compiled_call_impl = _compiled(block)

        def undo() -> None:
            for block in blocks:
                block._compiled_call_impl = None

        return undo


def _compiled(block: Any) -> Callable[..., Any]:
    """What a block is called as in place of its own code, compiled at its first call."""
    if _COMPILED not in vars(block):
        import torch
        import torch.fx.experimental._config as shapes

        # Else sizes that are equal by chance are taken for one, and another size compiles again.
        shapes.use_duck_shape = False
        compiled: Callable[..., Any] = torch.compile(block._call_impl, dynamic=True)
        parts = [*block.modules()]
        attentions = [one for one in parts if hasattr(one, "processor")]

        def called(*given: Any, **named: Any) -> Any:
            # What Weft does to attention goes by context variables, which a compiler would take for constants.
            changed = any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in parts)
            changed = changed or any(not type(one.processor).__module__.startswith("diffusers.") for one in attentions)
            return block._call_impl(*given, **named) if changed else compiled(*given, **named)

        vars(block)[_COMPILED] = called
    kept: Callable[..., Any] = vars(block)[_COMPILED]
    return kept


def check_compiler(device: str) -> None:
    """Raise `InputError` where torch finds nothing on this machine that compiles for the device."""
    hint = "install it, or set `compile` to false"
    if device == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler

        try:
            get_cpp_compiler()
        except Exception as fault:  # of torch's own classes, which differ by version
            message = "torch compiles for the CPU by a C++ compiler, and there is none here"
            raise InputError(message, f"{hint} (Debian: g++; macOS: xcode-select --install)", "no-compiler") from fault
        return
    from torch.utils._triton import has_triton

    if device.partition(":")[0] in ("cuda", "xpu") and not has_triton():
        raise InputError(f"torch compiles for {device} by Triton, which does not work here", hint, "no-compiler")


@value
@dataclass(frozen=True)
class CapturedNetwork(Patch[Denoiser]):
    """Records what a network does on a GPU as CUDA graphs (`weft.nodes.models.captured_network`)."""

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        if not loading.device.startswith("cuda"):
            message = f"{loading.device} has no graphs of its work that could be recorded"
            raise InputError(message, "set `capture` to false", "unsupported-by-device")
        from weft.nodes.models.captured_network import CapturedCalls, cuda_recorder

        network = module.network
        captured = CapturedCalls(network, network.forward, cuda_recorder(loading.device))
        put_back = replaced_forward(network, captured)

        def undo() -> None:
            put_back()
            captured.forget()

        return undo


@value
@dataclass(frozen=True)
class ChannelsLast(Patch[Any]):
    """Lays the weights of convolutions out with channels last, which convolutions are faster with on most devices."""

    def enter(self, module: Any, loading: Loading) -> Callable[[], None]:
        import torch

        def laid_out(pictures: torch.memory_format, clips: torch.memory_format) -> None:
            formats = {4: pictures, 5: clips}
            for network in module.networks:
                for tensor in (*network.parameters(), *network.buffers()):
                    if tensor.ndim in formats:
                        tensor.data = tensor.data.contiguous(memory_format=formats[tensor.ndim])

        laid_out(torch.channels_last, torch.channels_last_3d)
        return partial(laid_out, torch.contiguous_format, torch.contiguous_format)


AttentionName = Literal["model", "math", "efficient", "flash", "cudnn", "flash_attn", "sage", "xformers", "sliced"]

BACKENDS = {
    "math": "_native_math",
    "efficient": "_native_efficient",
    "flash": "_native_flash",
    "cudnn": "_native_cudnn",
    "flash_attn": "flash",
    "sage": "sage",
    "xformers": "xformers",
}
"""What diffusers' dispatcher calls each."""

PACKAGES = {"flash_attn": "flash_attn", "sage": "sageattention", "xformers": "xformers"}
"""The package that it is in, where that is not torch."""

ON_THE_CPU = ("math", "flash")
"""Those that compute on the CPU; others need an NVIDIA GPU."""


@value
@dataclass(frozen=True)
class AttentionBackend(Patch[Denoiser]):
    """Computes attention by another kernel, through diffusers' dispatcher.

    Args:
        name: one of `BACKENDS`.
    """

    name: str

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        from diffusers.models import attention_dispatch

        processors = [one for one in _processors(module) if hasattr(one, "_attention_backend")]
        if not processors:
            raise unsupported(module.family, "no attention that other kernels can compute", "attention")
        if not loading.device.startswith("cuda") and not (loading.device == "cpu" and self.name in ON_THE_CPU):
            message = f"the attention kernel `{self.name}` does not run on {loading.device}"
            raise InputError(message, "set `attention` to `model`", "unsupported-by-device")
        backend = attention_dispatch.AttentionBackendName(BACKENDS[self.name])
        try:
            attention_dispatch._check_attention_backend_requirements(backend)
        except (ImportError, RuntimeError) as fault:
            message = f"the attention kernel `{self.name}` cannot be used here ({fault})"
            raise InputError(message, "set `attention` to `model`", "missing-package") from fault
        before = [one._attention_backend for one in processors]
        for one in processors:
            one._attention_backend = backend

        def undo() -> None:
            for one, was in zip(processors, before, strict=True):
                one._attention_backend = was

        return undo


def _processors(module: Denoiser) -> Iterator[Any]:
    """The attention processors of a network, and those that they are around."""
    for part in module.network.modules():
        one = getattr(part, "processor", None)
        while one is not None:
            yield one
            one = getattr(one, "inner", None)


@value
@dataclass(frozen=True)
class FirstBlockCache(Patch[Denoiser]):
    """Skips all blocks but the first where its change is about that of the last step that was computed whole.

    Args:
        threshold: the relative difference of the changes below which they are skipped.
    """

    threshold: float

    def enter(self, module: Denoiser, loading: Loading) -> Callable[[], None]:
        import diffusers

        from weft.nodes.models.silence_libraries import quietly

        if not module.skips_blocks:
            raise unsupported(module.family, "no first block that tells of the others", "cache")
        network = module.network
        kind: Any = diffusers.FirstBlockCacheConfig
        with quietly():
            network.enable_cache(kind(threshold=self.threshold))

        def undo() -> None:
            network.disable_cache()

        return undo


def skips_blocks(module: Denoiser) -> bool:
    """Whether blocks of the network are skipped now."""
    return getattr(module.network, "_cache_config", None) is not None


@contextmanager
def fresh_cache(module: Denoiser) -> Iterator[None]:
    """Nothing of another run is remembered while the block runs, and nothing of it after."""
    cached = skips_blocks(module)
    if cached:
        module.network._reset_stateful_cache()
    try:
        yield
    finally:
        if cached:
            module.network._reset_stateful_cache()


def remembered(module: Denoiser, name: str) -> AbstractContextManager[None]:
    """Calls of the network under one name are steps of one walk."""
    found: AbstractContextManager[None] = module.network.cache_context(name) if skips_blocks(module) else nullcontext()
    return found


def unsupported(family: str, lacks: str, name: str) -> InputError:
    """The error where a network cannot be made faster in a way.

    Args:
        lacks: what it has not.
        name: of the input of Optimize.
    """
    return InputError(f"the network of {family} has {lacks}", f"leave `{name}` out", "unsupported-by-model")
