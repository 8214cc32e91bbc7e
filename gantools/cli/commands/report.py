"""`gantools report`: the spectra of a run as one HTML file."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from gantools import board
from gantools.errors import GantoolsError
from gantools.runs.store.atomic import unwritable, write_atomically
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import Working


@dataclasses.dataclass
class ReportArguments:
    """One HTML file with the diagnosis, spectra, densities, indices, paths and samples of a run; it needs no network.

    Attributes:
        run: a run, a folder of several, or any folder with TensorBoard events that `gantools.board.add_spectrum` wrote.
        out: the file; by default RUN/report.html.
    """

    run: Annotated[Path, tyro.conf.Positional]
    out: Path | None = None


def run(argv: list[str]) -> int:
    """Write the file and print where it is."""
    args = tyro.cli(ReportArguments, args=argv, prog="gantools report")
    working = Working()
    try:
        content = board.report(
            args.run, args.run.resolve().name, _facts(args.run), working, _diagnosis(args.run)
        ).encode()
    finally:
        working.close()
    path = args.out or args.run / "report.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise unwritable(path, error) from None
    print(f"report: {path} ({len(content) / 1e6:.1f} MB)   open it in a browser")
    return 0


def _diagnosis(path: Path) -> dict[str, Any] | None:
    """Return what `gantools diagnose` found last of a run; None where it was not asked."""
    file = RunFolder(path).diagnosis
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not {"subject", "findings", "undecided", "spectrum", "healthy", "steps"} <= set(found):
            raise ValueError
    except (OSError, ValueError, TypeError):
        raise GantoolsError(f"{file} is damaged: run `gantools diagnose {path}` again, or delete it.") from None
    return found


def _facts(path: Path) -> dict[str, str]:
    """Return what stands in a run's configuration and its last metrics; nothing of other folders."""
    folder = RunFolder(path)
    if not folder.config_path.exists():
        return {}
    config = folder.record().config
    trained = config.target or config.data.name
    facts = {"trained": f"{trained}, {config.optimizer.name}, {config.steps} steps, seed {config.seed}"}
    last: dict[str, float] = {}
    for record in folder.metrics():
        last |= {name: value for name, value in record.items() if name.startswith("metrics/") and value is not None}
    if last:
        facts["last metrics"] = ", ".join(f"{name[8:].replace('_', ' ')} {value:.3g}" for name, value in last.items())
    return facts
