"""`gantools density`: how all eigenvalues of a Hessian are distributed, with bounds."""

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from gantools import analysis, board
from gantools.analysis.estimates.density import PRODUCTS
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.cli.analysed import (
    AnalysedPoint,
    Shown,
    at_each_hessian,
    at_each_point,
    products_shown,
    save_result,
    tell_duration,
)
from gantools.cli.arguments import Checkpoint, Code, Trust, Where
from gantools.cli.terminal import wrapped
from gantools.runs.config import require_positive

RITZ_STEPS = 60


@dataclasses.dataclass
class DensityArguments:
    """The spectral density of the Hessian, with bounds on its distribution function; of a game, each player's block.

    Of a game also the Ritz values of the Jacobian: an outline of its complex spectrum.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        probes: random vectors; more of them narrow the bounds of a small model. By default 800 products are split.
        lanczos_steps: Lanczos steps for each of them; more of them resolve more.
        starts: Ritz values are taken from so many starts of 60 steps.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    checkpoint: Checkpoint = "last"
    probes: int | None = None
    lanczos_steps: int | None = None
    starts: int = 4
    batch_size: int = 256
    device: str = "auto"
    code: Code = None
    trust: Trust = False
    seed: int = 0
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Draw the spectral density of a model's Hessian, or of each player's and the Jacobian's Ritz values."""
    args = tyro.cli(DensityArguments, args=argv, prog="gantools density")
    require_positive(probes=args.probes, lanczos_steps=args.lanczos_steps, starts=args.starts)
    return at_each_point(args, lambda point, folder: _draw_densities(point, args, folder))


def _draw_densities(point: AnalysedPoint, args: DensityArguments, folder: Path) -> None:
    game, batch = point.game, point.batch
    print(f"{point.name}: {game.num_parameters} parameters")
    at_each_hessian(
        point,
        folder,
        "density",
        lambda hessian, store, **running: _density(hessian, args, **running),
        lambda found, title: Shown(
            wrapped(f"  {found}", 2),
            found.to_numpy(),
            board.density_figure(found, title),
            lambda writer, tag: board.add_density(writer, tag, found, point.step),
        ),
    )
    if len(game.slices) > 1:
        jacobian = analysis.jacobian(game, batch)
        tell_duration(jacobian, args.starts * RITZ_STEPS, "fewer --starts")
        with products_shown(jacobian, args.starts * min(RITZ_STEPS, jacobian.n)):
            cloud = analysis.ritz_cloud(jacobian, args.starts, RITZ_STEPS, args.seed)
        print(f"\nRitz values of the Jacobian\n{wrapped(f'  {cloud}', 2)}")
        figure = board.cloud_figure(cloud, f"{point.name}, Jacobian")
        save_result(
            folder,
            point.result_name("ritz-values"),
            point.step,
            {"values": cloud.values.numpy(), "residuals": cloud.residuals.numpy()},
            figure,
            lambda writer, tag: writer.add_figure(tag, figure, point.step),
        )


def _density(hessian: analysis.LinearOperator, args: DensityArguments, **running: Any) -> analysis.Density:
    work = plan(hessian, args.probes, args.lanczos_steps, total=PRODUCTS)
    tell_duration(hessian, work.products, "fewer --lanczos-steps", work.together, work.bytes)
    return analysis.spectral_density(hessian, args.probes, args.lanczos_steps, args.seed, **running)
