"""Try to make a run folder lose, alter or execute something: damage, flips, foreign folders, processes, full disks.

Counts what must be zero: raw tracebacks, results that are altered without a word, lines of metrics that are lost, files
outside of the run that are written, code that is executed unasked. About half an hour; `--quick` takes two minutes.

    python scripts/checks/check_run_folder.py
"""

import argparse
import collections
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from run_folder import processes
from run_folder.bench import COMMANDS, Bench, quietly
from run_folder.damage import DIGITS_FILES, FILES, OWN_FILES, corruptions, flip
from run_folder.foreign import CODE, LINKS

KINDS = ("raw", "altered", "lost", "outside", "executed")


class Count:
    """Trials, and what went wrong in them.

    Attributes:
        trials: how many of each sweep.
        wrong: how many of each kind of what must not be.
        cases: the trials that went wrong, in words.
    """

    def __init__(self) -> None:
        self.trials: collections.Counter[str] = collections.Counter()
        self.wrong: collections.Counter[str] = collections.Counter(dict.fromkeys(KINDS, 0))
        self.cases: list[str] = []

    def add(self, sweep: str, case: str, wrong: Iterable[str], text: str = "") -> None:
        """Count a trial."""
        self.trials[sweep] += 1
        if wrong := list(wrong):
            self.wrong.update(wrong)
            self.cases.append(f"{', '.join(wrong)}: {sweep}: {case}: {text[-400:]}")

    def __str__(self) -> str:
        trials = ", ".join(f"{number} of {name}" for name, number in self.trials.items())
        zeros = ", ".join(f"{number} {name}" for name, number in self.wrong.items())
        return "\n".join([*self.cases, f"{sum(self.trials.values())} trials: {trials}", zeros])


def sweep_damage(bench: Bench, count: Count, share: int = 1) -> None:
    """Every corruption by every command; with `share` n, every n-th pair of them."""
    pairs = [
        (base, name, damage, command)
        for base, name, damage in corruptions("digits" in bench.bases)
        for command in COMMANDS
        if base != "digits" or command == "resume"
    ]
    for base, name, damage, command in pairs[::share]:
        trial = bench.trial(base, command, damage)
        count.add("damage", f"{name}, {command}", bench.verdict(base, command, trial), trial.raised or trial.err)


def sweep_flips(bench: Bench, count: Count, flips: int) -> None:
    """So many random bits of every file, one at a time, by the commands that read it back."""
    for base, files in (("gan", FILES), ("own", OWN_FILES), ("digits", DIGITS_FILES)):
        for name, pattern in files.items() if base in bench.bases else ():
            for seed in range(flips):
                for command in ("resume",) if base == "digits" else ("resume", "spectrum all", "library"):
                    trial = bench.trial(base, command, flip(pattern, seed))
                    wrong = bench.verdict(base, command, trial)
                    count.add("flips", f"{name}, flip {seed}, {command}", wrong, trial.raised or trial.err)


def sweep_foreign(bench: Bench, count: Count, share: int = 1) -> None:
    """Every foreign folder by every command: nothing is executed, nothing written outside."""
    cases = [("gan" if name.startswith(("pickled", "checkpoint")) else "own", name, p) for name, p in CODE.items()]
    cases += [("gan", f"link {name}", plant) for name, plant in LINKS.items()]
    for base, name, plant in cases:
        for command in list(COMMANDS)[::share]:
            trial = bench.trial(base, command, lambda run, plant=plant: plant(run))
            wrong = [w for w in bench.verdict(base, command, trial) if w in ("raw", "outside", "executed")]
            count.add("foreign", f"{name}, {command}", wrong, trial.raised or trial.err)


def sweep_processes(bench: Bench, count: Count, number: int) -> None:
    """Processes that meet, are stopped, or find no room."""
    folder = bench.root / "processes"
    folder.mkdir()
    found: dict[str, list[str]] = {}

    def run() -> int:
        found["pairs"] = processes.pairs(folder, number)
        found["comparisons"] = processes.comparisons(folder)
        found["readers of a growing run"] = processes.readers(folder, number)
        found["signals"] = processes.signals(folder, 2 * number)
        found["stopped analyses"] = processes.analyses_stopped(folder, bench.bases["gan"])
        found["full disks"] = processes.full_disk(folder, 3 * number)
        return 0

    _, _, err, raised = quietly(run)
    tried = {"pairs": number, "readers of a growing run": number, "signals": 2 * number, "full disks": 3 * number}
    for name, wrong in found.items():
        for case in wrong:
            count.add(name, case, ["raw" if "raw" in case else "lost"])
        count.trials[name] += tried.get(name, 1) - len(wrong)
    if raised:
        count.add("processes", f"{raised} {err}", ["raw"])


def main() -> None:
    """Run the sweeps, print the counts, and exit with 1 if any is not zero."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a part of each sweep")
    parser.add_argument("--flips", type=int, default=100, help="of every file")
    parser.add_argument("--only", choices=("damage", "flips", "foreign", "processes"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    count = Count()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.set_up(Path(folder), digits=not args.quick)
        if args.only in (None, "processes"):
            sweep_processes(bench, count, 2 if args.quick else 10)
        if args.only in (None, "foreign"):
            sweep_foreign(bench, count, 3 if args.quick else 1)
        if args.only in (None, "damage"):
            sweep_damage(bench, count, 17 if args.quick else 1)
        if args.only in (None, "flips"):
            sweep_flips(bench, count, 2 if args.quick else args.flips)
    print(count)
    sys.exit(any(count.wrong.values()))


if __name__ == "__main__":
    main()
