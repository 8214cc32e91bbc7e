"""Blocks of vectors, where a basis is stored, and searches that stop and go on."""

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, eigenvalues
from gantools.analysis.krylov import gram_schmidt
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.errors import GantoolsError
from tests import oracles
from tests.oracles import DTYPES, accuracy, check_vectors
from tests.quick import few
from tests.spectral_cases import score


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
    torch.testing.assert_close(on_host.values, on_device.values, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(rough.values.numpy(), [10.0, -8.0, 6.0, 5.0], rtol=1e-4)
    assert not rough.converged.all() and "bfloat16" in rough.message
    assert rough.residuals.max() < 0.005 * 10
    good_enough = eigenvalues(A, k=4, storage="bfloat16", tol=1e-2, block=2)
    assert good_enough.converged.all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("stop", few([5, 33, 60], 1))
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


def test_an_interruption_while_looking_keeps_the_basis(tmp_path):
    A = oracles.symmetric(np.linspace(0, 1, 300) ** 2)
    path = tmp_path / "basis.pt"

    def stop(products, *_):
        if products > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eigenvalues(A, k=8, store=path, progress=stop)
    assert path.exists()
    before = A.matvecs
    s = eigenvalues(A, k=8, store=path)
    straight = eigenvalues(A, k=8)
    np.testing.assert_allclose(s.values.numpy(), straight.values.numpy(), rtol=1e-9)
    assert s.matvecs == straight.matvecs > A.matvecs - before - straight.matvecs - 2 * 8


def test_a_store_that_is_none(tmp_path):
    A = oracles.symmetric(np.linspace(0, 1, 300))
    torch.save({"other": 1}, tmp_path / "other.pt")
    (tmp_path / "junk.pt").write_text("hello")
    (tmp_path / "empty.pt").write_text("")
    for name in ("other", "junk", "empty"):
        with pytest.raises(GantoolsError, match="holds no basis"):
            eigenvalues(A, k=3, store=tmp_path / f"{name}.pt")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(GantoolsError, match="cannot be kept"):
        eigenvalues(A, k=3, store=tmp_path / "no" / "basis.pt", progress=stop)
    with pytest.raises(GantoolsError, match="keeps the basis of LM"):
        eigenvalues(A, k=3, which="SM", dense_limit=10, store=tmp_path / "basis.pt")


class TestUnjudgedVectors:
    """On a GPU several vectors are appended before their coefficients are read; here the same is asked of a CPU."""

    @staticmethod
    def bases(A, size=24, ahead=8):
        plain, ahead_basis = (KrylovBasis(A, size, torch.Generator().manual_seed(0)) for _ in range(2))
        ahead_basis.ahead = ahead
        return plain, ahead_basis

    @pytest.mark.parametrize("symmetric", [True, False])
    def test_equals_vectors_judged_one_by_one(self, symmetric):
        real = np.linspace(-1, 1, 30)
        A = oracles.symmetric(np.linspace(0, 1, 60)) if symmetric else oracles.rotations(real, real[::-1])[0]
        plain, ahead = self.bases(A)
        for basis in (plain, ahead):
            basis.fill()
            basis.restart(np.eye(24)[:, :7], basis.square[:7, :7])
            basis.fill()
        np.testing.assert_allclose(ahead.projected, plain.projected, atol=1e-12)
        torch.testing.assert_close(ahead.vectors, plain.vectors, rtol=0, atol=1e-10)
        assert ahead.scale == pytest.approx(plain.scale)

    @pytest.mark.parametrize("symmetric", [True, False])
    @pytest.mark.parametrize("values", [[0.0], [3.0, 1.0, -2.0, 0.0]])
    def test_breakdowns_start_afresh(self, values, symmetric):
        # Every Krylov space from one vector ends after as many products as there are different eigenvalues.
        diagonal = torch.tensor(values, dtype=torch.float64).repeat_interleave(10).repeat(2)
        A = LinearOperator(lambda u: diagonal * u, len(diagonal), symmetric=symmetric)
        _, basis = self.bases(A, size=15)
        basis.fill()
        assert A.matvecs > 15  # some vectors were dropped
        V, S = basis.vectors[: basis.length], torch.from_numpy(basis.square)
        torch.testing.assert_close(V @ V.T, torch.eye(basis.length, dtype=V.dtype), rtol=0, atol=1e-10)
        torch.testing.assert_close(V @ (A @ V.T), S.triu(-1), rtol=0, atol=1e-9)

    def test_a_state_leaves_out_what_was_not_judged(self):
        _, basis = self.bases(oracles.symmetric(np.linspace(0, 1, 60)))
        for _ in range(11):
            basis.expand()
        state = basis.state()
        assert basis.length == 8 and len(state.vectors) == 9
        basis.fill()
        assert basis.restore(state)

    def test_nan_is_reported(self):
        A = LinearOperator(lambda u: u * float("nan"), 50)
        _, basis = self.bases(A)
        with pytest.raises(GantoolsError, match="NaN"):
            basis.fill()


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_basis_in_half_precision_is_widened_in_parts(shape, monkeypatch):
    monkeypatch.setattr(gram_schmidt, "_ENTRIES", 7)
    monkeypatch.setattr(gram_schmidt, "_AT_ONCE", 2)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 40, generator=generator).bfloat16()
    w, c = (torch.randn(n, *shape, generator=generator) for n in (40, 5))
    torch.testing.assert_close(gram_schmidt.coefficients_on(rows, w), rows.float() @ w)
    torch.testing.assert_close(gram_schmidt.combined(rows, c), rows.float().T @ c)
    torch.testing.assert_close(gram_schmidt.cleared(rows, w, c), w - rows.float().T @ c)
