"""A run folder: its lock, its files, and going back to one step. docs/run-folder.md says what each file promises."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from filelock import FileLock

from gantools.errors import GantoolsError
from gantools.runs.config import TrainConfig
from gantools.runs.record import CONFIG, DamagedRecordError, Record, read_record, write_record
from gantools.runs.store.atomic import PART, read_file, require_utf8, say, step_name, unwritable
from gantools.runs.store.checkpoint import (
    MissingCheckpointError,
    UnreadableError,
    read_checkpoint,
    read_logs,
    save_checkpoint,
    steps_in,
    superfluous,
)
from gantools.runs.store.lock import LOCK_FILES, lock_folder
from gantools.runs.store.metrics import read_lines, read_metrics
from gantools.runs.store.provenance import provenance
from gantools.runs.store.set_aside import SET_ASIDE, SetAside

if TYPE_CHECKING:
    from gantools.runs.experiment import Experiment
    from gantools.runs.store.events import Tally

_STEP = re.compile(r"step-(\d{8,})\.")


class RunFolder:
    """The files of one run: configuration, metrics, samples, spectra and checkpoints.

    Attributes:
        path: the folder.
        lines: how many lines metrics.jsonl has; known once the folder was created or resumed.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_path = self.path / CONFIG
        self.metrics_path = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.spectra = self.path / "spectra"
        self.analysis = self.path / "analysis"
        self.diagnosis = self.analysis / "diagnosis.json"
        self.not_finite = self.path / "not-finite"
        self.code = self.path / "code"
        self.features = self.path / "features.pt"
        self.lines = 0
        self._lock: FileLock | None = None
        self._tally: Tally | None = None
        self._record: Record | None = None
        self._written: set[int] = set()

    def require_no_links(self) -> None:
        """Refuse a run whose folders or files are links: a run of somebody else's could lead writes anywhere."""
        folders = (self.checkpoints, self.samples, self.spectra, self.analysis, self.code, self.not_finite)
        for path in (*folders, self.path / SET_ASIDE, self.config_path, self.metrics_path, self.features):
            if path.is_symlink():
                raise GantoolsError(
                    f"{path} is a link, and gantools follows none inside a run: put what it leads to in its place."
                )

    # The lock --------------------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Take the run for this process, until `release`; what a killed one left half written is deleted.

        Raises:
            GantoolsError: when another process trains in it.
        """
        if self._lock is None:
            self._lock = lock_folder(self.path)
            for folder in (self.path, self.checkpoints, self.code):
                for part in folder.glob(f"{PART}*"):
                    part.unlink(missing_ok=True)

    def release(self) -> None:
        """Let other processes train in it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Beginning and resuming ------------------------------------------------------------------------------------------

    def create(self, config: TrainConfig, code: dict[str, Any] | None = None, data: str | None = None) -> None:
        """Make the folder, take its lock, and write the configuration, versions and git revision.

        Raises:
            GantoolsError: when it exists with something in it, or cannot be written.
        """
        require_utf8(self.path)
        try:
            self._require_empty()
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            self._require_empty()
            # First of all: a folder with a configuration can be resumed, one without could not even be used again.
            self._write({"config": config.to_dict(), "code": code, "data": data, **provenance()})
            self._make_folders()
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _require_empty(self) -> None:
        if self.config_path.exists():
            raise GantoolsError(f"{self.path} holds a run: add --resume to go on with it, or choose another --out.")
        if not (self.path.exists() or self.path.is_symlink()):
            return
        ours = (*LOCK_FILES, PART)
        if not self.path.is_dir() or any(not f.name.startswith(ours) for f in self.path.iterdir()):
            what = "holds other files" if self.path.is_dir() else "is a file"
            raise GantoolsError(f"{self.path} {what}: choose another --out.")

    def resume(self, record: Record, step: int, changed: Mapping[str, Any], logs: Mapping[str, Any]) -> SetAside:
        """Go back to a step: set aside what was logged at or after it, and note in config.json that it was resumed.

        Args:
            record: the configuration to go on with, and all of config.json.
            step: that of the checkpoint.
            changed: {name: [old, new]} of what changes from there on.
            logs: what the checkpoint says of the run's logs.
        """
        aside = SetAside(self.path)
        try:
            self._make_folders()
            try:
                read_record(self.config_path)
            except DamagedRecordError:
                if self.config_path.exists():
                    aside.move(self.config_path)
            self.cut_after(step, logs, aside)
            content: dict[str, Any] = dict(record.content)
            content |= {"config": record.config.to_dict(), "code": record.code, "data": record.data}
            note = {"step": step, **({"changed": dict(changed)} if changed else {}), **provenance()}
            content["resumed"] = [*content.get("resumed", []), note]
            content.pop("ended", None)
            self._write(content)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return aside

    def end(self) -> None:
        """Note in config.json what the logs hold at the end: looks after the last step follow the last checkpoint."""
        self._write({**self.record().content, "ended": self._logs()})

    def _make_folders(self) -> None:
        for folder in (self.checkpoints, self.samples, self.spectra):
            folder.mkdir(exist_ok=True)

    def _write(self, content: dict[str, Any]) -> None:
        self._record = Record.from_values(content, self.config_path)
        write_record(self.config_path, content)

    def cut_after(self, step: int, logs: Mapping[str, Any] | None = None, aside: SetAside | None = None) -> SetAside:
        """Set aside what was logged at or after a step: metrics, events, samples, spectra, later checkpoints."""
        from gantools.runs.store.cut import cut_events, cut_metrics  # TensorBoard is slow to import

        aside = SetAside(self.path) if aside is None else aside
        logs = logs or {}
        records, self.lines = cut_metrics(self.metrics_path, step, logs, aside)
        firsts = {self.samples: step, self.spectra: step, self.not_finite: 0, self.checkpoints: step + 1}
        for folder, first in firsts.items():
            for file in sorted(folder.glob("*")):
                found = _STEP.search(file.name)
                if found and int(found[1]) >= first:
                    aside.move(file)
        cut_events(self.path, step, logs, aside, records)
        return aside

    def record(self) -> Record:
        """Return what config.json says; where that is damaged, what the newest whole checkpoint says."""
        try:
            return read_record(self.config_path)
        except DamagedRecordError as error:
            for step in reversed(self.steps()):
                try:
                    text = read_checkpoint(self.checkpoint_path(step)).get("record")
                    values = json.loads(text) if text else None
                except (GantoolsError, ValueError):
                    continue
                if values is not None:
                    say(f"{error} The configuration is taken from the checkpoint of step {step}.")
                    return Record.from_values({"format": 2, **values}, self.checkpoint_path(step))
            raise

    def metrics(self) -> list[dict[str, Any]]:
        """Return the records of metrics.jsonl, in order; lines that are damaged or missing are named on stderr."""
        logs = self._known_logs()  # before the lines are read, as a run that is trained grows
        data = read_metrics(self.metrics_path)
        lines = read_lines(data)
        size, checksum = logs.get("files", {}).get(self.metrics_path.name, (0, 0))
        if lost := lines.lost(least=logs.get("lines", 0)):
            say(f"{self.metrics_path}: {lost}; --resume goes on without them.")
        elif crc32(data[:size]) != checksum:
            say(f"{self.metrics_path} is not the file that this run wrote.")
        elif data and not data.endswith(b"\n"):
            say(f"{self.metrics_path}: the last line is unfinished; --resume goes on without it.")
        return [line.record for line in lines.good]

    def _known_logs(self) -> dict[str, Any]:
        """Return what was noted of the logs when the run ended, or by the newest checkpoint that says anything."""
        with suppress(GantoolsError):
            if ended := read_record(self.config_path).content.get("ended"):
                return ended
        for step in reversed(self.steps()):
            if logs := read_logs(self.checkpoint_path(step)):
                return logs
        return {}

    def last_logged(self) -> int:
        """Return the last step in metrics.jsonl, 0 without one; damage is not named here."""
        try:
            return max((line.record["step"] for line in read_lines(read_file(self.metrics_path)).good), default=0)
        except OSError:
            return 0

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in order."""
        return steps_in(self.checkpoints)

    def open_steps(self) -> list[int]:
        """Return the steps that can be analysed: those with a checkpoint, and one where a run stopped at NaN."""
        return sorted({*self.steps(), *steps_in(self.not_finite)})

    def checkpoint_path(self, step: int) -> Path:
        """Return the path of a step's checkpoint, or of the state kept where the run stopped at NaN before it."""
        own, kept = (folder / step_name(step, "pt") for folder in (self.checkpoints, self.not_finite))
        return kept if kept.exists() and not own.exists() else own

    def save(self, step: int, experiment: "Experiment") -> None:
        """Write a checkpoint, whole or not at all; then delete those that the run's rule does not keep."""
        record = Record(experiment.config) if self._record is None else self._record
        path = self.checkpoints / step_name(step, "pt")
        save_checkpoint(path, step, experiment, record.to_json(), self._logs())
        self._written.add(step)
        self._prune(record.config)

    def _logs(self) -> dict[str, Any]:
        """Return what the logs hold by now, so that going back to this moment needs no guess."""
        from gantools.runs.store.events import Tally, event_files

        self._tally = Tally() if self._tally is None else self._tally
        files = [file for file in (self.metrics_path, *event_files(self.path)) if file.exists()]
        return {"lines": self.lines, "files": {file.name: self._tally.of(file) for file in files}}

    def measured(self) -> set[int]:
        """Return the steps that a spectrum or another analysis in the folder is of."""
        pictures = [*self.spectra.glob("*step-*"), *self.analysis.glob("*step-*")]
        return {int(found[1]) for file in pictures if (found := _STEP.search(file.name))}

    def _prune(self, config: TrainConfig) -> None:
        measured = self.measured()
        for step in superfluous(self.steps(), config.keep_last, config.keep_every, measured):
            if step not in self._written:
                try:  # one of another process: nothing is deleted that was not read
                    self.read(step)
                except GantoolsError:
                    continue
            self.checkpoint_path(step).unlink(missing_ok=True)

    def read(self, step: int) -> dict[str, Any]:
        """Return the content of the checkpoint of a step.

        Raises:
            GantoolsError: when the file is missing or damaged, or is the checkpoint of another step.
        """
        path = self.checkpoint_path(step)
        saved = read_checkpoint(path)
        if saved["step"] != step:
            raise GantoolsError(f"The checkpoint {path} is of step {saved['step']!r}: use another one.")
        return saved

    def read_last(self, steps: list[int], patient: bool = False) -> tuple[int, dict[str, Any]]:
        """Return the newest of these steps whose checkpoint is whole, and its content; damaged ones are named.

        Args:
            steps: that had a checkpoint a moment ago.
            patient: whether to refuse, rather than to pass by, a checkpoint that is there and cannot be read.
        """
        for step in reversed(steps):
            try:
                return step, self.read(step)
            except GantoolsError as error:
                if isinstance(error, MissingCheckpointError) or (patient and isinstance(error, UnreadableError)):
                    raise
                say(str(error))
        raise GantoolsError(f"{self.path} holds no checkpoint that can be used: start again with another --out.")
