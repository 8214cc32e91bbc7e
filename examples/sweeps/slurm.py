"""A sweep on a Slurm cluster by submitit: one job for each method and seed; a job that Slurm requeues goes on.

    pip install gantools submitit
    python examples/sweeps/slurm.py --methods consensus simultaneous --seeds 0 1 2 --partition gpu --data ring8
    python examples/sweeps/slurm.py --cluster local --steps 200 --data ring8      # on this machine, to try it

Options that are not its own go to `gantools train`. Every run has a folder METHOD-seedSEED in --out, which a second
call with more --steps goes on with; `gantools board runs/slurm` and `gantools report runs/slurm` show all of them.
"""

import argparse
import itertools
from pathlib import Path

import submitit

from gantools.cli import main as gantools


class Run:
    """One run, called on the node that it was given."""

    def __call__(self, method: str, seed: int, steps: int, out: Path, options: list[str]) -> str:
        """Train, or go on from the last checkpoint, and return the run folder."""
        folder = out / f"{method}-seed{seed}"
        where = ["--steps", str(steps), "--out", str(folder)]
        if (folder / "config.json").exists():
            code = gantools(["train", "--resume", *where])
        else:
            code = gantools(["train", "--optimizer", method, "--seed", str(seed), *where, *options])
        if code:
            raise RuntimeError(f"{folder}: gantools train ended with code {code}")
        return str(folder)

    def checkpoint(self, *args: object) -> submitit.helpers.DelayedSubmission:
        """Submit the run anew, where Slurm is about to end its job: the folder has all that it did."""
        return submitit.helpers.DelayedSubmission(self, *args)


def main(command: list[str] | None = None) -> list[str]:
    """Submit a job for each method and seed, wait for all, and return their run folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["consensus", "simultaneous"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("runs/slurm"), help="on a file system that all nodes share")
    parser.add_argument("--cluster", help="slurm, local or debug; by default slurm where there is one")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--minutes", type=int, default=60, help="of a job; one that needs more is requeued")
    args, options = parser.parse_known_args(command)
    executor = submitit.AutoExecutor(folder=args.out / "jobs", cluster=args.cluster)
    executor.update_parameters(timeout_min=args.minutes, cpus_per_task=1, name="gantools")
    if args.partition:
        executor.update_parameters(slurm_partition=args.partition)
    with executor.batch():  # one array of jobs
        jobs = [
            executor.submit(Run(), method, seed, args.steps, args.out.resolve(), options)
            for method, seed in itertools.product(args.methods, args.seeds)
        ]
    folders = [job.result() for job in jobs]
    print(*folders, sep="\n")
    return folders


if __name__ == "__main__":
    main()
