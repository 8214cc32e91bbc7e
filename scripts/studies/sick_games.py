"""A zoo of sick games, and of healthy ones: does a diagnosis name what ails them, and does its first advice cure it?

Every game is trained as `gantools train FILE.py:FUNCTION` does it and its health is measured; then it is diagnosed as
it stands before training, the first advice is applied as typed, and it is trained again. An advice without flags
counts only where the entry has the game with that change. Games written afterwards are by somebody who had not seen the
rules of the diagnosis, in two sets, and are counted apart. Results that are finished are not computed again.

    python scripts/studies/sick_games.py --jobs 2
    python scripts/studies/sick_games.py --verify --jobs 2        no diagnosis: are they sick, can they be cured?
    python scripts/studies/sick_games.py --only dirac table --seeds 0
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from harness import study
from zoo import classical, fresh, healthy, second, tables, threads
from zoo.prescription import outcome, verified

import gantools as gt

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SIGHTS = {  # what was found before rules were mended for what it missed
    "sick_games-first": "The first set written afterwards, seed 0, with the rules as they were when it was written:",
    "sick_games-second": "The second set, three seeds, with rules mended for the first one and not for this:",
}
NOTES = Path(__file__).parent / "zoo" / "notes.md"
KINDS = {
    "threads": threads.ENTRIES,
    "classical": classical.ENTRIES,
    "written afterwards": fresh.ENTRIES,
    "second set, written afterwards": second.ENTRIES,
    "healthy": healthy.ENTRIES,
    "healthy, written afterwards": fresh.HEALTHY,
    "healthy, second set": second.HEALTHY,
}
ENTRIES = {entry.name: entry for entries in KINDS.values() for entry in entries}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return the outcome of an entry and a seed."""
    return outcome(ENTRIES[cell["entry"]], seed, gt.analysis.diagnose)


def verify(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return whether an entry is sick as it is and well after its known cure."""
    return dataclasses.asdict(verified(ENTRIES[cell["entry"]], seed))


def chosen(names: list[str] | None) -> dict[str, study.Cell]:
    """Return the cells of these entries; of all by default."""
    return {name: {"entry": name} for name in ENTRIES if not names or name in names}


def main(command: list[str] | None = None) -> None:
    """Run what is missing, print the table, and write it as Markdown and as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--verify", action="store_true", help="sickness and known cures alone, without a diagnosis")
    options.add_argument("--only", nargs="+", choices=list(ENTRIES), metavar="NAME", help="entries; all by default")
    options.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    study.add_pool(options)
    options.add_argument("--root", type=Path, help="where results are kept; by default runs/sick_games[-verify]")
    options.add_argument("--out", type=Path, help="folder of the table; by default the root")
    args = options.parse_args(command)
    name = "sick_games-verify" if args.verify else "sick_games"
    root = args.root or Path("runs") / name
    job = study.Study(name, verify if args.verify else run, chosen(args.only), {}, {}, args.seeds)
    results: dict[str, dict[int, dict[str, Any]]] = {
        cell: dict(by_seed) for cell, by_seed in study.execute(job, root, study.pool_of(args)).by_cell.items()
    }
    shown = {kind: [e for e in entries if e.name in results] for kind, entries in KINDS.items()}
    text = (tables.verification if args.verify else tables.diagnosis)(shown, results)
    left_out = [name for name in ENTRIES if name not in results]
    parts = [tables.heading(__doc__ or "", args.seeds, left_out), text]
    if not left_out and not args.verify:  # what was found before rules were mended, and what to make of all numbers
        sights = {said: json.loads((RESULTS / f"{name}.json").read_text()) for name, said in SIGHTS.items()}
        parts += ["## At first sight", *(tables.first_sight(shown, seen, said) for said, seen in sights.items())]
        parts += [NOTES.read_text().strip()]
    text = "\n\n".join(parts)
    out = args.out or root
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text + "\n")
    (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
