"""`gantools index`: the fractions of negative, zero and positive eigenvalues."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from gantools import analysis, board
from gantools.analysis.estimates.index import split_products
from gantools.cli.analysed import AnalysedPoint, at_each_point, save_result, tell_duration
from gantools.cli.arguments import Checkpoint, Where
from gantools.cli.terminal import wrapped
from gantools.runs.config import require_positive


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


def run(argv: list[str]) -> int:
    """Print the index of a model's Hessian, or of each player's and of the Jacobian's half planes; draw its curve."""
    args = tyro.cli(IndexArguments, args=argv, prog="gantools index")
    require_positive(probes=args.probes, lanczos_steps=args.lanczos_steps)
    return at_each_point(args, lambda point, folder: _print_index(point, args, folder))


def _print_index(point: AnalysedPoint, args: IndexArguments, folder: Path) -> None:
    game, batch = point.game, point.batch
    common = {"tol": args.tol, "max_exact": args.max_exact, "seed": args.seed}
    print(f"{point.name}: {game.num_parameters} parameters, norm of the field {float(game.field(batch).norm()):.3g}")
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
        save_result(
            folder,
            f"index-{player}",
            point.step,
            dataclasses.asdict(result.curve),
            board.index_figure(result, f"{point.name}, {player}"),
            lambda writer, tag, result=result: board.add_index(writer, tag, result, point.step),
        )
    if len(game.slices) > 1:
        print("\nhalf planes of the Jacobian (negative real part repels)")
        method = "exact" if args.method == "exact" else "auto"
        jacobian = analysis.jacobian(game, batch)
        if method == "exact" or jacobian.n <= args.max_exact:
            tell_duration(jacobian, jacobian.n, "a smaller --max-exact")
        print(_index_table(analysis.index(jacobian, method=method, **common)))


def _index_table(result: analysis.Index) -> str:
    lines = []
    for name in ("negative", "zero", "positive"):
        low, high = result.interval[name]
        share, words = getattr(result, name), {"exact": "", "leading": "between"}.get(result.method, "95 % interval")
        interval = f"   {words} [{low:.4f}, {high:.4f}]" if words and result.counts is None else ""
        lines.append(f"  {name:<9}{'unknown' if np.isnan(share) else f'{share:.4f}'}{interval}")
    return "\n".join([*lines, wrapped(f"  {result}", 2)])
