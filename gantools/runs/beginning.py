"""The beginning of a training run: a new run folder, or one that goes on from its last checkpoint."""

from typing import Any

from gantools.errors import GantoolsError
from gantools.runs.code.stored import Code
from gantools.runs.code.trust import CodeChoice, chosen_code, remember
from gantools.runs.config import TrainConfig, changed_settings
from gantools.runs.experiment import Experiment, build, set_threads
from gantools.runs.load import build_stored
from gantools.runs.record import Record
from gantools.runs.store.atomic import say
from gantools.runs.store.checkpoint import load_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.set_aside import SET_ASIDE
from gantools.runs.user_file import target_code


def begun(folder: RunFolder, config: TrainConfig) -> Experiment:
    """Build what a configuration describes, and make the run folder."""
    code = target_code(config.target) if config.target else None
    experiment = build(config, code=code)
    set_threads(experiment.game, config.threads)
    folder.create(config, code.to_dict() if code else None)
    _keep_code(folder, config, code)
    return experiment


def resumed(
    folder: RunFolder, config: TrainConfig, choice: CodeChoice | None = None, trust: bool = False
) -> tuple[Experiment, int]:
    """Build what a run folder holds, go back to its last checkpoint, and return the experiment and that step."""
    folder.require_no_links()
    if not folder.path.is_dir():
        raise GantoolsError(f"{folder.path} is not a run folder: pass the folder that `gantools train` wrote.")
    folder.lock()
    record, steps = folder.record(), folder.steps()
    changed_settings(record.config, config)  # refused before anything is built
    first, saved, then = 0, {}, record
    if steps:
        first, saved = folder.read_last(steps, patient=True)
        then = record.at(saved, folder.checkpoint_path(first))
    elif lost := _lost_checkpoints(folder, record):
        raise GantoolsError(
            f"The checkpoints of {folder.path} are gone, though the run came to step {lost}: put them back, or start "
            "again with another --out."
        )
    if first > config.steps:
        raise GantoolsError(f"The run in {folder.path} has {first} steps already: pass --steps above that to go on.")
    code = chosen_code(then, folder.code, choice, trust)
    experiment = build_stored(config, folder, code, optimizer=True)
    set_threads(experiment.game, config.threads)
    if saved:
        load_checkpoint(folder.checkpoint_path(first), saved, experiment)
    changed: dict[str, Any] = changed_settings(then.config, config)
    now = Record(config, code.to_dict() if code else None, record.content)
    if then.code and code and now.code and now.code["files"] != then.code["files"]:
        changed["code"] = [then.code["files"], now.code["files"]]
    _tell(folder, first, steps, changed)
    folder.resume(now, first, changed, saved.get("logs", {}))
    _keep_code(folder, config, code)
    return experiment, first


def _keep_code(folder: RunFolder, config: TrainConfig, code: Code | None) -> None:
    """Store a user's code in the run, and note that this machine executed it at the user's command."""
    if code is None:
        return
    assert config.target
    try:
        code.write(folder.code)
    except OSError as error:
        raise GantoolsError(f"{folder.code} cannot be written ({error.strerror or error}).") from None
    remember(code, config.target.rpartition(":")[2])


def _lost_checkpoints(folder: RunFolder, record: Record) -> int:
    """Return the last step logged by a run without checkpoints, where it must have written some; else 0."""
    every = record.config.checkpoint_every
    steps = [line["step"] for line in folder.metrics()] + [e.get("step", 0) for e in record.content.get("resumed", [])]
    last = max(steps, default=0)
    return last if last and (last >= record.config.steps or (every and last >= every)) else 0


def _tell(folder: RunFolder, first: int, steps: list[int], changed: dict[str, Any]) -> None:
    """Say, before it is done, that a run goes back behind its last checkpoint, and what changes from here on."""
    if steps and first < steps[-1]:
        say(
            f"Going back from step {steps[-1]} to step {first}: what was logged since moves to "
            f"{folder.path / SET_ASIDE}."
        )
    for name, (before, now) in changed.items():
        what = "the text of your file" if name == "code" else f"{name} = {before}"
        to = "what it is now" if name == "code" else str(now)
        say(f"From step {first} on, {what} becomes {to}; config.json records it.")
