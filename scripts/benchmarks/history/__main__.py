"""Run a benchmark at commits, and append its ratios to NAME.json in docs/benchmarks, which the site draws.

    python scripts/benchmarks/history step                               # at HEAD
    python scripts/benchmarks/history step --at v0.1.0 HEAD --options "--rounds 9 --seconds 0.1"

Each commit's files are laid into a folder of their own, and its own script `bench_NAME.py` is run there with `--json`,
on this environment's packages. Kept are ratios within a run (keys with a "/"): times of busy machines say little.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[3]


def ratios(result: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, float]]:
    """Yield the ratios of a benchmark's result with their names, those of the tables that they stand in before them."""
    for key, value in result.items():
        name = f"{under}: {key}" if under else key
        if isinstance(value, Mapping):
            yield from ratios(value, name)
        elif "/" in key:
            yield name, round(float(value), 3)


def git(*words: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout


def measured(name: str, commit: str, options: Sequence[str]) -> dict[str, Any]:
    """Return the record of a benchmark at a commit: hash, date, versions and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        with tarfile.open(fileobj=BytesIO(git("archive", commit))) as files:
            files.extractall(there, filter="data")
        for part in ("analysis", "trainers"):  # as they are installed
            (there / "gantools" / part).symlink_to(there / part)
        scripts = sorted(there.glob(f"scripts/**/bench_{name}.py"))
        if not scripts:
            raise SystemExit(f"Commit {commit} has no bench_{name}.py.")
        command = [sys.executable, str(scripts[0]), *options, "--json", "result.json"]
        subprocess.run(command, cwd=there, env={**os.environ, "PYTHONPATH": folder}, check=True)
        result = json.loads((there / "result.json").read_text())
    return {
        "commit": git("rev-parse", "--short=7", commit).decode().strip(),
        "date": git("log", "-1", "--format=%cI", commit).decode().strip(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "options": shlex.join(options),
        "ratios": dict(ratios(result)),
    }


def add(path: Path, record: Mapping[str, Any]) -> None:
    """Put a record into a file in the order of the commits' dates, in place of an earlier one of the same commit."""
    known = json.loads(path.read_text()) if path.exists() else []
    kept = [one for one in known if one["commit"] != record["commit"]] + [record]
    lines = (json.dumps(one) for one in sorted(kept, key=lambda one: one["date"]))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of bench_NAME.py")
    parser.add_argument("--at", nargs="+", default=["HEAD"], metavar="COMMIT")
    parser.add_argument("--options", type=shlex.split, default=[], help="for the script")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    args = parser.parse_args(argv)
    for commit in args.at:
        record = measured(args.name, commit, args.options)
        add(args.out / f"{args.name}.json", record)
        print(f"{record['commit']} {record['date']} {record['ratios']}", flush=True)


if __name__ == "__main__":
    main()
