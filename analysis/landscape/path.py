r"""The field along the straight path between two points: path-angle and path-norm.

Berard, Gidel, Almahairi, Vincent and Lacoste-Julien, arXiv:1906.04848: attraction shows as a change of sign of the
cosine at the end of the path, rotation as a bump there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantools.analysis.landscape.sampler import FieldSampler, Point, as_point
from gantools.errors import GantoolsError
from gantools.games.elementary.power_iterations import power_iteration_buffers
from gantools.games.game import Game

Array = NDArray[Any]


@dataclass(frozen=True)
class PathAngle:
    r"""The field $\xi$ along a path $w(\alpha) = (1-\alpha) w_0 + \alpha w_1$. NumPy arrays, float64.

    Attributes:
        alpha: (points,) positions; 0 is the start, 1 the end.
        cosine: (points,) $\langle \xi, w_0 - w_1 \rangle / (\|\xi\| \|w_0 - w_1\|)$, the published sign: positive
            where players that descend move on towards the end. NaN where the field is exactly zero or not finite.
        norm: (points,) $\|\xi\|$, the path-norm.
        norms: by player's name, (points,), the norm of its part of the field.
        losses: by player's name, (points,).
        distance: $\|w_0 - w_1\|$.
        n: the number of parameters.
        message: a sentence on the buffers that were used.
    """

    alpha: Array
    cosine: Array
    norm: Array
    norms: dict[str, Array]
    losses: dict[str, Array]
    distance: float
    n: int
    message: str = ""

    def at(self, alpha: float) -> float:
        """Return the cosine at a position, interpolated between the points; NaN outside the path."""
        good = np.isfinite(self.cosine)
        if not good.any():
            return float("nan")
        return float(np.interp(alpha, self.alpha[good], self.cosine[good], left=np.nan, right=np.nan))

    @property
    def attraction(self) -> float:
        r"""By how much the cosine falls across the end, from 0.9 to 1.1: 1 attracts, -1 repels.

        Of the field $(aI + bR)(w - w^*)$ with a rotation R, near the end, it is $a / \sqrt{a^2 + b^2}$.
        """
        return (self.at(0.9) - self.at(1.1)) / 2

    @property
    def rotation(self) -> float:
        r"""The bump: the cosine at the end, less its mean at 0.9 and 1.1.

        On a path that passes $w^*$ at a small distance it is $\pm b / \sqrt{a^2 + b^2}$ of the same field. One that
        ends in $w^*$ exactly shows no rotation, since there is none in the direction of the path.
        """
        return self.at(1.0) - (self.at(0.9) + self.at(1.1)) / 2

    def to_numpy(self) -> dict[str, Array]:
        """Return everything as arrays, ready for `numpy.savez(path, **p.to_numpy())`."""
        arrays = {"alpha": self.alpha, "cosine": self.cosine, "norm": self.norm, "distance": np.asarray(self.distance)}
        arrays |= {f"norm {player}": values for player, values in self.norms.items()}
        return arrays | {f"loss {player}": values for player, values in self.losses.items()}

    def _repr_html_(self) -> str:
        from gantools.board.live.looks import path_look  # notebooks alone need them
        from gantools.board.live.notebook import frame

        return frame("path-angle", path_look(self), str(self), height=460)

    def __str__(self) -> str:
        words = [f"Path of length {self.distance:.4g} in {self.n} dimensions, {len(self.alpha)} points."]
        if np.isfinite(self.attraction):
            words.append(
                f"The cosine is {self.at(0.9):+.2f} before the end, {self.at(1.0):+.2f} at it and {self.at(1.1):+.2f} "
                f"behind it: {self._reading()}."
            )
        return " ".join([*words, self.message]).strip()

    def _reading(self) -> str:
        found = []
        if abs(self.attraction) > 0.25:
            found.append("it changes sign, so the end " + ("attracts" if self.attraction > 0 else "repels"))
        if abs(self.rotation) > 0.25:
            found.append(f"{'and ' if found else ''}it has a bump, which is rotation")
        return ", ".join(found) or "it neither changes sign nor has a bump"


def path_angle(
    game: Game,
    start: Point | Tensor,
    end: Point | Tensor,
    batch: Any,
    points: int = 121,
    span: tuple[float, float] = (-0.1, 1.1),
    progress: Callable[[int, int], None] | None = None,
) -> PathAngle:
    r"""Measure the field along the path from `start` to `end`, and somewhat beyond both.

    Batch normalization in training mode takes its statistics from the batch, anew at every point. Buffers (running
    statistics, which modules in eval mode use) go along in a straight line where both ends bring them, as published;
    singular vectors of spectral normalization keep unit length. Otherwise those of the game serve everywhere.

    Args:
        game: whose field; it does not move. Its modules' modes count.
        start: vector (n,), or a point with its buffers from `point(game)`.
        end: likewise.
        batch: one batch, or several: their mean, weighted by size. The same at every point, latents included.
        points: how many, evenly spaced; one lies exactly at the end by default.
        span: first and last position; 0 is the start, 1 the end.
        progress: called at each point with how many were measured before it, and how many there are.

    Raises:
        GantoolsError: for points that do not fit the game, that are the same, or fewer than two steps.

    >>> path = gt.analysis.path_angle(game, game.vector(), 0.5 * game.vector(), batch, points=3, span=(0, 1))
    >>> path.cosine + 0.0  # on the way to the equilibrium of a game that only rotates
    array([0., 0., 0.])
    """
    first, last = as_point(game, start), as_point(game, end)
    if points < 2 or not span[0] < span[1]:
        raise GantoolsError(
            f"{points} points between {span[0]} and {span[1]} make no path: give two or more, ascending."
        )
    towards = first.vector - last.vector
    distance = float(towards.norm())
    if not distance > 0:
        raise GantoolsError("The path has no length: start and end are the same point.")
    sampler, buffers_at = FieldSampler(game, batch), _buffers_along(game, first, last)
    alphas = np.linspace(*span, points)
    # (1.1 + 0.1) / 120 is not 0.01 in binary: the end itself, not a point beside it.
    alphas[np.abs(alphas - 1.0) < 1e-9] = 1.0
    rows, losses = [], []
    for measured, alpha in enumerate(alphas.tolist()):
        if progress is not None:
            progress(measured, points)
        field, values = sampler((1 - alpha) * first.vector + alpha * last.vector, buffers_at(alpha))
        norms = [field[part].norm() for part in game.slices.values()]
        rows.append(torch.stack([field.dot(towards), field.norm(), *norms]).double())
        losses.append(list(values.values()))
    table, losses = torch.stack(rows).cpu().numpy(), np.array(losses)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(table[:, 0] / (table[:, 1] * distance), -1.0, 1.0)
    return PathAngle(
        alpha=alphas,
        cosine=np.where(np.isfinite(table[:, 1]) & (table[:, 1] > 0), cosine, np.nan),
        norm=table[:, 1],
        norms={player: table[:, 2 + i] for i, player in enumerate(game.slices)},
        losses={player: losses[:, i] for i, player in enumerate(game.slices)},
        distance=distance,
        n=game.num_parameters,
        message=_about_buffers(game, first, last),
    )


def _buffers_along(game: Game, first: Point, last: Point) -> Any:
    """Return a function that gives the buffers at a position on the path."""
    if first.buffers is None or last.buffers is None:
        own = game.buffers()
        return lambda alpha: own
    start, end = first.buffers, dict(last.buffers)
    unit = power_iteration_buffers(game.module)
    for name in unit & set(end):
        # (u, v) and (-u, -v) are the same singular vectors, and their mean is zero.
        end[name] = end[name] if (start[name] * end[name]).sum() >= 0 else -end[name]

    def at(alpha: float) -> dict[str, Tensor]:
        found = {}
        for name, b in end.items():
            found[name] = torch.lerp(start[name], b, alpha) if b.is_floating_point() else b
            if name in unit:
                found[name] = nn.functional.normalize(found[name], dim=0)
        return found

    return at


def _about_buffers(game: Game, first: Point, last: Point) -> str:
    norms = [
        m for m in game.module.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.running_mean is not None
    ]
    if not norms:
        return ""
    present = sum(m.training for m in norms)
    if present == len(norms):
        return "Normalization in training mode takes its statistics from the batch at every point."
    both = first.buffers is not None and last.buffers is not None
    return "Running statistics are " + ("interpolated between the ends'." if both else "the game's own at every point.")
