"""A sweep on a dask cluster of processes of this machine: one worker is killed; every run is finished, and once."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from gantools.runs.store.folder import RunFolder

pytestmark = pytest.mark.slow
SEEDS, STEPS = range(4), 400


@contextmanager
def started(*command, **options):
    with subprocess.Popen([sys.executable, *command], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def until(found, seconds=240):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return value


@contextmanager
def cluster(folder, workers=2):
    """Yield the address of a scheduler and the processes of its workers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        about = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        stack.enter_context(started("-m", "distributed.cli.dask_scheduler", *about, **quiet))
        until(file.exists)
        address = until(lambda: file.read_text() and json.loads(file.read_text())["address"])
        own = [address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
        make = [
            stack.enter_context(started("-m", "distributed.cli.dask_worker", *own, **quiet)) for _ in range(workers)
        ]
        yield address, make


def in_the_middle(runs, process):
    """Return the run that a process trains, past its first checkpoint and before its last one; None where none is."""
    for run in runs.glob("*-seed*"):
        if not run.is_dir() or not (run / ".lock.json").exists():
            continue
        steps = RunFolder(run).steps()
        if json.loads((run / ".lock.json").read_text())["process"] == process and 0 < len(steps) < 3:
            return run
    return None


def test_a_worker_is_killed_and_every_run_is_finished_once(tmp_path):
    with cluster(tmp_path) as (address, workers):
        command = ["-m", "gantools", "compare", "--game", "ring8", "--optimizers", "simultaneous", "--out", "c"]
        command += ["--steps", str(STEPS), "--seeds", *map(str, SEEDS), "--backend", "dask", "--scheduler", address]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": tmp_path}
        with started(*command, **pipes) as sweep:
            victim = until(lambda: in_the_middle(tmp_path / "c" / "runs", workers[0].pid))
            workers[0].kill()
            said, _ = sweep.communicate(timeout=400)
    assert sweep.returncode == 0, said
    results = json.loads((tmp_path / "c" / "results.json").read_text())["rows"]
    assert sorted(row["seed"] for row in results) == list(SEEDS) and all(row["steps"] == STEPS for row in results)
    assert sorted(re.findall(r"simultaneous, seed (\d)", said)) == [str(seed) for seed in SEEDS]
    resumed = {}
    for seed in SEEDS:
        run = RunFolder(tmp_path / "c" / "runs" / f"simultaneous-seed{seed}")
        # Every step was logged once, in the order of steps, and the last one has a checkpoint.
        assert [record["step"] for record in run.metrics()] == list(range(0, STEPS, 5)) and run.steps()[-1] == STEPS
        resumed[run.path] = [note["step"] for note in run.record().content.get("resumed", [])]
    # The run of the killed worker went on from a checkpoint, once; the others were never begun anew.
    (gone_on,) = [path for path, steps in resumed.items() if steps]
    assert gone_on == victim and len(resumed[victim]) == 1 and resumed[victim][0] >= STEPS // 4
    assert not list((tmp_path / "c").glob("runs/*/.part*")) and os.path.exists(tmp_path / "c" / "table.md")
