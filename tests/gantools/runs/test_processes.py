"""Training in the processes of torchrun: the same run as in one, in any number of them."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

EVERY = ["--steps", 12, "--checkpoint-every", 4, "--spectrum-every", 6]
RING = ["--data", "ring8", "--network", "mlp", "--batch-size", 24, "--sample-every", 6]
OWN = """
import torch
import gantools as gt


def build():
    torch.manual_seed(0)
    G, D = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    game = gt.gan(G, D)
    return game, [{"real": torch.randn(9, 2), "latent": torch.randn(9, 2)} for _ in range(3)]
"""

pytestmark = pytest.mark.slow


def start(count, *arguments, cwd):
    launcher = [] if count == 1 else ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "gantools", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(count, *arguments, cwd):
    process = start(count, *arguments, cwd=cwd)
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    return text


def parameters(folder, step):
    return torch.load(folder / "checkpoints" / f"step-{step:08}.pt", weights_only=True)["parameters"]


def assert_close(a, b, step):
    for name, value in parameters(a, step).items():
        torch.testing.assert_close(parameters(b, step)[name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        [*RING, *EVERY, "--optimizer", "consensus", "--average", "ema", "--accumulate", 3],
        ["own.py:build", *EVERY, "--optimizer", "alternating"],  # nine samples a batch: unequal shares
    ],
)
def test_two_processes_are_one(arguments, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    one, two = tmp_path / "one", tmp_path / "two"
    finish(1, "train", *arguments, "--out", one, cwd=tmp_path)
    said = finish(2, "train", *arguments, "--out", two, cwd=tmp_path)
    assert said.count("Done: 12 steps") == 1
    assert_close(one, two, 12)
    # What two began goes on in one, and the other way round.
    finish(2, "train", "--resume", "--out", one, "--steps", 20, cwd=tmp_path)
    finish(1, "train", "--resume", "--out", two, "--steps", 20, cwd=tmp_path)
    assert_close(one, two, 20)


def test_too_small_a_batch_and_a_lost_process(tmp_path):
    process = start(3, "train", "--batch-size", 2, *EVERY, "--out", tmp_path / "small", cwd=tmp_path)
    text = process.communicate(timeout=300)[0]
    assert process.returncode and "cannot be shared by 3 processes" in text
    out = tmp_path / "long"
    steps = ["--steps", 10**6, "--checkpoint-every", 50, "--spectrum-every", 0]
    process = start(2, "train", *RING[:-1], 0, *steps, "--out", out, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.5)
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True)
    workers = [int(line.split()[0]) for line in found.stdout.splitlines() if "gantools train" in line]
    assert len(workers) == 2, found.stdout
    os.kill(workers[-1], signal.SIGKILL)
    text = process.communicate(timeout=120)[0]
    assert process.returncode and re.search("connection to another process broke", text), text[-3000:]
    assert finish(1, "train", "--resume", "--out", out, "--steps", _last(out) + 3, cwd=tmp_path)


def _last(out):
    return max(int(path.stem[5:]) for path in out.glob("checkpoints/*.pt"))
