"""A run folder. Files are written atomically; resuming truncates all logs to one step."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantools.errors import GantoolsError
from gantools.runs.config import TrainConfig
from gantools.runs.store.atomic import PART, step_name, unwritable, write_atomically
from gantools.runs.store.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from gantools.runs.store.provenance import provenance

if TYPE_CHECKING:
    from gantools.runs.experiment import Experiment

_STEP = re.compile(r"step-(\d+)\.")


class RunFolder:
    """The files of one run: configuration, metrics, samples, spectra and checkpoints."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_path = self.path / "config.json"
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.spectra = self.path / "spectra"
        self.features = self.path / "features.pt"

    # Beginning and resuming ------------------------------------------------------------------------------------------

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the configuration, versions and git revision.

        Raises:
            GantoolsError: when it exists with something in it, or cannot be written.
        """
        try:
            if self.config_path.exists():
                raise GantoolsError(f"{self.path} holds a run: add --resume to go on with it, or choose another --out.")
            if self.path.exists() and (not self.path.is_dir() or any(f.name != PART for f in self.path.iterdir())):
                what = "holds other files" if self.path.is_dir() else "is a file"
                raise GantoolsError(f"{self.path} {what}: choose another --out.")
            self.path.mkdir(parents=True, exist_ok=True)
            # First of all: a folder with a configuration can be resumed, one without could not even be used again.
            self._write_config({"config": config.to_dict(), **provenance()})
            self._make_folders()
        except OSError as error:
            raise unwritable(self.path, error) from None

    def resume(self, config: TrainConfig, step: int) -> None:
        """Go back to a step: drop what was logged at or after it, and note in config.json that the run was resumed."""
        try:
            self._make_folders()
            self.cut_after(step)
            content = json.loads(self.config_path.read_text())
            content["config"] = config.to_dict()
            content.setdefault("resumed", []).append({"step": step, **provenance()})
            self._write_config(content)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _make_folders(self) -> None:
        for folder in (self.checkpoints, self.samples, self.spectra):
            folder.mkdir(exist_ok=True)

    def _write_config(self, content: dict[str, Any]) -> None:
        write_atomically(self.config_path, (json.dumps(content, indent=2) + "\n").encode())

    def cut_after(self, step: int) -> None:
        """Drop what was logged at or after a step: metrics, TensorBoard events, samples, spectra, later checkpoints."""
        if self.metrics_path.exists():
            kept = "".join(line for line, record in self._metrics_lines() if record["step"] < step)
            write_atomically(self.metrics_path, kept.encode())
        for folder, first in ((self.samples, step), (self.spectra, step), (self.checkpoints, step + 1)):
            for file in folder.glob("*"):
                found = _STEP.search(file.name)
                if found and int(found[1]) >= first:
                    file.unlink()
        from gantools.runs.store.events import cut_events  # TensorBoard is slow to import, and only resuming needs it

        cut_events(self.path, step)

    def _metrics_lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self.metrics_path.read_text(errors="replace").splitlines(keepends=True):
            try:
                record = json.loads(line)
            except ValueError:  # the last line of a killed run
                continue
            if isinstance(record, dict) and "step" in record and line.endswith("\n"):
                yield line, record

    def metrics(self) -> list[dict[str, Any]]:
        """Return the records of metrics.jsonl, in order."""
        return [record for _, record in self._metrics_lines()] if self.metrics_path.exists() else []

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in order."""
        found = (_STEP.search(file.name) for file in self.checkpoints.glob("step-*.pt"))
        return sorted(int(match[1]) for match in found if match)

    def checkpoint_path(self, step: int) -> Path:
        """Return the path of a step's checkpoint."""
        return self.checkpoints / step_name(step, "pt")

    def save(self, step: int, experiment: "Experiment") -> None:
        """Write a checkpoint, whole or not at all."""
        save_checkpoint(self.checkpoint_path(step), step, experiment)

    def load(self, step: int, experiment: "Experiment") -> None:
        """Put an experiment into the state of a checkpoint, the global random state included.

        Raises:
            GantoolsError: when the file is damaged or belongs to another architecture; nothing is changed then.
        """
        path = self.checkpoint_path(step)
        load_checkpoint(path, read_checkpoint(path), experiment)

    def load_last(self, experiment: "Experiment") -> int:
        """Load the newest checkpoint that is whole, and return its step; damaged newer ones are named on stderr."""
        for step in reversed(self.steps()):
            path = self.checkpoint_path(step)
            try:
                saved = read_checkpoint(path)
            except GantoolsError as error:
                print(f"gantools: {error}", file=sys.stderr)
                continue
            load_checkpoint(path, saved, experiment)
            return step
        raise GantoolsError(f"{self.path} holds no checkpoint that can be used: start again with another --out.")


# Opening a run for analysis ------------------------------------------------------------------------------------------
