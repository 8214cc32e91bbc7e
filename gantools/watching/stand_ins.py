"""What stands in copies for iterators, writers of logs and progress bars, so that a look moves none of a loop's."""

import random
import types
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gantools.errors import GantoolsError

_SHARING = ("_tee", "_tee_dataobject", "_grouper", "groupby")  # of `itertools`: they draw ahead for one another

BUILT_IN = (types.BuiltinMethodType, types.MethodWrapperType)  # `append` of a list, `__next__` of an iterator
RANDOM = (np.random.Generator, np.random.RandomState)


def is_moved_by_methods(x: Any) -> bool:
    """Return whether a built-in method of this object may move it: the global generators are put back by others."""
    state = (list, dict, set, deque, Tensor, np.ndarray, torch.Generator, random.Random, *RANDOM)
    shared = (random.random.__self__, np.random.rand.__self__)  # type: ignore[attr-defined]
    return (isinstance(x, state) or hasattr(type(x), "__next__")) and not any(x is one for one in shared)


def stand_in_iterator(x: Any, of: Callable[[Any], Any]) -> Any:
    """Return an iterator at the same place, or one that refuses to go on where no such can be had.

    Args:
        x: an iterator; one of Python's own that draws from others is made again, over copies of these.
        of: returns the copy of an object.
    """
    kind = type(x)
    if isinstance(x, Refusing):
        return x
    known = kind.__module__ in ("builtins", "itertools") and kind.__name__ not in _SHARING
    if isinstance(x, types.GeneratorType) or not known:
        return Refusing(kind.__name__)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.14 on `itertools` refuses instead
            make, args, *states = x.__reduce_ex__(4)
            parts = [_part(part, of) for part in args]
            states = [_part(state, of) for state in states if state is not None]
            if (refusing := _refusing([*parts, *states])) is not None:
                return refusing
            made = make(*parts)
            for state in states:
                made.__setstate__(state)
            return made
    except TypeError:
        return Refusing(kind.__name__)


def _part(x: Any, of: Callable[[Any], Any]) -> Any:
    """Return what an iterator is made again from: copies of iterators, loaders and functions; data as they are."""
    if type(x) in (list, tuple):
        drawn = any(_is_drawn_from(item) for item in x)
        return type(x)(_part(item, of) for item in x) if drawn else x
    return of(x) if _is_drawn_from(x) else x


def _is_drawn_from(x: Any) -> bool:
    functions = (types.FunctionType, types.MethodType, *BUILT_IN)
    return isinstance(x, (DataLoader, *functions)) or hasattr(type(x), "__next__")


def _refusing(parts: Any) -> "Refusing | None":
    for part in parts:
        found = part if isinstance(part, Refusing) else _refusing(part) if type(part) in (list, tuple) else None
        if found is not None:
            return found
    return None


class Refusing:
    """An iterator in place of one whose position could not be put back."""

    def __init__(self, name: str):
        self.name = name

    def __iter__(self) -> "Refusing":
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: next(self)  # `send` of a generator, say

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
