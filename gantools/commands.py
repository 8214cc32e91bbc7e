"""The commands of the command line: each takes its arguments and returns an exit code."""

import dataclasses
import json
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from torch.utils.tensorboard import SummaryWriter

from gantools import analysis, board
from gantools.data import DATA
from gantools.errors import GantoolsError
from gantools.experiment import set_threads
from gantools.flags import parse_train
from gantools.game import Game
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS
from gantools.recorder import draw_samples, save_spectrum
from gantools.registry import suggest
from gantools.regularizers import REGULARIZERS
from gantools.run import Run, load, no_such_step, step_name, unwritable
from gantools.target import is_target, load_target
from gantools.trainers.optimizer import OPTIMIZERS
from gantools.trainers.trainer import Outcome
from gantools.trainers.trainer import train as run_training

Where = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE.py:FUNCTION")]
Checkpoint = Annotated[str, tyro.conf.arg(help="which checkpoint of a run: last, all, or a step", metavar="last|STEP|all")]


def program() -> str:
    """Return how the user can call this program: by name where it is on the path, else by where it lies."""
    if shutil.which("gantools"):
        return "gantools"
    path = Path(sys.argv[0])
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


# train ---------------------------------------------------------------------------------------------------------------


def train(argv: list[str]) -> int:
    """Train, and say where to look."""
    request = parse_train(argv)
    if request.dry_run:
        print(json.dumps(request.config.to_dict(), indent=2))
        return 0
    config = request.config
    what = Path(config.target.rpartition(":")[0]).stem if config.target else config.data.name
    path = request.out or new_folder(f"{Path(what.rpartition(':')[2]).stem}-{config.optimizer.name}")
    print(f"Training {what} with {config.optimizer.name} for {config.steps} steps; run folder {path}", flush=True)
    outcome = run_training(config, path, request.resume)
    print(summary(outcome, config.steps))
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def new_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Return a folder in runs/ that does not exist yet: the name, or the name with the next free number."""
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path


def summary(outcome: Outcome, steps: int) -> str:
    """Return what a finished run says: what came of it, where it is, and the commands that open it."""
    folder = outcome.folder
    lines = [f"\n{'Stopped' if outcome.stopped_by else 'Done'}: {outcome.step} steps, {outcome.seconds:.0f} s."]
    if outcome.metrics:
        lines.append("  metrics    " + ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in outcome.metrics.items()))
    if outcome.spectrum is not None:
        lines.append("  spectrum   " + _wrapped(str(analysis.stability(outcome.spectrum)), 13))
    for label, files in (("samples", folder.samples), ("spectra", folder.spectra)):
        newest = max(files.glob("*.png"), default=None)
        if newest:
            lines.append(f"  {label:<10} {newest}")
    name = program()
    lines += ["", "Look at it:", f"  {name} board {folder.path}", f"  {name} spectrum {folder.path} --which LR"]
    if outcome.stopped_by or outcome.step < steps:
        lines += ["Go on with it:", f"  {name} train --resume --out {folder.path}"]
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, 110, subsequent_indent=" " * indent)


# What a run or a user's file hands to the analysis -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Subject:
    """A game at one point with the batches to look at it on."""

    name: str
    game: Game
    batch: Any
    step: int | None


def subjects(where: str, checkpoint: str, device: str, batch_size: int) -> tuple[list[Any], Path]:
    """Return functions that each open one subject (one for every checkpoint asked for), and a folder for results."""
    if is_target(where):
        if checkpoint != "last":
            raise GantoolsError("--checkpoint is for runs; FILE.py:FUNCTION has only the point that it builds.")
        game, batches = load_target(where)
        set_threads(game)
        name = Path(where.rpartition(":")[0]).stem
        return [lambda: Subject(name, game, batches, None)], Path("runs") / f"{name}-analysis"
    run = load(where, device=device)
    set_threads(run.game, run.config.threads)

    def open_at(step: int) -> Subject:
        at = run.at(step)
        return Subject(f"{run.path.name}, step {step}", at.game, at.experiment.analysis_batch(batch_size), step)

    return [lambda step=step: open_at(step) for step in _steps(run, checkpoint)], run.path / "analysis"


def _steps(run: Run, checkpoint: str) -> list[int]:
    if checkpoint == "last":
        return [run.step]
    if checkpoint == "all":
        return run.steps
    if not checkpoint.isdigit():
        raise GantoolsError(f"--checkpoint {checkpoint!r} is neither last, all, nor a step of this run.")
    if int(checkpoint) not in run.steps:
        raise no_such_step(run.path, int(checkpoint), run.steps)
    return [int(checkpoint)]


def _writer(folder: Path) -> SummaryWriter:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return SummaryWriter(str(folder))
    except OSError as error:
        raise unwritable(folder, error) from None


# spectrum ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class SpectrumArguments:
    """Eigenvalues of a game's Jacobian (of a model's Hessian), with residuals, a figure, TensorBoard, and a verdict.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        k: how many leading eigenvalues; 0 for all of them, by the dense matrix.
        which: LM modulus, LR and SR largest and smallest real part, LI imaginary part, SM nearest to zero.
        tol: relative tolerance of an eigenvalue.
        verify: solve again from a second start and require agreement.
        lr: step size to judge plain simultaneous gradient descent by.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    k: int = 20
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
    opened, folder = subjects(args.where, args.checkpoint, args.device, args.batch_size)
    folder = args.out or folder
    writer = _writer(folder)
    for open_subject in opened:
        subject = open_subject()
        operator = analysis.jacobian(subject.game, subject.batch)
        if args.k == 0:
            result = analysis.spectrum(operator)
        else:
            result = analysis.eigenvalues(operator, k=args.k, which=args.which, tol=args.tol, verify=args.verify)
        tag = "analysis/hessian" if operator.symmetric else "analysis/jacobian"
        step = subject.step or 0
        label = f"{tag.replace('/', '-')}-{'all' if args.k == 0 else args.which}-{step_name(step, 'png')}"
        save_spectrum(folder / label, result, subject.name)
        board.add_spectrum(writer, tag, result, step)
        print(f"{subject.name}: {operator.shape[0]} parameters, {operator.dtype}, products by {operator.method} mode")
        print(result if len(result) <= 100 else f"{len(result)} eigenvalues, in the file below")
        print(_wrapped(str(analysis.stability(result, lr=args.lr)), 0))
        print(f"figure and numbers: {folder / label}, .npz\n")
    writer.close()
    print(f"TensorBoard: {program()} board {folder}")
    return 0


# index ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class IndexArguments:
    """Fractions of negative, zero and positive eigenvalues of the Hessian; of a game, each player's block and J.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        method: exact (the whole matrix), estimate (quadrature, with an interval), or auto: exact up to 4096 parameters.
        tol: what counts as zero, absolute; by default from the gap between structural zeros and the rest.
        probes: random vectors of the estimate.
        lanczos_steps: Lanczos steps for each of them; more steps narrow the interval.
        batch_size: samples in the batch that a run is looked at on.
    """

    where: Where
    method: Literal["auto", "exact", "estimate"] = "auto"
    checkpoint: Checkpoint = "last"
    tol: float | None = None
    probes: int = 10
    lanczos_steps: int | None = None
    batch_size: int = 256
    device: str = "auto"
    seed: int = 0


def index(argv: list[str]) -> int:
    """Print the index of the Hessian of a model, or of each player and of the Jacobian's half planes."""
    args = tyro.cli(IndexArguments, args=argv, prog="gantools index")
    opened, _ = subjects(args.where, args.checkpoint, args.device, args.batch_size)
    for open_subject in opened:
        subject = open_subject()
        options = {"tol": args.tol, "probes": args.probes, "steps": args.lanczos_steps, "seed": args.seed}
        gradient = float(subject.game.field(subject.batch).norm())
        print(f"{subject.name}: {subject.game.num_parameters} parameters, norm of the field {gradient:.3g}")
        for player in subject.game.slices:
            hessian = analysis.hessian(subject.game, subject.batch, player=player)
            print(f"\nHessian of {player} ({hessian.shape[0]} parameters)")
            print(_index_table(analysis.index(hessian, method=args.method, **options)))
        if len(subject.game.slices) > 1:
            print("\nhalf planes of the Jacobian (negative real part repels)")
            try:
                print(_index_table(analysis.index(analysis.jacobian(subject.game, subject.batch), tol=args.tol)))
            except GantoolsError as error:
                print(f"  not counted: {error}")
    return 0


def _index_table(result: analysis.Index) -> str:
    lines = []
    for name in ("negative", "zero", "positive"):
        low, high = result.interval[name]
        interval = "" if result.method == "exact" else f"   95 % interval [{low:.4f}, {high:.4f}]"
        lines.append(f"  {name:<9}{getattr(result, name):.4f}{interval}")
    return "\n".join([*lines, _wrapped(f"  {result}", 2)])


# sample, board, list -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class SampleArguments:
    """Samples of a run's generator: a picture and a .npy file.

    Attributes:
        run: the run folder.
        n: how many samples.
        seed: of the latents.
        out: file name without ending; by default RUN/samples-STEP.
    """

    run: Annotated[str, tyro.conf.Positional]
    n: int = 64
    checkpoint: Checkpoint = "last"
    seed: int = 0
    device: str = "auto"
    out: Path | None = None


def sample(argv: list[str]) -> int:
    """Write samples of a run."""
    args = tyro.cli(SampleArguments, args=argv, prog="gantools sample")
    if args.n < 1:
        raise GantoolsError(f"--n is {args.n}: ask for at least one sample.")
    run = load(args.run, device=args.device)
    for step in _steps(run, args.checkpoint):
        samples = run.at(step).sample(args.n, args.seed).numpy()
        path = args.out or run.path / f"samples-{step}"
        source = run.experiment.source
        assert source is not None
        try:
            np.save(path.with_suffix(".npy"), samples)
            draw_samples(samples, source.reference(512, 0).numpy(), f"{run.path.name}, step {step}", path.with_suffix(".png"))
        except OSError as error:
            raise unwritable(path, error) from None
        print(f"{len(samples)} samples of step {step}: {path.with_suffix('.png')}, {path.with_suffix('.npy')}")
    return 0


@dataclasses.dataclass
class BoardArguments:
    """TensorBoard on 127.0.0.1 for a folder of runs, until Ctrl-C.

    Attributes:
        dir: a run, or the folder that holds your runs.
        port: the first port tried.
    """

    dir: Annotated[Path, tyro.conf.Positional] = Path("runs")
    port: int = 6006


def board_(argv: list[str]) -> int:
    """Serve TensorBoard until interrupted."""
    args = tyro.cli(BoardArguments, args=argv, prog="gantools board")
    address = board.serve(args.dir, args.port)
    print(f"TensorBoard: {address}   (Ctrl-C to stop)", flush=True)
    while True:
        time.sleep(3600)


AXES = {
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "data": DATA,
    "networks": NETWORKS,
    "activations": ACTIVATIONS,
    "regularizers": REGULARIZERS,
}


@dataclasses.dataclass
class ListArguments:
    """What can be chosen by name.

    Attributes:
        axis: optimizers, losses, data, networks, activations or regularizers; all of them by default.
    """

    axis: Annotated[str, tyro.conf.Positional] = ""


def list_(argv: list[str]) -> int:
    """Print the names of an axis with a line each."""
    args = tyro.cli(ListArguments, args=argv, prog="gantools list")
    if args.axis and args.axis not in AXES:
        raise suggest("axis", args.axis, AXES)
    for axis in [args.axis] if args.axis else AXES:
        registry = AXES[axis]
        if not args.axis:
            print(f"{axis}:")
        for name in registry:
            paper = getattr(registry[name], "paper", "")
            described = registry.describe(name)
            print(f"  {name:<16}{described}" + (f" [{paper}]" if paper and paper not in described else ""))
        if not args.axis:
            print()
    return 0
