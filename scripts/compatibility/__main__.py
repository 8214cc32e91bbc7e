"""Analyse published models and configurations, compare them with differences in float64, and write the table.

    python scripts/compatibility [--only PATTERN] [--again] [--list]

Makes an environment of its own under build/compatibility from requirements.txt (1.6 GB), runs every model of `models/`
and every configuration that has no good result yet, each in a process of its own, keeps each result as it ends in
build/compatibility/results.jsonl, prints the three numbers that must be zero (silent errors, false refusals, raw
errors), and writes docs/compatibility.md once everything has a result. A broken run goes on where it was.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose names are common

from compatibility import environment, models, page  # noqa: E402

RESULTS = environment.FOLDER / "results.jsonl"
WORKER = Path(__file__).parent / "worker.py"


def kept() -> dict[str, dict[str, Any]]:
    """Return the latest result of each entry by its name."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {result["name"]: result for result in map(json.loads, lines)}


def names_of(python: Path, module: str) -> list[str]:
    """Return the names of a module's entries; packages may print lines of their own before."""
    with worker(python, "--names", module) as process:
        return json.loads(list(process.stdout or ())[-1])


def worker(python: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, WORKER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment.settings(),
    )


def run(python: Path, module: str, names: list[str]) -> None:
    """Examine these entries of a module, and keep each result as it ends."""
    process = worker(python, module, *names)
    with RESULTS.open("a") as file:
        for line in process.stdout or ():
            if not line.startswith('{"name": '):  # printed by a package
                continue
            result = json.loads(line)
            file.write(line)
            file.flush()
            print(page.line(result), flush=True)
    if process.wait():
        print(f"The worker of {module} ended with {process.returncode}: run it by itself to see why.", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of entries, with * and ?")
    parser.add_argument("--again", action="store_true", help="examine also what has a good result")
    parser.add_argument("--list", action="store_true", help="print the names only")
    options = parser.parse_args()
    python = environment.made()
    results, everything = kept(), []
    for module in [*models.modules(), "configurations"]:
        names = names_of(python, module)
        everything += names
        wanted = [name for name in names if fnmatch.fnmatchcase(name, options.only)]
        if options.list:
            print("\n".join(wanted))
            continue
        if not options.again:
            wanted = [name for name in wanted if not page.good(results.get(name))]
        if wanted:
            run(python, module, wanted)
    if options.list:
        return 0
    results = {name: result for name, result in kept().items() if name in everything}
    print(page.totals(list(results.values())))
    if len(results) == len(everything):
        (environment.ROOT / "docs" / "compatibility.md").write_text(page.written(list(results.values())))
    return 0 if all(map(page.good, results.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
