"""`gantools index` and `density`: how the whole spectrum of a model, or of a game's players, is distributed."""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from gantools import analysis, board
from gantools.analysis.index import split_products
from gantools.errors import require_positive
from gantools.storage import file_part, step_name
from gantools.subjects import Checkpoint, Subject, Where, results, subjects
from gantools.target import own_errors
from gantools.terminal import command, wrapped

MANY_PRODUCTS = 200  # fewer are not worth a word beforehand
RITZ_STEPS = 60


# index ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class IndexArguments:
    """Fractions of negative, zero and positive eigenvalues of the Hessian; of a game, each player's block and J.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        method: exact (the whole matrix), estimate (quadrature, with an interval), or auto: exact up to --max-exact.
        max_exact: up to how many parameters auto takes the whole matrix; beyond, leading eigenvalues bound half planes.
        tol: what counts as zero, absolute; by default from the gap between structural zeros and the rest.
        probes: random vectors of the estimate; by default so many that the interval is narrow.
        lanczos_steps: Lanczos steps for each of them; more steps narrow the interval.
        stationary: find the stationary point near by first, and count there: elsewhere it is no critical point's index.
        stationary_steps: at most so many steps to find it.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    method: Literal["auto", "exact", "estimate"] = "auto"
    max_exact: int = 4096
    checkpoint: Checkpoint = "last"
    tol: float | None = None
    probes: int | None = None
    lanczos_steps: int | None = None
    stationary: bool = False
    stationary_steps: int = 100
    batch_size: int = 256
    device: str = "auto"
    seed: int = 0
    out: Path | None = None


def index(argv: list[str]) -> int:
    """Print the index of a model's Hessian, or of each player's and of the Jacobian's half planes; draw its curve."""
    args = tyro.cli(IndexArguments, args=argv, prog="gantools index")
    require_positive(probes=args.probes, lanczos_steps=args.lanczos_steps)
    return _at_each(args, lambda subject, folder: _print_index(subject, args, folder))


def _print_index(subject: Subject, args: IndexArguments, folder: Path) -> None:
    game, batch = subject.game, subject.batch
    common = {"tol": args.tol, "max_exact": args.max_exact, "seed": args.seed}
    print(f"{subject.name}: {game.num_parameters} parameters, norm of the field {float(game.field(batch).norm()):.3g}")
    if args.stationary:
        print(wrapped(str(analysis.stationary_point(game, batch, max_steps=args.stationary_steps, apply=True))))
    for player in game.slices:
        hessian = analysis.hessian(game, batch, player=player)
        print(f"\nHessian of {player} ({hessian.n} parameters)")
        whole = args.method == "exact" or (args.method == "auto" and hessian.n <= args.max_exact)
        probes, steps = split_products(hessian.n, args.probes, args.lanczos_steps)
        tell_duration(hessian, hessian.n if whole else probes * steps, "--method estimate with fewer --probes")
        result = analysis.index(hessian, method=args.method, probes=probes, steps=steps, **common)
        print(_index_table(result))
        assert result.curve is not None  # a Hessian's index always has one
        _save(
            folder,
            f"index-{player}",
            subject.step,
            dataclasses.asdict(result.curve),
            board.index_figure(result, f"{subject.name}, {player}"),
            lambda writer, tag, result=result: board.add_index(writer, tag, result, subject.step),
        )
    if len(game.slices) > 1:
        print("\nhalf planes of the Jacobian (negative real part repels)")
        method = "exact" if args.method == "exact" else "auto"
        jacobian = analysis.jacobian(game, batch)
        if method == "exact" or jacobian.n <= args.max_exact:
            tell_duration(jacobian, jacobian.n, "a smaller --max-exact")
        print(_index_table(analysis.index(jacobian, method=method, **common)))


def tell_duration(A: analysis.LinearOperator, products: int, remedy: str) -> None:
    """Say beforehand on the standard error what will take more than a minute, from the time of a few products."""
    if products < MANY_PRODUCTS:
        return
    few = torch.randn(A.n, 8, generator=torch.Generator().manual_seed(0)).to(dtype=A.dtype, device=A.device)
    begun = time.perf_counter()
    _ = A @ few
    minutes = (time.perf_counter() - begun) / few.shape[1] * products / 60
    if minutes > 1:
        print(
            wrapped(
                f"{products} products, which take about {minutes:.0f} min here: fewer batches, {remedy}, or --device "
                "cuda are faster."
            ),
            file=sys.stderr,
        )


def _index_table(result: analysis.Index) -> str:
    lines = []
    for name in ("negative", "zero", "positive"):
        low, high = result.interval[name]
        share, words = getattr(result, name), {"exact": "", "leading": "between"}.get(result.method, "95 % interval")
        interval = f"   {words} [{low:.4f}, {high:.4f}]" if words and result.counts is None else ""
        lines.append(f"  {name:<9}{'unknown' if np.isnan(share) else f'{share:.4f}'}{interval}")
    return "\n".join([*lines, wrapped(f"  {result}", 2)])


# density -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class DensityArguments:
    """The spectral density of the Hessian, with bounds on its distribution function; of a game, each player's block.

    Of a game also the Ritz values of the Jacobian: an outline of its complex spectrum.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        probes: random vectors; more of them narrow the bounds of a small model.
        lanczos_steps: Lanczos steps for each of them; more of them resolve more.
        starts: Ritz values are taken from so many starts of 60 steps.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    checkpoint: Checkpoint = "last"
    probes: int = 10
    lanczos_steps: int = 80
    starts: int = 4
    batch_size: int = 256
    device: str = "auto"
    seed: int = 0
    out: Path | None = None


def density(argv: list[str]) -> int:
    """Draw the spectral density of a model's Hessian, or of each player's and the Jacobian's Ritz values."""
    args = tyro.cli(DensityArguments, args=argv, prog="gantools density")
    require_positive(probes=args.probes, lanczos_steps=args.lanczos_steps, starts=args.starts)
    return _at_each(args, lambda subject, folder: _draw_densities(subject, args, folder))


def _draw_densities(subject: Subject, args: DensityArguments, folder: Path) -> None:
    game, batch = subject.game, subject.batch
    print(f"{subject.name}: {game.num_parameters} parameters")
    for player in game.slices:
        hessian = analysis.hessian(game, batch, player=player)
        tell_duration(hessian, args.probes * min(args.lanczos_steps, hessian.n), "fewer --probes")
        found = analysis.spectral_density(hessian, args.probes, args.lanczos_steps, args.seed)
        print(f"\nHessian of {player}\n{wrapped(f'  {found}', 2)}")
        _save(
            folder,
            f"density-{player}",
            subject.step,
            found.to_numpy(),
            board.density_figure(found, f"{subject.name}, {player}"),
            lambda writer, tag, found=found: board.add_density(writer, tag, found, subject.step),
        )
    if len(game.slices) > 1:
        jacobian = analysis.jacobian(game, batch)
        tell_duration(jacobian, args.starts * RITZ_STEPS, "fewer --starts")
        cloud = analysis.ritz_cloud(jacobian, args.starts, RITZ_STEPS, args.seed)
        print(f"\nRitz values of the Jacobian\n{wrapped(f'  {cloud}', 2)}")
        figure = board.cloud_figure(cloud, f"{subject.name}, Jacobian")
        _save(
            folder,
            "ritz-values",
            subject.step,
            {"values": cloud.values.numpy(), "residuals": cloud.residuals.numpy()},
            figure,
            lambda writer, tag: writer.add_figure(tag, figure, subject.step),
        )


# both ----------------------------------------------------------------------------------------------------------------


def _at_each(args: IndexArguments | DensityArguments, look: Callable[[Subject, Path], None]) -> int:
    """Look at each subject, with the folder for results; return the exit code."""
    found, folder = subjects(args.where, args.checkpoint, args.device, args.batch_size, args.out)
    for subject in found:
        with own_errors(subject.target):
            look(subject, folder)
    print(f"\nTensorBoard: {command('board', folder)}")
    return 0


def _save(
    folder: Path, name: str, step: int, arrays: dict[str, Any], figure: Figure, log: Callable[[Any, str], None]
) -> None:
    """Write a figure and its numbers, and log it under its tag in TensorBoard."""
    file = folder / f"analysis-{file_part(name)}-{step_name(step, 'png')}"
    with results(folder) as writer:
        np.savez(file.with_suffix(".npz"), **arrays)
        figure.savefig(file)
        log(writer, f"analysis/{name}")
    print(f"  figure and numbers: {file}, {file.with_suffix('.npz').name}")
