"""Provenance of a run: its command, versions, machine and git revision."""

import os
import platform
import re
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


# Settings of a checkout by which git runs programs of its choice when it looks for changes; hooks and the monitor are
# switched off below, these cannot be.
_PROGRAMS = re.compile(r"^(local|worktree)\s+(filter\..*|.*\.promisor|extensions\.partialclone)$", re.MULTILINE)
_WITHOUT = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


def git_revision() -> str | None:
    """Return the revision of the working directory's checkout; "+" appended where files differ from it.

    "?" is appended where nobody looked for that: the checkout, which may be somebody else's, names programs that git
    would run.
    """
    if shutil.which("git") is None:
        return None

    def git(*args: str) -> str | None:
        done = subprocess.run(["git", *_WITHOUT, *args], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None

    revision = git("rev-parse", "--verify", "HEAD")
    if revision is None:
        return None
    settings = git("config", "--show-scope", "--name-only", "--get-regexp", ".") or ""
    if _PROGRAMS.search(settings):
        return revision + "?"
    # By names and times alone; `git status` would read files, and enter submodules, whose settings are their own.
    quiet = ("--raw", "--ignore-submodules=all")
    changed = git("diff-index", "--cached", *quiet, "HEAD") or git("diff-files", *quiet)
    return revision + ("+" if changed else "")
