"""Checkpoints: tensors and numbers, written atomically, read without running code, refused where they do not fit."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.data.random_state import random_state, set_random_state
from gantools.errors import GantoolsError
from gantools.runs.store.atomic import write_atomically

if TYPE_CHECKING:
    from gantools.runs.experiment import Experiment

_PARTS = {"step", "parameters", "buffers", "optimizer", "stream", "random"}


def save_checkpoint(path: Path, step: int, experiment: "Experiment") -> None:
    """Write the state of an experiment after `step` updates, the global random state included."""
    game = experiment.game
    state = {
        "step": step,
        "parameters": {name: p.detach().cpu() for name, p in game.named_parameters().items()},
        "buffers": {name: t.cpu() for name, t in game.buffers().items()},
        "optimizer": experiment.optimizer.state_dict(),
        "stream": experiment.stream.state_dict(),
        "random": random_state(),
    }
    if experiment.average:
        state["average"] = experiment.average.state_dict()
    # By way of memory: on a full disk torch.save raises a RuntimeError about file positions.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, without running any code from it.

    Raises:
        GantoolsError: when the file is missing, damaged, or not one of ours.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GantoolsError(f"There is no checkpoint {path}.") from None
    except pickle.UnpicklingError:
        raise GantoolsError(
            f"{path} holds more than plain tensors and numbers, so it could run code: gantools did not write it, and "
            "does not open it."
        ) from None
    # A damaged file makes zipfile and the unpickler raise nearly anything: KeyError, TypeError, struct.error, OSError.
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
    game, stream = experiment.game, experiment.stream
    _require_fit(path, "parameters", saved["parameters"], game.named_parameters())
    _require_fit(path, "buffers", saved["buffers"], game.live_buffers())
    if set(saved["stream"]) != set(stream.state_dict()):
        raise GantoolsError(f"The checkpoint {path} was trained on batches of another kind: use the run's own data.")
    if (experiment.average is not None) != ("average" in saved):
        raise GantoolsError(f"The checkpoint {path} was written under another --average: use the run's own.")
    experiment.load_optimizer(saved["optimizer"])
    if experiment.average:
        experiment.average.load_state_dict(saved["average"])
    stream.load_state_dict(saved["stream"])
    with torch.no_grad():
        for name, p in game.named_parameters().items():
            p.copy_(saved["parameters"][name])
    game.load_buffers(saved["buffers"])
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
