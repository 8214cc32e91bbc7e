"""Points that `gantools spectrum`, `index` and `density` analyse: checkpoints of a run, or a user's own game."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from gantools import analysis
from gantools.board.pictures import npz, png
from gantools.cli.terminal import command, wrapped
from gantools.data.random_state import seed_global_generators
from gantools.described import in_bytes
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.runs.config import require_positive
from gantools.runs.experiment import load_own, resolve_device, set_threads
from gantools.runs.load import Run, load
from gantools.runs.store.atomic import file_part, require_utf8, step_name, unwritable, write_atomically
from gantools.runs.store.progress import ProductProgress
from gantools.runs.store.recorder import writer_errors_once
from gantools.runs.user_file import is_target, own_errors


class Shown(NamedTuple):
    """What a command shows of a result.

    Attributes:
        text: to be printed.
        arrays: for an .npz file.
        figure: its picture.
        log: adds it to a TensorBoard writer under a tag.
    """

    text: str
    arrays: dict[str, Any]
    figure: Figure
    log: Callable[[Any, str], None]


@dataclasses.dataclass(frozen=True)
class AnalysedPoint:
    """A game at one point, with the batches to analyse it on.

    Attributes:
        name: of the run and step, or of the user's file.
        game: the game, at the point.
        batch: one batch or several.
        step: the training step, 0 for a user's file.
        target: FILE.py:FUNCTION of a user's game, else None.
        label: what tells results of one function of a file from those of another, "" for a run, which has a folder of
            its own.
    """

    name: str
    game: Game
    batch: Any
    step: int
    target: str | None
    label: str = ""

    def result_name(self, *parts: str) -> str:
        """Return the name of a result, which no other function, method or selection has: in files and TensorBoard."""
        return "-".join(filter(None, (self.label, *parts)))


def open_points(args: Any) -> tuple[Iterator[AnalysedPoint], Path]:
    """Open the points that a command analyses, one for every checkpoint, and name the folder for its results.

    A point is loaded when the iterator comes to it. Seeds the global generators for a user's file, and sets PyTorch's
    threads, as a program does.

    Args:
        args: the command's arguments: `where` (a run folder, or FILE.py:FUNCTION), `checkpoint` ("last", "all" or a
            step), `device`, `batch_size`, `code`, `trust`, and `out`, the folder for results, if one was chosen.
    """
    require_positive(batch_size=args.batch_size)
    if is_target(args.where):
        if args.checkpoint != "last":
            raise GantoolsError("--checkpoint is for runs; FILE.py:FUNCTION has only the point that it builds.")
        seed_global_generators(0)  # as in training: a function that draws its weights gives the same game each time
        on = resolve_device(args.device)
        game, _, batches = load_own(args.where, on)
        set_threads(game)
        name = Path(args.where.rpartition(":")[0]).stem
        label = f"{name}.{args.where.rpartition(':')[2]}"
        points = iter([AnalysedPoint(label, game, batches, 0, args.where, label)])
        return points, args.out or Path("runs") / f"{name}-analysis"
    run = load(args.where, device=args.device, code=args.code, trust=args.trust)
    set_threads(run.game, run.config.threads)
    points = (_point(at, args.batch_size) for at in run.each(run.chosen_steps(args.checkpoint)))
    return points, args.out or run.path / "analysis"


def _point(run: Run, batch_size: int) -> AnalysedPoint:
    batch = run.experiment.analysis_batch(batch_size, run.step)
    return AnalysedPoint(f"{run.path.name}, step {run.step}", run.game, batch, run.step, run.config.target)


@contextmanager
def results(folder: Path) -> Iterator[SummaryWriter]:
    """Make a folder and yield its TensorBoard writer; an OSError within the block becomes a `GantoolsError`."""
    require_utf8(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with writer_errors_once(), SummaryWriter(str(folder)) as writer:
            yield writer
    except OSError as error:
        raise unwritable(folder, error) from None


def verdict(spectrum: analysis.Spectrum, lr: float | None = None) -> str:
    """Return the stability that a spectrum shows in sentences, or the reason why it shows none."""
    if not spectrum.converged.any():
        return "No eigenvalue converged, so there is no verdict: ask for fewer, or for a larger --tol."
    return str(analysis.stability(spectrum, lr=lr))


MANY_PRODUCTS = 200  # no estimate is printed for fewer


def tell_duration(A: analysis.LinearOperator, products: int, remedy: str, width: int = 8, size: int = 0) -> None:
    """Print on the standard error what so many products will take, where it is more than a minute or half a GiB.

    Args:
        A: the operator.
        products: with it.
        remedy: what the user can do for less of it.
        width: of the blocks in which they are made.
        size: bytes of the vectors kept.
    """
    if products < MANY_PRODUCTS:
        return
    few = torch.ones(A.n, width, dtype=A.dtype, device=A.device)
    minutes = min(_seconds(A, few[:, 0] if width == 1 else few) for _ in range(2)) / width * products / 60
    if minutes > 1 or size >= 2**29:
        memory, end = (f", with {in_bytes(size)} of vectors", "; Ctrl-C keeps the steps made") if size else ("", "")
        print(
            wrapped(
                f"{products} products{memory}, which take about {minutes:.1g} min here: fewer batches, {remedy}, or "
                f"--device cuda are faster{end}."
            ),
            file=sys.stderr,
        )


@contextmanager
def products_shown(A: analysis.LinearOperator, planned: int) -> Iterator[None]:
    """Show the products that an operator makes in this block, of so many planned, with the time left.

    Interrupted, it says how many were made, of which nothing can be told yet.
    """
    progress, before = ProductProgress(), A.matvecs
    A.told = lambda made: progress(made - before, max(planned, made - before))
    try:
        yield
    except KeyboardInterrupt:
        progress.close()
        made = A.matvecs - before
        print(f"Interrupted after {made} of about {planned} products: no result yet.", file=sys.stderr)
        raise
    finally:
        A.told = None
        progress.close()


def _seconds(A: analysis.LinearOperator, u: torch.Tensor) -> float:
    begun = time.perf_counter()
    float((A @ u).flatten()[0])  # waits for a device
    return time.perf_counter() - begun


def at_each_hessian(
    point: AnalysedPoint,
    folder: Path,
    noun: str,
    compute: Callable[..., Any],
    show: Callable[[Any, str], Shown],
    selection: Callable[[Any], tuple[str, ...]] = lambda result: (),
) -> None:
    """Estimate something of each player's Hessian, print it and save it; Ctrl-C ends with what there is of one.

    Args:
        point: whose Hessians.
        folder: for the results.
        noun: what is estimated, for the names of files.
        compute: makes a result, which says whether it was interrupted, from an operator, and of the keywords
            `progress`, `interruptible` and `store`, a file that may keep the work.
        show: makes what is shown of a result and its title.
        selection: of a result, the method and the choices that its files and tags are named by.
    """
    for player in point.game.slices:
        hessian = analysis.hessian(point.game, point.batch, player=player)
        print(f"\nHessian of {player} ({hessian.n} parameters)", flush=True)
        progress = ProductProgress()
        store = folder / f"{file_part(point.result_name(noun, player))}-{step_name(point.step, 'pt')}"
        try:
            result = compute(hessian, progress=progress, interruptible=True, store=store)
        finally:
            progress.close()
        text, arrays, figure, log = show(result, f"{point.name}, {player}")
        print(text)
        name = point.result_name(noun, player, *selection(result))
        save_result(folder, name, point.step, arrays, figure, log)
        if result.interrupted:
            kept = f" The same command goes on from {store}." if store.exists() else ""
            print(f"Interrupted: that is what the steps so far tell.{kept}", file=sys.stderr)
            raise KeyboardInterrupt


def at_each_point(args: Any, look: Callable[[AnalysedPoint, Path], None]) -> int:
    """Call `look` with each point and the folder for results; return the exit code."""
    found, folder = open_points(args)
    for point in found:
        with own_errors(point.target):
            look(point, folder)
    print(f"\nTensorBoard: {command('board', folder)}")
    return 0


def save_result(
    folder: Path, name: str, step: int, arrays: dict[str, Any], figure: Figure, log: Callable[[Any, str], None]
) -> None:
    """Write a figure and its numbers, and log it under its tag in TensorBoard."""
    file = folder / f"analysis-{file_part(name)}-{step_name(step, 'png')}"
    with results(folder) as writer:
        write_atomically(file.with_suffix(".npz"), npz(arrays))
        write_atomically(file, png(figure))
        log(writer, f"analysis/{name}")
    print(f"  figure and numbers: {file}, {file.with_suffix('.npz').name}")
