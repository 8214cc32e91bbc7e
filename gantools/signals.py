"""Signals that ask a command to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Stopped(KeyboardInterrupt):
    """A signal that ends a command where it stands.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class StopRequests(list[int]):
    """The numbers of the signals received so far.

    Attributes:
        at_once: whether the next one interrupts what is under way.
    """

    at_once = False

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within this block a signal raises `Stopped` at once: for work that may be left undone."""
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False


@contextmanager
def stop_requested() -> Iterator[StopRequests]:
    """Collect signals, so that the step under way is finished; the same one again is not held back."""
    received = StopRequests()

    def note(number: int, frame: Any) -> None:
        received.append(number)
        # Of a terminal that is closed both the system and the shell tell; torchrun sends SIGTERM after Ctrl-C.
        if received.at_once or (received.count(number) > 1 and number != HANGUP):
            received.at_once = False  # what is left undone is tidied up in peace
            raise Stopped(number)

    with _handled(note, signal.SIGINT, signal.SIGTERM, HANGUP):
        yield received


@contextmanager
def ended_by_signals() -> Iterator[list[int]]:
    """Raise `Stopped` at Ctrl-C, SIGTERM and SIGHUP; collect their numbers.

    At Ctrl-C too: once a plain KeyboardInterrupt has left source that was given to `exec`, as a dataclass gives it,
    CPython ends the program by the signal in place of the exit code, even where the exception was handled.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        raise Stopped(number)

    with _handled(stop, signal.SIGINT, signal.SIGTERM, HANGUP):
        yield received


def interruptibly(work: Callable[[], T]) -> T:
    """Return what a function returns, computed in a thread, so that Ctrl-C need not wait for its end.

    For one long call of LAPACK, say, during which Python handles no signal. Interrupted, the thread goes on until the
    program ends.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # raised again by who waits
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]
    return found[0]


@contextmanager
def _handled(handler: Callable[[int, Any], None], *numbers: int | None) -> Iterator[None]:
    """Handle signals in the block; those that are ignored, SIGHUP under nohup say, stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [number for number in numbers if number is not None and signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
