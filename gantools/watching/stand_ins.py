"""What stands in copies for iterators, writers of logs and progress bars, so that a look moves none of a loop's."""

import copy
import types
from typing import Any

from gantools.errors import GantoolsError


def stand_in_iterator(x: Any) -> Any:
    """Return an iterator at the same place, or one that refuses to go on where no such can be had."""
    if isinstance(x, Refusing):
        return x
    if isinstance(x, types.GeneratorType) or type(x).__module__ not in ("builtins", "itertools"):
        return Refusing(type(x).__name__)
    try:
        return copy.copy(x)
    except TypeError:
        return Refusing(type(x).__name__)


class Refusing:
    """An iterator in place of one whose position could not be put back."""

    def __init__(self, name: str):
        self.name = name

    def __iter__(self) -> "Refusing":
        return self

    def __next__(self) -> Any:
        raise GantoolsError(
            f"The function draws from an iterator (a {self.name}), whose position a look could not put back: draw the "
            "batch outside, and pass it, watch(step, batch)."
        )


class Mute:
    """An object whose methods do nothing, in place of a writer of logs or a progress bar."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None
