"""Unitary maps of recurrent cells against explicit products."""

import math

import numpy as np
import pytest
import torch

from gantools.nn.recurrent import FactoredUnitary, KroneckerMap, RotationProduct, factor_sizes, kronecker_matvec
from tests.draws import seeded
from tests.gantools.nn.recurrent.cells import F64, as_numpy, make, moved


def unitarity_error(w):
    return float(np.abs(w.conj().T @ w - np.eye(len(w))).max())


def test_the_factored_map_is_the_explicit_product_and_unitary():
    n = 12
    map_ = moved(FactoredUnitary(n, dtype=F64, rng=seeded()))
    d1, d2, d3 = (np.diag(np.exp(1j * angles)) for angles in map_.angles.detach().numpy())
    reflections = []
    for v in as_numpy(map_.vectors):
        reflections.append(np.eye(n) - 2 * np.outer(v, v.conj()) / np.sum(np.abs(v) ** 2))
    r1, r2 = reflections
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / math.sqrt(n)
    order = np.eye(n)[map_.permutation.numpy()]
    expected = d3 @ r2 @ fourier.conj().T @ d2 @ order @ r1 @ fourier @ d1
    assert np.abs(map_.matrix().detach().numpy() - expected).max() < 1e-12
    assert unitarity_error(map_.matrix().detach().numpy()) < 1e-12


def rotations(map_):
    """The layers, each multiplied out from its 2 x 2 blocks."""
    n = map_.size
    dtype = complex if map_.is_complex else float
    theta = iter(map_.theta.tolist())
    phi = iter([0.0] * len(map_.theta) if map_.phi is None else map_.phi.tolist())
    w = np.eye(n, dtype=dtype)
    for partner in map_.partner.tolist():
        layer = np.eye(n, dtype=dtype)
        for p in range(n):
            if (q := partner[p]) > p:
                t, turn = next(theta), np.exp(1j * next(phi)) if map_.is_complex else 1.0
                layer[p, p], layer[p, q] = turn * np.cos(t), -turn * np.sin(t)
                layer[q, p], layer[q, q] = np.sin(t), np.cos(t)
        w = layer @ w
    return w if map_.omega is None else np.diag(np.exp(1j * map_.omega.detach().numpy())) @ w


@pytest.mark.parametrize("is_complex", [True, False])
@pytest.mark.parametrize(
    ("n", "capacity", "style"), [(8, 2, "tunable"), (7, 5, "tunable"), (6, 6, "tunable"), (8, 2, "fft"), (2, 1, "fft")]
)
def test_rotations_are_the_explicit_product_and_unitary(n, capacity, style, is_complex):
    map_ = RotationProduct(n, capacity, style, is_complex, dtype=F64, rng=seeded())
    w = map_.matrix().detach().numpy()
    assert np.abs(w - rotations(map_)).max() < 1e-12
    assert unitarity_error(w) < 1e-12
    if not is_complex:
        assert np.linalg.det(w) == pytest.approx(1)


def test_the_layers_pair_neighbours_in_turn_or_as_a_butterfly():
    tunable = RotationProduct(6, 3, rng=seeded())
    assert tunable.partner.tolist() == [[1, 0, 3, 2, 5, 4], [0, 2, 1, 4, 3, 5], [1, 0, 3, 2, 5, 4]]
    butterfly = RotationProduct(8, style="fft", rng=seeded())
    assert butterfly.partner.tolist() == [[k ^ d for k in range(8)] for d in (4, 2, 1)]


@pytest.mark.parametrize(("capacity", "dimension"), [(2, 7), (4, 14), (8, 28)])
def test_full_capacity_reaches_all_of_the_rotation_group(capacity, dimension):
    """The rank of the derivative by the angles: 28 is the dimension of SO(8)."""
    map_ = RotationProduct(8, capacity, is_complex=False, dtype=F64, rng=seeded())

    def entries(theta):
        return torch.func.functional_call(map_, {"theta": theta}, (torch.eye(8, dtype=F64),)).flatten()

    jacobian = torch.autograd.functional.jacobian(entries, map_.theta.detach())
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-8) == dimension


def test_kronecker_products_are_those_of_torch_for_any_factors():
    rng = seeded()
    shapes = [(2, 3), (4, 2), (1, 3), (3, 1)]
    factors = [torch.randn(*shape, generator=rng, dtype=torch.complex128) for shape in shapes]
    product = torch.kron(torch.kron(torch.kron(factors[0], factors[1]), factors[2]), factors[3])
    x = torch.randn(5, 2, product.shape[1], generator=rng, dtype=torch.complex128)
    assert torch.allclose(kronecker_matvec(factors, x), x @ product.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "factors"), [(8, None), (12, None), (12, (3, 4)), (12, (12,)), (6, (1, 6)), (30, None)])
def test_the_kronecker_map_is_the_product_of_its_factors_and_starts_unitary(n, factors):
    map_ = KroneckerMap(n, factors, dtype=F64, rng=seeded())
    product = np.eye(1)
    for stored in map_.factors:
        product = np.kron(product, as_numpy(stored))
    assert np.abs(map_.matrix().detach().numpy() - product).max() < 1e-12
    assert unitarity_error(product) < 1e-12
    assert map_.penalty().item() < 1e-24


def test_the_penalty_is_the_distance_of_the_factors_from_the_unitary_group():
    map_ = moved(KroneckerMap(12, (2, 6), dtype=F64, rng=seeded()))
    expected = 0.0
    for stored in map_.factors:
        w = as_numpy(stored)
        expected += np.sum(np.abs(w.conj().T @ w - np.eye(len(w))) ** 2)
    assert map_.penalty().item() == pytest.approx(expected)


def test_sizes_are_merged_from_the_smallest():
    assert factor_sizes(512) == (2,) * 9
    assert factor_sizes(360) == (2, 2, 2, 3, 3, 5)
    assert factor_sizes(360, 3) == (5, 6, 12)
    assert factor_sizes(1) == (1,)


def test_the_full_map_is_unitary_wherever_its_weights_are_and_its_step_is_a_geodesic():
    cell = make("FullUnitaryRNN")
    start = cell.recurrent.matrix().detach()
    moved(cell)
    w = cell.recurrent.matrix().detach()
    assert unitarity_error(w.numpy()) < 1e-12
    # W W_0^H = exp(A) with A skew-Hermitian: its logarithm, from the eigenvalues, is the weight.
    values, vectors = np.linalg.eig((w @ start.mH).numpy())
    a = vectors @ np.diag(np.log(values)) @ np.linalg.inv(vectors)
    weight = cell.recurrent.linear.weight.detach().numpy()
    below, above = np.tril(weight, -1), np.triu(weight)
    assert np.abs(a - (below - below.T + 1j * (above + above.T))).max() < 1e-10
