"""Checkpoints: tensors and numbers, written atomically, read without running code, refused where they do not fit."""

import io
import pickle
import re
import stat
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.data.random_state import random_state, set_random_state
from gantools.errors import GantoolsError
from gantools.runs.config import TrainConfig
from gantools.runs.store.atomic import read_file, write_atomically

if TYPE_CHECKING:
    from gantools.runs.experiment import Experiment

_PARTS = {"step", "parameters", "buffers", "optimizer", "stream", "random"}


class UnreadableError(GantoolsError):
    """A file that is there and cannot be read, so that nobody knows whether it is damaged."""


class MissingCheckpointError(GantoolsError):
    """A checkpoint that is not there, or not any more."""


def save_checkpoint(
    path: Path, step: int, experiment: "Experiment", record: str = "", logs: Mapping[str, Any] | None = None
) -> None:
    """Write the state of an experiment after `step` updates, the global random state included.

    Args:
        path: the file.
        step: updates made.
        experiment: whose state is written.
        record: the configuration and the hash of a user's own code, as JSON.
        logs: what the run's logs hold by now: bytes and checksum of each file, and the number of lines of metrics.
    """
    state = experiment_state(step, experiment) | {"record": record, "logs": dict(logs or {})}
    # By way of memory: on a full disk torch.save raises a RuntimeError about file positions.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def experiment_state(step: int, experiment: "Experiment") -> dict[str, Any]:
    """Return the state of an experiment after `step` updates as tensors and numbers, see `load_checkpoint`."""
    game = experiment.game
    state = {
        "step": step,
        "parameters": {name: p.detach().cpu() for name, p in game.named_parameters().items()},
        "buffers": {name: t.cpu() for name, t in game.buffers().items()},
        "optimizer": experiment.optimizer.state_dict(),
        "stream": experiment.stream.state_dict(),
        "random": random_state(),
        "starts": {tag: start.cpu() for tag, start in experiment.starts.items()},
    }
    if experiment.average:
        state["average"] = experiment.average.state_dict()
    return state


def read_tensors(path: Path) -> Any:
    """Return what a file of torch.save holds, without running any code from it; all its checksums are right.

    Raises:
        OSError: where the file cannot be read.
        pickle.UnpicklingError: where it holds more than plain tensors and numbers.
        Exception: nearly any, of a damaged file.
    """
    data = io.BytesIO(read_file(path))
    with zipfile.ZipFile(data) as archive:  # torch.load does not look at the checksums
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
    data.seek(0)
    return torch.load(data, map_location="cpu", weights_only=True)


def read_logs(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says of the run's logs, without reading its tensors; empty where it says nothing."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    archive.read(name)  # looks at its checksum
        logs = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["logs"]
    except Exception:  # of a damaged file nearly any; whoever loads it says which
        return {}
    return logs if isinstance(logs, dict) and type(logs.get("lines")) is int else {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, without running any code from it.

    Raises:
        GantoolsError: when the file is missing, damaged, or not one of ours; `UnreadableError` when it is there and
            the system does not let it be read.
    """
    try:
        saved = read_tensors(path)
    except FileNotFoundError:
        raise MissingCheckpointError(f"There is no checkpoint {path}.") from None
    except OSError as error:
        raise UnreadableError(
            f"The checkpoint {path} cannot be read ({error.strerror or error}): mend that first, or move it away."
        ) from None
    except pickle.UnpicklingError:
        raise GantoolsError(
            f"{path} holds more than plain tensors and numbers, so it could run code: gantools did not write it, and "
            "does not open it."
        ) from None
    # A damaged file makes zipfile and the unpickler raise nearly anything: KeyError, TypeError, struct.error.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise GantoolsError(f"The checkpoint {path} is damaged or truncated ({reason}); use an earlier one.") from None
    if not isinstance(saved, dict) or not set(saved) >= _PARTS:
        raise GantoolsError(f"{path} is not a gantools checkpoint: pass one that `gantools train` wrote.")
    return saved


def load_checkpoint(path: Path, saved: Mapping[str, Any], experiment: "Experiment") -> None:
    """Put an experiment into the state that `read_checkpoint(path)` returned, the global random state included.

    Raises:
        GantoolsError: when it belongs to another architecture, optimizer or data; nothing is changed then.
    """
    try:
        _load(path, saved, experiment)
    except (AttributeError, TypeError, KeyError, IndexError, RuntimeError) as error:  # parts of another form than ours
        reason = " ".join(str(error).split())
        raise GantoolsError(
            f"{path} is not a checkpoint of this run ({type(error).__name__}: {reason}): pass one that `gantools "
            "train` wrote."
        ) from error


def _load(path: Path, saved: Mapping[str, Any], experiment: "Experiment") -> None:
    game, stream = experiment.game, experiment.stream
    _require_fit(path, "parameters", saved["parameters"], game.named_parameters())
    _require_fit(path, "buffers", saved["buffers"], game.live_buffers())
    if set(saved["stream"]) != set(stream.state_dict()):
        raise GantoolsError(f"The checkpoint {path} was trained on batches of another kind: use the run's own data.")
    if (experiment.average is not None) != ("average" in saved):
        raise GantoolsError(f"The checkpoint {path} was written under another --average: use the run's own.")
    before, buffers = game.vector(), game.buffers()
    with torch.no_grad():
        for name, p in game.named_parameters().items():
            p.copy_(saved["parameters"][name])
    game.load_buffers(saved["buffers"])
    try:
        experiment.load_optimizer(saved["optimizer"])  # its state takes the buffers over
    except BaseException:
        game.load_vector(before)
        game.load_buffers(buffers)
        raise
    if experiment.average:
        experiment.average.load_state_dict(saved["average"])
    stream.load_state_dict(saved["stream"])
    experiment.starts = dict(saved.get("starts", {}))
    set_random_state(saved["random"])


def _require_fit(path: Path, what: str, saved: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> None:
    given, wanted = ({name: _form(t) for name, t in side.items()} for side in (saved, present))
    if given == wanted:
        return
    different = sorted(name for name in given.keys() | wanted.keys() if given.get(name) != wanted.get(name))
    name = different[0]
    raise GantoolsError(
        f"The checkpoint {path} is of another architecture: {len(different)} {what} differ, the first is {name!r} "
        f"({given.get(name, 'absent')} there, {wanted.get(name, 'absent')} here). Build the game as it was trained."
    )


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def steps_in(folder: Path) -> list[int]:
    """Return the steps that a folder has a checkpoint of, in order."""
    found = (re.search(r"step-(\d{8,})\.", file.name) for file in folder.glob("step-*.pt"))
    return sorted(int(match[1]) for match in found if match)


def superfluous(steps: Sequence[int], last: int, every: int, measured: Collection[int]) -> list[int]:
    """Return the steps whose checkpoints the rule does not keep; all are kept where `last` is 0.

    Args:
        steps: that have a checkpoint, in order.
        last: how many of the newest are kept.
        every: those of its multiples are kept; 0 for none.
        measured: steps that a spectrum or another analysis in the folder refers to, which are kept.
    """
    if last == 0:
        return []
    return [step for step in steps[:-last] if not (every and step % every == 0) and step not in measured]


def missing_checkpoint(config: TrainConfig, steps: Sequence[int], logged: int) -> int:
    """Return the step of a checkpoint that a run must have written after the last of these, and that is gone; else 0.

    What is logged at a step comes after its checkpoint.

    Args:
        config: of the run.
        steps: that have a checkpoint, in order; found after `logged` was read.
        logged: the last step of metrics.jsonl.
    """
    newest, every = max(steps, default=0), config.checkpoint_every
    due = min((newest // every + 1) * every, config.steps) if every else config.steps
    return due if logged >= due > newest else 0
