"""The libraries are silent until the last block of any thread ends, and then as they were."""

from __future__ import annotations

from contextlib import ExitStack

import diffusers.utils
import transformers.utils

from weft.nodes.models.silence_libraries import quietly


def levels() -> tuple[int, int]:
    """How much both libraries say."""
    return diffusers.utils.logging.get_verbosity(), transformers.utils.logging.get_verbosity()


def test_blocks_that_end_in_another_order_restore_what_the_first_found() -> None:
    before = levels()
    first, second = ExitStack(), ExitStack()
    first.enter_context(quietly())
    silent = levels()
    second.enter_context(quietly())
    first.close()
    assert levels() == silent != before
    second.close()
    assert levels() == before
