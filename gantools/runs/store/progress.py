"""Progress on a terminal: a bar, and elsewhere a plain line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_CHANGES = 0.2  # of a line on a terminal


def tell(text: str) -> None:
    """Print a line, and go on where nobody can read it: a terminal that was closed must not end a training."""
    with suppress(OSError):
        print(text, flush=True)


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """A bar on a terminal; elsewhere plain lines, at most one every ten seconds. Where it cannot be shown it is not.

    Attributes:
        shown: whether steps are shown at all, by the progress of any run in this process or by this one.
    """

    shown = True  # not in one of many processes, whose bars would write over each other

    def __init__(self, first: int, last: int):
        self._step, self._last = first, last
        self._bar: tqdm[Any] | None = None
        self._shown = time.monotonic()

    def _begun(self) -> "tqdm[Any] | None":
        """Return the bar, made when there is something to show first: of runs stepped together one shows all."""
        if self._bar is None and _terminal():
            self._bar = tqdm(total=self._last, initial=self._step, unit="step", dynamic_ncols=True)
        return self._bar

    def show(self, step: int, values: dict[str, float]) -> None:
        """Show how many steps are done, and a few numbers."""
        if not self.shown:
            return
        bar, self._step = self._begun(), step
        if bar is not None:
            with suppress(OSError):
                bar.set_postfix_str(_numbers(values), refresh=False)
                bar.update(step - bar.n)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            tell(f"step {step}/{self._last}  {_numbers(values)}")

    def aside(self, text: str) -> None:
        """Say, in place of the numbers, what is done beside the steps."""
        if not self.shown:
            return
        if (bar := self._begun()) is not None:
            with suppress(OSError):
                bar.set_postfix_str(text)
        elif text:
            tell(f"step {self._step}/{self._last}, {text}")

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            tell(text)
        else:
            with suppress(OSError):
                self._bar.write(text)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()


class Working:
    """What a computation is at, how much of it is done, and how long it takes at most.

    One line that changes on a terminal, and is gone at the end; elsewhere one every ten seconds.

    Args:
        show: gets each line, and an empty one at the end; by default the standard error.
    """

    def __init__(self, show: Callable[[str], None] | None = None):
        self._bar: tqdm[Any] | None = None
        self._show = show or self._line
        self._shown = time.monotonic()
        self._said = False
        self._what, self._begun, self._first, self._made = "", 0.0, 0, 0
        self._found = ""

    def __call__(self, what: str, made: int, planned: int | None = None) -> None:
        """Show, now and then, that so much is made of what is planned at most.

        Args:
            what: is made, in the plural; the time left is estimated for each by itself.
            made: so many, those of an earlier attempt included.
            planned: at most so many; None where that is not known, or the rest is only checks.
        """
        now = time.monotonic()
        if what != self._what or made < self._made:  # other work, or the same once more
            self._what, self._begun, self._first = what, now, made
        self._made = made
        if now - self._shown < (SECONDS_BETWEEN_CHANGES if _terminal() else SECONDS_BETWEEN_LINES):
            return
        self._shown, self._said = now, True
        if planned is None or made >= planned:
            self._show(f"{what}: {made}{self._found}")
            return
        left = ""
        if made > self._first:
            left = f", at most {_duration((now - self._begun) / (made - self._first) * (planned - made))} left"
        self._show(f"{made} of at most {planned} {what}{left}{self._found}")

    @contextmanager
    def products(self, A: Any, what: str, planned: int | None = None) -> Iterator[None]:
        """Show the products that an operator makes in this block."""
        before = A.matvecs
        A.told = lambda made: self(what, made - before, planned)
        try:
            yield
        finally:
            A.told = None

    @contextmanager
    def search(self, A: Any, what: str) -> Iterator[Callable[[int, int, int, int], None]]:
        """Show a search for eigenvalues with an operator, and yield what the search takes as `progress`."""
        before, earlier, planned = A.matvecs, 0, None

        def found(products: int, converged: int, wanted: int, limit: int) -> None:
            nonlocal earlier, planned
            more = products - (A.matvecs - before) - earlier
            earlier, planned = earlier + more, limit
            self._first += more  # of a search that this one goes on with: no time of ours
            self._found = f", {min(converged, wanted)} of {wanted} converged"
            self(what, products, limit)

        A.told = lambda made: self(what, made - before + earlier, planned)
        try:
            yield found
        finally:
            A.told, self._found = None, ""

    def _line(self, text: str) -> None:
        with suppress(OSError):
            if not _terminal():
                if text:
                    print(text, file=sys.stderr, flush=True)
                return
            if self._bar is None:
                self._bar = tqdm(bar_format="{desc}", leave=False, file=sys.stderr)
            self._bar.set_description_str(text)

    def close(self) -> None:
        """Wipe the line."""
        if self._said:
            self._show("")
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()


def silent() -> Working:
    """Return one that shows nothing."""
    return Working(lambda text: None)


def _duration(seconds: float) -> str:
    """Return a duration in a unit of its size."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class ProductProgress:
    """Products made of those planned: a bar with the time left on a terminal, elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._begun = self._shown = time.monotonic()
        self._first = 0

    def __call__(self, made: int, planned: int) -> None:
        """Show the counts on the standard error."""
        if _terminal():
            if self._bar is None:
                self._bar = tqdm(total=planned, initial=made, unit="product", dynamic_ncols=True, leave=False)
            self._bar.update(made - self._bar.n)
            return
        self._first = self._first or made
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_LINES and made > self._first:
            self._shown = now
            left = (now - self._begun) / (made - self._first) * max(planned - made, 0) / 60
            print(f"{made} of {planned} products, about {left:.1f} min left", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Wipe the bar."""
        if self._bar is not None:
            self._bar.close()


def _numbers(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
