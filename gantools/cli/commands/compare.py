"""`gantools compare`: optimizers side by side on one game."""

import dataclasses
import math
import signal
from pathlib import Path

import torch
import tyro

from gantools.cli.terminal import command, wrapped
from gantools.compare.comparison import GAMES, TOY_STEPS, Comparison
from gantools.compare.trainings import RING, RING_STEPS, Interrupted
from gantools.data.random_state import random_state_kept
from gantools.errors import GantoolsError
from gantools.games.analytic import TOY_GAMES
from gantools.registry import suggest
from gantools.runs.config import require_positive
from gantools.runs.configure import OWN_GAME
from gantools.runs.experiment import resolve_device
from gantools.runs.store.atomic import new_folder
from gantools.runs.user_file import is_target
from gantools.sweeps.pool import Pool
from gantools.trainers.optimizer import OPTIMIZERS


@dataclasses.dataclass
class CompareArguments:
    """Optimizers side by side on one game: one table, one figure.

    On an analytic game: the spectral radius of every update at the equilibrium, the contraction observed, evaluations
    for each digit gained, time. Any other game is trained from the same seeds: what was reached, and at what cost.

    Attributes:
        optimizers: all, or names with commas between them.
        game: bilinear, dirac, quadratic, ring8, or FILE.py:FUNCTION returning (game, batches).
        lr: one learning rate for all; by default the best of a grid on an analytic game, else the recommended one.
        steps: updates; on an analytic game at most 1000 by default, on ring8 2500, on your own game 1000.
        seeds: of the training runs.
        device: auto, cpu, cuda, ...; analytic games are on the CPU.
        jobs: processes of this machine, a run in each; with 1 seeds are trained in one program where that can be.
        backend: joblib, or dask for the workers of a cluster, which share this folder.
        scheduler: address of the cluster's scheduler, tcp://HOST:8786.
        out: folder for table, figure, numbers and runs, by default a new one in runs/; one that exists is gone on with.
    """

    optimizers: str = "all"
    game: str = "bilinear"
    lr: float | None = None
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    jobs: int = 1
    backend: str = "joblib"
    scheduler: str | None = None
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Compare, and print the table and the paths of the files."""
    args = tyro.cli(CompareArguments, args=argv, prog="gantools compare")
    methods = chosen_methods(args.optimizers)
    _check(args)
    pool = Pool(args.jobs, args.backend, args.scheduler)
    default = TOY_STEPS if args.game in TOY_GAMES else RING_STEPS if args.game == RING else OWN_GAME["steps"]
    steps = default if args.steps is None else args.steps
    name = Path(args.game.rpartition(":")[0]).stem if is_target(args.game) else args.game
    comparison = Comparison(args.out or new_folder(f"compare-{name}"), args.game, args.lr, steps, args.device)
    code = 0
    if comparison.analytic:
        torch.set_num_threads(1)  # its kernels last microseconds
    with random_state_kept():
        try:
            comparison.complete(methods, args.seeds, lambda text: print(text, flush=True), pool)
        except (KeyboardInterrupt, Interrupted) as stop:
            code = 128 + getattr(stop, "number", signal.SIGINT)
    if comparison.rows:
        print(f"\n{comparison.table()}\n\n{wrapped(comparison.explanation())}\n")
        print(f"table, figure, numbers: {comparison.write()}, figure.png, results.json")
    if code:
        again = [word for word in argv if word != str(args.out) and not word.startswith("--out")]
        print(f"Stopped; go on with it:\n  {command('compare', *again, '--out', comparison.path)}")
    return code


def chosen_methods(text: str) -> list[str]:
    """Return the names in "all" or "name,name"."""
    names = list(OPTIMIZERS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        OPTIMIZERS.require(name)
    if not names:
        raise GantoolsError("--optimizers names none: write all, or names with commas between them.")
    return list(dict.fromkeys(names))


def _check(args: CompareArguments) -> None:
    if not is_target(args.game) and args.game not in GAMES:
        raise suggest("game", args.game, [*GAMES, "FILE.py:FUNCTION"])
    if args.lr is not None and not 0 < args.lr < math.inf:
        raise GantoolsError(f"--lr is {args.lr}: pass a positive number.")
    require_positive(steps=args.steps)
    if not args.seeds or min(args.seeds) < 0:
        raise GantoolsError("--seeds needs one or more numbers of at least 0.")
    if args.game not in TOY_GAMES:
        resolve_device(args.device)
