"""Small runs for the tests of the program: a user's file, a run that is killed, and what two runs have in common."""

import json
import os
import signal
import warnings
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantools.cli import main

RING = ["--data", "ring8", "--network.width", "4", "--network.depth", "1", "--batch-size", "8", "--latent-size", "2"]
QUIET = ["--sample-every", "0", "--spectrum-every", "0", "--log-every", "1"]

OWN = '''
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

import gantools as gt


def data(n=20):
    rng = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(n, 3, generator=rng), torch.randn(n, 1, generator=rng))


class Augmented(Dataset):
    """Draws from all three global generators for every item."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        noise = float(torch.rand(())) + random.random() + np.random.rand()
        return torch.full((3,), index + noise), torch.zeros(1)


def fit(batches, *layers):
    model = nn.Sequential(nn.Linear(3, 4), *layers, nn.Tanh(), nn.Linear(4, 1))
    return gt.minimization(model, lambda model, batch: (model(batch[0]) - batch[1]).square().mean()), batches


def shuffled():
    return fit(DataLoader(data(), batch_size=6, shuffle=True))


def own_generator():
    return fit(DataLoader(data(), batch_size=6, shuffle=True, generator=torch.Generator().manual_seed(5)))


def own_sampler():
    points = data()
    return fit(DataLoader(points, 6, sampler=RandomSampler(points, generator=torch.Generator().manual_seed(5))))


def augmented():
    return fit(DataLoader(Augmented(), batch_size=6, shuffle=True))


def dropout():
    return fit(DataLoader(data(), batch_size=6, shuffle=True), nn.Dropout(0.5))


def batch_norm():
    return fit(DataLoader(data(), batch_size=5, shuffle=True), nn.BatchNorm1d(4))


def noisy_loss():
    """Draws in its loss, so that it has no spectrum; and so looking for one draws as well."""
    model = nn.Linear(3, 1)
    return gt.minimization(model, lambda model, b: (model(b[0]) + torch.randn(()) - b[1]).square().mean()), [data()[:]]


def one_batch():
    return fit(tuple(data().tensors))


def gan():
    rng = torch.Generator().manual_seed(2)
    batches = [{"real": torch.randn(8, 2, generator=rng), "latent": torch.randn(8, 3, generator=rng)} for _ in range(3)]
    return gt.gan(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))), batches


def nan_later():
    """The second player's loss is NaN from the batch that holds a zero on."""

    class Player(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

    def losses(players, batch):
        x, y = players["x"].w, players["y"].w
        return {"x": (x * y).sum(), "y": (y * y).sum() * (batch[0] / batch[0]).mean()}

    return gt.Game({"x": Player(), "y": Player()}, losses), [(torch.ones(2),)] * 5 + [(torch.zeros(2),)]


def nan_in_data():
    x = torch.ones(2, 3)
    bad = x.clone()
    bad[1, 2] = float("nan")
    return fit([(x, torch.ones(2, 1))] * 2 + [(bad, torch.ones(2, 1))])


def infinite_step():
    """A finite field whose derivative is not: consensus differentiates sqrt at 0."""

    class Player(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

    def losses(players, batch):
        w = players["model"].w
        return {"model": (w * batch[0]).abs().pow(1.5).sum() + w.square().sum()}

    return gt.Game({"model": Player()}, losses), [(torch.ones(2),)] * 4 + [(torch.zeros(2),)]
'''


def own_file(folder: Path) -> str:
    """Write the user's file and return its path."""
    path = folder / "own.py"
    path.write_text(OWN)
    return str(path)


def cheapen_looks(monkeypatch) -> None:
    """Take few samples and leave pictures blank: drawn ones take longer than all the rest of a small run."""
    monkeypatch.setattr("gantools.runs.training_loop.METRIC_SAMPLES", 64)
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: None)


def killed(*argv: str, at) -> None:
    """Run the command line in a process of its own that `at()` prepares, and that SIGKILL must end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside threads
        pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)
            at()
            main(list(argv))
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"it ended with status {status}"


def die(*args, **kwargs) -> None:
    """Be killed, now."""
    os.kill(os.getpid(), signal.SIGKILL)


def checkpoint(run: Path, step: int) -> dict:
    """Return the state that a checkpoint holds, without what it says of the run's other files and searches."""
    saved = torch.load(run / "checkpoints" / f"step-{step:08d}.pt", weights_only=True)
    return {key: value for key, value in saved.items() if key not in ("record", "logs", "starts")}


def records(run: Path) -> list[dict]:
    """Return the records of metrics.jsonl without timing and checks, and without those that hold nothing else."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in ("step_seconds", "check")} for line in lines]
    return [line for line in timeless if len(line) > 1]


def events(run: Path) -> tuple[dict, dict]:
    """Return (steps by scalar tag, steps by image tag) of the event files, as TensorBoard shows them; no timing."""
    seen = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0}).Reload()
    tags = [tag for tag in seen.Tags()["scalars"] if tag != "step_seconds"]
    scalars = {tag: sorted(event.step for event in seen.Scalars(tag)) for tag in tags}
    return scalars, {tag: sorted(event.step for event in seen.Images(tag)) for tag in seen.Tags()["images"]}


def identical(a, b) -> bool:
    """Return whether two nested values are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    return a == b


def fails(capsys, *argv, code=2):
    """Run a command that must fail; return its sentence."""
    try:
        returned = main([str(word) for word in argv])
    except SystemExit as exit:  # tyro's own
        returned = exit.code
    err = capsys.readouterr().err
    assert returned == code
    assert "Traceback" not in err and err.strip()
    return err


def run_ok(capsys, *argv):
    """Run a command that must succeed without a word on the standard error; return what it prints."""
    assert main([str(word) for word in argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out
