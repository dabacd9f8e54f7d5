"""`weft devices`: what is here, and what runs use."""

from __future__ import annotations

from tests.engine.cli.conftest import Weft


def test_every_device_is_listed_with_what_it_can_do(weft: Weft) -> None:
    lines = weft("devices", "--device", "cpu", "--json").lines()
    cpu = lines[-1]
    assert (cpu["event"], cpu["device"], cpu["unusable"], cpu["chosen"]) == ("device", "cpu", "", True)
    assert "float32" in cpu["precisions"] and cpu["memory"] >= cpu["free"] > 0
    text = weft("devices", "--device", "cpu").out
    assert "cpu: " in text and "float32" in text


def test_a_device_that_is_not_there_is_an_error_after_the_list(weft: Weft) -> None:
    ended = weft("devices", "--device", "cuda:77")
    assert ended.code == 2 and "cpu: " in ended.out
