"""A network whose work on a GPU is recorded as a CUDA graph, once for each form of its arguments, and replayed.

A replay launches all kernels at once: Python takes several times as long for a call of a small network as a fast GPU.
Results are those of the recorded kernels, bit for bit. Networks of diffusers do not look at the numbers of tensors, so
shapes, types and all other arguments decide what is to be recorded again, and where the weights lie: a patch that
exchanges some lets other graphs be recorded, and the earlier ones serve again when it is undone.

Imports torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

MOST = 8
"""How many forms are kept; the one that was used least recently goes first."""

WARM_UP = 2
"""Calls of a form that run as they are before it is recorded: libraries choose their kernels in these."""

Call = Callable[[], Any]

Record = Callable[[Call], tuple[Any, Callable[[], object]]]
"""Records a call; gives where its results lie, and what computes them again."""

Form = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Recorded:
    """A recorded call.

    Args:
        given: the tensors that it reads.
        results: where its results lie.
    """

    given: Sequence[Tensor]
    results: Any
    replay: Callable[[], object]


class CapturedCalls:
    """Stands for the `forward` of a network.

    Args:
        network: on its device, which a recorder is for.
        own: its forward.
        record: records a call.
    """

    def __init__(self, network: nn.Module, own: Callable[..., Any], record: Record) -> None:
        self._modules = [*network.modules()]
        self._network = network
        self._own = own
        self._record = record
        self._seen: OrderedDict[Form, int] = OrderedDict()
        self._recorded: OrderedDict[Form, _Recorded] = OrderedDict()

    def __call__(self, *given: Any, **named: Any) -> Any:
        """What the network gives for arguments, by a replay where that is known to be the same."""
        leaves, spec = tree_flatten((given, named))
        form = self._form(leaves, spec)
        if form is None:
            return self._own(*given, **named)
        recorded = self._recorded.get(form)
        if recorded is None:
            if self._first_calls(form):
                return self._own(*given, **named)
            recorded = self._recording(form, leaves, spec)
            if recorded is None:
                return self._own(*given, **named)
        self._recorded.move_to_end(form)
        for place, tensor in zip(recorded.given, _tensors(leaves), strict=True):
            place.copy_(tensor, non_blocking=True)
        recorded.replay()
        return _copied(recorded.results)

    def forget(self) -> None:
        """Give the memory of all graphs back."""
        self._recorded.clear()
        self._seen.clear()

    def _form(self, leaves: Sequence[Any], spec: Any) -> Form | None:
        """What a recorded call depends on besides the numbers of tensors; None where it cannot be recorded."""
        weights = self._weights()
        if weights is None:
            return None
        facts: list[Any] = []
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                if leaf.device.type == "cpu" and self._on_gpu():
                    return None
                facts.append((leaf.shape, leaf.stride(), leaf.dtype, leaf.device))
            elif leaf is None or isinstance(leaf, (bool, int, float, str)):
                facts.append((type(leaf), leaf))
            else:
                return None
        return (str(spec), tuple(facts), weights)

    def _weights(self) -> tuple[int, ...] | None:
        """Where all weights lie; None where something is around modules that a graph would leave out."""
        found = []
        for module in self._modules:
            around = module._forward_hooks or module._forward_pre_hooks
            if around or ("forward" in vars(module) and module is not self._network):
                return None
            processor = getattr(module, "processor", None)
            # What Weft does to attention goes by context variables, which a graph would keep as they were.
            if processor is not None and not type(processor).__module__.startswith("diffusers."):
                return None
            for tensors in (module._parameters, module._buffers):
                found += [one.data_ptr() for one in tensors.values() if one is not None]
        return tuple(found)

    def _on_gpu(self) -> bool:
        first = next(self._network.parameters(), None)
        return first is not None and first.device.type != "cpu"

    def _first_calls(self, form: Form) -> bool:
        """Whether a form has been seen too seldom to be recorded."""
        count = self._seen.pop(form, 0)
        self._seen[form] = count + 1
        while len(self._seen) > 2 * MOST:
            self._seen.popitem(last=False)
        return count < WARM_UP

    def _recording(self, form: Form, leaves: Sequence[Any], spec: Any) -> _Recorded | None:
        """Record a call of this form; None where its results are no tensors."""
        while len(self._recorded) >= MOST:
            self._recorded.popitem(last=False)
        with torch.inference_mode(False):  # they are written to in every mode
            places = [torch.empty_like(one).copy_(one) for one in _tensors(leaves)]
        following = iter(places)
        fixed = [next(following) if isinstance(one, Tensor) else one for one in leaves]
        given, named = tree_unflatten(fixed, spec)
        try:
            results, replay = self._record(lambda: self._own(*given, **named))
        except torch.OutOfMemoryError:
            self.forget()
            raise
        if not all(isinstance(one, Tensor) for one in tree_flatten(results)[0]):
            return None
        self._recorded[form] = recorded = _Recorded(places, results, replay)
        return recorded


def _tensors(leaves: Sequence[Any]) -> Iterator[Tensor]:
    return (one for one in leaves if isinstance(one, Tensor))


def _copied(results: Any) -> Any:
    """Results in memory of their own: the next replay overwrites those of the graph."""
    leaves, spec = tree_flatten(results)
    return tree_unflatten([one.clone() for one in leaves], spec)


def cuda_recorder(device: str) -> Record:
    """Records calls as CUDA graphs of a device, which share their memory."""

    def record(call: Call) -> tuple[Any, Callable[[], object]]:
        with torch.cuda.device(device):
            graph = torch.cuda.CUDAGraph()
            # Other threads of the process may use the device meanwhile.
            with torch.cuda.graph(graph, pool=pool[0], capture_error_mode="thread_local"):
                results = call()
            pool[0] = graph.pool()
        return results, graph.replay

    pool: list[Any] = [None]
    return record
