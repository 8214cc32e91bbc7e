"""config.json of a run folder: the configuration, how it came about, and what was changed since, with a checksum."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError
from gantools.runs.config import RESUMABLE, TrainConfig, flat
from gantools.runs.store.atomic import read_file, write_atomically

FORMAT = 2  # 1, which had no number, knew neither checksums nor stored code
CONFIG = "config.json"


class DamagedRecordError(GantoolsError):
    """A config.json that is missing, or is not as gantools wrote it."""


@dataclasses.dataclass(frozen=True)
class Record:
    """The content of config.json.

    Attributes:
        config: the configuration that the run stands at.
        code: where a user's own code came from, and the hashes of its files; see `gantools.runs.code.stored`.
        content: all of config.json, as plain values.
        data: SHA-256 of the samples of a finite data set.
    """

    config: TrainConfig
    code: dict[str, Any] | None = None
    content: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: str | None = None

    @property
    def checked(self) -> bool:
        """Whether the run was made since there are checksums."""
        return self.content.get("format", 1) >= FORMAT

    def to_json(self) -> str:
        """Return configuration and hashes of code and data as JSON, as every checkpoint holds them."""
        return json.dumps({"config": self.config.to_dict(), "code": self.code, "data": self.data})

    @classmethod
    def from_values(cls, values: Any, name: Path) -> "Record":
        """Return the record of plain values that come from a file of this name."""
        try:
            found = values.get("format", 1)
            if type(found) is int and found > FORMAT:
                raise GantoolsError(f"{name} was written by a newer gantools: open it with that.")
            config, code = TrainConfig.from_dict(values["config"]), values.get("code")
            if code is not None:
                _require_code(code)
        except GantoolsError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(name, f"{type(error).__name__}: {error}") from None
        return cls(config, code, values, values.get("data"))

    def at(self, saved: Mapping[str, Any], path: Path) -> "Record":
        """Return the record as it was at a checkpoint.

        Raises:
            GantoolsError: when the checkpoint belongs to a run of another configuration.
        """
        text = saved.get("record")
        if not text:
            return self
        try:
            values = json.loads(text)
        except (ValueError, TypeError) as error:
            raise GantoolsError(f"{path} is not a gantools checkpoint ({error}): use another one.") from None
        then = Record.from_values(values, path)
        old, new = flat(then.config.to_dict()), flat(self.config.to_dict())
        changed = {name for entry in self.content.get("resumed", []) for name in entry.get("changed", {})}
        for name in sorted(old | new):
            if name not in RESUMABLE and name not in changed and old.get(name) != new.get(name):
                raise GantoolsError(
                    f"{path} was written with {name} = {old.get(name)}, but {CONFIG} says {new.get(name)}: one of them "
                    "is of another run. Put the right one back."
                )
        if (then.code is None) != (self.code is None):
            raise GantoolsError(f"{path} is of another run than {CONFIG}: put the right one back.")
        config = dataclasses.replace(self.config, optimizer=then.config.optimizer)
        return dataclasses.replace(self, config=config, code=then.code)


def _require_code(code: Any) -> None:
    texts = [code["entry"], code["folder"], *code["files"], *code["files"].values()]
    if not all(isinstance(text, str) for text in texts) or code["entry"] not in code["files"]:
        raise TypeError(f"code is {code!r}")


def damaged(path: Path, reason: str) -> DamagedRecordError:
    """Return the error for a config.json that is not as it was written."""
    return DamagedRecordError(f"{path} is damaged ({reason}): restore it, or start a new run.")


def read_record(path: Path) -> Record:
    """Return the record in this config.json.

    Raises:
        GantoolsError: when it cannot be read; `DamagedRecordError` when it is missing or damaged.
    """
    try:
        content = json.loads(read_file(path))
    except FileNotFoundError:
        raise DamagedRecordError(
            f"{path.parent} is not a run folder (it holds no {path.name}): pass the folder that `gantools train` wrote."
        ) from None
    except NotADirectoryError:
        raise GantoolsError(f"{path.parent} is a file, not a run folder: pass what `gantools train` wrote.") from None
    except OSError as error:
        raise GantoolsError(
            f"{path} cannot be read ({error.strerror or error}): check the path and its permissions."
        ) from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    if not isinstance(content, dict):
        raise damaged(path, "it holds no settings")
    if not is_whole(content):
        raise damaged(path, "its checksum is wrong; settings are changed by the flags of --resume")
    return Record.from_values(content, path)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a config.json with its format and checksum."""
    write_atomically(path, (json.dumps(sealed(content), indent=2) + "\n").encode())


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return plain values with their format and checksum."""
    content = {"format": FORMAT, **content}
    return {**content, "checksum": _checksum(content)}


def is_whole(content: dict[str, Any]) -> bool:
    """Return whether values are as `sealed` made them; those from before checksums have neither of its keys."""
    return not ("format" in content or "checksum" in content) or content.get("checksum") == _checksum(content)


def _checksum(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
