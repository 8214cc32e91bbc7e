"""The beginning of a training run: a new run folder, or one that goes on from its last checkpoint."""

import dataclasses
from typing import Any

from gantools.errors import GantoolsError
from gantools.runs.code.stored import Code
from gantools.runs.code.trust import CodeChoice, chosen_code, remember
from gantools.runs.config import TrainConfig, changed_settings
from gantools.runs.experiment import Experiment, build, set_threads
from gantools.runs.load import build_stored, other_data, say_if_unchecked
from gantools.runs.record import Record
from gantools.runs.store.atomic import require_utf8, say
from gantools.runs.store.checkpoint import load_checkpoint, missing_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.set_aside import SET_ASIDE
from gantools.runs.user_file import target_code


def begun(folder: RunFolder, config: TrainConfig) -> Experiment:
    """Build what a configuration describes, and make the run folder."""
    code = target_code(config.target) if config.target else None
    experiment = build(config, code=code)
    set_threads(experiment.game, config.threads)
    folder.create(config, code.to_dict() if code else None, experiment.data_digest())
    _keep_code(folder, config, code)
    return experiment


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The checkpoint from which a run goes on.

    Attributes:
        step: of it; 0 where the run was ended before its first one.
        saved: its content; empty where there is none.
        record: config.json as it was then.
        newest: the last step that has, or must have had, a checkpoint.
    """

    step: int
    saved: dict[str, Any]
    record: Record
    newest: int


def last_checkpoint(folder: RunFolder, config: TrainConfig) -> Checkpoint:
    """Return the checkpoint from which a run goes on under a configuration; nothing is changed.

    Raises:
        GantoolsError: where the folder holds no run, or another one, or one that has lost its checkpoints.
    """
    folder.require_no_links()
    if not folder.path.is_dir():
        raise GantoolsError(f"{folder.path} is not a run folder: pass the folder that `gantools train` wrote.")
    record, logged, steps = folder.record(), folder.last_logged(), folder.steps()
    say_if_unchecked(folder, record)
    changed_settings(record.config, config)  # refused before anything is built
    gone = missing_checkpoint(record.config, steps, logged)
    step, saved, then = 0, {}, record
    if steps:
        step, saved = folder.read_last(steps, patient=True)
        then = record.at(saved, folder.checkpoint_path(step))
    elif gone or any(entry.get("step") for entry in record.content.get("resumed", [])):
        raise GantoolsError(
            f"The checkpoints of {folder.path} are gone, though the run came to step {logged}: put them back, or start "
            "again with another --out."
        )
    if step > config.steps:
        raise GantoolsError(f"The run in {folder.path} has {step} steps already: pass --steps above that to go on.")
    return Checkpoint(step, saved, then, max([gone, *steps]))


def resumed(
    folder: RunFolder, config: TrainConfig, choice: CodeChoice | None = None, trust: bool = False
) -> tuple[Experiment, int]:
    """Build what a run folder holds, go back to its last checkpoint, and return the experiment and that step."""
    folder.require_no_links()
    require_utf8(folder.path)
    if (
        folder.config_path.exists() or folder.checkpoints.is_dir()
    ):  # else it is no run, and nothing of ours goes into it
        folder.lock()
    last = last_checkpoint(folder, config)
    then = last.record
    code = chosen_code(then, folder.code, choice, trust)
    experiment = build_stored(config, folder, code, optimizer=True)
    set_threads(experiment.game, config.threads)
    data = experiment.data_digest()
    if then.data not in (None, data):
        raise GantoolsError(f"{other_data(config)}: put them back, or start a new run with another --out.")
    if last.saved:
        load_checkpoint(folder.checkpoint_path(last.step), last.saved, experiment)
    changed: dict[str, Any] = changed_settings(then.config, config)
    now = Record(config, code.to_dict() if code else None, then.content, data)
    if then.code and now.code and now.code["files"] != then.code["files"]:
        changed["code"] = [then.code["files"], now.code["files"]]
    _tell(folder, last, changed)
    folder.resume(now, last.step, changed, last.saved.get("logs", {}))
    _keep_code(folder, config, code)
    return experiment, last.step


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


def _tell(folder: RunFolder, last: Checkpoint, changed: dict[str, Any]) -> None:
    """Say, before it is done, that a run goes back behind its last checkpoint, and what changes from here on."""
    if last.step < last.newest:
        say(
            f"Going back from step {last.newest}, whose checkpoint cannot be used, to step {last.step}: what was "
            f"logged since moves to {folder.path / SET_ASIDE}."
        )
    for name, (before, now) in changed.items():
        what = "the text of your file" if name == "code" else f"{name} = {before}"
        to = "what it is now" if name == "code" else str(now)
        say(f"From step {last.step} on, {what} becomes {to}; config.json records it.")
