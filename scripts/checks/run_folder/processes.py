"""Processes that meet in one run folder, are killed by signals, or find the disk full."""

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from gantools.cli import main
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.metrics import read_lines

ARGS = ["--data", "ring8", "--network.width", "4", "--network.depth", "1", "--batch-size", "8", "--latent-size", "2"]
ARGS += ["--optimizer", "simultaneous", "--optimizer.base", "adam", "--threads", "1", "--device", "cpu"]
ARGS += ["--sample-every", "0", "--spectrum-every", "0", "--log-every", "1"]


class Child:
    """The command line in a forked process, with files for what it prints."""

    def __init__(self, folder: Path, name: str, *argv: str, prepare: Callable[[], object] = lambda: None):
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside threads
            self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                for number, path in ((1, self.out), (2, self.err)):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
                signal.alarm(300)
                prepare()
                code = main(list(argv))
            except SystemExit as exit:
                code = int(exit.code or 0)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)

    def running(self) -> bool:
        """Return whether it still runs, without waiting."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self) -> int:
        """Return its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def raw(self) -> bool:
        """Return whether it printed a traceback."""
        text = self.out.read_text(errors="replace") + self.err.read_text(errors="replace")
        return "Traceback" in text or "Exception in thread" in text or "Exception ignored" in text


def _lines(run: Path) -> int:
    with contextlib.suppress(OSError):
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def _wait(child: Child, until: Callable[[], bool]) -> None:
    while child.running() and not until():
        time.sleep(0.002)


def state(run: Path, step: int) -> object:
    """Return the state at a step and the records of a run, without timing."""
    import torch

    saved = torch.load(run / "checkpoints" / f"step-{step:08d}.pt", weights_only=True)
    values = {name: value.tolist() for name, value in saved["parameters"].items()}
    records = [{k: v for k, v in r.items() if k != "step_seconds"} for r in RunFolder(run).metrics()]
    return values, str(saved["optimizer"]), [record for record in records if len(record) > 1]


def pairs(folder: Path, count: int) -> list[str]:
    """Two processes that resume one run at once, and one beside a live training: one of two is refused; no line lost.

    Returns:
        What went wrong, in words.
    """
    wrong = []
    for number in range(count):
        run = folder / f"pair-{number}"
        assert main(["train", *ARGS, "--steps", "4", "--out", str(run)]) == 0
        again = ["train", "--resume", "--out", str(run), "--steps", "60", "--checkpoint-every", "5"]
        first = Child(folder, f"pair-{number}-a", *again)
        if number % 2:
            _wait(first, lambda run=run: _lines(run) > 8)
        second = Child(folder, f"pair-{number}-b", *again)
        codes = sorted((first.wait(), second.wait()))
        lines = read_lines((run / "metrics.jsonl").read_bytes())
        said = first.err.read_text() + second.err.read_text()
        if first.raw() or second.raw():
            wrong.append(f"pair {number}: raw: {said[-300:]}")
        # Where the second came when the first was done, it finds nothing to do and both end well.
        if codes != [0, 0] and (codes != [0, 2] or "is in use by process" not in said):
            wrong.append(f"pair {number}: {codes} {said[-300:]}")
        if lines.lost() or [line.record["step"] for line in lines.good] != list(range(60)):
            wrong.append(f"pair {number}: lines were lost")
    return wrong


def comparisons(folder: Path) -> list[str]:
    """Two comparisons of different methods in one folder."""
    import json

    args = ["compare", "--game", "bilinear", "--steps", "50", "--lr", "0.1", "--out", str(folder / "compared")]
    first = Child(folder, "compare-a", *args, "--optimizers", "simultaneous,alternating,extragradient,optimistic")
    second = Child(folder, "compare-b", *args, "--optimizers", "momentum,heun,rk4")
    children = {4: first, 3: second}
    wanted = sum(rows for rows, child in children.items() if child.wait() == 0)
    rows = len(json.loads((folder / "compared" / "results.json").read_text())["rows"])
    raw = [child.err.read_text()[-300:] for child in children.values() if child.raw()]
    return [f"comparisons: {rows} rows of {wanted}"] * (rows != wanted) + raw


def readers(folder: Path, count: int) -> list[str]:
    """Commands that read a run while it is trained, with a checkpoint after every step and few kept."""
    run, wrong = folder / "growing", []
    live = Child(
        folder, "growing", "train", *ARGS, "--steps", "100000", "--checkpoint-every", "1", "--keep-last", "2",
        "--out", str(run),
    )  # fmt: skip
    _wait(live, lambda: len(list(run.glob("checkpoints/step-*"))) > 1)
    for number in range(count):
        command = [["spectrum", str(run), "--k", "2"], ["sample", str(run), "--n", "2"]][number % 2]
        reader = Child(folder, "reader", *command, "--device", "cpu")
        code = reader.wait()
        if code or reader.raw() or reader.err.read_text().strip():
            wrong.append(f"reader {number}: exit {code}: {reader.err.read_text()[-300:]}")
    os.kill(live.pid, signal.SIGTERM)
    if live.wait() != 128 + signal.SIGTERM:
        wrong.append(f"growing: {live.err.read_text()[-300:]}")
    return wrong


def signals(folder: Path, count: int) -> list[str]:
    """Training ended by a signal at random lines, then resumed: equal to the run that never stopped."""
    wrong, whole = [], folder / "whole"
    args = ["train", *ARGS, "--checkpoint-every", "7", "--steps", "60"]
    assert main([*args, "--out", str(whole)]) == 0
    expected = state(whole, 60)
    rng = random.Random(0)
    for number in range(count):
        run = folder / f"signal-{number}"
        wanted = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL][number % 4]
        child, lines = Child(folder, "signal", *args, "--out", str(run)), rng.randrange(50)
        _wait(child, lambda run=run, lines=lines: _lines(run) > lines)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, wanted)
        code = child.wait()
        if child.raw() or code not in (0, -signal.SIGKILL if wanted == signal.SIGKILL else 128 + wanted):
            wrong.append(f"{wanted.name} at line {lines}: exit {code}: {child.err.read_text()[-300:]}")
        again = Child(folder, "again", "train", "--resume", "--out", str(run))
        if again.wait() or again.raw() or state(run, 60) != expected:
            wrong.append(f"{wanted.name} at line {lines}: another run: {again.err.read_text()[-300:]}")
    return wrong


def analyses_stopped(folder: Path, run: Path) -> list[str]:
    """An analysis that gets SIGTERM or SIGHUP says so, or was done before; the run itself stays as it is."""
    wrong, run = [], shutil.copytree(run, folder / "analysed")
    commands = (["index", "--method", "exact"], ["spectrum", "--k", "2"], ["density", "--probes", "500"])
    for (name, *flags), wanted in zip(commands, (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM), strict=True):
        for delay in (0.0, 0.1, 0.3):
            child = Child(folder, "analysis", name, str(run), "--device", "cpu", *flags)
            time.sleep(0.05 + delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, wanted)
            code, said = child.wait(), child.err.read_text()
            if child.raw() or code not in (0, 128 + wanted) or (code and "stopped by" not in said):
                wrong.append(f"{name}, {wanted.name}: exit {code}: {said[-300:]}")
    return wrong


def full_disk(folder: Path, count: int) -> list[str]:
    """Training where no file may grow beyond a size; after making room, equal to the run that never stopped."""
    wrong, whole = [], folder / "roomy"
    looks = ["--sample-every", "20", "--spectrum-every", "20", "--spectrum-k", "2"]
    args = ["train", *ARGS, "--checkpoint-every", "7", "--steps", "40", *looks]
    assert main([*args, "--out", str(whole)]) == 0
    expected = state(whole, 40)
    largest = max(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    for number in range(count):
        size = int(100 * (1.1 * largest / 100) ** (number / max(1, count - 1)))
        run = folder / f"full-{number}"

        def bound(size: int = size) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        child = Child(folder, "full", *args, "--out", str(run), prepare=bound)
        code = child.wait()
        if child.raw() or code not in (0, 2):
            wrong.append(f"room for {size} bytes: exit {code}: {child.err.read_text()[-300:]}")
        resumed = (
            ["train", "--resume", "--out", str(run)] if (run / "config.json").exists() else [*args, "--out", str(run)]
        )
        again = Child(folder, "again", *resumed)
        if again.wait() or again.raw() or state(run, 40) != expected:
            wrong.append(f"room for {size} bytes: another run: {again.err.read_text()[-300:]}")
    return wrong
