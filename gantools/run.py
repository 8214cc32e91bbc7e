"""The run folder: configuration, metrics, checkpoints; what is written is whole, and what is cut is cut everywhere."""

import dataclasses
import json
import math
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gantools import __version__
from gantools.board.events import cut_events
from gantools.config import TrainConfig, read_config
from gantools.errors import GantoolsError
from gantools.experiment import Experiment, build
from gantools.game import Game
from gantools.streams import random_state, random_state_kept, seed_global_generators, set_random_state
from gantools.trainers.optimizer import GameOptimizer

_STEP = re.compile(r"step-(\d+)\.")


def step_name(step: int, suffix: str) -> str:
    """Return the file name of what belongs to a step; names sort by step."""
    return f"step-{step:08d}.{suffix}"


class RunFolder:
    """The files of one run."""

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
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise GantoolsError(
                f"{self.path} exists already: add --resume to go on with the run in it, or choose another --out."
            )
        try:
            for folder in (self.path, self.checkpoints, self.samples, self.spectra):
                folder.mkdir(parents=True, exist_ok=True)
            content = {"config": config.to_dict(), **provenance()}
            write_atomically(self.config_path, lambda path: path.write_text(json.dumps(content, indent=2) + "\n"))
        except OSError as error:
            raise unwritable(self.path, error) from None

    def cut_after(self, step: int) -> None:
        """Drop what was logged at or after a step: metrics, TensorBoard events, samples, spectra, later checkpoints."""
        if self.metrics_path.exists():
            kept = [line for line, record in self._metrics_lines() if record["step"] < step]
            write_atomically(self.metrics_path, lambda path: path.write_text("".join(kept)))
        for folder, first in ((self.samples, step), (self.spectra, step), (self.checkpoints, step + 1)):
            for file in folder.glob("*"):
                found = _STEP.search(file.name)
                if found and int(found[1]) >= first:
                    file.unlink()
        cut_events(self.path, step)

    def _metrics_lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self.metrics_path.read_text().splitlines(keepends=True):
            try:
                record = json.loads(line)
            except ValueError:  # the last line of a killed run
                continue
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
        """Return where the checkpoint of a step is."""
        return self.checkpoints / step_name(step, "pt")

    def save(self, step: int, experiment: Experiment) -> Path:
        """Write a checkpoint: plain tensors and numbers, whole or not at all."""
        game = experiment.game
        state = {
            "step": step,
            "parameters": {name: p.detach().cpu() for name, p in game.named_parameters().items()},
            "buffers": {name: t.cpu() for name, t in game.buffers().items()},
            "optimizer": experiment.optimizer.state_dict(),
            "stream": experiment.stream.state_dict(),
            "random": random_state(),
        }
        path = self.checkpoint_path(step)
        write_atomically(path, lambda part: torch.save(state, part))
        return path

    def load(self, step: int, experiment: Experiment) -> None:
        """Put an experiment into the state of a checkpoint, the global random state included.

        Raises:
            GantoolsError: when the file is damaged or belongs to another architecture; nothing is changed then.
        """
        path = self.checkpoint_path(step)
        saved = read_checkpoint(path)
        game = experiment.game
        _require_fit(path, "parameters", saved["parameters"], game.named_parameters())
        _require_fit(path, "buffers", saved["buffers"], game.buffers())
        experiment.optimizer.load_state_dict(saved["optimizer"])
        with torch.no_grad():
            for name, p in game.named_parameters().items():
                p.copy_(saved["parameters"][name])
        game.load_buffers(saved["buffers"])
        experiment.stream.load_state_dict(saved["stream"])
        set_random_state(saved["random"])

    def load_last(self, experiment: Experiment) -> int:
        """Load the newest checkpoint that is whole, and return its step; damaged newer ones are named on stderr."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                read_checkpoint(self.checkpoint_path(step))
            except GantoolsError as error:
                if step == steps[0]:
                    raise
                print(f"{error} Going on from the one before it.", file=sys.stderr)
                continue
            self.load(step, experiment)
            return step
        raise GantoolsError(f"{self.path} holds no checkpoint: start the run again with another --out.")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, without running any code from it."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GantoolsError(f"There is no checkpoint {path}.") from None
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GantoolsError(f"The checkpoint {path} is damaged or truncated ({reason}): use an earlier one.") from None
    if not isinstance(saved, dict) or not {"step", "parameters", "buffers", "optimizer", "stream"} <= set(saved):
        raise GantoolsError(f"{path} is not a gantools checkpoint: pass one that `gantools train` wrote.")
    return saved


def _require_fit(path: Path, what: str, saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    given = {name: tuple(t.shape) for name, t in saved.items()}
    wanted = {name: tuple(t.shape) for name, t in present.items()}
    if given == wanted:
        return
    different = sorted(name for name in given.keys() | wanted.keys() if given.get(name) != wanted.get(name))
    name = different[0]
    raise GantoolsError(
        f"The checkpoint {path} is of another architecture: {len(different)} {what} differ, the first is {name!r} "
        f"({given.get(name, 'absent')} there, {wanted.get(name, 'absent')} here). Build the game as it was trained."
    )


def write_atomically(path: Path, write: Any) -> None:
    """Call `write(part)` on a file beside `path` and move it into place: readers see the old file or the new, whole."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(Path(part))
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def unwritable(path: Path, error: OSError) -> GantoolsError:
    """Return the sentence for a place that cannot be written."""
    return GantoolsError(f"{path} cannot be written ({error.strerror or error}): choose another --out.")


def finite_or_none(value: float) -> float | None:
    """Return the number, or None (null in JSON) for NaN and infinity."""
    return value if math.isfinite(value) else None


def provenance() -> dict[str, Any]:
    """Return what else decided a run: the command, versions, machine and git revision."""
    return {
        "command": ["gantools", *sys.argv[1:]],
        "versions": {
            "gantools": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy")},
        },
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """Return the revision of the working directory's checkout, "+" appended where files differ from it."""
    if shutil.which("git") is None:
        return None

    def git(*args: str) -> str | None:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    return revision and revision + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


# Opening a run for analysis ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """A run opened for analysis: the game at a checkpoint, with its optimizer and batches.

    Attributes:
        game, optimizer: in the state of the checkpoint `step`.
        batches: indexable; iterating walks over one epoch (ten batches of an endless data set).
        steps: the steps that have a checkpoint.
    """

    path: Path
    config: TrainConfig
    experiment: Experiment
    step: int
    steps: list[int]

    @property
    def game(self) -> Game:
        """The game."""
        return self.experiment.game

    @property
    def optimizer(self) -> GameOptimizer:
        """The optimizer, its state included."""
        return self.experiment.optimizer

    @property
    def batches(self) -> Any:
        """The batches of the run."""
        return self.experiment.batches

    def sample(self, n: int, seed: int = 0) -> torch.Tensor:
        """Return n samples of the generator, (n, ...), on the CPU."""
        return self.experiment.sample(n, seed)

    def at(self, step: int) -> "Run":
        """Return the same run at another checkpoint; the modules are shared, so this one moves along."""
        folder = RunFolder(self.path)
        if step not in self.steps:
            raise no_such_step(self.path, step, self.steps)
        with random_state_kept():
            folder.load(step, self.experiment)
        return dataclasses.replace(self, step=step)


def no_such_step(path: Path, step: int, steps: list[int]) -> GantoolsError:
    """Return the sentence for a step without a checkpoint."""
    return GantoolsError(f"{path} has no checkpoint of step {step}: it has {', '.join(map(str, steps)) or 'none'}.")


def load(path: str | Path, step: int | None = None, device: str | None = None) -> Run:
    """Open a run folder at its last checkpoint, or at that of `step`; the global random state is left alone."""
    folder = RunFolder(path)
    config = read_config(folder.config_path)
    if device is not None:
        config = dataclasses.replace(config, device=device)
    steps = folder.steps()
    if not steps:
        raise GantoolsError(f"{folder.path} holds no checkpoint yet: let `gantools train` write one first.")
    if step is not None and step not in steps:
        raise no_such_step(folder.path, step, steps)
    with random_state_kept():
        # A user's function may draw its data: from the seed that it had when it was trained.
        seed_global_generators(config.seed)
        experiment = build(config)
        if step is None:
            step = folder.load_last(experiment)
        else:
            folder.load(step, experiment)
    return Run(folder.path, config, experiment, step, steps)
