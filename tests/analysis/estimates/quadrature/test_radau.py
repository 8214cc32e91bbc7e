"""Radau rules from the resolvent, against the eigenvalue problem of the same Jacobi matrix."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from gantools.analysis.estimates.quadrature.radau import radau_masses


def by_eigenvalues(diagonal, off_diagonal, x):
    """Return the masses left of the node x and at it: Golub and Meurant's corner, then all nodes and weights."""
    nodes, vectors = eigh_tridiagonal(diagonal, off_diagonal[:-1])
    corner = x + off_diagonal[-1] ** 2 * (vectors[-1] ** 2 / (nodes - x)).sum()
    nodes, vectors = eigh_tridiagonal(np.append(diagonal, corner), off_diagonal)
    own = np.abs(nodes - x).argmin()
    return (vectors[0, :own] ** 2).sum(), vectors[0, own] ** 2


@pytest.mark.parametrize("m", [2, 5, 80, 300])
@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_masses_of_random_rules(m, scale):
    rng = np.random.default_rng(m)
    diagonal, off_diagonal = scale * 0.1 * rng.standard_normal(m), scale * (0.5 + 0.1 * rng.random(m))
    points = scale * rng.uniform(-1.3, 1.3, 200)
    below, at = radau_masses(diagonal, off_diagonal, points)
    for i in range(0, 200, 20):
        left, own = by_eigenvalues(diagonal, off_diagonal, points[i])
        assert at[i] == pytest.approx(own, rel=0.01, abs=1e-9)
        assert below[i] == pytest.approx(left, abs=1e-8 + 0.01 * own)


def test_couplings_over_many_decades():
    rng = np.random.default_rng(0)
    diagonal, off_diagonal = rng.standard_normal(60), 10.0 ** -rng.uniform(0, 8, 60)
    for x in rng.uniform(-2, 2, 20):
        left, own = by_eigenvalues(diagonal, off_diagonal, x)
        below, at = (float(part[0]) for part in radau_masses(diagonal, off_diagonal, np.array([x])))
        assert at == pytest.approx(own, rel=0.01, abs=1e-8) and below == pytest.approx(left, abs=1e-7 + 0.01 * own)


def test_the_weight_at_the_node_is_the_christoffel_number_of_legendre():
    """Of the m + 1 point rules with this node, by the sum of the orthonormal polynomials' squares."""
    m = 12
    k = np.arange(1, m + 1)
    off_diagonal = k / np.sqrt(4.0 * k**2 - 1)
    points = np.linspace(-0.9, 0.9, 7)
    values = np.stack([np.sqrt(2 * j + 1) * np.polynomial.Legendre.basis(j)(points) for j in range(m + 1)])
    below, at = radau_masses(np.zeros(m), off_diagonal, points)
    np.testing.assert_allclose(at, 1 / (values**2).sum(axis=0), rtol=0.01)
    uniform = (points + 1) / 2
    assert (below <= uniform).all() and (uniform <= below + at).all()


def test_a_rule_that_is_the_whole_measure():
    below, at = radau_masses(np.array([0.5]), np.array([0.0]), np.array([0.2, 0.8]))
    np.testing.assert_allclose(below, [0, 1], atol=1e-8)
    np.testing.assert_allclose(at, [0, 0], atol=1e-8)
    below, _ = radau_masses(np.zeros(1), np.zeros(1), np.array([-1.0, 1.0]))
    np.testing.assert_allclose(below, [0, 1], atol=1e-8)
