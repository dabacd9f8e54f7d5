"""Tables that modules of libraries keep: with the module, so that they go when it goes.

Some classes of diffusers (Qwen-Image's rotary embeddings) decorate methods with a cache. It belongs to the class, so it
keeps each module that was ever called, and its tables on the device, until the process ends.
"""

from __future__ import annotations

import inspect
from functools import cache, lru_cache, partial
from typing import Any
from weakref import proxy

KEPT = 128
"""Results that each method of a module keeps."""


def give_own_caches(module: Any) -> None:
    """Let the methods of a network that are cached for all modules of their class cache for their module alone."""
    for part in module.modules():
        for name in _cached_methods(type(part)):
            method = inspect.unwrap(getattr(type(part), name))
            # A module that held its own method would be freed by a collection only.
            setattr(part, name, lru_cache(KEPT)(partial(method, proxy(part))))


@cache
def _cached_methods(kind: type[Any]) -> tuple[str, ...]:
    """The names of the methods of a class that are wrapped by a cache of diffusers."""
    methods = {name: one for base in kind.__mro__ for name, one in vars(base).items() if inspect.isfunction(one)}
    return tuple(name for name, one in methods.items() if "lru_cache_unless_export" in one.__code__.co_qualname)
