"""The laws of a linear operator, and its sentences for mistakes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gantools.analysis import LinearOperator
from gantools.errors import GantoolsError
from tests.oracles import matrix_operator, symmetric

SEEDS = st.integers(0, 2**31 - 1)


def random(shape, seed, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(n=st.integers(1, 12), k=st.integers(1, 4), seed=SEEDS, s=st.floats(-3, 3))
def test_linear_and_consistent_in_blocks(n, k, seed, s):
    M = random((n, n), seed)
    A = matrix_operator(M)
    U, V = random((n, k), seed + 1), random((n, k), seed + 2)
    torch.testing.assert_close(A @ (s * U + V), s * (A @ U) + A @ V)
    torch.testing.assert_close((A @ U)[:, 0], A @ U[:, 0])
    torch.testing.assert_close(A @ U, M @ U)


@given(n=st.integers(1, 12), seed=SEEDS)
def test_transpose_is_the_adjoint(n, seed):
    A = matrix_operator(random((n, n), seed))
    u, v = random(n, seed + 1), random(n, seed + 2)
    torch.testing.assert_close(torch.dot(u, A @ v), torch.dot(A.T @ u, v))
    torch.testing.assert_close(A.T.T @ u, A @ u)
    torch.testing.assert_close(A.T.dense(), A.dense().T)


@given(n=st.integers(1, 9), seed=SEEDS)
def test_complex_vectors(n, seed):
    M = random((n, n), seed)
    u = torch.complex(random((n, 2), seed + 1), random((n, 2), seed + 2))
    torch.testing.assert_close(matrix_operator(M) @ u, M.to(u.dtype) @ u)
    torch.testing.assert_close(matrix_operator(M) @ u[:, 0], M.to(u.dtype) @ u[:, 0])


@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 100])
def test_dense_in_blocks(chunk):
    M = random((7, 7), 0)
    A = matrix_operator(M)
    assert torch.equal(A.dense(chunk), M)
    assert A.matvecs == 7


def test_counts_products():
    A = matrix_operator(random((5, 5), 0))
    A @ random(5, 1)
    A @ random((5, 3), 1)
    assert A.matvecs == 4
    A @ random(5, 1).to(torch.complex128)
    assert A.matvecs == 6


def test_symmetric_is_its_own_transpose():
    A = symmetric([1.0, 2.0, 3.0])
    assert A.T is A
    assert A.kind == "hessian"
    assert matrix_operator(random((3, 3), 0)).kind == "field"


def test_result_in_the_operators_dtype():
    A = matrix_operator(random((4, 4), 0, torch.float32))
    assert (A @ random(4, 1, torch.float64)).dtype == torch.float32


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda A: A @ torch.ones(4), "multiplies tensors of shape"),
        (lambda A: A @ torch.ones(3, 1, 1), "multiplies tensors of shape"),
        (lambda A: A @ torch.ones(3, dtype=torch.int64), "floating tensors"),
        (lambda A: A @ [1.0, 2.0, 3.0], "torch tensor"),
        (lambda A: A.T, "rmatvec="),
        (lambda A: LinearOperator(lambda u: u, 0), "at least one dimension"),
        (lambda A: LinearOperator(lambda u: u, 3, dtype=torch.int64), "floating dtype"),
        (lambda A: LinearOperator(lambda u: u, 3, kind="jacobian"), "Unknown kind"),
        (lambda A: LinearOperator(lambda u: u[:2], 3) @ torch.ones(3), "matvec returned shape"),
        (lambda A: LinearOperator(lambda u: u, 3, matmat=lambda u: u.T) @ torch.ones(3, 2), "matmat returned shape"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(LinearOperator(lambda u: u, 3))
