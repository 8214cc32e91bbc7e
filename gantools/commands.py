"""The commands of the command line: each takes its arguments and returns an exit code."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from gantools import board
from gantools.comparison import compare
from gantools.data import DATA
from gantools.distributions import density, index
from gantools.errors import GantoolsError
from gantools.experiment import build
from gantools.flags import parse_train
from gantools.inspection import path_, spectrum, verdict
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS
from gantools.recorder import draw_samples
from gantools.registry import suggest
from gantools.regularizers import REGULARIZERS
from gantools.run import load
from gantools.schedules import SCHEDULES
from gantools.storage import new_folder, unwritable
from gantools.streams import random_state_kept, seed_global_generators
from gantools.subjects import Checkpoint, chosen_steps
from gantools.terminal import command, wrapped
from gantools.trainers.averages import AVERAGES
from gantools.trainers.base import BASES
from gantools.trainers.optimizer import OPTIMIZERS
from gantools.trainers.trainer import Outcome, prepare

# train ---------------------------------------------------------------------------------------------------------------


def train(argv: list[str]) -> int:
    """Train, and say where to look."""
    request = parse_train(argv)
    config = request.config
    if request.dry_run:
        with random_state_kept():
            seed_global_generators(config.seed)
            build(config)  # what cannot be built is refused here too
        print(json.dumps(config.to_dict(), indent=2))
        return 0
    what = Path(config.target.rpartition(":")[0]).stem if config.target else config.data.name
    path = request.out or new_folder(f"{Path(what.rpartition(':')[2]).stem}-{config.optimizer.name}")
    trainer = prepare(config, path, request.resume)
    n = trainer.experiment.game.num_parameters
    steps = f"from step {trainer.first} to step {config.steps}" if trainer.first else f"for {config.steps} steps"
    print(f"Training {what} ({n} parameters) with {config.optimizer.name} {steps}; run folder {path}", flush=True)
    outcome = trainer.run()
    print(summary(outcome, config.steps))
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def summary(outcome: Outcome, steps: int) -> str:
    """Return what a finished run says: what came of it, where it is, and the commands that open it."""
    folder = outcome.folder
    lines = [f"\n{'Stopped' if outcome.stopped_by else 'Done'}: {outcome.step} steps, {outcome.seconds:.0f} s."]
    if outcome.metrics:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in outcome.metrics.items())
        lines.append("  metrics    " + wrapped(numbers, 13))
    if outcome.spectrum is not None:
        judged = "Of the Jacobian at the last step, for plain gradient steps: " + verdict(outcome.spectrum)
        lines.append("  spectrum   " + wrapped(judged, 13))
    for label, files in (("samples", folder.samples), ("spectra", folder.spectra)):
        newest = max(files.glob("*.png"), default=None)
        if newest:
            lines.append(f"  {label:<10} {newest}")
    lines += ["", "Look at it:", f"  {command('board', folder.path)}"]
    lines += [f"  {command('spectrum', folder.path, '--which', 'SR')}"]
    if outcome.stopped_by or outcome.step < steps:
        lines += ["Go on with it:", f"  {command('train', '--resume', '--out', folder.path)}"]
    return "\n".join(lines)


# sample, board, list -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class SampleArguments:
    """Samples of a run's generator: a picture and a .npy file.

    Attributes:
        run: the run folder.
        n: how many samples.
        seed: of the latents.
        average: whether to sample the average of the iterates, where the run kept one.
        out: file name without ending, with "-STEP" added for --checkpoint all; by default RUN/samples-STEP.
    """

    run: Annotated[str, tyro.conf.Positional]
    n: int = 64
    checkpoint: Checkpoint = "last"
    seed: int = 0
    average: bool = True
    device: str = "auto"
    out: Path | None = None


def sample(argv: list[str]) -> int:
    """Write samples of a run."""
    args = tyro.cli(SampleArguments, args=argv, prog="gantools sample")
    if args.n < 1:
        raise GantoolsError(f"--n is {args.n}: ask for at least one sample.")
    run = load(args.run, device=args.device)
    for step in chosen_steps(run, args.checkpoint):
        samples = run.at(step).sample(args.n, args.seed, args.average).numpy()
        path = args.out or run.path / f"samples-{step}"
        if args.out and args.checkpoint == "all":
            path = path.with_name(f"{path.stem}-{step}")
        source = run.experiment.source
        assert source is not None
        try:
            np.save(path.with_suffix(".npy"), samples)
            draw_samples(
                samples, source.reference(512, 0).numpy(), f"{run.path.name}, step {step}", path.with_suffix(".png")
            )
        except OSError as error:
            raise unwritable(path, error) from None
        print(f"{len(samples)} samples of step {step}: {path.with_suffix('.png')}, {path.with_suffix('.npy')}")
    return 0


@dataclasses.dataclass
class BoardArguments:
    """TensorBoard on 127.0.0.1 for a folder of runs, until Ctrl-C.

    Attributes:
        dir: a run, or the folder that holds your runs.
        port: by default the first free one from 6006 on.
    """

    dir: Annotated[Path, tyro.conf.Positional] = Path("runs")
    port: int | None = None


def board_(argv: list[str]) -> int:
    """Serve TensorBoard until interrupted."""
    args = tyro.cli(BoardArguments, args=argv, prog="gantools board")
    address = board.serve(args.dir, args.port)
    print(f"TensorBoard: {address}   (Ctrl-C to stop)", flush=True)
    threading.Event().wait()
    return 0


AXES = {
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "data": DATA,
    "networks": NETWORKS,
    "activations": ACTIVATIONS,
    "regularizers": REGULARIZERS,
    "bases": BASES,
    "schedules": SCHEDULES,
    "averages": AVERAGES,
}


@dataclasses.dataclass
class ListArguments:
    """What can be chosen by name.

    Attributes:
        axis: optimizers, losses, data, networks, activations, regularizers, bases, schedules, averages; all by default.
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
        width = max(map(len, registry)) + 2
        for name in registry:
            paper = getattr(registry[name], "paper", "")
            described = registry.describe(name)
            notes = [] if not paper or paper.split()[-1] in described else [paper]
            notes += [cost] if (cost := getattr(registry[name], "cost", "")) else []
            print(f"  {name:<{width}}{described}" + (f" [{'; '.join(notes)}]" if notes else ""))
        if not args.axis:
            print()
    return 0


HANDLERS = {
    "train": train,
    "sample": sample,
    "spectrum": spectrum,
    "index": index,
    "density": density,
    "path": path_,
    "compare": compare,
    "board": board_,
    "list": list_,
}
