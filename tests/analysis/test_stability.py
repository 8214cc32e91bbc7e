"""Verdicts against closed forms and against simulated training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gantools.analysis import LinearOperator, eigenvalues, spectrum, stability
from gantools.errors import GantoolsError
from tests import oracles

POSITIVE = st.floats(0.05, 5)


def pair(a, b, kind="field"):
    matrix = torch.tensor([[a, b], [-b, a]], dtype=torch.float64)
    return spectrum(oracles.matrix_operator(matrix, kind=kind))


@given(a=POSITIVE, b=POSITIVE)
def test_step_bound_is_mescheders(a, b):
    v = stability(pair(a, b))
    assert v.max_lr == pytest.approx((1 / a) * 2 / (1 + (b / a) ** 2))
    assert v.rotation == pytest.approx(b / a)
    assert v.stable
    assert v.rate is None
    below, above = (stability(pair(a, b), lr=factor * v.max_lr) for factor in (0.99, 1.01))
    assert below.stable and below.rate < 1
    assert not above.stable and above.rate > 1


@given(a=st.floats(-1, 2).filter(lambda a: abs(a) > 0.02), b=st.floats(0.1, 2), lr=st.floats(0.01, 1))
def test_verdict_is_what_the_iteration_does(a, b, lr):
    v = stability(pair(a, b), lr=lr)
    step = torch.eye(2, dtype=torch.float64) - lr * torch.tensor([[a, b], [-b, a]], dtype=torch.float64)
    shrink = torch.linalg.matrix_norm(torch.linalg.matrix_power(step, 64), 2).item() ** (1 / 64)
    assert v.rate == pytest.approx(shrink)
    assert v.stable == (shrink < 1)
    u = stability(spectrum(oracles.matrix_operator(step, kind="map")))
    assert u.rate == pytest.approx(v.rate)
    assert u.stable == v.stable
    assert u.max_lr is None and u.lr is None


def test_bilinear_game_rotates_and_no_step_is_stable():
    sigma = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    zero = torch.zeros(3, 3, dtype=torch.float64)
    J = torch.cat([torch.cat([zero, sigma.diag()], 1), torch.cat([-sigma.diag(), zero], 1)])
    v = stability(spectrum(oracles.matrix_operator(J)), lr=1e-2)
    assert not v.stable
    assert v.max_lr == 0.0
    assert math.isinf(v.rotation)
    assert v.rate == pytest.approx(math.hypot(1, 2e-2))
    assert "no step size of plain simultaneous gradient descent is stable" in str(v)
    assert "6 of the 6 eigenvalues rotate without attracting" in str(v)


def test_saddle_of_a_model():
    v = stability(spectrum(oracles.symmetric([-0.5, 1.0, 2.0, 3.0])), lr=0.1)
    assert not v.stable
    assert v.repelling == 1
    assert v.rotation == 0.0
    assert "not a minimum" in str(v)
    assert "simultaneous" not in str(v)


def test_overshoot_names_the_bound():
    v = stability(spectrum(oracles.symmetric([0.1, 1.0, 10.0])), lr=0.5)
    assert not v.stable
    assert v.max_lr == pytest.approx(0.2)
    assert v.rate == pytest.approx(4.0)
    assert "lower lr below 0.2" in str(v)
    assert "1 of the 3 eigenvalues attract but are overshot" in str(v)
    assert stability(spectrum(oracles.symmetric([0.1, 1.0, 10.0])), lr=0.1).stable


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_neutral_directions_are_counted_and_left_out(dtype):
    values = np.concatenate([np.zeros(30), np.linspace(0.01, 1, 70)])
    v = stability(spectrum(oracles.symmetric(values, dtype)), lr=0.5)
    assert v.neutral == 30
    assert v.stable
    assert v.rate == pytest.approx(1 - 0.5 * 0.01, abs=1e-5)
    assert "30 neutral" in str(v)
    matrix = torch.eye(100, dtype=torch.float64) - 0.5 * oracles.symmetric(values).dense()
    u = stability(spectrum(oracles.matrix_operator(matrix, kind="map")))
    assert u.neutral == 30
    assert u.rate == pytest.approx(v.rate, abs=1e-5)


def test_neutral_by_hand():
    s = spectrum(oracles.symmetric([-0.01, 1.0, 2.0]))
    assert not stability(s, lr=0.1).stable
    v = stability(s, lr=0.1, neutral=0.1)
    assert v.stable
    assert v.neutral == 1


def test_all_neutral_is_undecided():
    v = stability(spectrum(LinearOperator(lambda u: 0 * u, 5)), lr=0.1)
    assert v.neutral == 5
    assert v.rate is None
    assert "Undecided" in str(v)
    assert "Undecided" in str(stability(spectrum(LinearOperator(lambda u: u, 5, kind="map"))))


def test_incomplete_spectra_say_so():
    rng = np.random.default_rng(0)
    A, _ = oracles.rotations(1 + rng.random(60), rng.random(60))
    few, whole = stability(eigenvalues(A, k=6), lr=0.01), stability(spectrum(A), lr=0.01)
    assert not few.complete and whole.complete
    assert few.max_lr >= whole.max_lr - 1e-9
    assert "among those computed" in str(few) and "upper bound" in str(few)
    assert "among those computed" not in str(whole)


def test_unconverged_values_are_left_out():
    s = eigenvalues(oracles.symmetric(np.linspace(-1, 1, 900)), k=10, max_matvecs=25)
    if s.converged.any():
        assert "did not converge left out" in str(stability(s))
    else:
        with pytest.raises(GantoolsError, match="converged"):
            stability(s)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: stability(pair(1, 1), lr=0.0), "lr = 0.0"),
        (lambda: stability(pair(0.5, 0.1, "map"), lr=0.1), "already contains"),
        (lambda: stability(pair(1, 1), neutral=-1.0), "neutral = -1.0"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use()


def test_unit_circle_is_marginal():
    """The step of alternating gradient on a bilinear game turns for ever: its eigenvalues are e^{+-i phi}."""
    turn = stability(pair(np.cos(0.3), np.sin(0.3), "map"))
    assert not turn.stable
    assert turn.rate == pytest.approx(1.0)
    assert "neither converges nor diverges" in str(turn)


def test_a_bound_is_spoken_of_where_there_is_one():
    leading = [(0.5, True), (-0.5, False)]
    for real, bounded in leading:
        matrix = torch.diag(torch.tensor([real, 0.4, 0.3, *[0.01] * 27], dtype=torch.float64))
        found = eigenvalues(oracles.matrix_operator(matrix), k=2)
        assert not found.complete
        assert ("upper bound" in str(stability(found))) == bounded


def test_leading_eigenvalues_that_attract_decide_nothing():
    """A repelling eigenvalue of small modulus hides behind large attracting ones, unless SR asks for it."""
    matrix = torch.diag(torch.tensor([5.0, 4.0, -0.5, *[0.01] * 27], dtype=torch.float64))
    operator = oracles.matrix_operator(matrix)
    assert str(stability(eigenvalues(operator, k=2, which="LM"))).startswith("Not decided")
    assert str(stability(eigenvalues(operator, k=2, which="SR"))).startswith("Unstable")
    attracting = oracles.matrix_operator(matrix.abs())
    assert str(stability(eigenvalues(attracting, k=2, which="SR"))).startswith("No instability found")
