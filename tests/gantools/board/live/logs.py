"""Logs for tests of the live view: made-up spectra that move, written with a SummaryWriter."""

from types import SimpleNamespace

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from gantools.board import add_spectrum

DIAGNOSIS = {
    "subject": "a, step 400", "healthy": False, "steps": 300, "spectrum": ["the largest real part is 1."],
    "undecided": ["some cures were not tried."],
    "findings": [{
        "title": "rotation (probably)", "evidence": "</script><b>", "certain": False,
        "advice": [{"line": "Damp it.", "flags": ["--optimizer", "consensus"], "effect": "e", "cost": "c",
                    "tried": True}],
    }],
}  # fmt: skip


def spectrum(values, converged=None, kind="field", n=None, **more):
    values = np.asarray(values)
    sizes = np.abs(np.nan_to_num(values))
    return SimpleNamespace(
        values=values,
        kind=kind,
        n=n or len(values),
        complete=n is None,
        **{"which": "LM", **more},
        converged=np.ones(len(values), bool) if converged is None else np.asarray(converged),
        residuals=1e-8 * sizes,
        errors=1e-7 * sizes,
    )


def turning(step, k=6, seed=0):
    """Conjugate pairs on circles, each at an angle of its own, and three zeros."""
    rng = np.random.default_rng(seed)
    half = rng.lognormal(-1, 1, k // 2) * np.exp(1j * (rng.uniform(0.3, 2.5, k // 2) + 0.02 * step))
    values = np.concatenate([half, half.conj(), np.zeros(3)])
    return spectrum(values, n=1000, shares={"generator": rng.random(len(values)), "critic": rng.random(len(values))})


def write_runs(folder, runs=2, steps=5, pictures=True):
    """Write runs a, b, ... of `steps` spectra, at steps 0, 100, ..., and samples beside them."""
    for number in range(runs):
        with SummaryWriter(str(folder / "ab"[number])) as writer:
            for step in range(0, 100 * steps, 100):
                add_spectrum(writer, "game/jacobian", turning(step // 100, seed=number), step, lr=0.1)
                if pictures:
                    pixels = np.full((8, 8, 3), step // 100 * 20, np.uint8)
                    writer.add_image("samples", pixels, step, dataformats="HWC")


def loss(step, seed=0):
    """A player's loss at a step, for `write_scalars`."""
    return (1 + seed) * np.cos(step / 100)


def write_scalars(folder, runs=2, steps=5):
    """Write what a training logs beside spectra into runs a, b, ...: losses and norms every tenth step, two metrics."""
    for number in range(runs):
        with SummaryWriter(str(folder / "ab"[number])) as writer:
            for step in range(0, 100 * steps, 10):
                writer.add_scalar("loss/critic", loss(step, number), step)
                writer.add_scalar("loss/generator", -loss(step, number), step)
                writer.add_scalar("field_norm/critic", 2.0**-step, step)
                writer.add_scalar("step_seconds", 0.01, step)
            for step in range(0, 100 * steps, 100):
                writer.add_scalar("metrics/recall", step / 1000, step)
                writer.add_scalar("metrics/fid", float("nan") if step == 100 else 10.0 + step + 300 * number, step)
