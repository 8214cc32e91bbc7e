"""`gantools report`: the spectra of a run as one HTML file."""

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
import tyro

from gantools import board
from gantools.analysis import Spectrum
from gantools.cli.closing import about_gradient_descent, about_spectrum, about_step, plain
from gantools.errors import GantoolsError
from gantools.runs.config import TrainConfig
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
    return facts | _told(folder, config)


def _told(folder: RunFolder, config: TrainConfig) -> dict[str, str]:
    """Return what the spectra of a run's last look say, as the page with which training ended."""
    found = {path: int(path.stem[-8:]) for path in sorted(folder.spectra.glob("game-*-step-*.npz"))}
    last = max(found.values(), default=0)
    spectra, players = {}, 1
    for path in (path for path, step in found.items() if step == last):
        # A damaged file, or one of a version that kept less, costs its sentence and not the report.
        with suppress(OSError, ValueError, KeyError, BadZipFile), np.load(path) as arrays:
            spectra[path.name.rpartition("-step-")[0].replace("-", "/")] = Spectrum.from_numpy(arrays)
            parts = [name for name in arrays if name.startswith("share ") and ":" not in name]
            players = max(players, len(parts))
    said = {
        "spectrum": about_spectrum(spectra),
        "next step": about_step(spectra, config.optimizer),
        "instead": about_gradient_descent(spectra, plain(players)),
    }
    return {"last look": f"step {last}", **{name: text for name, text in said.items() if text}} if spectra else {}
