"""`gantools spectrum`, `index` and `path`: what the curvature and the field of a run, or of a user's own file, say."""

import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch.utils.tensorboard import SummaryWriter

from gantools import analysis, board
from gantools.errors import GantoolsError
from gantools.experiment import load_own, resolve_device, set_threads
from gantools.game import Game
from gantools.recorder import save_spectrum
from gantools.run import Run, load, no_such_step
from gantools.storage import step_name, unwritable
from gantools.streams import seed_global_generators
from gantools.target import is_target, own_errors
from gantools.terminal import command, wrapped

MANY_PRODUCTS = 500  # fewer are not worth a word beforehand

Where = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE.py:FUNCTION")]
Checkpoint = Annotated[
    str, tyro.conf.arg(help="which checkpoint of a run: last, all, or a step", metavar="last|STEP|all")
]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A game at one point with the batches to look at it on; `target` is whose code it runs, if a user's."""

    name: str
    game: Game
    batch: Any
    step: int
    target: str | None


def subjects(where: str, checkpoint: str, device: str, batch_size: int) -> tuple[Iterator[Subject], Path]:
    """Return the subjects, one for every checkpoint asked for, each built when it is its turn; a folder for results."""
    if batch_size < 1:
        raise GantoolsError(f"--batch-size is {batch_size}: pass at least 1.")
    if is_target(where):
        if checkpoint != "last":
            raise GantoolsError("--checkpoint is for runs; FILE.py:FUNCTION has only the point that it builds.")
        seed_global_generators(0)  # as in training: a function that draws its weights gives the same game each time
        on = resolve_device(device)
        game, _, batches = load_own(where, on)
        set_threads(game)
        name = Path(where.rpartition(":")[0]).stem
        return iter([Subject(name, game, batches, 0, where)]), Path("runs") / f"{name}-analysis"
    run = load(where, device=device)
    set_threads(run.game, run.config.threads)
    steps = chosen_steps(run, checkpoint)
    return (_subject(run.at(step), batch_size) for step in steps), run.path / "analysis"


def _subject(run: Run, batch_size: int) -> Subject:
    batch = run.experiment.analysis_batch(batch_size, run.step)
    return Subject(f"{run.path.name}, step {run.step}", run.game, batch, run.step, run.config.target)


def chosen_steps(run: Run, checkpoint: str) -> list[int]:
    """Return the steps that "last", "all" or a number names."""
    if checkpoint == "last":
        return [run.step]
    if checkpoint == "all":
        return run.steps
    if not checkpoint.isdigit():
        raise GantoolsError(f"--checkpoint {checkpoint!r} is neither last, all, nor a step of this run.")
    if int(checkpoint) not in run.steps:
        raise no_such_step(run.path, int(checkpoint), run.steps)
    return [int(checkpoint)]


def verdict(spectrum: analysis.Spectrum, lr: float | None = None) -> str:
    """Return what the eigenvalues say in sentences, or why they say nothing: that is a result as well."""
    if not spectrum.converged.any():
        return "No eigenvalue converged, so there is no verdict: ask for fewer, or for a larger --tol."
    return str(analysis.stability(spectrum, lr=lr))


# spectrum ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class SpectrumArguments:
    """Eigenvalues of a game's Jacobian (of a model's Hessian), with residuals, a figure, TensorBoard, and a verdict.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        k: how many leading eigenvalues, by default 20 (all of a smaller game); 0 for all, by the dense matrix.
        which: LM modulus, LR and SR largest and smallest real part, LI imaginary part, SM nearest to zero.
        tol: relative tolerance of an eigenvalue.
        verify: solve again from a second start and require agreement.
        lr: step size to judge plain simultaneous gradient descent by.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    k: int | None = None
    which: Literal["LM", "LR", "SR", "LI", "SM"] = "LM"
    checkpoint: Checkpoint = "last"
    tol: float = 1e-6
    verify: bool = False
    lr: float | None = None
    batch_size: int = 256
    device: str = "auto"
    out: Path | None = None


def spectrum(argv: list[str]) -> int:
    """Print eigenvalues with residuals and the verdict; write figure, numbers and TensorBoard."""
    args = tyro.cli(SpectrumArguments, args=argv, prog="gantools spectrum")
    found, folder = subjects(args.where, args.checkpoint, args.device, args.batch_size)
    folder = args.out or folder
    for subject in found:
        with own_errors(subject.target):
            operator = analysis.jacobian(subject.game, subject.batch)
            k = args.k if args.k is not None else 20 if operator.shape[0] > 20 else 0
            result = _eigenvalues(operator, k, args)
        print(f"{subject.name}: {operator.shape[0]} parameters, {operator.dtype}, products by {operator.method} mode")
        print(result if len(result) <= 100 else f"{len(result)} eigenvalues, in the file below")
        print(wrapped(verdict(result, args.lr)))
        tag = "analysis/hessian" if operator.symmetric else "analysis/jacobian"
        path = folder / f"{tag.replace('/', '-')}-{args.which if k else 'all'}-{step_name(subject.step, 'png')}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_spectrum(path, result, subject.name)
            with SummaryWriter(str(folder)) as writer:
                board.add_spectrum(writer, tag, result, subject.step)
        except OSError as error:
            raise unwritable(folder, error) from None
        print(f"figure and numbers: {path}, {path.with_suffix('.npz').name}\n")
    print(f"TensorBoard: {command('board', folder)}")
    return 0


def _eigenvalues(operator: analysis.LinearOperator, k: int, args: SpectrumArguments) -> analysis.Spectrum:
    if k == 0:
        return analysis.spectrum(operator)
    return analysis.eigenvalues(operator, k=k, which=args.which, tol=args.tol, verify=args.verify)


# index ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class IndexArguments:
    """Fractions of negative, zero and positive eigenvalues of the Hessian; of a game, each player's block and J.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        method: exact (the whole matrix), estimate (quadrature, with an interval), or auto: exact up to --max-exact.
        max_exact: up to how many parameters auto takes the whole matrix; beyond, leading eigenvalues bound half planes.
        tol: what counts as zero, absolute; by default from the gap between structural zeros and the rest.
        probes: random vectors of the estimate.
        lanczos_steps: Lanczos steps for each of them; more steps narrow the interval.
        stationary: find the stationary point near by first, and count there: elsewhere it is no critical point's index.
        stationary_steps: at most so many steps to find it.
        batch_size: samples in the batch that a run is looked at on.
    """

    where: Where
    method: Literal["auto", "exact", "estimate"] = "auto"
    max_exact: int = 4096
    checkpoint: Checkpoint = "last"
    tol: float | None = None
    probes: int = 10
    lanczos_steps: int | None = None
    stationary: bool = False
    stationary_steps: int = 100
    batch_size: int = 256
    device: str = "auto"
    seed: int = 0


def index(argv: list[str]) -> int:
    """Print the index of the Hessian of a model, or of each player and of the Jacobian's half planes."""
    args = tyro.cli(IndexArguments, args=argv, prog="gantools index")
    found, _ = subjects(args.where, args.checkpoint, args.device, args.batch_size)
    for subject in found:
        with own_errors(subject.target):
            _print_index(subject, args)
    return 0


def _print_index(subject: Subject, args: IndexArguments) -> None:
    game, batch = subject.game, subject.batch
    common = {"tol": args.tol, "max_exact": args.max_exact, "seed": args.seed}
    print(f"{subject.name}: {game.num_parameters} parameters, norm of the field {float(game.field(batch).norm()):.3g}")
    if args.stationary:
        print(wrapped(str(analysis.stationary_point(game, batch, max_steps=args.stationary_steps, apply=True))))
    for player in game.slices:
        hessian = analysis.hessian(game, batch, player=player)
        print(f"\nHessian of {player} ({hessian.shape[0]} parameters)")
        options = common | {"probes": args.probes, "steps": args.lanczos_steps}
        whole = args.method == "exact" or (args.method == "auto" and hessian.n <= args.max_exact)
        tell_duration(
            hessian, hessian.n if whole else args.probes * (args.lanczos_steps or 1600 // max(args.probes, 1))
        )
        print(_index_table(analysis.index(hessian, method=args.method, **options)))
    if len(game.slices) > 1:
        print("\nhalf planes of the Jacobian (negative real part repels)")
        method = "exact" if args.method == "exact" else "auto"
        jacobian = analysis.jacobian(game, batch)
        if method == "exact" or jacobian.n <= args.max_exact:
            tell_duration(jacobian, jacobian.n)
        print(_index_table(analysis.index(jacobian, method=method, **common)))


def tell_duration(A: analysis.LinearOperator, products: int) -> None:
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
                f"{products} products, which take about {minutes:.0f} min here: fewer batches, --method estimate with "
                "fewer --probes, or --device cuda are faster."
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


# path ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class PathArguments:
    """The field of a run along the line between two of its checkpoints: does the end attract, or is it circled?

    Attributes:
        run: a run folder.
        start: the step that the path comes from, by default the first with a checkpoint.
        end: the step that it leads to, by default the last.
        points: how many, evenly from -0.1 to 1.1 of the way.
        batch_size: samples in the batch.
        out: folder for the figure, numbers and TensorBoard; by default RUN/analysis.
    """

    run: Annotated[str, tyro.conf.Positional]
    start: Annotated[int | None, tyro.conf.arg(name="from", metavar="STEP")] = None
    end: Annotated[int | None, tyro.conf.arg(name="to", metavar="STEP")] = None
    points: int = 121
    batch_size: int = 256
    device: str = "auto"
    out: Path | None = None


def path_(argv: list[str]) -> int:
    """Print what the path-angle says; write figure, numbers and TensorBoard."""
    args = tyro.cli(PathArguments, args=argv, prog="gantools path")
    if args.batch_size < 1:
        raise GantoolsError(f"--batch-size is {args.batch_size}: pass at least 1.")
    run = load(args.run, device=args.device)
    set_threads(run.game, run.config.threads)
    steps = [run.steps[0] if args.start is None else args.start, run.steps[-1] if args.end is None else args.end]
    if steps[0] == steps[1]:
        raise GantoolsError(f"The path from step {steps[0]} to itself has no length: pass two steps of {run.steps}.")
    first, last = (analysis.point(run.at(step).game) for step in steps)
    with own_errors(run.config.target):
        batch = run.experiment.analysis_batch(args.batch_size)
        result = analysis.path_angle(run.game, first, last, batch, points=args.points)
    print(f"{run.path.name}, from step {steps[0]} to step {steps[1]}")
    print(wrapped(str(result)))
    folder = args.out or run.path / "analysis"
    file = folder / f"analysis-path-{steps[0]}-{step_name(steps[1], 'png')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = result.to_numpy()
        np.savez(file.with_suffix(".npz"), **arrays)
        board.path_figure(result, f"{run.path.name}, step {steps[0]} to {steps[1]}").savefig(file)
        with SummaryWriter(str(folder)) as writer:
            board.add_path(writer, "analysis/path", result, steps[1])
    except OSError as error:
        raise unwritable(folder, error) from None
    print(f"figure and numbers: {file}, {file.with_suffix('.npz').name}\nTensorBoard: {command('board', folder)}")
    return 0
