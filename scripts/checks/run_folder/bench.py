"""Small runs to be damaged, commands that read them, and the judgement of what a command did."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantools.board import distribution_figures, figures, landscape_figures, pictures, writer
from gantools.cli import main
from gantools.runs import training_loop
from gantools.runs.load import load
from gantools.runs.store import recorder
from gantools.runs.store.folder import RunFolder

STEPS, LONGER = 6, 8
_LOOKS = ["--log-every", "1", "--sample-every", "2", "--spectrum-every", "2", "--spectrum-k", "2"]
_LOOKS += ["--checkpoint-every", "2", "--steps", str(STEPS), "--threads", "1", "--device", "cpu"]
_RING = ["--data", "ring8", "--network.width", "4", "--network.depth", "1", "--batch-size", "8", "--latent-size", "2"]
_DIGITS = ["--data", "digits", "--network", "mlp", "--network.width", "4", "--batch-size", "8", "--latent-size", "2"]
OWN = """
import torch
from torch import nn
import gantools as gt
from beside import scale


def build():
    rng = torch.Generator().manual_seed(1)
    data = [tuple(torch.randn(5, n, generator=rng) for n in (2, 1)) for _ in range(3)]
    model = nn.Linear(2, 1)
    return gt.minimization(model, lambda m, b: scale * (m(b[0]) - b[1]).square().mean()), data
"""


@dataclasses.dataclass
class Bench:
    """A folder with intact runs, and what every command gives on them.

    Attributes:
        root: the folder; "outside" in it holds files that no command may touch.
        bases: intact runs, by name.
        expected: what a command gives on an intact run, by both names.
    """

    root: Path
    bases: dict[str, Path] = dataclasses.field(default_factory=dict)
    expected: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def set_up(cls, root: Path, digits: bool = True, cheapen: Callable[..., Any] = setattr) -> "Bench":
        """Train the intact runs, run every command on each, and know nobody's code but their own.

        Args:
            root: an empty folder.
            digits: whether to have a run with a feature network, which takes the longest.
            cheapen: sets an attribute of a module, by which pictures are made small.
        """
        os.environ["XDG_STATE_HOME"] = str(root / "state")
        _cheapen(cheapen)
        bench = cls(root)
        (root / "user").mkdir(parents=True)
        (root / "user" / "own.py").write_text(OWN)
        (root / "user" / "beside.py").write_text("scale = 2.0\n")
        own = f"{root / 'user' / 'own.py'}:build"
        runs = {"gan": _RING, "other": [*_RING, "--seed", "3"], "own": [own]}
        if digits:
            runs["digits"] = _DIGITS
        for name, args in runs.items():
            bench.bases[name] = root / "intact" / name
            args = [*args, "--optimizer", "simultaneous", "--optimizer.base", "adam", *_LOOKS]
            code, _, err, _ = quietly(lambda a=args, n=name: main(["train", *a, "--out", str(bench.bases[n])]))
            assert code == 0, err
        for name in bench.bases:
            for command in COMMANDS:
                bench.expected[name, command] = bench.trial(name, command, lambda run: None).result
        return bench

    def trial(
        self,
        base: str,
        command: str,
        damage: Callable[[Path], AbstractContextManager[Any] | None],
        folder: Path | None = None,
    ) -> "Trial":
        """Copy a run, damage it, run a command on it, and look at what that did."""
        work = self.root / "work" if folder is None else folder
        shutil.rmtree(work, ignore_errors=True)
        (self.root / "marker").unlink(missing_ok=True)
        outside = self.root / "outside"
        shutil.rmtree(outside, ignore_errors=True)
        (outside / "folder").mkdir(parents=True)
        for name in ("victim", "folder/step-00000006.png", "folder/step-00000008.pt"):
            (outside / name).write_text("precious")
        run = work / base
        shutil.copytree(self.bases[base], run)
        before = _contents(outside)
        with damage(run) or contextlib.nullcontext():
            good = _good_lines(run)
            code, out, err, raised = quietly(lambda: COMMANDS[command](run))
        result = _result(command, run, out) if code == 0 else None
        return Trial(
            code, out, err, raised, result, _contents(outside) != before, (self.root / "marker").exists(),
            sorted(good - _good_lines(run)),
        )  # fmt: skip

    def verdict(self, base: str, command: str, trial: "Trial") -> list[str]:
        """Return what is wrong with a trial: raw, altered, lost, outside, executed."""
        wrong = []
        text = trial.out + trial.err
        if trial.raised or "Traceback" in text or "Exception in thread" in text:
            wrong.append("raw")
        said = bool(trial.err.strip())
        if trial.code == 0 and not said and not same(trial.result, self.expected[base, command]):
            wrong.append("altered")
        if trial.code not in (0, 2) or (trial.code == 2 and not said):
            wrong.append("raw")
        if trial.lost:
            wrong.append("lost")
        return wrong + ["outside"] * trial.outside + ["executed"] * trial.executed


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a command did to a damaged run.

    Attributes:
        code: its exit code.
        out: what it printed.
        err: what it printed on the standard error.
        raised: an exception that left it, in words, or "".
        result: what it computed, None where it failed.
        outside: whether files outside of the run changed.
        executed: whether planted code ran.
        lost: undamaged lines of metrics that are nowhere in the run any more.
    """

    code: int
    out: str
    err: str
    raised: str
    result: Any
    outside: bool
    executed: bool
    lost: list[bytes]


def _cheapen(put: Callable[..., Any]) -> None:
    """Take few samples and draw small pictures: full ones take longer than all the rest of a small run."""

    def small_figure(*args: Any, **kwargs: Any) -> Figure:
        return Figure(figsize=(1, 1), dpi=8)

    put(training_loop, "METRIC_SAMPLES", 64)
    put(os, "fsync", lambda number: None)  # no power is cut here
    for module in (figures, distribution_figures, landscape_figures, writer, pictures, recorder):
        for name in list(vars(module)):
            if name.endswith("_figure"):
                put(module, name, small_figure)


def quietly(action: Callable[[], int]) -> tuple[int, str, str, str]:
    """Return (exit code, standard output, standard error, exception in words) of a command in this process."""
    out, err, raised, code = io.StringIO(), io.StringIO(), "", 1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = action()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 2
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
    return code, out.getvalue(), err.getvalue(), raised


def _library(run: Path) -> int:
    """Read a run as a script would."""
    from gantools.errors import GantoolsError

    try:
        print(json.dumps(RunFolder(run).metrics()))
        opened = load(run, step=4)
        print([round(float(value), 5) for value in opened.game.vector()])
        return 0
    except GantoolsError as error:
        import sys

        print(error, file=sys.stderr)
        return 2


def _analysis(name: str, *flags: str) -> Callable[[Path], int]:
    return lambda run: main([name, str(run), "--device", "cpu", *flags])


COMMANDS: dict[str, Callable[[Path], int]] = {
    "resume": lambda run: main(["train", "--resume", "--out", str(run), "--steps", str(LONGER)]),
    "dry-run": lambda run: main(["train", "--resume", "--dry-run", "--out", str(run)]),
    "spectrum": _analysis("spectrum", "--k", "2"),
    "spectrum all": _analysis("spectrum", "--k", "2", "--checkpoint", "all"),
    "index": _analysis("index", "--method", "exact"),
    "density": _analysis("density", "--probes", "2", "--lanczos-steps", "5", "--starts", "1"),
    "path": _analysis("path", "--points", "5"),
    "sample": _analysis("sample", "--n", "4"),
    "report": lambda run: main(["report", str(run)]),
    "library": _library,
}


def _result(command: str, run: Path, out: str) -> Any:
    """Return what a command computed, as plain values: equal where the files are."""
    if command == "resume":
        saved = torch.load(run / "checkpoints" / f"step-{LONGER:08d}.pt", weights_only=True)
        state = {name: value.tolist() for name, value in saved["parameters"].items()}
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        timeless = [{k: v for k, v in line.items() if k not in ("step_seconds", "check")} for line in lines]
        return state, [line for line in timeless if len(line) > 1], _events(run)
    if command in ("library", "dry-run"):
        return out
    if command == "report":  # a page of pictures; TensorBoard's reader, not ours, reads the events
        return (run / "report.html").exists()
    arrays: dict[str, Any] = {}
    for file in sorted([*run.glob("analysis/*.npz"), *run.glob("samples-*.npy")]):
        if file.is_symlink():
            continue
        loaded = np.load(file, allow_pickle=True)  # what this program wrote a moment ago
        if file.suffix == ".npy":
            arrays[file.name] = loaded
            continue
        names = ["values"] if "values" in loaded.files else loaded.files
        arrays |= {f"{file.name} {name}": loaded[name] for name in names}
    return arrays


def same(a: Any, b: Any) -> bool:
    """Return whether results agree: arrays to a hundredth, as a clock decides how products are made."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, np.ndarray) and a.dtype.kind == "c":  # conjugates may change places
        return all(same(np.sort(f(a), None), np.sort(f(b), None)) for f in (np.real, lambda z: abs(z.imag)))
    if isinstance(a, np.ndarray) and a.dtype.kind == "f":
        return a.shape == b.shape and np.allclose(a, b, rtol=0.01, atol=0.01 * float(np.abs(a).max(initial=0)))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def _events(run: Path) -> Any:
    seen = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()
    tags = [tag for tag in seen.Tags()["scalars"] if tag != "step_seconds"]
    scalars = {tag: sorted((event.step, f"{event.value:.6g}") for event in seen.Scalars(tag)) for tag in tags}
    return scalars, {tag: sorted({e.step for e in seen.Images(tag)}) for tag in seen.Tags()["images"]}


def _contents(folder: Path) -> dict[str, Any]:
    return {str(f): f.read_bytes() if f.is_file() else "" for f in folder.rglob("*")}


def _good_lines(run: Path) -> set[bytes]:
    """Return the whole lines of metrics in a run, those that are set aside included."""
    from gantools.runs.store.metrics import read_lines

    found: set[bytes] = set()
    for file in [run / "metrics.jsonl", *run.glob("set-aside/*/metrics.jsonl*")]:
        with contextlib.suppress(OSError):
            if file.is_file() and not file.is_symlink():
                found |= {line.raw for line in read_lines(file.read_bytes()).good}
    return found
