"""`gantools path`: the path-angle between two checkpoints of a run."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from gantools import analysis, board
from gantools.board.pictures import npz, png
from gantools.cli.analysed import results
from gantools.cli.arguments import Code, Trust
from gantools.cli.terminal import command, wrapped
from gantools.errors import GantoolsError
from gantools.runs.config import require_positive
from gantools.runs.experiment import set_threads
from gantools.runs.load import load
from gantools.runs.store.atomic import step_name, write_atomically
from gantools.runs.store.progress import Working
from gantools.runs.user_file import own_errors


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
    code: Code = None
    trust: Trust = False
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Print what the path-angle says; write figure, numbers and TensorBoard."""
    args = tyro.cli(PathArguments, args=argv, prog="gantools path")
    require_positive(batch_size=args.batch_size)
    run = load(args.run, device=args.device, code=args.code, trust=args.trust)
    set_threads(run.game, run.config.threads)
    steps = [run.steps[0] if args.start is None else args.start, run.step if args.end is None else args.end]
    if len(run.steps) == 1:
        raise GantoolsError(
            f"A path needs two checkpoints, and {run.path} has one, of step {run.steps[0]}: train on with --resume "
            "--steps, or train with a smaller --checkpoint-every and --keep-last 0."
        )
    if steps[0] == steps[1]:
        known = ", ".join(map(str, run.steps))
        raise GantoolsError(f"The path from step {steps[0]} to itself has no length: pass two steps of {known}.")
    first, last = (analysis.point(run.at(step).game) for step in steps)
    working = Working()
    try:
        with own_errors(run.config.target):
            batch = run.experiment.analysis_batch(args.batch_size)
            result = analysis.path_angle(
                run.game,
                first,
                last,
                batch,
                args.points,
                progress=lambda made, planned: working("points", made, planned),
            )
    finally:
        working.close()
    print(f"{run.path.name}, from step {steps[0]} to step {steps[1]}")
    print(wrapped(str(result)))
    folder = args.out or run.path / "analysis"
    file = folder / f"analysis-path-{steps[0]}-{step_name(steps[1], 'png')}"
    arrays: dict[str, Any] = result.to_numpy()
    with results(folder) as writer:
        write_atomically(file.with_suffix(".npz"), npz(arrays))
        figure = board.path_figure(result, f"{run.path.name}, step {steps[0]} to {steps[1]}")
        write_atomically(file, png(figure))
        board.add_path(writer, "analysis/path", result, steps[1])
    print(f"figure and numbers: {file}, {file.with_suffix('.npz').name}\nTensorBoard: {command('board', folder)}")
    return 0
