"""Leading eigenvalues against closed forms, LAPACK and ARPACK."""

import dataclasses
import sys

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from gantools.analysis import LinearOperator, eigenvalues, spectrum
from gantools.analysis.guard import find_doubt
from gantools.analysis.selection import criterion, leading
from gantools.errors import GantoolsError
from tests import oracles
from tests.spectral_cases import score

DTYPES = [torch.float64, torch.float32]


def accuracy(dtype):
    return 1e-6 if dtype == torch.float64 else 1e-5


def check_vectors(A, s):
    """The residuals are true, and the vectors are unit."""
    V = s.vectors
    values = s.values.to(V.dtype)
    residuals = torch.linalg.vector_norm((A @ V) - V * values, dim=0)
    assert (torch.linalg.vector_norm(V, dim=0) - 1).abs().max() <= 10 * torch.finfo(A.dtype).eps
    slack = 10 * torch.finfo(A.dtype).eps * s.scale
    assert (residuals.double() - s.residuals).abs().max() <= slack


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


def test_verify_finds_all_copies_of_multiple_eigenvalues():
    """A Krylov space contains one copy of each; the second start, orthogonal to it, finds the others."""
    matrix, truth = oracles.wilkinson()
    A = oracles.matrix_operator(matrix, symmetric=True)
    s = eigenvalues(A, k=4, basis=10, tol=1e-10, verify=True)
    np.testing.assert_allclose(s.values.numpy(), truth[:-5:-1], atol=1e-8)
    A, truth = oracles.laplacian(24)
    s = eigenvalues(A, k=9, verify=True)
    np.testing.assert_allclose(s.values.numpy(), truth[:-10:-1], atol=1e-5)
    B, truth = oracles.rotations([1, 1, *np.linspace(0, 0.5, 80)], [2, 2, *np.linspace(0, 1, 80)])
    t = eigenvalues(B, k=4, verify=True)
    np.testing.assert_allclose(t.values.numpy(), [1 + 2j, 1 - 2j, 1 + 2j, 1 - 2j], atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LM", "LR", "SR", "LI"])
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


def test_smallest_from_the_whole_matrix():
    values = np.linspace(-1, 2, 301)
    s = eigenvalues(oracles.symmetric(values), k=3, which="SM")
    np.testing.assert_allclose(np.abs(s.values.numpy()), np.sort(np.abs(values))[:3], atol=1e-12)
    assert "SM" in s.message


@pytest.mark.parametrize("symmetric", [True, False])
def test_smallest_by_shift_invert(symmetric):
    if symmetric:
        values = np.linspace(-1.003, 2, 301)
        A = oracles.symmetric(values)
    else:
        A, values = oracles.rotations(np.linspace(0.2, 3, 80), np.linspace(0.1, 2, 80))
    s = eigenvalues(A, k=4, which="SM", dense_limit=100)
    assert s.converged.all()
    np.testing.assert_allclose(np.abs(s.values.numpy())[:4], np.sort(np.abs(values))[:4], atol=1e-6)
    assert s.matvecs + s.check_matvecs == A.matvecs
    check_vectors(A, s)
    assert "shift-invert" in s.message


def test_smallest_that_cannot_be_had_says_so(monkeypatch):
    """A cluster at zero: the inner solves fail, and nothing is passed off as converged."""
    monkeypatch.setattr(sys.modules["gantools.analysis.eigenvalues"], "INNER_LIMIT", 100)
    values = np.concatenate([np.logspace(-14, 0, 500), -np.logspace(-13, 0, 500)])
    s = eigenvalues(oracles.symmetric(values, torch.float32), k=3, which="SM", dense_limit=100, max_matvecs=20)
    wrong = np.abs(s.values.numpy()[:, None] - values).min(axis=1) > 1e-5
    assert not (wrong & s.converged.numpy()).any()
    with pytest.raises(GantoolsError, match="operator is zero|NaN"):
        eigenvalues(LinearOperator(lambda u: 0 * u, 300, symmetric=True), k=3, which="SM", dense_limit=100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_both_ends(dtype):
    values = np.concatenate([np.linspace(-1, 1, 400), [4, 3, 2.5, 2, -2, -3]])
    s = eigenvalues(oracles.symmetric(values, dtype), k=5, which="BE")
    assert s.converged.all()
    np.testing.assert_allclose(s.values.numpy(), [4, -3, 3, -2, 2.5], atol=accuracy(dtype))
    again = eigenvalues(oracles.symmetric(values, dtype), k=5, which="BE", verify=True)
    np.testing.assert_allclose(again.values.numpy(), s.values.numpy(), atol=accuracy(dtype))
    with pytest.raises(GantoolsError, match="both ends"):
        eigenvalues(LinearOperator(lambda u: u, 30), k=3, which="BE")


@pytest.mark.parametrize("dense_limit", [0, 1000])
def test_nearest_to_the_imaginary_axis_and_the_unit_circle(dense_limit):
    """Where they are extreme, products alone find them."""
    real = np.concatenate([[0.01, 0.02, 0.05], np.linspace(1, 2, 100)])
    A, truth = oracles.rotations(real, np.linspace(0.1, 1, 103))
    s = eigenvalues(A, k=6, which="NI", dense_limit=dense_limit)
    assert s.converged.all()
    np.testing.assert_allclose(np.sort(s.values.real.numpy()), np.repeat([0.01, 0.02, 0.05], 2), atol=1e-6)
    angle = np.linspace(0.1, 3, 100)
    size = np.concatenate([[0.99, 0.98, 0.97], np.linspace(0.1, 0.6, 97)])
    A, truth = oracles.rotations(size * np.cos(angle), size * np.sin(angle))
    s = eigenvalues(A, k=4, which="NU", dense_limit=dense_limit)
    assert s.converged.all()
    np.testing.assert_allclose(np.abs(s.values.numpy()), np.sort(np.abs(truth))[::-1][: len(s)], atol=1e-6)


def test_inside_the_spectrum_does_not_converge_and_says_so():
    A, truth = oracles.rotations(np.linspace(-1, 1, 300), np.linspace(0, 1, 300))
    s = eigenvalues(A, k=4, which="NI", dense_limit=0, max_matvecs=100)
    assert not s.converged.all()
    assert "inside the spectrum" in s.message
    assert s.doubt


def test_doubt_about_an_all_real_spectrum():
    """Real outliers fill the basis before the pairs appear; the antisymmetric part gives them away."""
    A, _ = oracles.rotations(
        0.01 * np.random.default_rng(0).random(120), np.linspace(0.2, 0.5, 120), np.linspace(20, 60, 44)
    )
    hidden = eigenvalues(A, k=4, which="LI", basis=8, max_matvecs=300, tol=1e-3)
    assert hidden.values.imag.any() or "antisymmetric part" in hidden.doubt or not hidden.converged.all()
    real, _ = oracles.rotations([], [], np.linspace(1, 9, 60))
    assert eigenvalues(real, k=4, which="LI").doubt == ""


def test_doubt_where_the_frobenius_norm_needs_more():
    start = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # All of the start lies in the small eigenspace: what is large stays unseen.
    P = torch.outer(start, start) / start.square().sum()
    A = oracles.matrix_operator(0.1 * P + 50 * (torch.eye(400, dtype=torch.float64) - P), symmetric=True)
    s = eigenvalues(A, k=1, tol=1e-2, max_matvecs=1)
    assert s.doubt
    assert eigenvalues(A, k=1, guard=False).guard_matvecs == 0


@pytest.mark.parametrize(("which", "axis", "part"), [("LI", 1.0, "antisymmetric"), ("LR", 1j, "symmetric")])
def test_doubt_where_one_half_of_the_bendixson_box_is_left_empty(which, axis, part):
    A, _ = oracles.rotations(np.linspace(-1, 1, 30), np.linspace(0.5, 1, 30))
    s = eigenvalues(A, k=4, which=which)
    assert not s.doubt
    one_sided = dataclasses.replace(s, values=axis * s.values.abs().to(torch.complex128))
    assert f"the {part} part is not zero" in find_doubt(A, one_sided, 4, which, 0).doubt
    one_way = LinearOperator(lambda u: A @ u, A.n, dtype=A.dtype)
    assert "cannot be judged" in find_doubt(one_way, one_sided, 4, which, 0).doubt


@pytest.mark.parametrize(("which", "shift"), [("LM", 3.0), ("LR", 3.0), ("SR", -3.0)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_doubt_where_the_trace_needs_more(which, shift, symmetric):
    matrix = shift * torch.eye(300, dtype=torch.float64) + 0.1 * torch.diag(torch.linspace(-1, 1, 300).double())
    A = oracles.matrix_operator(matrix, symmetric=symmetric)
    s = eigenvalues(A, k=3, which=which)
    assert not s.doubt
    poor = dataclasses.replace(s, values=s.values * 0.5)
    assert "by the trace" in find_doubt(A, poor, 3, which, 0).doubt


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [2, 4])
def test_blocks_find_copies_of_multiple_eigenvalues_at_once(dtype, block):
    values = np.concatenate([[10.0] * block, [-9.0] * block, np.linspace(-3, 3, 290)])
    A = oracles.symmetric(values, dtype)
    s = eigenvalues(A, k=2 * block, block=block)
    assert s.converged.all()
    np.testing.assert_allclose(s.values.numpy(), [10.0] * block + [-9.0] * block, rtol=accuracy(dtype))
    check_vectors(A, s)


@pytest.mark.parametrize("which", ["LM", "LR", "SR", "LI"])
@pytest.mark.parametrize("block", [2, 3])
def test_blocks_of_a_field_agree_with_lapack(which, block):
    A, truth = oracles.rotations(np.linspace(-1, 1, 60) ** 3, np.linspace(0.1, 2, 60), condition=10.0)
    s = eigenvalues(A, k=6, which=which, block=block)
    assert s.converged.all()
    best = np.sort(score(truth, which))[::-1][: len(s)]
    np.testing.assert_allclose(np.sort(score(s.values.numpy(), which))[::-1], best, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_blocks_that_break_down(value):
    A = oracles.symmetric(np.full(60, value), torch.float64)
    np.testing.assert_allclose(eigenvalues(A, k=4, block=3).values.numpy(), np.full(4, value), atol=1e-13)
    low = oracles.symmetric(np.concatenate([[3.0, -2.0, 1.0], np.zeros(97)]), torch.float64)
    np.testing.assert_allclose(eigenvalues(low, k=4, block=3).values.numpy(), [3, -2, 1, 0], atol=1e-12)


def test_a_basis_in_main_memory_gives_the_same_and_one_in_bfloat16_says_what_it_is_worth():
    values = np.concatenate([[10.0, -8.0, 6.0, 5.0], np.linspace(-1, 1, 396)])
    A = oracles.symmetric(values, torch.float32)
    on_device, on_host, rough = (eigenvalues(A, k=4, storage=where) for where in ("device", "host", "bfloat16"))
    assert torch.equal(on_device.values, on_host.values)
    np.testing.assert_allclose(rough.values.numpy(), [10.0, -8.0, 6.0, 5.0], rtol=1e-4)
    assert not rough.converged.all() and "bfloat16" in rough.message
    assert rough.residuals.max() < 0.005 * 10
    good_enough = eigenvalues(A, k=4, storage="bfloat16", tol=1e-2, block=2)
    assert good_enough.converged.all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("stop", [5, 33, 60])
def test_interrupted_and_resumed(symmetric, stop, tmp_path):
    rng = np.random.default_rng(8)
    real = rng.standard_normal(200) ** 3
    whole = oracles.symmetric(np.linspace(0, 1, 400)) if symmetric else oracles.rotations(real[:100], real[100:])[0]
    straight = eigenvalues(whole, k=6, which="SR", basis=24)
    assert straight.matvecs > 60

    class Stopped(LinearOperator):
        def _product(self, u):
            if self.matvecs > stop:
                raise KeyboardInterrupt
            return whole @ u

    A = Stopped(lambda u: u, whole.n, symmetric=symmetric)
    path = tmp_path / "basis.pt"
    with pytest.raises(KeyboardInterrupt):
        eigenvalues(A, k=6, which="SR", basis=24, store=path)
    assert path.exists()
    before = whole.matvecs
    s = eigenvalues(whole, k=6, which="SR", basis=24, store=path)
    assert s.converged.all() and not path.exists()
    torch.testing.assert_close(s.values, straight.values)
    assert s.matvecs == straight.matvecs
    # One product shows that the basis is this operator's.
    assert s.check_matvecs == straight.check_matvecs + 1
    transposed = 0 if symmetric else s.guard_matvecs // 2  # counted by whole.T
    assert whole.matvecs - before == s.matvecs - stop + s.check_matvecs + s.guard_matvecs - transposed


def test_a_basis_of_another_operator_is_refused(tmp_path):
    A = oracles.symmetric(np.linspace(0, 1, 300))

    def failing(u):
        if A.matvecs > 40:
            raise ZeroDivisionError
        return A @ u

    path = tmp_path / "basis.pt"
    with pytest.raises(ZeroDivisionError):
        eigenvalues(LinearOperator(failing, 300, symmetric=True), k=3, store=path)
    with pytest.raises(GantoolsError, match="another operator"):
        eigenvalues(oracles.symmetric(np.linspace(0, 2, 300)), k=3, store=path)
    with pytest.raises(GantoolsError, match="another operator"):
        eigenvalues(A, k=12, store=path)


def test_too_large_a_basis_gets_a_sentence_with_sizes():
    A = LinearOperator(lambda u: u, 10**13, dtype=torch.float32, symmetric=True)
    with pytest.raises(GantoolsError, match=r"basis of 22 vectors of 10{13} numbers needs .* GiB on cpu.*lower basis="):
        eigenvalues(A, k=3, basis=21)


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


@pytest.mark.parametrize("which", ["LM", "LR", "LI"])
def test_verify_agrees(which):
    rng = np.random.default_rng(4)
    A, truth = oracles.rotations(rng.standard_normal(100) ** 3, rng.standard_normal(100) ** 3)
    s = eigenvalues(A, k=6, which=which, verify=True)
    assert s.verified
    assert s.guard_matvecs > 0
    assert not s.complete
    assert "nothing that was missed" in s.message
    assert s.matvecs + s.check_matvecs + s.guard_matvecs == A.matvecs


def test_verify_finds_what_the_first_start_cannot_see():
    """The top eigenvector is orthogonal to the first start, which cannot see it; the second does."""
    values = np.concatenate([np.linspace(0, 1, 200), [1.5]])
    start = torch.randn(201, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # Make the top eigenvector orthogonal to the start vector of seed 0, exactly enough to stay hidden for some steps.
    top = torch.linalg.qr(torch.stack([start, torch.ones(201, dtype=torch.float64)], dim=1))[0][:, 1]
    basis = torch.linalg.qr(torch.cat([top[:, None], torch.eye(201, dtype=torch.float64)[:, :200]], dim=1))[0]
    M = basis * torch.as_tensor(values[::-1].copy()) @ basis.T
    A = oracles.matrix_operator((M + M.T) / 2, symmetric=True)
    blind = eigenvalues(A, k=1, tol=1e-2)
    assert abs(blind.values[0] - 1.5) > 0.3
    s = eigenvalues(A, k=1, tol=1e-2, verify=True)
    assert s.values[0] == pytest.approx(1.5, abs=1e-2)
    assert "1 that the first start had missed" in s.message


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
        ({"k": 101}, "k = 101"),
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


def test_progress_is_reported():
    calls = []
    A = oracles.symmetric(np.linspace(0, 1, 500))
    s = eigenvalues(A, k=3, progress=lambda *call: calls.append(call))
    assert calls[-1] == (s.matvecs, 3, 3)


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
