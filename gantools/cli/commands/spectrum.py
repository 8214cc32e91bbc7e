"""`gantools spectrum`: eigenvalues of the Jacobian, with residuals, a figure and a verdict."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Literal

import tyro

from gantools import analysis, board
from gantools.board.pictures import npz, png
from gantools.cli.analysed import open_points, products_shown, results, verdict
from gantools.cli.arguments import Checkpoint, Code, Trust, Where
from gantools.cli.terminal import command, wrapped
from gantools.errors import GantoolsError
from gantools.runs.store.atomic import file_part, step_name, write_atomically
from gantools.runs.store.progress import Working
from gantools.runs.user_file import own_errors


@dataclasses.dataclass
class SpectrumArguments:
    """Eigenvalues of a game's Jacobian (of a model's Hessian), with residuals, a figure, TensorBoard, and a verdict.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        k: how many leading eigenvalues, by default 20 (all of a smaller game); 0 for all, by the dense matrix.
        which: LM modulus, LR and SR largest and smallest real part, LI imaginary part, SM nearest to zero, NI to the
            imaginary axis, NU to the unit circle.
        part: a player, a layer ("generator.0"), or a pattern such as "generator.*.weight": its own block alone.
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
    which: Literal["LM", "LR", "SR", "LI", "SM", "NI", "NU"] = "LM"
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
    code: Code = None
    trust: Trust = False
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Print eigenvalues with residuals and the verdict; write figure, numbers and TensorBoard."""
    args = tyro.cli(SpectrumArguments, args=argv, prog="gantools spectrum")
    if args.store is not None:
        _require_store(args.store, args)
    found, folder = open_points(args)
    for point in found:
        with own_errors(point.target):
            operator: analysis.LinearOperator = analysis.jacobian(point.game, point.batch)
            if args.part is not None:
                operator = analysis.restrict(operator, args.part)
            k = args.k if args.k is not None else 20 if operator.n > 20 else 0
            result = _eigenvalues(operator, k, args)
        method = getattr(operator, "method", None)
        how = f", products by {method} mode" if method else ""
        print(f"{point.name}: {operator.n} parameters, {operator.dtype}{how}")
        if remark := getattr(operator, "remark", ""):
            print(wrapped(remark))
        print(result if len(result) <= 100 else f"{len(result)} eigenvalues, in the file below")
        print(wrapped(verdict(result, args.lr)))
        kind = "hessian" if operator.symmetric else "jacobian"
        tag = f"analysis/{point.result_name(kind, '' if args.part is None else file_part(args.part))}"
        path = folder / f"{tag.replace('/', '-')}-{args.which if k else 'all'}-{step_name(point.step, 'png')}"
        with results(folder) as writer:
            write_atomically(path.with_suffix(".npz"), npz(result.to_numpy()))
            write_atomically(path, png(board.spectrum_figure(result, point.name)))
            board.add_spectrum(writer, tag if result.complete else f"{tag}/{args.which}", result, point.step)
        print(f"figure and numbers: {path}, {path.with_suffix('.npz').name}\n")
    print(f"TensorBoard: {command('board', folder)}")
    return 0


def _require_store(store: Path, args: SpectrumArguments) -> None:
    """Refuse a --store that cannot be written or gone on with, before anything is computed."""
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
        with products_shown(operator, operator.n):
            return analysis.spectrum(operator)
    names = ("which", "tol", "verify", "basis", "block", "storage", "store")
    working = Working()
    try:
        with working.search(operator, "products") as progress:
            return analysis.eigenvalues(operator, k, progress=progress, **{name: getattr(args, name) for name in names})
    except KeyboardInterrupt:
        if args.store is not None and args.store.exists():
            print(f"The basis is in {args.store}: the same command goes on from it.", file=sys.stderr)
        raise
    finally:
        working.close()
