"""Parameters of a test of which only some run among the quick ones."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], count: int) -> list[Any]:
    """Return all values, marked slow but for so many that are evenly spaced among those that are not already."""
    values = list(values)
    free = [i for i, value in enumerate(values) if not hasattr(value, "marks")]
    kept = {free[i * len(free) // count] for i in range(min(count, len(free)))}
    return [
        value if i in kept or i not in free else pytest.param(*_cells(value), marks=pytest.mark.slow)
        for i, value in enumerate(values)
    ]


def _cells(value: Any) -> tuple[Any, ...]:
    return value if type(value) is tuple else (value,)
