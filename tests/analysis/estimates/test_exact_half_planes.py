"""Half-planes of whole non-symmetric matrices: rounding on the imaginary axis is on neither side of it."""

import numpy as np
import pytest
import torch

from gantools.analysis import index, jacobian
from gantools.analysis.estimates.index import NAMES
from tests import cases, oracles

F64 = torch.float64


def counts(negative, zero, positive):
    return dict(zip(NAMES, (negative, zero, positive), strict=True))


@pytest.mark.parametrize("n", [5, 20, 100])
def test_a_bilinear_game_is_neutral(n):
    """J is skew to the last bit, and every eigenvalue i s; LAPACK's real parts are rounding."""
    game = cases.bilinear(torch.from_numpy(np.random.default_rng(n).normal(size=(n, n))), [1.0] * n, [1.0] * n)
    i = index(jacobian(game, None))
    assert i.counts == counts(0, 2 * n, 0) and i.undecided == 0 and i.tolerance < 1e-11
    assert i.zero == 1 and i.interval["positive"] == (0, 0)
    assert f"{2 * n} neutral" in str(i)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_neutral_pairs_among_others(dtype, condition):
    rng = np.random.default_rng(0)
    real = np.concatenate([-rng.uniform(0.1, 2, 12), np.zeros(9), rng.uniform(0.1, 2, 7)])
    A, _ = oracles.rotations(real, rng.uniform(0.5, 3, 28), [0.0] * 5, condition=condition, dtype=dtype)
    i = index(A)
    assert i.undecided == 0 and i.counts == counts(24, 23, 14)
    assert i.certain == {"negative": 24, "positive": 14}


def test_small_real_parts_above_rounding_are_no_zeros():
    """The widest gap in the real parts lies between them and the rest; their own errors are below them."""
    A, _ = oracles.rotations([-1e-11, 1e-11, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0])
    assert index(A).counts == counts(2, 0, 6)
    assert index(A, tol=1e-9).counts == counts(0, 4, 4)


def test_what_rounding_leaves_open_is_a_count_of_its_own():
    """A change of basis of condition 1e7 moves a real part of 0 by 1e-5 and more, one of 0.5 by no more."""
    A, _ = oracles.rotations([0.0, 0.5], [1.0, 2.0], condition=1e7)
    i = index(A)
    assert i.undecided == 2 and i.counts == counts(0, 0, 2)
    assert i.interval == {"negative": (0, 0.5), "zero": (0, 0.5), "positive": (0.5, 1)}
    assert i.negative + i.zero + i.positive == 0.5
    assert "2 undecided (50.00%)" in str(i) and "2 are undecided: rounding times condition number" in str(i)
    assert "More steps" not in str(i)


def test_a_tolerance_within_the_errors_decides_nothing():
    A, _ = oracles.rotations([0.0, 1.0], [1.0, 2.0])
    at_zero = index(A, tol=0.0)
    assert at_zero.undecided == 2 and at_zero.counts == counts(0, 0, 2)
    assert index(A, tol=1e-6).counts == counts(0, 2, 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_holds_at_every_tolerance(seed):
    rng = np.random.default_rng(seed)
    real = np.concatenate([-np.logspace(-9, 0, 10), np.zeros(5), np.logspace(-8, 0, 8)])
    A, values = oracles.rotations(real, rng.uniform(0.5, 3, 23), condition=10.0, seed=seed)
    i = index(A)
    for name in NAMES:
        bounds, taus = getattr(i.curve, name), i.curve.tolerance
        truth = [
            {"negative": (values.real < -tau).mean(), "positive": (values.real > tau).mean()}.get(
                name, (np.abs(values.real) <= tau).mean()
            )
            for tau in taus
        ]
        assert (bounds[:, 0] <= np.array(truth) + 1e-12).all() and (truth <= bounds[:, 1] + 1e-12).all()
        assert np.ptp(bounds, axis=1)[taus > 1e-7].max() < 0.1


def test_zero_rows_and_columns_are_exact_zeros():
    """Nilpotent beside a rotation: infinite condition numbers of zeros that are exact leave nothing open."""
    matrix = torch.zeros(8, 8, dtype=F64)
    matrix[0, 1], matrix[1, 2], matrix[3, 4], matrix[4, 3], matrix[5, 5], matrix[0, 3] = 1.0, 2.0, 1.0, -1.0, 3.0, 7.0
    i = index(oracles.matrix_operator(matrix))
    assert i.counts == counts(0, 7, 1) and i.undecided == 0
