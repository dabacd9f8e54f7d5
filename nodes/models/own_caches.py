"""Tables that modules of libraries keep: with the module, so that they go when it goes.

Some classes of diffusers (Qwen-Image's rotary embeddings) decorate methods with a cache. It belongs to the class, so it
keeps each module that was ever called, and its tables on the device, until the process ends.
"""

from __future__ import annotations

import inspect
from functools import lru_cache, partial
from weakref import proxy

from torch import nn

KEPT = 128
"""Results that each method of a module keeps."""


def give_own_caches(module: nn.Module) -> None:
    """Let the methods of a network that are cached for all modules of their class cache for their module alone."""
    cached = {kind: _cached_methods(kind) for kind in {type(part) for part in module.modules()}}
    for part in module.modules():
        for name in cached[type(part)]:
            method = inspect.unwrap(getattr(type(part), name))
            # A module that held its own method would be freed by a collection only.
            setattr(part, name, lru_cache(KEPT)(partial(method, proxy(part))))


def _cached_methods(kind: type[nn.Module]) -> tuple[str, ...]:
    """The names of the methods of a class that are wrapped by a cache of diffusers."""
    methods = {name: one for base in kind.__mro__ for name, one in vars(base).items() if inspect.isfunction(one)}
    return tuple(name for name, one in methods.items() if "lru_cache_unless_export" in one.__code__.co_qualname)
