"""A file that keeps the basis of an unfinished search."""

from __future__ import annotations

from pathlib import Path

import torch

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.storage import BasisState
from gantools.errors import GantoolsError


class BasisStore:
    """The file of one search: written at restarts and when interrupted, read by the search that goes on from it.

    Args:
        path: the file; its folder must exist. Without one nothing is kept.
    """

    def __init__(self, path: Path | None):
        self._path = path

    def load(self, basis: KrylovBasis) -> int | None:
        """Put the stored state into the basis.

        Returns:
            The number of products spent before, or None where nothing is stored. Otherwise one more product is spent,
            which shows that the state is this operator's.

        Raises:
            GantoolsError: for a file of another kind, and for the basis of another operator, size, width or storage.
        """
        path = self._path
        if path is None or not path.exists():
            return None
        try:
            stored = torch.load(path, weights_only=True)
            products, state = int(stored.pop("products")), BasisState(**stored)
        except Exception as error:  # a file of another kind fails in as many ways as there are kinds
            raise GantoolsError(f"{path} holds no basis of a search to go on with: give another file.") from error
        if not basis.restore(state):
            raise GantoolsError(
                f"{path} holds the basis of another operator, size or dtype: resume with the same parameters, batch, "
                "k, basis, block and storage, or give another file."
            )
        return products

    def save(self, basis: KrylovBasis, products: int) -> None:
        """Write the state of the basis and the number of products spent."""
        if self._path is None:
            return
        partial = self._path.with_name(self._path.name + ".part")
        try:
            torch.save(basis.state()._asdict() | {"products": products}, partial)
            partial.replace(self._path)  # so that an interruption while writing leaves the previous one
        except (OSError, RuntimeError) as error:
            raise GantoolsError(
                f"The basis cannot be kept in {self._path} ({error}): give another file as store."
            ) from None

    def remove(self) -> None:
        """Delete the file of a search that has ended."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
