"""`gantools spectrum` and `path`: what the eigenvalues and the field of a run, or of a user's own file, say."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from gantools import analysis, board
from gantools.errors import GantoolsError, require_positive
from gantools.experiment import set_threads
from gantools.recorder import save_spectrum
from gantools.run import load
from gantools.storage import file_part, step_name
from gantools.subjects import Checkpoint, Where, results, subjects
from gantools.target import own_errors
from gantools.terminal import SolverProgress, command, wrapped


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
        part: a player, a layer, or a pattern such as "generator.*.weight": its own block alone.
        tol: relative tolerance of an eigenvalue.
        verify: solve again from a second start and require agreement.
        basis: vectors that the solver keeps; more of them need fewer products.
        block: vectors added to them at a time; several find copies of a multiple eigenvalue at once.
        storage: where they are kept: on the device, in main memory (host), or in bfloat16, which halves them.
        store: file to save them to when interrupted and now and then; the same command goes on from it.
        lr: step size to judge plain simultaneous gradient descent by.
        batch_size: samples in the batch that a run is looked at on.
        out: folder for figures, numbers and TensorBoard; by default RUN/analysis, or runs/FILE-analysis.
    """

    where: Where
    k: int | None = None
    which: Literal["LM", "LR", "SR", "LI", "SM"] = "LM"
    part: str | None = None
    checkpoint: Checkpoint = "last"
    tol: float = 1e-6
    verify: bool = False
    basis: int | None = None
    block: int = 1
    storage: Literal["device", "host", "bfloat16"] = "device"
    store: Path | None = None
    lr: float | None = None
    batch_size: int = 256
    device: str = "auto"
    out: Path | None = None


def spectrum(argv: list[str]) -> int:
    """Print eigenvalues with residuals and the verdict; write figure, numbers and TensorBoard."""
    args = tyro.cli(SpectrumArguments, args=argv, prog="gantools spectrum")
    if args.store is not None:
        _require_store(args.store, args)
    found, folder = subjects(args.where, args.checkpoint, args.device, args.batch_size, args.out)
    for subject in found:
        with own_errors(subject.target):
            operator: analysis.LinearOperator = analysis.jacobian(subject.game, subject.batch)
            if args.part is not None:
                operator = analysis.restrict(operator, args.part)
            k = args.k if args.k is not None else 20 if operator.n > 20 else 0
            result = _eigenvalues(operator, k, args)
        method = getattr(operator, "method", None)
        how = f", products by {method} mode" if method else ""
        print(f"{subject.name}: {operator.n} parameters, {operator.dtype}{how}")
        print(result if len(result) <= 100 else f"{len(result)} eigenvalues, in the file below")
        print(wrapped(verdict(result, args.lr)))
        tag = "analysis/hessian" if operator.symmetric else "analysis/jacobian"
        tag += "" if args.part is None else f"-{file_part(args.part)}"
        path = folder / f"{tag.replace('/', '-')}-{args.which if k else 'all'}-{step_name(subject.step, 'png')}"
        with results(folder) as writer:
            save_spectrum(path, result, subject.name)
            board.add_spectrum(writer, tag, result, subject.step)
        print(f"figure and numbers: {path}, {path.with_suffix('.npz').name}\n")
    print(f"TensorBoard: {command('board', folder)}")
    return 0


def _require_store(store: Path, args: SpectrumArguments) -> None:
    """Refuse before anything is computed what could not be kept, or gone on with."""
    if args.checkpoint == "all":
        raise GantoolsError("--store keeps the basis of one point: give --checkpoint a step instead of all.")
    if args.k == 0:
        raise GantoolsError("--k 0 takes all eigenvalues from the whole matrix: there is no basis to --store.")
    if store.is_dir() or not store.parent.is_dir():
        raise GantoolsError(f"--store {store} must be a file in a folder that exists.")
    if not os.access(store.parent, os.W_OK):
        raise GantoolsError(f"--store {store}: nothing can be written there.")


def _eigenvalues(operator: analysis.LinearOperator, k: int, args: SpectrumArguments) -> analysis.Spectrum:
    if k == 0:
        return analysis.spectrum(operator)
    names = ("which", "tol", "verify", "basis", "block", "storage", "store")
    progress = SolverProgress()
    try:
        return analysis.eigenvalues(operator, k, progress=progress, **{name: getattr(args, name) for name in names})
    except KeyboardInterrupt:
        if args.store is not None and args.store.exists():
            print(f"The basis is in {args.store}: the same command goes on from it.", file=sys.stderr)
        raise
    finally:
        progress.close()


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
    require_positive(batch_size=args.batch_size)
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
    arrays: dict[str, Any] = result.to_numpy()
    with results(folder) as writer:
        np.savez(file.with_suffix(".npz"), **arrays)
        board.path_figure(result, f"{run.path.name}, step {steps[0]} to {steps[1]}").savefig(file)
        board.add_path(writer, "analysis/path", result, steps[1])
    print(f"figure and numbers: {file}, {file.with_suffix('.npz').name}\nTensorBoard: {command('board', folder)}")
    return 0
