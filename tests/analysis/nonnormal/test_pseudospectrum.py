"""Fields of values, pseudospectra and departures from normality that are known in closed form."""

import math

import numpy as np
import pytest
import torch

from gantools.analysis import (
    departure_from_normality,
    field_of_values,
    jacobian,
    pseudospectrum,
    spectrum,
    symmetric_part,
)
from gantools.errors import GantoolsError
from tests import cases
from tests.oracles import matrix_operator, orthogonal

F64 = torch.float64
WHOLE_AND_PRODUCTS = pytest.mark.parametrize("options", [{}, {"max_whole": 0, "tol": 1e-10}], ids=["whole", "products"])


def jordan(n):
    return torch.diag(torch.ones(n - 1, dtype=F64), 1)


def grcar(n):
    M = sum(torch.diag(torch.ones(n - k, dtype=F64), k) for k in range(4))
    return M - torch.diag(torch.ones(n - 1, dtype=F64), -1)


@WHOLE_AND_PRODUCTS
def test_that_of_a_jordan_block_is_a_disk(options):
    """Of radius cos(pi / (n + 1)) (Haagerup and de la Harpe)."""
    n = 12
    found = field_of_values(matrix_operator(jordan(n)), angles=16, **options)
    radius = math.cos(math.pi / (n + 1))
    np.testing.assert_allclose(found.support, radius, atol=1e-9)
    np.testing.assert_allclose(np.abs(found.boundary), radius, atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * np.array(found.directions)) * radius, found.boundary, atol=1e-4)
    assert found.converged and found.n == n and found.numerical_radius == pytest.approx(radius, abs=1e-6)


@WHOLE_AND_PRODUCTS
def test_that_of_two_by_two_is_an_ellipse(options):
    """Elliptical range theorem: foci at the eigenvalues, minor axis sqrt(|A|_F^2 - sum |lambda|^2)."""
    M = torch.block_diag(torch.tensor([[1.0, 3.0], [0.0, 2.0]], dtype=F64), 1.5 * torch.eye(8, dtype=F64))
    found = field_of_values(matrix_operator(M), angles=32, **options)
    b = 3 / 2
    a = math.hypot(b, 0.5)
    expected = 1.5 * np.cos(found.directions) + np.hypot(a * np.cos(found.directions), b * np.sin(found.directions))
    np.testing.assert_allclose(found.support, expected, atol=1e-8)
    assert found.least_real == pytest.approx(1.5 - a) and found.largest_imaginary == pytest.approx(b)
    assert "imaginary ones up to 1.5" in str(found)


@WHOLE_AND_PRODUCTS
def test_that_of_a_normal_matrix_is_the_hull_of_its_eigenvalues(options):
    blocks = [torch.tensor([[a, b], [-b, a]], dtype=F64) for a, b in ((1.0, 2.0), (-1.0, 0.5), (3.0, 0.0), (0.0, 0.1))]
    Q = orthogonal(8)
    found = field_of_values(matrix_operator(Q @ torch.block_diag(*blocks) @ Q.T), angles=24, **options)
    values = np.array([1 + 2j, 1 - 2j, -1 + 0.5j, -1 - 0.5j, 3, 0.1j, -0.1j])
    expected = [(np.exp(-1j * t) * values).real.max() for t in found.directions]
    np.testing.assert_allclose(found.support, expected, atol=1e-9)
    assert (found.eigenvalues is None) == ("max_whole" in options)


def test_of_a_game_it_holds_the_eigenvalues_and_touches_the_attraction():
    J = jacobian(cases.tanh_gan(), cases.gan_batch())
    whole, by_products = field_of_values(J, angles=8), field_of_values(J, angles=8, max_whole=0, tol=1e-9)
    np.testing.assert_allclose(whole.support, by_products.support, atol=1e-7)
    values = spectrum(J).values.numpy()
    for theta, support in zip(whole.directions, whole.support, strict=True):
        assert (np.exp(-1j * theta) * values).real.max() <= support + 1e-12
    assert whole.least_real == pytest.approx(float(spectrum(symmetric_part(J)).values.min()))
    assert by_products.matvecs > whole.matvecs == 30


def test_not_converged_is_said():
    M = torch.randn(60, 60, generator=torch.Generator().manual_seed(0), dtype=F64)
    found = field_of_values(matrix_operator(M), angles=4, max_whole=0, tol=1e-14, max_matvecs=5)
    assert not found.converged and "Not all of it converged" in str(found)


# Pseudospectra -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, 60])
@pytest.mark.parametrize("make", [jordan, grcar])
def test_smallest_singular_values_against_lapack(make, n):
    M = make(n)
    found = pseudospectrum(matrix_operator(M), bounds=(-1.2, 3.1, -2.9, 2.9), points=9)
    for i, b in enumerate(found.y):
        for j, a in enumerate(found.x):
            expected = np.linalg.svd(complex(a, b) * np.eye(n) - M.numpy(), compute_uv=False)[-1]
            assert found.distance[i, j] == pytest.approx(expected, rel=2e-3, abs=1e-12)
    np.testing.assert_array_equal(found.distance, found.distance[::-1])


def test_of_a_normal_matrix_it_is_the_distance_to_the_spectrum():
    Q = orthogonal(50)
    values = torch.linspace(-1, 1, 50, dtype=F64)
    found = pseudospectrum(matrix_operator(Q @ torch.diag(values) @ Q.T), bounds=(-2, 2, -1, 2), points=7)
    z = found.x[None, :] + 1j * found.y[:, None]
    expected = np.abs(z[..., None] - values.numpy()).min(-1)
    np.testing.assert_allclose(found.distance, expected, rtol=2e-3, atol=1e-9)
    assert found.x.shape == (7,) and found.y.shape == (5,)  # 4 by 3, in squares as nearly as it divides


def test_the_grid_surrounds_the_eigenvalues():
    found = pseudospectrum(jacobian(cases.tanh_gan(), cases.gan_batch()), points=12)
    values = found.eigenvalues
    assert found.x[0] < values.real.min() and found.x[-1] > values.real.max()
    assert found.y[0] < values.imag.min() and found.y[-1] > values.imag.max()
    assert len(found.x) == 12 or len(found.y) == 12
    assert found.kind == "field" and set(found.to_numpy()) == {"x", "y", "distance", "eigenvalues"}
    zero = pseudospectrum(matrix_operator(torch.zeros(3, 3, dtype=F64)), points=5)
    np.testing.assert_allclose(zero.distance, np.abs(zero.x[None] + 1j * zero.y[:, None]), atol=1e-12)


# Henrici -------------------------------------------------------------------------------------------------------------


def test_departure_from_normality():
    found = departure_from_normality(matrix_operator(jordan(10)))
    assert found.departure == pytest.approx(3.0) and found.relative == pytest.approx(1.0) and found.exact
    assert found.commutator == pytest.approx(math.sqrt(2))  # A^T A - A A^T = diag(-1, 0, ..., 0, 1)
    upper = torch.tensor([[1.0, 5.0], [0.0, 2.0]], dtype=F64)
    Q = orthogonal(2)
    assert departure_from_normality(matrix_operator(Q @ upper @ Q.T)).departure == pytest.approx(5.0)
    Q = orthogonal(30)
    normal = matrix_operator(Q @ torch.diag(torch.linspace(-3, 3, 30, dtype=F64)) @ Q.T)
    assert departure_from_normality(normal).relative < 1e-13  # no square root of rounding
    assert departure_from_normality(matrix_operator(torch.zeros(4, 4, dtype=F64))).relative == 0.0


@pytest.mark.parametrize("make", [jordan, grcar])
def test_the_estimate_brackets_it(make):
    A = matrix_operator(make(40))
    exact = departure_from_normality(A)
    # So many probes that the norms are known to a percent.
    found = departure_from_normality(A, max_whole=0, probes=3000)
    assert found.frobenius == pytest.approx(exact.frobenius, rel=0.02)
    assert found.commutator == pytest.approx(exact.commutator, rel=0.05)
    assert 0 < found.lower <= 1.02 * exact.departure and exact.departure <= 1.02 * found.upper
    assert found.departure == found.lower and not found.exact and "at least" in str(found) and "exact" in str(exact)
    Q = orthogonal(40)
    normal = matrix_operator(Q @ torch.diag(torch.linspace(-3, 3, 40, dtype=F64)) @ Q.T)
    assert departure_from_normality(normal, max_whole=0).relative < 1e-6


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda A: field_of_values(A, angles=6), "multiple of 4"),
        (lambda A: pseudospectrum(A, bounds=(1, 0, 0, 1)), "hold no grid"),
        (lambda A: pseudospectrum(A, limit=3), "the limit is n = 3"),
        (lambda A: departure_from_normality(A, max_whole=0, probes=0), "measure nothing"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(matrix_operator(jordan(5)))
