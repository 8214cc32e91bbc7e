"""What `gantools spectrum`, `index` and `density` look at: checkpoints of a run, or the game of a user's own file."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from gantools import analysis
from gantools.cli.terminal import command, wrapped
from gantools.data.random_state import seed_global_generators
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.runs.config import require_positive
from gantools.runs.experiment import load_own, resolve_device, set_threads
from gantools.runs.load import Run, load, no_such_step
from gantools.runs.store.atomic import file_part, step_name, unwritable
from gantools.runs.user_file import is_target, own_errors

Where = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE.py:FUNCTION")]
Checkpoint = Annotated[
    str, tyro.conf.arg(help="which checkpoint of a run: last, all, or a step", metavar="last|STEP|all")
]


@dataclasses.dataclass(frozen=True)
class AnalysedPoint:
    """A game at one point with the batches to look at it on; `target` is whose code it runs, if a user's."""

    name: str
    game: Game
    batch: Any
    step: int
    target: str | None


def open_points(
    where: str, checkpoint: str, device: str, batch_size: int, out: Path | None = None
) -> tuple[Iterator[AnalysedPoint], Path]:
    """Open what a command looks at: one point for every checkpoint, each built in its turn; and the folder for results.

    Seeds the global generators for a user's file, and sets PyTorch's threads, as a program does.

    Args:
        where, checkpoint, device: what the command line says.
        batch_size: samples in the batch that a run is looked at on.
        out: the folder, if it was chosen.
    """
    require_positive(batch_size=batch_size)
    if is_target(where):
        if checkpoint != "last":
            raise GantoolsError("--checkpoint is for runs; FILE.py:FUNCTION has only the point that it builds.")
        seed_global_generators(0)  # as in training: a function that draws its weights gives the same game each time
        on = resolve_device(device)
        game, _, batches = load_own(where, on)
        set_threads(game)
        name = Path(where.rpartition(":")[0]).stem
        return iter([AnalysedPoint(name, game, batches, 0, where)]), out or Path("runs") / f"{name}-analysis"
    run = load(where, device=device)
    set_threads(run.game, run.config.threads)
    steps = chosen_steps(run, checkpoint)
    return (_point(run.at(step), batch_size) for step in steps), out or run.path / "analysis"


def _point(run: Run, batch_size: int) -> AnalysedPoint:
    batch = run.experiment.analysis_batch(batch_size, run.step)
    return AnalysedPoint(f"{run.path.name}, step {run.step}", run.game, batch, run.step, run.config.target)


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


@contextmanager
def results(folder: Path) -> Iterator[SummaryWriter]:
    """Make a folder and give its TensorBoard writer; what cannot be written in this block is said in a sentence."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with SummaryWriter(str(folder)) as writer:
            yield writer
    except OSError as error:
        raise unwritable(folder, error) from None


def verdict(spectrum: analysis.Spectrum, lr: float | None = None) -> str:
    """Return what the eigenvalues say in sentences, or why they say nothing: that is a result as well."""
    if not spectrum.converged.any():
        return "No eigenvalue converged, so there is no verdict: ask for fewer, or for a larger --tol."
    return str(analysis.stability(spectrum, lr=lr))


MANY_PRODUCTS = 200  # fewer are not worth a word beforehand


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


def at_each_point(args: Any, look: Callable[[AnalysedPoint, Path], None]) -> int:
    """Look at each point, with the folder for results; return the exit code."""
    found, folder = open_points(args.where, args.checkpoint, args.device, args.batch_size, args.out)
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
        np.savez(file.with_suffix(".npz"), **arrays)
        figure.savefig(file)
        log(writer, f"analysis/{name}")
    print(f"  figure and numbers: {file}, {file.with_suffix('.npz').name}")
