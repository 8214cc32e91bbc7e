"""Parameters of a test of which only some run among the quick ones."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], count: int) -> list[Any]:
    """Return all values, marked slow but for so many that are evenly spaced among those that are not already."""
    values = list(values)
    free = [i for i, value in enumerate(values) if not _is_slow(value)]
    kept = {free[i * len(free) // count] for i in range(min(count, len(free)))}
    return [value if i in kept or i not in free else _slow(value) for i, value in enumerate(values)]


def _is_slow(value: Any) -> bool:
    return any(mark.name == "slow" for mark in getattr(value, "marks", ()))


def _slow(value: Any) -> Any:
    if hasattr(value, "marks"):
        return pytest.param(*value.values, id=value.id, marks=[*value.marks, pytest.mark.slow])
    return pytest.param(*(value if type(value) is tuple else (value,)), marks=pytest.mark.slow)
