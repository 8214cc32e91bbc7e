"""Where the parameters of a game's players live in one flat vector."""

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.wrappers import is_spread


class Layout:
    """Trainable parameters in order, player by player, and the vector (n,) that joins them.

    Args:
        names: of the parameters, unique.
        parameters: complex ones enter the vector as their real view (..., 2).
        owned: which of them, a range of places, are each player's.

    Attributes:
        slices: each player's part of the vector.
        places: each parameter's part of the vector, in order.
        copies: how many copies of a game it holds, see `gantools.stacked`.
    """

    copies = 1
    how_to_pass = "pass them one by one, not in a list or loader"
    stacked = False  # of several games, or one, as copies
    divided = False  # whether processes hold ranges of the vector, see `gantools.sharded`

    def __init__(self, names: Sequence[str], parameters: Sequence[nn.Parameter], owned: Mapping[str, slice]):
        self.names, self.parameters, self.owned = list(names), list(parameters), dict(owned)
        real = [functional.as_real(p) for p in parameters]
        self._shapes = [r.shape for r in real]
        self._sizes = [r.numel() for r in real]
        self._dtypes = [r.dtype for r in real]
        ends = [0, *accumulate(self._sizes)]
        self.places = [slice(start, end) for start, end in pairwise(ends)]
        self.slices = {player: slice(ends[own.start], ends[own.stop]) for player, own in self.owned.items()}

    @classmethod
    def of(cls, players: Mapping[str, nn.Module]) -> "Layout":
        """Return that of all parameters that require a gradient; weights tied within a player count once.

        Raises:
            GantoolsError: when a player has none, two share one, or they are on several devices.
        """
        names: list[str] = []
        parameters: list[nn.Parameter] = []
        owned: dict[str, slice] = {}
        for index, (player, module) in enumerate(players.items()):
            own = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
            if not own:
                raise GantoolsError(
                    f"Player {player!r} has no trainable parameter: a player must have something to move."
                )
            owned[player] = slice(len(names), len(names) + len(own))
            names += [f"{index}.{name}" for name, _ in own]
            parameters += [p for _, p in own]
        devices = {p.device for p in parameters}
        if len(devices) > 1:
            raise GantoolsError(
                f"The players are on several devices ({', '.join(map(str, devices))}): move them to one."
            )
        owners = [player for player, own in owned.items() for _ in names[own]]
        functional.refuse_shared(parameters, owners, names)
        return cls(names, parameters, owned)

    def part(self, chosen: Sequence[int]) -> "Layout":
        """Return that of only these parameters, by their places, ascending; players of whom none is left have none."""
        owned, start = {}, 0
        for player, own in self.owned.items():
            end = start + sum(own.start <= k < own.stop for k in chosen)
            if end > start:
                owned[player] = slice(start, end)
            start = end
        return Layout([self.names[k] for k in chosen], [self.parameters[k] for k in chosen], owned)

    @property
    def undivided(self) -> "Layout":
        """That of the whole vector in this process."""
        return self

    @property
    def size(self) -> int:
        """The length n of the vector; a complex parameter counts twice."""
        return sum(self._sizes)

    @cached_property
    def dtype(self) -> torch.dtype:
        """The dtype of the vector: one that holds every parameter."""
        return reduce(torch.promote_types, self._dtypes)

    @property
    def device(self) -> torch.device:
        """The device that all are on."""
        return self.parameters[0].device

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """Join real tensors, one for each parameter in order, into a vector."""
        return torch.cat([t.reshape(-1) for t in tensors])

    def unflatten(self, w: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Split a vector (n,) into real tensors, one for each parameter in order (views where dtypes agree).

        Args:
            w: the vector.
            dtype: of the tensors; by default that of each parameter, or of a vector of a wider dtype than `dtype`.
        """
        if dtype is None and torch.promote_types(w.dtype, self.dtype) != self.dtype:
            dtype = w.dtype
        # One split: slicing tensor by tensor would make the backward pass quadratic in the number of tensors.
        pieces = w.split(self._sizes)
        return [p.view(s).to(dtype or d) for p, s, d in zip(pieces, self._shapes, self._dtypes, strict=True)]

    def in_modules(self, leaves: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return what takes the parameters' place in the modules for leaves that they are differentiated by."""
        return leaves

    def vector(self) -> Tensor:
        """Return a copy of the parameters as one vector."""
        self.require_whole()
        return self.flatten([functional.as_real(p.detach()) for p in self.parameters])

    def norm(self, part: Tensor) -> Tensor:
        """Return the norm of a player's part, of each copy where there are several."""
        return part.norm()

    def dot(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the inner product of two vectors, to multiply a vector with: of each copy where there are several."""
        return one.dot(other)

    def require_single(self) -> None:
        """Refuse several games as one, `gantools.stacked`, where one is analysed."""

    def require_whole(self) -> None:
        """Refuse parameters that no process holds whole, where that is needed."""
        if any(map(is_spread, self.parameters)):
            raise GantoolsError(
                "The parameters of this game are spread over processes (FSDP2): call gantools.sharded(game), whose "
                "Jacobian, Hessian and eigenvalues need them whole nowhere. For all else take a plain copy that holds "
                "the full state, from torch.distributed.checkpoint.state_dict.get_model_state_dict with "
                "full_state_dict=True."
            )

    def require_separable(self, method: str, couples: str) -> None:
        """Refuse a method that couples the copies, where there are several; `couples` says how."""

    def load(self, w: Tensor) -> None:
        """Copy a vector into the parameters."""
        with torch.no_grad():
            torch._foreach_copy_([functional.as_real(p) for p in self.parameters], self.unflatten(w))
