"""Verdicts against closed forms and against simulated training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gantools as gt
from gantools.analysis import LinearOperator, eigenvalues, spectrum, stability, update_operator
from gantools.errors import GantoolsError
from tests import cases, oracles
from tests.quick import few

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
    assert v.neutral == 5 and not v.stable
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
    v = stability(eigenvalues(operator, k=2, which="LM"))
    assert str(v).startswith("Not decided") and not v.stable
    assert str(stability(eigenvalues(operator, k=2, which="SR"))).startswith("Unstable")
    attracting = oracles.matrix_operator(matrix.abs())
    assert str(stability(eigenvalues(attracting, k=2, which="SR"))).startswith("No instability found")


# Signs within the error ----------------------------------------------------------------------------------------------


def similar(blocks, condition, seed=0):
    """Return an operator similar to the blocks [[a, b], [-b, a]], by a change of basis of this condition number."""
    return oracles.rotations(*zip(*blocks, strict=True), condition=condition, seed=seed)[0]


def attracting(count, seed=0):
    rng = np.random.default_rng(seed)
    return list(zip(rng.uniform(0.5, 3, count), rng.uniform(0.1, 6, count), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_a_real_part_of_zero_that_was_iterated_for_is_undecided(seed):
    J = similar([(0.0, 4.0), *attracting(149, seed)], 10.0, seed)
    s = eigenvalues(J, k=2, which="SR", seed=seed)
    assert s.converged.all()
    for v in (stability(s), stability(s, lr=1e-9)):
        assert not v.stable and v.undecided == 2 and v.repelling == 0 and v.max_lr is None
        assert str(v).startswith("Undecided") and "a smaller tol than" in str(v)
    far = stability(s, lr=0.1)  # |1 - 0.4i| is above 1 whatever the real part
    assert not far.stable and far.undecided == 0 and "attract at best and are overshot" in str(far)


def test_a_real_part_above_its_error_decides():
    J = similar([(0.1, 4.0), *attracting(149)], 10.0)
    v = stability(eigenvalues(J, k=2, which="SR"))
    assert v.stable and v.undecided == 0 and v.max_lr == pytest.approx(0.2 / (0.1**2 + 16), rel=1e-4)


def test_undecided_eigenvalues_leave_the_bound_to_the_decided_ones():
    J = similar([(0.0, 4.0), (0.05, 1.0), *attracting(148)], 10.0)
    v = stability(eigenvalues(J, k=4, which="SR"))
    assert not v.stable and v.undecided == 2
    assert v.max_lr == pytest.approx(0.1 / (0.05**2 + 1), rel=1e-3)
    assert f"The 2 decided attract, for step sizes of plain simultaneous gradient descent below {v.max_lr:.3g}" in str(
        v
    )
    repels = stability(eigenvalues(similar([(0.0, 4.0), (-1.0, 1.0), *attracting(148)], 10.0), k=4, which="SR"))
    assert repels.repelling == 2 and repels.undecided == 2 and repels.max_lr == 0.0
    assert str(repels).startswith("Unstable: 2 of the 4 eigenvalues computed repel") and "For 2 of the 4" in str(repels)


@pytest.mark.parametrize("seed", few(range(3), 1))
def test_a_modulus_of_one_that_was_iterated_for_is_undecided(seed):
    """Alternating descent on a bilinear game turns for ever; a whole spectrum says so, a few values cannot."""
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(60, 60)) / 60**0.5)
    game = cases.bilinear(matrix, [1.0] * 60, [1.0] * 60)
    U = update_operator(gt.trainers.make("alternating", game, lr=0.3), None)
    v = stability(eigenvalues(U, k=6, seed=seed))
    # A pair that happens to be known to rounding stands on the circle; none attracts, and none is outside.
    assert not v.stable and v.undecided and v.undecided + v.repelling == 6
    assert str(v).startswith("Undecided: for ") or "on the unit circle and none outside" in str(v)
    whole = stability(spectrum(U))
    assert not whole.stable and whole.undecided == 0 and str(whole).startswith("Marginal: 120 of the 120")


def test_a_whole_matrix_too_far_from_normal_is_undecided():
    """A change of basis of condition 1e6 makes of rounding real parts of 1e-6, and errors of 1e-4."""
    blocks = [(1e-9, 1.0), (1e-9, 2.0)]
    for s in (spectrum(similar(blocks, 1e6)), spectrum(similar(blocks, 1e6), vectors=True)):
        v = stability(s)
        assert v.undecided == 4 and v.repelling == 0 and not v.stable and v.max_lr is None
        assert (s.values.real.abs() < s.errors).all() and "Rounding in float64 does not decide them" in str(v)
    for s in (spectrum(similar(blocks, 1.0)), spectrum(similar([(0.1, 1.0), (0.1, 2.0)], 1e6))):
        assert stability(s).stable and stability(s).undecided == 0


def test_memory_that_forgets_is_no_reason_for_doubt():
    """Eigenvalues 0 of a map in a Jordan block have infinite condition numbers, and lie inside the circle still."""
    matrix = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    for change in (torch.eye(3, dtype=torch.float64), turned):
        v = stability(spectrum(oracles.matrix_operator(change @ matrix @ change.T, kind="map")))
        assert v.stable and v.undecided == 0 and v.rate == pytest.approx(0.5)
