"""Where the parameters of several copies of a game live in one flat vector."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.games.flat_vector import Layout
from gantools.games.functional import as_real


class StackedLayout(Layout):
    """Each player's part holds its part of the first copy's vector, then of the second's, and so on.

    Args:
        layouts: those of the copies.

    Attributes:
        parameters: the copies' parameters as one (S, ...), with memory of their own.
        copies: their number S.
    """

    how_to_pass = "pass game.each(batches), which makes one batch of the list of each copy's"
    stacked = True

    def __init__(self, layouts: Sequence[Layout]):
        first, self.copies = layouts[0], len(layouts)
        columns = zip(*(layout.parameters for layout in layouts), strict=True)
        stacked = [nn.Parameter(torch.stack([p.detach() for p in column])) for column in columns]
        super().__init__(first.names, stacked, first.owned)

    def norm(self, part: Tensor) -> Tensor:
        """Return each copy's norm (S,) of a player's part."""
        return part.view(self.copies, -1).norm(dim=1)

    def dot(self, one: Tensor, other: Tensor) -> Tensor:
        """Return each copy's inner product of two vectors, once for each of its entries (n,)."""
        product = self.rows(one * other).sum(1, keepdim=True)
        return self.vector_of(product.expand(self.copies, self.size // self.copies))

    def rows(self, w: Tensor) -> Tensor:
        """Return the vectors (S, n/S) of the copies from that of all (n,)."""
        return torch.cat([w[part].view(self.copies, -1) for part in self.slices.values()], 1)

    def vector_of(self, rows: Tensor) -> Tensor:
        """Return the vector (n,) of all copies from theirs (S, n/S)."""
        sizes = [(part.stop - part.start) // self.copies for part in self.slices.values()]
        return torch.cat([piece.reshape(-1) for piece in rows.split(sizes, 1)])

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([self.flattened(tensors[own]) for own in self.owned.values()])

    def flattened(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return a player's part of the vector from its tensors (S, ...), in order."""
        return torch.cat([t.reshape(self.copies, -1) for t in tensors], 1).reshape(-1)

    def unflatten(self, w: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        if dtype is None and torch.promote_types(w.dtype, self.dtype) != self.dtype:
            dtype = w.dtype
        pieces: list[Tensor] = []
        for player, own in self.owned.items():
            sizes = [size // self.copies for size in self._sizes[own]]
            pieces += w[self.slices[player]].view(self.copies, -1).split(sizes, 1)
        return [p.view(s).to(dtype or d) for p, s, d in zip(pieces, self._shapes, self._dtypes, strict=True)]

    def vector(self) -> Tensor:
        return self.flatten([as_real(p.detach()) for p in self.parameters])

    def part(self, chosen: Sequence[int]) -> Layout:
        raise GantoolsError("Parts of a stacked game are not analysed: take one of its copies (game.games[0]).")

    def require_single(self) -> None:
        raise GantoolsError("Copies are analysed one by one: call game.hand_out() and take game.games[0].")

    def require_separable(self, method: str, couples: str) -> None:
        """Refuse a method whose step in one copy would depend on the others."""
        if couples:
            raise GantoolsError(
                f"{method} cannot train copies together: {couples}. Train them one after another, or choose a method "
                "whose step works on each parameter by itself."
            )


def same_form(first: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """Return the first name whose tensors differ in shape or dtype between two copies, empty where none does."""
    if list(first) != list(other):
        return next(iter([*(first.keys() ^ other.keys()), *first]))
    return next((n for n, t in first.items() if (t.shape, t.dtype) != (other[n].shape, other[n].dtype)), "")
