"""Selection and order of the wanted eigenvalues; conjugate pairs stay together."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantools.errors import GantoolsError
from gantools.registry import suggest

Array = NDArray[Any]

CRITERIA: dict[str, Callable[[Array], Array]] = {
    "LM": np.abs,
    "LR": np.real,
    "SR": lambda values: -np.real(values),
    "LI": lambda values: np.abs(np.imag(values)),
    "SM": lambda values: -np.abs(values),
    "NI": lambda values: -np.abs(np.real(values)),
    "NU": lambda values: -np.abs(np.abs(values) - 1),
}
# Selections that may lie inside the spectrum, where products alone need not converge.
INTERIOR = ("SM", "NI", "NU")
_SYMMETRIC_NAMES = {"LA": "LR", "SA": "SR"}


def criterion(which: str, symmetric: bool) -> str:
    """Return the canonical name of a selection: LM, LR, SR, LI, SM, NI (imaginary axis), NU (unit circle) or BE."""
    if symmetric and which == "LI":
        raise GantoolsError("A symmetric operator has real eigenvalues only: use which='LM', 'LA' or 'SA', not 'LI'.")
    name = _SYMMETRIC_NAMES.get(which, which) if isinstance(which, str) else which
    if name == "BE" and not symmetric:
        raise GantoolsError("'BE' means both ends of a real spectrum; this operator is not symmetric: use 'LR', 'SR'.")
    if name != "BE" and name not in CRITERIA:
        raise suggest("selection which =", which, [*CRITERIA, *_SYMMETRIC_NAMES, "BE"])
    if not symmetric and which in _SYMMETRIC_NAMES:
        raise GantoolsError(f"{which!r} orders real eigenvalues; this operator is not symmetric: use {name!r}.")
    return name


def scores(values: Array, which: str) -> Array:
    """Return scores (m,), the larger the better: for BE, minus the place from the nearer end, the upper one first."""
    if which != "BE":
        return CRITERIA[which](values)
    place = np.empty(len(values))
    place[np.argsort(values, kind="stable")] = np.arange(len(values))
    return -np.minimum(place + 0.5, len(values) - 1 - place)


def leading(values: Array, k: int, which: str, handicap: Array | float = 0.0) -> Array:
    """Return the indices of the k best eigenvalues, best first; k + 1 where k would split a conjugate pair.

    Args:
        values: (m,) real, or complex in LAPACK's order (a pair stands together, positive imaginary part first).
        which: canonical name, see `criterion`.
        handicap: taken from the scores, (m,).
    """
    order = np.lexsort((-np.real(values), -np.abs(values), handicap - scores(values, which)))
    if not np.iscomplexobj(values):
        return order[:k]
    chosen: list[int] = []
    imaginary = np.imag(values)
    for index in order:
        if len(chosen) >= k:
            break
        if imaginary[index] > 0:
            chosen += [index, index + 1]
        elif imaginary[index] == 0:
            chosen.append(index)
    return np.array(chosen, dtype=int)
