"""LoRAs as changes to recipes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft.engine.store.codec import content_digest
from weft.nodes import AddedLoRAs, AppliedLoRA, Embedding, LoRA, Model, TextEncoder, TextualInversion
from weft.nodes.lora_values import with_lora

MODEL = Model[object]("cd" * 32, "SD1", "", "float32")

FIRST, SECOND = (AppliedLoRA(LoRA(digest * 32, "SD1"), 0.5) for digest in ("ab", "ba"))


def test_strength_0_leaves_the_model_as_it_is() -> None:
    assert content_digest(with_lora(MODEL, replace(FIRST, strength=0.0))) == content_digest(MODEL)


def test_loras_in_a_row_are_one_change_of_one_base() -> None:
    both = with_lora(with_lora(MODEL, FIRST), SECOND)
    assert both.patches == (AddedLoRAs((FIRST, SECOND)),) and both.base == MODEL


def test_other_changes_stay_in_their_order() -> None:
    word = TextualInversion(Embedding("ef" * 32, "cat"))
    encoder = TextEncoder[object]("cd" * 32, "SD1", "", "float32", changes=(word,))
    assert with_lora(encoder, FIRST).changes == (word, AddedLoRAs((FIRST,)))


@pytest.mark.parametrize(("at", "acting"), [(0, (FIRST,)), (9, (FIRST, SECOND))])
def test_a_step_has_the_loras_that_act_in_it(at: int, acting: tuple[AppliedLoRA, ...]) -> None:
    stack = AddedLoRAs((FIRST, replace(SECOND, start=0.5)))
    assert stack.during(lambda start, end: start <= at / 10 < end) == AddedLoRAs(acting)


def test_learned_words_leave_the_rest_of_a_text_encoder() -> None:
    encoder = TextEncoder[object](
        "cd" * 32, "SD1", "", "float32", (Embedding("ef" * 32, "cat"),), changes=(AddedLoRAs((FIRST,)),)
    )
    assert encoder.without_words.patches == encoder.changes
