"""A real Ctrl-C while an analysis runs: a sentence, exit code 130, no traceback; and what is shown meanwhile."""

import functools
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from gantools import analysis
from gantools.cli import main
from gantools.cli.analysed import products_shown
from gantools.runs.store import progress
from gantools.signals import interruptibly
from tests.runs import own_file

# A game of 4000 parameters, for which LAPACK takes a while.
SLOW = """
import torch, gantools as gt

def build():
    open("begun", "w").close()
    model = torch.nn.Linear(1, 2000)
    weights = torch.linspace(-1, 1, 2000)
    return gt.minimization(model, lambda m, x: (weights * m(x) ** 3).mean()), torch.ones(3, 1)
"""

# A shell lets its background jobs ignore Ctrl-C, and children inherit that.
HEED = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["index", "--method", "exact"],
        ["index", "--method", "estimate", "--lanczos-steps", "2000", "--probes", "9"],
        ["density", "--lanczos-steps", "2000", "--probes", "9"],
        ["spectrum", "--k", "0"],
        ["spectrum", "--k", "30", "--tol", "1e-15"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_ctrl_c(tmp_path, words):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "gantools", words[0], "slow.py:build", *words[1:], "--out", "here"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=HEED
    )
    while process.poll() is None and not (tmp_path / "begun").exists():
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    # Python itself may tell of a file that an interrupted import left open.
    assert "gantools: interrupted" in err and "KeyboardInterrupt" not in err


@pytest.mark.slow
def test_ctrl_c_within_source_that_is_executed(tmp_path):
    """As while a dataclass is made, in a library that is imported late, say."""
    source = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    (tmp_path / "own.py").write_text(f"def build():\n    exec({source!r})\n")
    command = [sys.executable, "-m", "gantools", "index", "own.py:build", "--out", "here"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=HEED, timeout=60)
    assert done.returncode == 130 and "gantools: interrupted" in done.stderr


def test_products_are_shown_and_an_interruption_says_how_many(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    A = analysis.LinearOperator(lambda u: u, 10)
    with products_shown(A, 4):
        for _ in range(3):
            A @ torch.ones(10)
    assert re.search(r"^2 of 4 products, about 0\.0 min left\n3 of 4", capsys.readouterr().err)
    with pytest.raises(KeyboardInterrupt), products_shown(A, 4):
        A @ torch.ones(10, 2)
        raise KeyboardInterrupt
    assert "Interrupted after 2 of about 4 products: no result yet." in capsys.readouterr().err
    assert A.told is None


def test_a_whole_matrix_that_is_interrupted_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own_file(tmp_path)

    def interrupted(A, *_, **__):
        A @ torch.ones(A.n, dtype=A.dtype)
        raise KeyboardInterrupt

    monkeypatch.setattr(analysis, "index", interrupted)
    assert main(["index", "own.py:gan", "--out", "here"]) == 130
    assert re.search(r"Interrupted after 1 of about \d+ products", capsys.readouterr().err)


def test_work_in_a_thread_returns_raises_and_can_be_left():
    assert interruptibly(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        interruptibly(lambda: 1 // 0)
    with pytest.raises(KeyboardInterrupt):
        interruptibly(lambda: signal.raise_signal(signal.SIGINT) or time.sleep(0.5))
