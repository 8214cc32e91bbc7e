"""What a run sets aside: files and lines that it cannot use any more are moved, never deleted."""

import datetime
import os
from pathlib import Path

SET_ASIDE = "set-aside"


class SetAside:
    """A folder R/set-aside/TIME for what is moved out of the way at one time; made when it is first needed.

    Attributes:
        root: the run folder R.
        names: what was moved, relative to the run folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self.names: list[str] = []
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of this time; made, and no other's, when it is asked for."""
        if self._folder is None:
            parent = self.root / SET_ASIDE
            parent.mkdir(exist_ok=True)
            name = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
            number = 1
            while True:
                path = parent / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    number += 1
            self._folder = path
        return self._folder

    def move(self, path: Path) -> None:
        """Move a file, a folder, or a link itself, out of the run."""
        os.replace(path, self._place(path.relative_to(self.root)))

    def keep(self, path: Path, content: bytes) -> None:
        """Write the part of a file that it is about to lose."""
        if content:
            place = self._place(path.relative_to(self.root))
            with place.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    def _place(self, relative: Path) -> Path:
        # TensorBoard would show event files here as a run of their own.
        name = relative.with_name(relative.name.replace("tfevents", "events-set-aside"))
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while place.exists() or place.is_symlink():
            number += 1
            place = self.folder / name.with_name(f"{name.name}-{number}")
        self.names.append(str(relative))
        return place

    def __str__(self) -> str:
        return f"{len(self.names)} files or parts of files are in {self.folder}" if self.names else "nothing"
