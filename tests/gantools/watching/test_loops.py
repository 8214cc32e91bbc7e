"""The loops of `examples/loops`: watched or not, they end at the same weights, bit for bit; five lines watch them."""

import random
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

FOLDER = Path(__file__).parents[3] / "examples" / "loops"
SMALL = {
    "dcgan": ["--ngf", "2"],
    "wgan_gp": ["--dim", "8", "--batch_size", "16"],
    "conditional": ["--dim", "8"],
    "vqgan": ["--dim", "4"],
    "ctgan": ["--dim", "8"],
    "imitation": ["--dim", "4"],
}
MARK = "# see"


def run(path, argv, monkeypatch):
    """Return the script's global names after 50 steps of it."""
    monkeypatch.setattr(sys, "argv", [str(path), "--steps", "50", *argv])
    with torch.random.fork_rng():
        state, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            found = runpy.run_path(str(path), run_name="__main__")
            return found, (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
        finally:
            random.setstate(state)
            np.random.set_state(legacy)  # noqa: NPY002


def numbers(names):
    """All parameters, gradients, buffers and optimizer states of a script."""
    found = {}
    for name, x in names.items():
        if isinstance(x, nn.Module):
            found |= {f"{name}.{key}": value for key, value in x.state_dict().items()}
            found |= {f"{name}.{key} gradient": p.grad for key, p in x.named_parameters() if p.grad is not None}
        if isinstance(x, torch.optim.Optimizer):
            for i, state in enumerate(x.state.values()):
                found |= {f"{name} {i} {key}": value for key, value in state.items()}
    return found


def test_all_loops_are_here():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_at_most_five_lines_watch_a_loop(name):
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    assert 1 <= sum(line.endswith(MARK) for line in lines) <= 5
    rest = [line for line in lines if not line.endswith(MARK)]
    assert not any("gt." in line or "watch(" in line for line in rest)


@pytest.mark.filterwarnings("ignore:gantools.watch:UserWarning")
@pytest.mark.parametrize(
    "name", ["imitation", *(pytest.param(n, marks=pytest.mark.slow) for n in SMALL if n[0] != "i")]
)
def test_weights_after_50_steps_are_those_without_a_watcher(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (FOLDER / f"{name}.py").read_text().splitlines(keepends=True)
    watched, plain = tmp_path / "watched.py", tmp_path / "plain.py"
    watched.write_text("".join(source).replace("log=", "budget=None, max_matvecs=120, every=25, log="))
    plain.write_text("".join(line for line in source if not line.rstrip().endswith(MARK)))
    seen, state = run(watched, SMALL[name], monkeypatch)
    unseen, plain_state = run(plain, SMALL[name], monkeypatch)
    one, other = numbers(seen), numbers(unseen)
    assert set(one) == set(other) and len(one) > 8
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(state[0], plain_state[0]) and state[1:] == plain_state[1:]
    look = seen["watch"].last
    seen["watch"].writer.close()
    assert seen["watch"].clock.looks >= 2 and 0.5 < look.spectral_radius < 10
    assert any(tag.startswith("game/jacobian") for tag in look.spectra) and not look.notes
    assert list((tmp_path / "runs").rglob("events.out.tfevents.*"))
