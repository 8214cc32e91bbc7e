"""`gantools index`: the fractions of negative, zero and positive eigenvalues."""

import dataclasses
from pathlib import Path
from textwrap import indent
from typing import Any, Literal

import numpy as np
import tyro

from gantools import analysis, board
from gantools.analysis.estimates.half_planes import PRODUCTS
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.cli.analysed import (
    AnalysedPoint,
    Shown,
    at_each_hessian,
    at_each_point,
    products_shown,
    results,
    tell_duration,
)
from gantools.cli.arguments import Checkpoint, Code, Trust, Where
from gantools.cli.terminal import wrapped
from gantools.runs.config import require_positive

LEADING_PRODUCTS = 4 * PRODUCTS  # at most, of the searches at both ends and of the box around all


@dataclasses.dataclass
class IndexArguments:
    """Fractions of negative, zero and positive eigenvalues of the Hessian; of a game, each player's block and J.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        method: exact (the whole matrix), estimate (quadrature, with an interval), or auto: exact up to --max-exact.
        max_exact: up to how many parameters auto takes the whole matrix; beyond, leading eigenvalues bound half planes.
        tol: what counts as zero, absolute; by default from the gap between structural zeros and the rest, or, of an
            estimate, the finest size whose intervals are at most 5 points wide.
        probes: random vectors of the estimate; by default so many that the interval is narrow.
        lanczos_steps: Lanczos steps for each of them; more steps narrow the interval and resolve smaller sizes.
        keep: keep the estimate's vectors in the folder of results; a later command with --keep and more --lanczos-steps
            goes on from them, also after Ctrl-C.
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
    keep: bool = False
    stationary: bool = False
    stationary_steps: int = 100
    batch_size: int = 256
    device: str = "auto"
    code: Code = None
    trust: Trust = False
    seed: int = 0
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Print the index of a model's Hessian, or of each player's and of the Jacobian's half planes; draw its curve."""
    args = tyro.cli(IndexArguments, args=argv, prog="gantools index")
    require_positive(probes=args.probes, lanczos_steps=args.lanczos_steps)
    return at_each_point(args, lambda point, folder: _print_index(point, args, folder))


def _print_index(point: AnalysedPoint, args: IndexArguments, folder: Path) -> None:
    game, batch = point.game, point.batch
    print(f"{point.name}: {game.num_parameters} parameters, norm of the field {float(game.field(batch).norm()):.3g}")
    if args.stationary:
        print(wrapped(str(analysis.stationary_point(game, batch, max_steps=args.stationary_steps, apply=True))))
    at_each_hessian(
        point,
        folder,
        "index",
        lambda hessian, **running: _index(hessian, args, **running),
        lambda result, title: _shown(result, title, point.step),
        lambda result: _selection(result, args),
    )
    if len(game.slices) > 1:
        print("\nhalf planes of the Jacobian (negative real part repels)")
        method = "exact" if args.method == "exact" else "auto"
        jacobian = analysis.jacobian(game, batch)
        if method == "exact" or jacobian.n <= args.max_exact:
            tell_duration(jacobian, jacobian.n, "a smaller --max-exact")
            planned = jacobian.n
        else:
            planned = LEADING_PRODUCTS
        with products_shown(jacobian, planned):
            found = analysis.index(jacobian, args.tol, method, max_exact=args.max_exact, seed=args.seed)
        print(_index_table(found))


def _index(hessian: analysis.LinearOperator, args: IndexArguments, store: Path, **running: Any) -> analysis.Index:
    if args.keep:
        with results(store.parent):
            pass  # so that what cannot be written is known at once
    if args.method == "exact" or (args.method == "auto" and hessian.n <= args.max_exact):
        tell_duration(hessian, hessian.n, "--method estimate")
        with products_shown(hessian, hessian.n):
            return analysis.index(hessian, args.tol, args.method, max_exact=args.max_exact, seed=args.seed)
    else:
        work = plan(hessian, args.probes, args.lanczos_steps)
        tell_duration(hessian, work.products, "fewer --lanczos-steps", work.together, work.bytes)
    return analysis.index(
        hessian,
        args.tol,
        args.method,
        args.probes,
        args.lanczos_steps,
        args.max_exact,
        seed=args.seed,
        store=store if args.keep else None,
        **running,
    )


def _selection(result: analysis.Index, args: IndexArguments) -> tuple[str, ...]:
    tol = "" if args.tol is None else f"tol {args.tol:g}"
    return result.method, tol, "stationary" if args.stationary else ""


def _shown(result: analysis.Index, title: str, step: int) -> Shown:
    assert result.curve is not None  # a Hessian's index always has one
    return Shown(
        f"{_index_table(result)}\n\n{indent(result.table(), '  ')}",
        dataclasses.asdict(result.curve),
        board.index_figure(result, title),
        lambda writer, tag: board.add_index(writer, tag, result, step),
    )


def _index_table(result: analysis.Index) -> str:
    lines = []
    for name in ("negative", "zero", "positive"):
        low, high = result.interval[name]
        share, words = getattr(result, name), {"exact": "", "leading": "between"}.get(result.method, "95 % interval")
        interval = f"   {words} [{low:.4f}, {high:.4f}]" if words and result.counts is None else ""
        lines.append(f"  {name:<9}{'unknown' if np.isnan(share) else f'{share:.4f}'}{interval}")
    return "\n".join([wrapped(f"  {result}", 2), "", *lines])
