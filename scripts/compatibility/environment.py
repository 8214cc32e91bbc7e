"""The environment that the models are run in, beside that of gantools."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "compatibility"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def made() -> Path:
    """Return the Python of the environment, made under build/ with all packages where its requirements are new."""
    python, mark = FOLDER / "env" / "bin" / "python", FOLDER / "env" / "installed"
    texts = [path.read_bytes() for path in (REQUIREMENTS, ROOT / "constraints.txt", ROOT / "pyproject.toml")]
    wanted = hashlib.sha256(b"".join(texts)).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return python
    print(
        f"Installing the packages of {REQUIREMENTS.relative_to(ROOT)} into {FOLDER.relative_to(ROOT)}/env", flush=True
    )
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "env"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, "-r", REQUIREMENTS, "-e", ROOT], check=True)
    mark.write_text(wanted)
    return python


def settings() -> dict[str, str]:
    """Return the variables of a worker: one thread, no downloads."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
