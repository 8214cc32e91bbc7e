"""`gantools train --copies N`: runs of several seeds, stepped together, each in a folder of its own."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.runs.config import TrainConfig
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import tell
from gantools.runs.together.training import NotTogetherError, prepare_together
from gantools.runs.training_loop import Outcome, prepare


def train_copies(config: TrainConfig, path: Path, copies: int) -> int:
    """Train, or go on with, the runs of the seeds from the configuration's on, and print what became of each.

    Returns:
        The exit code: 2 where a run was stopped because it was not finite.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise GantoolsError("--copies trains in one process: start it without torchrun, or leave --copies out.")
    if (path / "config.json").exists():
        raise GantoolsError(f"{path} holds a run of one seed: choose another --out for the folders of several.")
    configs = [dataclasses.replace(config, seed=config.seed + k) for k in range(copies)]
    paths = [path / f"seed-{one.seed}" for one in configs]
    tell(f"Training seeds {config.seed} to {configs[-1].seed} with {config.optimizer.name}; run folders in {path}")
    outcomes: list[Outcome | NonFiniteFieldError] = []
    try:
        together = prepare_together(configs, paths)
    except NotTogetherError as error:
        tell(f"One after another: {error}")
        outcomes += _one_by_one(configs, paths)
    else:
        outcomes += together.run()
    for one, folder, outcome in zip(configs, paths, outcomes, strict=False):
        print(f"seed {one.seed}: {folder}, {_described(outcome)}")
    signals = [outcome.stopped_by for outcome in outcomes if isinstance(outcome, Outcome) and outcome.stopped_by]
    if signals:
        print("Stopped; the same command with this --out goes on with every run.")
        return 128 + signals[0]
    return 2 if any(isinstance(outcome, NonFiniteFieldError) for outcome in outcomes) else 0


def _one_by_one(configs: Sequence[TrainConfig], paths: Sequence[Path]) -> Iterator[Outcome | NonFiniteFieldError]:
    for config, path in zip(configs, paths, strict=True):
        trainer = prepare(config, path, resume=RunFolder(path).config_path.exists())
        try:
            outcome = trainer.run()
        except NonFiniteFieldError as error:
            yield error
            continue
        yield outcome
        if outcome.stopped_by:
            return


def _described(outcome: Outcome | NonFiniteFieldError) -> str:
    """Return the metrics of a run's last look, or its last losses, or why it stopped."""
    if isinstance(outcome, NonFiniteFieldError):
        return str(outcome)
    found = outcome.metrics
    if not found and (records := outcome.folder.metrics()):
        found = {name: value for name, value in records[-1].items() if name.startswith("loss/")}
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in found.items() if value is not None)
    return f"step {outcome.step}" + (f", {numbers}" if numbers else "")
