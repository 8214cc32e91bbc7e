"""Draw the pictures of docs/reading-a-spectrum.md: one for each shape, from games whose Jacobians are known.

python scripts/documentation/draw_shapes.py [--out docs/shapes]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure

import gantools as gt
from gantools.games.analytic import Point

SIZE = 12  # numbers of each player


def linear_game(P: torch.Tensor, A: torch.Tensor, B: torch.Tensor, Q: torch.Tensor) -> gt.Game:
    r"""Return the game of two vectors whose Jacobian has the blocks (P, A) and (B, Q); P and Q symmetric."""

    def losses(players, batch):
        x, y = players.x.value, players.y.value
        return {"x": 0.5 * x @ P @ x + x @ A @ y, "y": 0.5 * y @ Q @ y + y @ B @ x}

    return gt.Game({"x": Point([1.0] * len(P)), "y": Point([-0.5] * len(Q))}, losses)


def pairs(low: float, high: float, first: float, last: float = 0.0, zeros: int = 0) -> gt.Game:
    r"""Return a game with the eigenvalues $a \pm i b$: a from low to high, b from first to last; so many pairs 0."""
    a, b = (torch.linspace(*ends, SIZE, dtype=torch.float64) for ends in ((low, high), (first, last)))
    a[SIZE - zeros :] = b[SIZE - zeros :] = 0
    return linear_game(torch.diag(a), torch.diag(b), -torch.diag(b), torch.diag(a))


def chain() -> gt.Game:
    """Return a game in which y leads x and nothing leads back: eigenvalues near 1, and a field that grows at first."""
    decay = torch.diag(torch.linspace(0.6, 1.4, SIZE, dtype=torch.float64))
    return linear_game(decay, torch.full((SIZE, SIZE), 0.5, dtype=torch.float64), torch.zeros_like(decay), decay)


SHAPES: dict[str, Callable[[], gt.Game]] = {
    "attracting": lambda: pairs(0.2, 2.0, 0.5),
    "rotating": lambda: pairs(0.0, 0.0, 2.0, 0.4),
    "repelling": lambda: pairs(-0.6, 2.0, 0.5),
    "non-normal": chain,
    "zero-cluster": lambda: pairs(0.2, 2.0, 0.5, zeros=8),
}


def draw(name: str) -> Figure:
    """Return the picture of a shape."""
    J = gt.analysis.jacobian(SHAPES[name](), None)
    if name == "non-normal":
        return gt.board.nonnormality_figure(
            gt.analysis.pseudospectrum(J, bounds=(-3.5, 5.5, -4.0, 4.0)), gt.analysis.field_of_values(J), name
        )
    return gt.board.spectrum_figure(gt.analysis.spectrum(J), name.replace("-", " "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/shapes"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name in SHAPES:
        draw(name).savefig(out / f"{name}.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
