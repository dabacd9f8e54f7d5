"""An exception of a signal handler is distinguished from one of other code."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from weft.engine.interrupts import interrupts_noted, is_interrupt


@pytest.fixture(autouse=True)
def exits() -> Iterator[None]:
    """SIGUSR1 ends the process, and Ctrl-C interrupts it, also where the tests run in the background of a shell."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(number)

    handlers = {signal.SIGUSR1: end, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def raised_by(number: signal.Signals) -> BaseException:
    """What the handler of a signal raises."""
    with pytest.raises(BaseException) as caught:
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 1)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_what_a_handler_raises_is_an_interrupt_and_what_comes_of_it_too(number: signal.Signals) -> None:
    with interrupts_noted():
        fault = raised_by(number)
        assert is_interrupt(fault)
        assert is_interrupt(BaseExceptionGroup("several", [SystemExit(), fault]))
        follower = SystemExit()
        follower.__context__ = fault
        fault.__context__ = follower
        assert is_interrupt(follower)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_other_code_raises_is_none(kind: type[BaseException]) -> None:
    with interrupts_noted():
        assert not is_interrupt(kind())


def test_outside_every_keyboard_interrupt_of_the_main_thread_is_one() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(is_interrupt(KeyboardInterrupt())))
    thread.start()
    thread.join()
    assert is_interrupt(KeyboardInterrupt()) and not is_interrupt(SystemExit()) and found == [False]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert not is_interrupt(KeyboardInterrupt())


def test_handlers_are_what_they_were_but_for_those_that_were_replaced_meanwhile() -> None:
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    with interrupts_noted(), interrupts_noted():
        assert is_interrupt(raised_by(signal.SIGUSR1))
    assert before == (
        signal.getsignal(signal.SIGUSR1),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGHUP),
    )
    with interrupts_noted():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
