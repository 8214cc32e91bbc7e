"""What is done once, whoever is asked to: a lock that processes of all machines wait for, and a result beside it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gantools.runs.store.atomic import read_file, unwritable, write_atomically

SECONDS_BEFORE_IT_IS_SAID = 10
SECONDS_BETWEEN_LOOKS = 1.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a result for this process; wait while another has it, on this machine or one that shares the folder.

    The lock is a file beside the result, PATH.lock. The system takes it off when the process that holds it ends,
    however it ends: then the next one goes on from what lies there.

    Raises:
        GantoolsError: where the folder cannot be written or locked.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o666)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=SECONDS_BEFORE_IT_IS_SAID, poll_interval=SECONDS_BETWEEN_LOOKS)
        except Timeout:
            print(f"{path.stem} is computed by another process: waiting for it.", file=sys.stderr, flush=True)
            lock.acquire(poll_interval=SECONDS_BETWEEN_LOOKS)
    except (OSError, NotImplementedError) as error:
        raise unwritable(path.parent, error if isinstance(error, OSError) else OSError(str(error))) from None
    try:
        yield
    finally:
        lock.release()


def once(path: Path, setting: Any, compute: Callable[[], Any]) -> Any:
    """Return the result that a file keeps; where it keeps none, or one of another setting, compute it and keep it.

    Args:
        path: of the file.
        setting: what the result depends on, as JSON has it.
        compute: returns the result, as JSON has it. Cut short, it is called again.
    """
    with held(path):
        try:
            stored = json.loads(read_file(path))
            if stored["setting"] == setting:
                return stored["result"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none, or damaged: the run folder has what is needed to make it again
        result = compute()
        try:
            write_atomically(path, (json.dumps({"setting": setting, "result": result}) + "\n").encode())
        except OSError as error:
            raise unwritable(path.parent, error) from None
        return result
