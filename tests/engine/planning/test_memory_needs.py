"""What plans state of memory: by calls like a step, whether it fits, and what a run does so that it does."""

from __future__ import annotations

from weft.engine.planning.memory_needs import MemoryForecast, MemoryNeed, Room
from weft.engine.store import HeldWeights, MemoryNote

ENCODE = MemoryNote(250, (HeldWeights("text", 200),))
SAMPLE = MemoryNote(700, (HeldWeights("network", 400),))
DECODE = MemoryNote(500, (HeldWeights("vae", 100),), ("blocks", "tiles"))


def needs(room: Room) -> list[MemoryNeed]:
    forecast = MemoryForecast(room)
    return [forecast.need(one) for one in (ENCODE, ENCODE, SAMPLE, DECODE)]


def test_everything_fits_into_enough_memory() -> None:
    found = needs(Room(1000))
    assert [(one.peak, one.weights) for one in found] == [(250, 200), (250, 200), (700, 400), (500, 100)]
    assert all(one.fits for one in found)
    assert [bool(one.action) for one in found] == [False, False, False, True]


def test_of_an_unknown_device_only_needs_are_stated() -> None:
    assert {(one.fits, one.action) for one in needs(Room())} == {(None, "")}


def test_weights_of_earlier_steps_are_evicted_where_all_together_do_not_fit() -> None:
    assert ["200 bytes" in one.action for one in needs(Room(899))] == [False, False, True, False]
    assert ["200 bytes" in one.action for one in needs(Room(None, 500))] == [False, False, True, False]


def test_a_need_that_the_device_cannot_meet_is_stated() -> None:
    found = needs(Room(450))
    assert [one.fits for one in found] == [True, True, False, False]
    assert not found[2].action and "tiles" in found[3].action


def test_other_weights_wait_on_the_host_where_each_model_runs_alone() -> None:
    found = needs(Room(1000, alone=True))
    assert ["200 bytes" in one.action for one in found] == [False, False, True, False]
    assert "400 bytes" in found[3].action and all(one.fits for one in found)


def test_steps_go_where_their_weights_are_and_others_where_most_room_is() -> None:
    forecast = MemoryForecast(Room(1000, device="cuda:0"), Room(900, device="cuda:1"))
    found = [forecast.need(one) for one in (ENCODE, SAMPLE, ENCODE, SAMPLE)]
    assert [one.device for one in found] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert not any(one.action for one in found)
    assert not forecast.need(MemoryNote(950, (HeldWeights("network", 400),))).fits


def test_a_call_that_does_not_fit_saves_the_first_of_what_it_can() -> None:
    streamed = MemoryNote(700, (HeldWeights("network", 400),), ("blocks", "calls", "layers"))
    found = [MemoryForecast(Room(600, weights)).need(streamed) for weights in (500, 250)]
    assert [one.saving for one in found] == ["calls", ""]
    assert "block by block" in found[1].action
    assert not MemoryForecast(Room(800, 250)).need(streamed).saving


def test_a_batch_has_the_items_that_go_into_nine_tenths_of_the_memory() -> None:
    need = MemoryForecast(Room(10_000)).need(SAMPLE)
    assert [need.items_within(memory, 2) for memory in (None, 800, 3600, 10_000)] == [None, 2, 18, 57]
