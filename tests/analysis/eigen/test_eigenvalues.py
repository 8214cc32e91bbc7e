"""Leading eigenvalues against closed forms, LAPACK and ARPACK."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from gantools.analysis import LinearOperator, eigenvalues, spectrum, stability
from gantools.analysis.krylov.selection import criterion, leading
from gantools.errors import GantoolsError
from tests import oracles
from tests.oracles import DTYPES, accuracy, check_vectors
from tests.quick import few


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LM", "LA", "SA", "LR", "SR"])
def test_symmetric_outliers_and_bulk(dtype, which):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(590), -np.linspace(4, 6, 5), np.linspace(4, 9, 5)])
    A = oracles.symmetric(values, dtype)
    s = eigenvalues(A, k=8, which=which)
    truth = {"LM": values[np.argsort(-np.abs(values))], "L": np.sort(values)[::-1], "S": np.sort(values)}
    truth = truth.get(which, truth.get(which[0]))[:8]
    assert s.converged.all()
    assert s.message == "Converged."
    np.testing.assert_allclose(s.values.numpy(), truth, atol=9 * accuracy(dtype))
    assert s.matvecs + s.check_matvecs + s.guard_matvecs == A.matvecs
    check_vectors(A, s)
    assert not s.complete


@pytest.mark.parametrize("dtype", DTYPES)
def test_low_rank_has_no_phantoms(dtype):
    """A published tool returns 3.54, 2.50, 1.66, 1.52 here, and misses -1."""
    values = np.zeros(800)
    values[:5] = [5, 4, 3, 2, -1]
    s = eigenvalues(oracles.symmetric(values, dtype), k=10)
    assert s.converged.all()
    np.testing.assert_allclose(s.values.numpy(), [5, 4, 3, 2, -1, 0, 0, 0, 0, 0], atol=3e-6)
    few = eigenvalues(oracles.symmetric(values, dtype), k=5)
    np.testing.assert_allclose(few.values.numpy(), [5, 4, 3, 2, -1], atol=3e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_basis_makes_no_ghosts(dtype):
    """Without reorthogonalisation, 160 Lanczos steps return the top eigenvalue seven times."""
    rng = np.random.default_rng(1)
    values = np.concatenate([0.01 * rng.standard_normal(980), np.linspace(0.3, 1, 20)])
    s = eigenvalues(oracles.symmetric(values, dtype), k=10, basis=160)
    np.testing.assert_allclose(s.values.numpy(), np.linspace(0.3, 1, 20)[:9:-1], atol=accuracy(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_multiples_of_the_identity(dtype, symmetric, value):
    A = LinearOperator(lambda u: value * u, 300, dtype=dtype, symmetric=symmetric)
    s = eigenvalues(A, k=4)
    assert s.converged.all()
    assert torch.isfinite(s.vectors.real).all()
    np.testing.assert_allclose(s.values.numpy(), np.full(4, value), atol=1e-5)


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-8])
def test_clusters(gap):
    values = np.concatenate([np.linspace(0, 1, 400), 3 + gap * np.arange(4)])
    s = eigenvalues(oracles.symmetric(values), k=6)
    assert s.converged.all()
    np.testing.assert_allclose(s.values.numpy(), np.sort(values)[::-1][:6], atol=4e-6)


def test_multiplicities():
    values = np.concatenate([np.linspace(-1, 1, 300), [5, 5, 5, 4, 4]])
    s = eigenvalues(oracles.symmetric(values), k=5, tol=1e-10)
    np.testing.assert_allclose(s.values.numpy(), [5, 5, 5, 4, 4], atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_plus_minus_pairs(dtype):
    """Power iteration answers -0.587 and 0.587 here."""
    values = np.concatenate([np.linspace(-0.3, 0.3, 300), [1, -1, 0.8, -0.8]])
    s = eigenvalues(oracles.symmetric(values, dtype), k=4)
    np.testing.assert_allclose(np.sort(s.values.numpy()), [-1, -0.8, 0.8, 1], atol=accuracy(dtype))


def test_geometric_decay():
    s = eigenvalues(oracles.symmetric(10.0 ** -np.arange(0, 100, 0.5)), k=8)
    np.testing.assert_allclose(s.values.numpy(), 10.0 ** -np.arange(0, 4, 0.5), rtol=2e-6, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", few(["LM", "LR", "SR", "LI"], 2))
@pytest.mark.parametrize("condition", [1.0, 30.0])
def test_rotations(dtype, which, condition):
    rng = np.random.default_rng(2)
    A, truth = oracles.rotations(
        rng.standard_normal(150) ** 3, rng.standard_normal(150) ** 3, np.linspace(8, 12, 5), dtype, condition
    )
    s = eigenvalues(A, k=9, which=which)
    assert s.converged.all()
    key = {"LM": np.abs, "LR": np.real, "SR": lambda z: -z.real, "LI": lambda z: np.abs(z.imag)}[which]
    expected = np.sort(key(truth))[::-1][: len(s)]
    loose = 30 * condition * accuracy(dtype)
    np.testing.assert_allclose(key(s.values.numpy()), expected, atol=loose)
    assert oracles.distance(s.values.numpy(), truth) < loose
    check_vectors(A, s)
    complex_ones = s.values[s.values.imag != 0]
    assert len(s) in (9, 10)
    assert torch.equal(complex_ones[0::2], complex_ones[1::2].conj())


def test_large_real_outliers_do_not_hide_rotation():
    """ARPACK's default basis calls this spectrum all real under LI; so do residuals, which are perfect."""
    rng = np.random.default_rng(0)
    # Many well separated real outliers, small pairs behind them: what a GAN's Jacobian looks like.
    outliers = np.linspace(20, 60, 44)
    A, truth = oracles.rotations(0.01 * rng.random(120), np.linspace(0.002, 0.15, 120), outliers)
    s = eigenvalues(A, k=20, which="LI")
    assert s.converged.all()
    expected = np.sort(np.abs(truth.imag))[::-1][:20]
    np.testing.assert_allclose(np.abs(s.values.numpy().imag), expected, atol=1e-6)


@pytest.mark.parametrize("which", ["LM", "LI"])
def test_skew_symmetric(which):
    rng = np.random.default_rng(3)
    A, truth = oracles.rotations(np.zeros(100), np.abs(rng.standard_normal(100)) ** 2)
    s = eigenvalues(A, k=6, which=which)
    np.testing.assert_allclose(s.values.real.numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(s.values.imag.numpy()), np.sort(np.abs(truth.imag))[::-1][:6], atol=1e-5)


def test_grcar_matches_lapack():
    matrix = oracles.grcar(30)
    s = eigenvalues(oracles.matrix_operator(matrix), k=4, which="LR", tol=1e-10)
    truth = np.linalg.eigvals(matrix.numpy())
    assert s.converged.all()
    assert oracles.distance(s.values.numpy(), truth) < 1e-6
    np.testing.assert_allclose(s.values.real.numpy(), np.sort(truth.real)[::-1][:4], atol=1e-6)


def test_jordan_block():
    """Eigenvalues of a defective matrix move by eps^(1/n): the residuals are small, and only they are promised."""
    matrix = torch.diag(torch.full((40,), 0.5, dtype=torch.float64)) + torch.diag(
        torch.ones(39, dtype=torch.float64), 1
    )
    A = oracles.matrix_operator(matrix)
    s = eigenvalues(A, k=4, basis=25)
    assert torch.isfinite(s.values.real).all()
    check_vectors(A, s)
    assert (s.values.abs() <= 1.5).all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (2, 2), (5, 5), (30, 29), (30, 30)])
def test_small_orders_and_whole_spectra(symmetric, n, k):
    M = torch.randn(n, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    M = M + M.T if symmetric else M
    s = eigenvalues(oracles.matrix_operator(M, symmetric=symmetric), k=k)
    truth = np.linalg.eigvals(M.numpy())
    assert k <= len(s) <= k + 1
    assert oracles.distance(s.values.numpy(), truth) < 1e-9
    np.testing.assert_allclose(np.abs(s.values.numpy()), np.sort(np.abs(truth))[::-1][: len(s)], atol=1e-9)
    assert s.complete == (len(s) == n)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("which", ["LM", "SM", "NI"])
def test_more_than_there_are_gives_all_of_them(symmetric, which):
    matrix = torch.diag(torch.tensor([3.0, -1.0, 2.0, 0.5], dtype=torch.float64))
    s = eigenvalues(oracles.matrix_operator(matrix, symmetric=symmetric), k=8, which=which)
    assert len(s) == 4 and s.complete and s.converged.all() and not s.doubt
    assert "all 4 eigenvalues" in s.message and "k = 8" in s.message
    order = {"LM": [3, 2, -1, 0.5], "SM": [0.5, -1, 2, 3], "NI": [0.5, -1, 2, 3]}[which]
    np.testing.assert_allclose(s.values.real.numpy(), order, atol=1e-12)


def test_smallest_from_the_whole_matrix():
    values = np.linspace(-1, 2, 301)
    s = eigenvalues(oracles.symmetric(values), k=3, which="SM")
    np.testing.assert_allclose(np.abs(s.values.numpy()), np.sort(np.abs(values))[:3], atol=1e-12)
    assert "SM" in s.message


@pytest.mark.parametrize("dtype", few(DTYPES, 1))
def test_both_ends(dtype):
    values = np.concatenate([np.linspace(-1, 1, 400), [4, 3, 2.5, 2, -2, -3]])
    s = eigenvalues(oracles.symmetric(values, dtype), k=5, which="BE")
    assert s.converged.all()
    np.testing.assert_allclose(s.values.numpy(), [4, -3, 3, -2, 2.5], atol=accuracy(dtype))
    again = eigenvalues(oracles.symmetric(values, dtype), k=5, which="BE", verify=True)
    np.testing.assert_allclose(again.values.numpy(), s.values.numpy(), atol=accuracy(dtype))
    with pytest.raises(GantoolsError, match="both ends"):
        eigenvalues(LinearOperator(lambda u: u, 30), k=3, which="BE")


@pytest.mark.parametrize("dtype", few([torch.bfloat16, torch.float16], 6))
@pytest.mark.parametrize("family", ["wigner", "decay", "ginibre", "outliers"])
@pytest.mark.parametrize("tol", [1e-6, 1e-2])
def test_half_precision_marks_no_residual_above_its_rounding_converged(dtype, family, tol):
    """Residuals in float64, of the matrix as rounded; ten units of rounding, as in float32, are 8 % in bfloat16."""
    n, rng = 150, np.random.default_rng(3)
    matrix = torch.from_numpy(rng.standard_normal((n, n))) / n**0.5
    if family == "wigner":
        matrix = matrix + matrix.T
    elif family == "decay":
        Q = oracles.orthogonal(n)
        matrix = Q * torch.logspace(0, -4, n, dtype=torch.float64) @ Q.T
    elif family == "outliers":
        matrix += torch.diag(torch.linspace(3, 6, 5, dtype=torch.float64).repeat(n // 5))
    half = ((matrix + matrix.T) / 2 if family in ("wigner", "decay") else matrix).to(dtype)
    A = oracles.matrix_operator(half, symmetric=family in ("wigner", "decay"))
    s = eigenvalues(A, k=5, tol=tol)
    V, values = s.vectors.to(torch.complex128), s.values.to(torch.complex128)
    residuals = torch.linalg.vector_norm(half.to(torch.complex128) @ V - V * values, dim=0) / values.abs()
    allowed = 5 * torch.finfo(dtype).eps
    assert (residuals[s.converged] <= max(allowed, tol)).all()
    assert s.dtype == dtype and str(dtype) in s.message
    assert s.converged.any()


def test_not_converged_is_a_result():
    A = oracles.symmetric(np.linspace(0, 1, 2000))
    s = eigenvalues(A, k=10, max_matvecs=40)
    assert s.matvecs == 40
    assert not s.converged.all()
    assert "max_matvecs" in s.message


def test_seeds():
    A, _ = oracles.rotations(np.linspace(0, 1, 60), np.linspace(0, 2, 60))
    a, b, c = (eigenvalues(A, k=4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.values, b.values)
    assert not torch.equal(a.values, c.values)
    torch.testing.assert_close(a.values.abs(), c.values.abs(), rtol=1e-5, atol=1e-5)


def test_global_randomness_is_untouched():
    state = torch.random.get_rng_state()
    eigenvalues(oracles.symmetric(np.linspace(0, 1, 100)), k=3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_not_finite_says_so():
    for symmetric in (True, False):
        A = LinearOperator(lambda u: u * float("nan"), 100, symmetric=symmetric)
        with pytest.raises(GantoolsError, match="NaN or infinite"):
            eigenvalues(A, k=2)
        with pytest.raises(GantoolsError, match="NaN or infinite"):
            spectrum(A)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k = 0"),
        ({"which": "LI"}, "real eigenvalues only"),
        ({"which": "LP"}, "Unknown selection"),
        ({"basis": 4, "k": 3}, "too small"),
        ({"tol": 0.0}, "tol = 0.0"),
        ({"max_matvecs": 0}, "max_matvecs = 0"),
    ],
)
def test_mistakes_get_a_sentence(options, words):
    with pytest.raises(GantoolsError, match=words):
        eigenvalues(oracles.symmetric(np.linspace(0, 1, 100)), **options)


def test_symmetric_names_are_refused_for_fields():
    with pytest.raises(GantoolsError, match="use 'SR'"):
        eigenvalues(oracles.matrix_operator(torch.eye(9, dtype=torch.float64)), k=1, which="SA")


def test_leading_never_splits_a_pair():
    values = np.array([3.0, 1 + 2j, 1 - 2j, 1 + 2j, 1 - 2j, 0.5])
    assert list(leading(values, 2, "LM")) == [0, 1, 2]
    assert len(leading(values, 4, "LI")) == 4
    assert list(leading(values, 1, "SR")) == [5]
    assert criterion("SA", True) == "SR"


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("vectors", [True, False])
def test_whole_spectrum(symmetric, vectors):
    M = torch.randn(60, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    M = M + M.T if symmetric else M
    A = oracles.matrix_operator(M, symmetric=symmetric)
    s = spectrum(A, vectors=vectors)
    assert s.complete
    assert s.converged.all()
    assert len(s) == s.matvecs == 60
    assert oracles.distance(s.values.numpy(), np.linalg.eigvals(M.numpy())) < 1e-10
    assert s.values.dtype == (torch.float64 if symmetric else torch.complex128)
    if vectors:
        check_vectors(A, s)


def test_whole_spectrum_refuses_what_does_not_fit():
    with pytest.raises(GantoolsError, match="GiB"):
        spectrum(LinearOperator(lambda u: u, 10**6))


def test_prints_and_saves(tmp_path):
    A, _ = oracles.rotations(np.linspace(0, 1, 60), np.linspace(0, 2, 60))
    s = eigenvalues(A, k=3)
    assert "residual" in str(s)
    np.savez(tmp_path / "s.npz", **s.to_numpy())
    with np.load(tmp_path / "s.npz") as saved:
        np.testing.assert_array_equal(saved["values"], s.values.numpy())


def test_a_spectrum_of_its_file_says_the_same(tmp_path):
    A, _ = oracles.rotations(np.linspace(-1, 1, 40), np.linspace(0.1, 2, 40), outliers=[3.0, 4.0])
    for s in (eigenvalues(A, k=3, tol=1e-3), eigenvalues(oracles.symmetric(np.linspace(-1, 1, 90)), k=2, which="SA")):
        np.savez(tmp_path / "s.npz", **s.to_numpy())
        with np.load(tmp_path / "s.npz") as arrays:
            again = type(s).from_numpy(arrays)
        assert str(again) == str(s) and str(stability(again)) == str(stability(s)) and again.epsilon == s.epsilon
        assert again.vectors is None and again.shares == {} and again.start() is None
        np.testing.assert_array_equal(again.values.numpy(), s.values.numpy())


def test_progress_is_reported():
    calls = []
    A = oracles.symmetric(np.linspace(0, 1, 500))
    s = eigenvalues(A, k=3, progress=lambda *call: calls.append(call))
    assert calls[-1] == (s.matvecs, 3, 3, 50 * 20)  # a basis of 20, and 50 times as many products


@pytest.mark.parametrize("k", [10, 20])
def test_no_more_products_than_arpack(k):
    rng = np.random.default_rng(5)
    values = np.concatenate([0.05 * rng.standard_normal(900) ** 3, np.linspace(0.5, 8, 15)])
    A = oracles.symmetric(values)
    s = eigenvalues(A, k=k)
    before = A.matvecs
    B = scipy.sparse.linalg.LinearOperator(
        A.shape, matvec=lambda u: (A @ torch.from_numpy(u.reshape(-1))).numpy(), dtype=float
    )
    scipy.sparse.linalg.eigsh(B, k, tol=1e-6, v0=np.ones(A.n))
    assert s.matvecs <= 1.1 * (A.matvecs - before)


def test_looks_are_frequent_only_where_the_end_is_near():
    """Bounded by a fifteenth of the basis, and so near before the end that few products are made in vain."""
    rng = np.random.default_rng(0)
    A, _ = oracles.rotations(rng.standard_normal(200), rng.standard_normal(200), outliers=np.linspace(5, 9, 10))
    calls = []
    s = eigenvalues(A, k=10, basis=120, tol=1e-9, progress=lambda *call: calls.append(call))
    pauses = np.diff([products for products, *_ in calls])
    assert s.converged.all() and pauses.max() == 8 and (pauses[-2:] <= 2).all() and pauses[:4].min() > 2
