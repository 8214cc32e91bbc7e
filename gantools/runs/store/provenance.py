"""Provenance of a run: its command, versions, machine and git revision."""

import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import torch

from gantools import __version__


def provenance() -> dict[str, Any]:
    """Return the command, versions, machine and git revision, as plain values."""
    return {
        "command": ["gantools", *sys.argv[1:]],
        "versions": {
            "gantools": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy")},
        },
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
        "git_revision": git_revision(),
    }


def git_revision() -> str | None:
    """Return the revision of the working directory's checkout, "+" appended where files differ from it."""
    if shutil.which("git") is None:
        return None

    def git(*args: str) -> str | None:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    return revision and revision + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
