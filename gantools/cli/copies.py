"""`gantools train --copies N`: runs of several seeds, stepped together, each in a folder of its own."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
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
    groups = _by_step(paths)
    if len(groups) > 1:
        tell(f"The runs stand at different steps, so they go on in groups: {_said(groups, configs)}")
    outcomes: dict[int, Outcome | NonFiniteFieldError] = {}
    signals: list[int] = []
    for places in groups.values():
        found = _trained([configs[place] for place in places], [paths[place] for place in places])
        outcomes |= zip(places, found, strict=False)
        signals = [one.stopped_by for one in found if isinstance(one, Outcome) and one.stopped_by]
        if signals:
            break
    for place, outcome in sorted(outcomes.items()):
        print(f"seed {configs[place].seed}: {paths[place]}, {_described(outcome)}")
    if signals:
        print("Stopped; the same command with this --out goes on with every run.")
        return 128 + signals[0]
    return 2 if any(isinstance(outcome, NonFiniteFieldError) for outcome in outcomes.values()) else 0


def _by_step(paths: Sequence[Path]) -> dict[int, list[int]]:
    """Return the places of the runs by the step of their last checkpoint, the farthest first.

    One that became NaN stands where it did before that; the others go on together.
    """
    groups: dict[int, list[int]] = {}
    for place, path in enumerate(paths):
        groups.setdefault(max(RunFolder(path).steps(), default=0), []).append(place)
    return dict(sorted(groups.items(), reverse=True))


def _said(groups: Mapping[int, Sequence[int]], configs: Sequence[TrainConfig]) -> str:
    parts = []
    for step, places in groups.items():
        seeds = ", ".join(str(configs[place].seed) for place in places)
        parts.append(f"seed{'s' if len(places) > 1 else ''} {seeds} from step {step}")
    return "; ".join(parts)


def _trained(configs: Sequence[TrainConfig], paths: Sequence[Path]) -> list[Outcome | NonFiniteFieldError]:
    """Train runs that stand at one step, together where that can be; of one that a signal stops, it is the last."""
    if len(configs) == 1:
        return list(_one_by_one(configs, paths))
    try:
        together = prepare_together(configs, paths)
    except NotTogetherError as error:
        tell(f"One after another: {error}")
        return list(_one_by_one(configs, paths))
    return together.run()


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
