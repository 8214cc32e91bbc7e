"""TensorBoard in this process, for one folder of runs."""

import socket
import warnings
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError


def serve(folder: str | Path, port: int | None = None) -> str:
    """Start TensorBoard on 127.0.0.1 in a thread of this process, and return its address.

    Args:
        folder: a run, or a folder of runs.
        port: by default the first free one from 6006 on; 0 lets the system choose.

    Raises:
        GantoolsError: when the folder does not exist, holds no event file, or the port is taken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what it carries along, an HTML sanitizer
        import tensorboard.program as program

    path = Path(folder)
    if not path.is_dir():
        raise GantoolsError(f"There is no folder {path}: pass a run, or the folder that holds your runs.")
    if not event_files(path):
        raise GantoolsError(
            f"{path} holds no TensorBoard events: train something with `gantools train --out {path}/NAME`."
        )
    if port:
        _require_free(port)
    server = program.TensorBoard(plugins=_plugins())
    where = [] if port is None else ["--port", str(port)]
    # TensorBoard shows ten pictures of a tag by default; the spectra of a run are there to be stepped through.
    shown = ["--samples_per_plugin", "images=1000"]
    server.configure(argv=["tensorboard", "--logdir", str(path), "--host", "127.0.0.1", *shown, *where])
    try:
        return server.launch()
    except program.TensorBoardServerException as error:
        raise GantoolsError(f"TensorBoard cannot start ({str(error).strip()}): pass another --port.") from None


def event_files(folder: Path) -> list[Path]:
    """Return the event files in a folder and below it.

    Raises:
        GantoolsError: for one that is no file, a pipe say, at which TensorBoard's reader would wait for ever.
    """
    found = sorted(folder.rglob("*.tfevents.*"))
    for path in found:
        if not path.is_file():
            raise GantoolsError(f"{path} is no regular file, though its name is that of TensorBoard's: move it away.")
    return found


def _plugins() -> list[Any]:
    """Return TensorBoard's plugins and those installed, ours among them however gantools is installed."""
    from tensorboard import default

    from gantools.board.live.entry import Loader

    found = default.get_plugins()
    return found if Loader in found else [*found, Loader]  # pyright: ignore[reportUnnecessaryContains]


def _require_free(port: int) -> None:
    """Refuse a port that is taken, before TensorBoard starts what it would not stop again."""
    try:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise GantoolsError(f"Port {port} cannot be used ({error}): pass another --port, or none.") from None
