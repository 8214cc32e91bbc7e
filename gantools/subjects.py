"""What `gantools spectrum`, `index` and `density` look at: checkpoints of a run, or the game of a user's own file."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch.utils.tensorboard import SummaryWriter

from gantools.errors import GantoolsError, require_positive
from gantools.experiment import load_own, resolve_device, set_threads
from gantools.game import Game
from gantools.run import Run, load, no_such_step
from gantools.storage import unwritable
from gantools.streams import seed_global_generators
from gantools.target import is_target

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


def subjects(
    where: str, checkpoint: str, device: str, batch_size: int, out: Path | None = None
) -> tuple[Iterator[Subject], Path]:
    """Return the subjects, one for every checkpoint asked for, each built when it is its turn; the folder for results.

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
        return iter([Subject(name, game, batches, 0, where)]), out or Path("runs") / f"{name}-analysis"
    run = load(where, device=device)
    set_threads(run.game, run.config.threads)
    steps = chosen_steps(run, checkpoint)
    return (_subject(run.at(step), batch_size) for step in steps), out or run.path / "analysis"


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


@contextmanager
def results(folder: Path) -> Iterator[SummaryWriter]:
    """Make a folder and give its TensorBoard writer; what cannot be written in this block is said in a sentence."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with SummaryWriter(str(folder)) as writer:
            yield writer
    except OSError as error:
        raise unwritable(folder, error) from None
