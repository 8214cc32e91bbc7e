"""The restarted iteration by itself: its limits, and the calls it makes to the outside."""

import numpy as np
import pytest
import torch

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.iteration import Stopping, iterate
from gantools.analysis.krylov.krylov_schur import KrylovSchur
from gantools.analysis.krylov.thick_restart import ThickRestartLanczos
from tests import oracles

STOPPING = {"tol": 1e-8, "limit": 1000, "minimum": 0, "first_check": 8, "every": 3}


def run(symmetric=True, products=0, size=20, progress=lambda *_: None, save=lambda _: None, **changes):
    real = np.linspace(-1, 1, 60) ** 3
    A = oracles.symmetric(np.linspace(0, 1, 300) ** 2) if symmetric else oracles.rotations(real, real[::-1])[0]
    basis = KrylovBasis(A, size, torch.Generator().manual_seed(0))
    method = (ThickRestartLanczos if symmetric else KrylovSchur)(4, "LR")
    return iterate(method, basis, Stopping(**STOPPING | changes), products, progress, save)


@pytest.mark.parametrize("symmetric", [True, False])
def test_between_minimum_and_limit(symmetric):
    ritz, plain = run(symmetric)
    assert 20 < plain < 1000
    np.testing.assert_allclose(ritz.values[0].real, 1.0, rtol=1e-8)
    assert run(symmetric, limit=7)[1] == 7
    assert run(symmetric, minimum=plain + 30)[1] >= plain + 30
    # Products of an earlier search count, and change nothing else.
    assert run(symmetric, products=11, limit=7)[1] == 12


def test_the_state_is_saved_at_restarts_and_when_interrupted():
    saved, seen = [], []
    _, products = run(save=saved.append, progress=lambda *report: seen.append(report))
    assert saved == sorted(set(saved)) and saved[0] == 20 and saved[-1] < products
    assert seen[-1] == (products, 4, 4, 1000)
    stopped = []

    def interrupt(products, converged, k, limit):
        if products > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(save=stopped.append, progress=interrupt)
    assert stopped[0] == 20 and stopped[-1] > 30


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_pause_between_checks_changes_the_cost_and_not_the_result(symmetric):
    often, rarely = run(symmetric, every=1), run(symmetric, every=9)
    np.testing.assert_allclose(often[0].values, rarely[0].values, atol=1e-7)
