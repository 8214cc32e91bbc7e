"""Progress on a terminal: a bar, and elsewhere a plain line every ten seconds."""

import sys
import time
from contextlib import suppress

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


def tell(text: str) -> None:
    """Print a line, and go on where nobody can read it: a terminal that was closed must not end a training."""
    with suppress(OSError):
        print(text, flush=True)


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """A bar on a terminal; elsewhere plain lines, at most one every ten seconds. Where it cannot be shown it is not."""

    def __init__(self, first: int, last: int):
        self._last = last
        self._bar = tqdm(total=last, initial=first, unit="step", dynamic_ncols=True) if _terminal() else None
        self._shown = time.monotonic()

    def show(self, step: int, values: dict[str, float]) -> None:
        """Show how many steps are done, and a few numbers."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.set_postfix_str(_numbers(values), refresh=False)
                self._bar.update(step - self._bar.n)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            tell(f"step {step}/{self._last}  {_numbers(values)}")

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


class SolverProgress:
    """Products made and eigenvalues converged: one line that changes on a terminal, elsewhere one every ten seconds."""

    def __init__(self) -> None:
        self._bar = tqdm(bar_format="{desc}", leave=False, file=sys.stderr) if _terminal() else None
        self._shown = time.monotonic()

    def __call__(self, products: int, converged: int, wanted: int) -> None:
        """Show the counts on the standard error."""
        line = f"{products} products, {min(converged, wanted)} of {wanted} eigenvalues converged"
        if self._bar is not None:
            self._bar.set_description_str(line)
        elif time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Wipe the line."""
        if self._bar is not None:
            self._bar.close()


class ProductProgress:
    """Products made of those planned: a bar with the time left on a terminal, elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
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
