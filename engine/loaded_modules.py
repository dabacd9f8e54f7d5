"""Libraries that something has imported: what asks for them imports none, so that light runs stay light."""

from __future__ import annotations

import sys
from typing import Any


def loaded_module(name: str) -> Any:
    """A module that is imported whole, with whatever attributes it has; None for any other.

    While another thread imports it, `sys.modules` has it with the first of its attributes. It is None until then:
    whoever asks has none of its values yet.
    """
    module = sys.modules.get(name)
    # The import system sets this for as long as the body of the module runs; nothing public says it.
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module
