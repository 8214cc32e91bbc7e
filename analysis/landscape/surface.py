r"""The losses and the field around a point, along a line and in a plane; directions scaled filter by filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantools.analysis.landscape.sampler import FieldSampler, Point, as_point
from gantools.errors import GantoolsError
from gantools.games.functional import as_real
from gantools.games.game import Game
from gantools.random_vectors import normal_vector

Array = NDArray[Any]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Line:
    r"""The losses and the field at $w + a\,d$. NumPy arrays, float64.

    Attributes:
        positions: (points,), the values of a.
        losses: by player's name, (points,).
        slope: (points,) $\langle \xi, d \rangle / \langle d, d \rangle$, the field's part along the line in its own
            units: players move against it. Of a single player it is the derivative of the loss over $\|d\|^2$.
        norm: (points,) $\|\xi\|$.
        length: $\|d\|$.
        n: the number of parameters.
    """

    positions: Array
    losses: dict[str, Array]
    slope: Array
    norm: Array
    length: float
    n: int

    def to_numpy(self) -> dict[str, Array]:
        """Return everything as arrays."""
        arrays = {"positions": self.positions, "slope": self.slope, "norm": self.norm}
        return arrays | {f"loss {player}": values for player, values in self.losses.items()}


@dataclass(frozen=True)
class Plane:
    r"""The losses and the field at $w + a\,d_1 + b\,d_2$. NumPy arrays, float64; rows are b, columns a.

    Attributes:
        x: (points,), the values of a.
        y: (points,), the values of b.
        losses: by player's name, (points, points).
        field: (points, points, 2), the field's orthogonal projection on the plane, in coordinates (a, b): players
            move against it.
        norm: (points, points) $\|\xi\|$, all of it.
        lengths: norms of the directions.
        n: the number of parameters.
    """

    x: Array
    y: Array
    losses: dict[str, Array]
    field: Array
    norm: Array
    lengths: tuple[float, float]
    n: int

    def to_numpy(self) -> dict[str, Array]:
        """Return everything as arrays."""
        arrays = {"x": self.x, "y": self.y, "field": self.field, "norm": self.norm}
        return arrays | {f"loss {player}": values for player, values in self.losses.items()}


def line(
    game: Game,
    batch: Any,
    direction: Tensor,
    center: Point | Tensor | None = None,
    radius: float = 1.0,
    points: int = 51,
) -> Line:
    """Return the losses and the field along a line through a point.

    Args:
        game: it does not move; its modules' modes and buffers (those of the center, if it brings any) hold everywhere.
        batch: one batch, or several: their mean, weighted by size.
        direction: (n,), such as an eigenvector, a difference of two points, or `random_direction(...)`.
        center: by default where the game is.
        radius: how far, in multiples of the direction, to both sides.
        points: how many; an odd number has the center among them.

    Raises:
        GantoolsError: for a direction that does not fit or is zero, and no points or radius.
    """
    middle = _center(game, center, points, radius)
    (d,) = _directions(game, direction)
    sampler, buffers = FieldSampler(game, batch), middle.buffers or game.buffers()
    positions = np.linspace(-radius, radius, points)
    rows, losses = [], []
    for a in positions.tolist():
        field, values = sampler(middle.vector + a * d, buffers)
        rows.append(torch.stack([field.dot(d) / d.dot(d), field.norm()]).double())
        losses.append(list(values.values()))
    table = torch.stack(rows).cpu().numpy()
    by_player = {player: np.array(losses)[:, i] for i, player in enumerate(game.slices)}
    return Line(positions, by_player, table[:, 0], table[:, 1], float(d.norm()), game.num_parameters)


def plane(
    game: Game,
    batch: Any,
    directions: tuple[Tensor, Tensor] | Tensor,
    center: Point | Tensor | None = None,
    radius: float = 1.0,
    points: int = 25,
) -> Plane:
    """Return the losses and the field in a plane through a point: points times points evaluations of the field.

    Args:
        game: see `line`.
        batch: see `line`.
        directions: two of (n,); or one complex vector (n,), the eigenvector of a rotating pair, whose plane is spanned
            by its real and imaginary part.
        center: see `line`.
        radius: see `line`.
        points: along each direction.

    Raises:
        GantoolsError: as `line`, and for directions that are parallel.
    """
    middle = _center(game, center, points, radius)
    if isinstance(directions, Tensor):
        if not directions.is_complex():
            raise GantoolsError("One real direction spans a line: pass two, or a complex eigenvector.")
        directions = (directions.real, directions.imag)
    first, second = _directions(game, *directions)
    basis = torch.stack([first, second])
    gram = basis.double() @ basis.double().T
    if float(torch.linalg.det(gram)) <= 1e-10 * float(gram[0, 0] * gram[1, 1]):
        raise GantoolsError("The two directions are parallel and span no plane: choose another one.")
    inverse = torch.linalg.inv(gram)
    sampler, buffers = FieldSampler(game, batch), middle.buffers or game.buffers()
    positions = np.linspace(-radius, radius, points)
    rows, losses = [], []
    for b in positions.tolist():
        for a in positions.tolist():
            field, values = sampler(middle.vector + a * first + b * second, buffers)
            rows.append(torch.cat([inverse @ (basis @ field).double(), field.norm().double()[None]]))
            losses.append(list(values.values()))
    table = torch.stack(rows).cpu().numpy().reshape(points, points, 3)
    values = np.array(losses).reshape(points, points, -1)
    by_player = {player: values[:, :, i] for i, player in enumerate(game.slices)}
    lengths = (float(first.norm()), float(second.norm()))
    return Plane(positions, positions.copy(), by_player, table[:, :, :2], table[:, :, 2], lengths, game.num_parameters)


def random_direction(game: Game, generator: torch.Generator, normalized: bool = True) -> Tensor:
    """Return a normal random direction (n,), by default scaled filter by filter (`filter_normalized`)."""
    w = game.vector()
    d = normal_vector(len(w), w.dtype, w.device, generator)
    return filter_normalized(game, d) if normalized else d


def filter_normalized(game: Game, direction: Tensor) -> Tensor:
    r"""Scale each filter of a direction to the norm of the game's: $d_{ij} \leftarrow d_{ij} \|w_{ij}\| / \|d_{ij}\|$.

    Li, Xu, Taylor, Studer and Goldstein, arXiv:1712.09913: without it a net whose weights are scaled up, while its
    normalizations or activations undo that, would look flatter. A filter is the weights of one output: a row of a dense
    layer, one output channel of a convolution. Biases and the scales of normalizations (one dimension) do not move, as
    published.
    """
    game.require_vector(direction)
    transposed = {id(m.weight) for m in game.module.modules() if isinstance(m, _TRANSPOSED)}
    pieces = []
    for p, d in zip(game.parameters(), game.unflatten(direction.to(game.vector())), strict=True):
        w = as_real(p.detach())
        if p.dim() < 2:
            pieces.append(torch.zeros_like(w))
            continue
        output = 1 if id(p) in transposed else 0
        others = [axis for axis in range(w.dim()) if axis != output]
        size = torch.linalg.vector_norm(d, dim=others, keepdim=True)
        scale = torch.linalg.vector_norm(w, dim=others, keepdim=True) / torch.where(size > 0, size, 1.0)
        pieces.append(d * scale)
    return game.flatten(pieces).to(game.vector())


def _center(game: Game, center: Point | Tensor | None, points: int, radius: float) -> Point:
    if points < 2 or not 0 < radius < float("inf"):
        raise GantoolsError(
            f"{points} points within {radius} make no picture: give two or more, and a positive radius."
        )
    return as_point(game, game.vector() if center is None else center)


def _directions(game: Game, *directions: Tensor) -> list[Tensor]:
    found = []
    for d in directions:
        if not isinstance(d, Tensor) or d.is_complex():
            raise GantoolsError("A direction is a real tensor (n,); of a complex eigenvector take .real or .imag.")
        game.require_vector(d)
        d = d.detach().to(game.vector())
        if not d.isfinite().all() or not d.any():
            raise GantoolsError("A direction is zero, or not finite: give another one.")
        found.append(d)
    return found
