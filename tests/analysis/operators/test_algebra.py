"""Operators made of operators, against the same made of matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import gantools as gt
from gantools.analysis import (
    LinearOperator,
    antisymmetric_part,
    coupling,
    eigenvalues,
    gram,
    hessian,
    identity,
    jacobian,
    restrict,
    spectrum,
    symmetric_part,
    update_operator,
)
from gantools.analysis.operators import algebra
from gantools.errors import GantoolsError
from tests import cases
from tests.game_oracles import dense_autograd, tanh_gan_field
from tests.oracles import matrix_operator
from tests.quick import few

SEEDS = st.integers(0, 2**31 - 1)
F64 = torch.float64


def random(shape, seed, dtype=F64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def same(operator, matrix):
    """Products, transposed products and the dense matrix, one vector and a block."""
    n = len(matrix)
    torch.testing.assert_close(operator.dense(), matrix)
    u, U = random(n, 3), random((n, 3), 4)
    torch.testing.assert_close(operator @ u, matrix @ u)
    torch.testing.assert_close(operator.T @ u, matrix.T @ u)
    torch.testing.assert_close(operator.T @ U, matrix.T @ U)
    torch.testing.assert_close(operator.T.T @ U, matrix @ U)


@given(n=st.integers(1, 8), seed=SEEDS, a=st.floats(-3, 3), b=st.floats(0.1, 3))
def test_sums_multiples_and_products(n, seed, a, b):
    M, N = random((n, n), seed), random((n, n), seed + 1)
    A, B = matrix_operator(M), matrix_operator(N)
    same(A + B, M + N)
    same(A - B, M - N)
    same(-A, -M)
    same(a * A - B * b, a * M - b * N)
    same(A / b, M / b)
    same(A @ B, M @ N)
    same((A @ B - B @ A).T, (M @ N - N @ M).T)
    same(A + a * identity(A), M + a * torch.eye(n, dtype=F64))
    same(gram(A), M.T @ M)


@given(n=st.integers(1, 8), seed=SEEDS)
def test_attraction_and_rotation(n, seed):
    M = random((n, n), seed)
    A = matrix_operator(M)
    S, K = symmetric_part(A), antisymmetric_part(A)
    same(S, (M + M.T) / 2)
    same(K, (M - M.T) / 2)
    assert S.symmetric and S.kind == "hessian" and not K.symmetric and K.kind == "field"
    same(S + K, M)
    values = spectrum(K).values
    assert values.real.abs().max() < 1e-12 * max(1.0, float(K.dense().norm()))
    whole, real = spectrum(A).values, spectrum(S).values
    assert whole.real.max() <= real.max() + 1e-12 and whole.real.min() >= real.min() - 1e-12  # Bendixson


def test_numpy_and_tensor_scalars():
    A = matrix_operator(random((3, 3), 0))
    torch.testing.assert_close((np.float64(2.0) * A).dense(), 2 * A.dense())
    torch.testing.assert_close((A * torch.tensor(2.0)).dense(), 2 * A.dense())


def test_what_a_combination_is():
    J, H = matrix_operator(random((4, 4), 0)), matrix_operator(torch.eye(4, dtype=F64), symmetric=True)
    assert (H + 2 * H).symmetric and (H + H).kind == "hessian" and (H - H).T is not None
    assert not (J + H).symmetric and (J + H).kind == "field"
    step = identity(J, kind="map") - 0.1 * J
    assert step.kind == "map" and not step.symmetric
    assert symmetric_part(H) is H
    assert not (H @ H).symmetric and gram(H).symmetric
    single = matrix_operator(random((4, 4), 1, torch.float32))
    assert (single + J).dtype == F64 and (2 * single).dtype == torch.float32
    assert identity(5).n == 5 and identity(single).dtype == torch.float32


def test_every_operator_counts_its_own_products():
    A, B = matrix_operator(random((4, 4), 0)), matrix_operator(random((4, 4), 1))
    C = 2 * A + B
    C @ random((4, 3), 2)
    assert (A.matvecs, B.matvecs, C.matvecs) == (3, 3, 3)


def test_no_transpose_where_a_part_has_none():
    A, B = LinearOperator(lambda u: 2 * u, 3), matrix_operator(random((3, 3), 0))
    for C in (A + B, A @ B, -A, restrict(A, slice(0, 2))):
        with pytest.raises(GantoolsError, match="has no transpose"):
            _ = C.T
    with pytest.raises(GantoolsError, match="has no transpose"):
        symmetric_part(A)


# Parts of a game -----------------------------------------------------------------------------------------------------


def test_blocks_of_players_layers_and_globs():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    J = jacobian(game, batch)
    assert list(J.parameters)[0] == "generator.0.weight" and J.parameters["discriminator.2.bias"] == slice(29, 30)
    expected = {
        "generator": range(17),
        "generator.*": range(17),
        "generator.0.*": range(9),
        "generator.0": range(9),
        "*.2": [*range(9, 17), *range(26, 30)],
        ("discriminator.2", "generator.0.bias"): [6, 7, 8, *range(26, 30)],
        ("generator.2.bias", "discriminator.0.weight"): range(15, 23),
        "*.bias": [6, 7, 8, 15, 16, 23, 24, 25, 29],
    }
    for part, where in expected.items():
        block = restrict(J, part)
        same(block, dense[list(where)][:, list(where)])
    inner = restrict(J, ["generator.2.bias", "discriminator"])
    assert inner.slices == {"discriminator": slice(2, 15)}
    assert inner.parameters["generator.2.bias"] == slice(0, 2) and "generator.0.bias" not in inner.parameters
    same(restrict(inner, "discriminator.2.*"), dense[26:, 26:])
    same(restrict(J, torch.tensor([3, 20])), dense[[3, 20]][:, [3, 20]])
    same(restrict(symmetric_part(J), "generator"), dense[:17, :17])
    assert restrict(hessian(game, batch, player="generator"), "generator.2.*").symmetric


def test_the_block_of_a_player_alone_is_its_hessian():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    own = restrict(jacobian(game, batch), "discriminator")
    H = hessian(game, batch, player="discriminator")
    assert H.parameters["discriminator.0.weight"] == slice(0, 6)
    torch.testing.assert_close(own.dense(), H.dense())


@pytest.mark.parametrize("method", ["reverse", "forward", pytest.param("replay", marks=pytest.mark.slow), "auto"])
@pytest.mark.parametrize("several", few([False, True], 1))
def test_a_part_is_differentiated_alone(method, several, monkeypatch):
    """The rows and columns of the dense whole, with no product of the whole; of a game that has moved on."""
    game, batches = cases.tanh_gan(), [cases.gan_batch(6), cases.gan_batch(3, seed=1)]
    dense = [dense_autograd(lambda w, b=b: tanh_gan_field(w, b), game.vector()) for b in batches]
    dense = (6 * dense[0] + 3 * dense[1]) / 9 if several else dense[0]
    J = jacobian(game, batches if several else batches[0], method=method)
    game.load_vector(-game.vector())
    for part in ("discriminator.2.*", "*.bias", torch.tensor([3, 4, 20]), slice(15, 18)):
        where = algebra.indices(J, part)
        block = restrict(J, part)
        same(block, dense[where][:, where])
        assert block.symmetric == (part == "discriminator.2.*")
    inner = restrict(restrict(J, slice(4, 25)), torch.tensor([0, 13, 14]))
    same(inner, dense[[4, 17, 18]][:, [4, 17, 18]])
    assert J.matvecs == 0


def test_a_part_of_a_hessian_and_of_a_buffered_net():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(F64)
    x = random((7, 3), 1)
    H = hessian(model, lambda m, b: (m(b) ** 2).square().mean(), x)
    model[0].weight.data.zero_()
    dense = H.dense()
    for part in ("model.3.*", "model.1.weight", slice(2, 14)):
        where = algebra.indices(H, part)
        same(restrict(H, part), dense[where][:, where])


def test_a_loss_that_differentiates_by_constants_itself():
    """Its part cannot make constants of the others, and is right all the same."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    plain = game.losses

    def losses(players, one):
        values = dict(plain(players, one))
        weights = list(players.generator.parameters())
        slopes = torch.autograd.grad(values["generator"], weights, create_graph=True)
        return values | {"discriminator": values["discriminator"] + sum((s**2).sum() for s in slopes)}

    game = gt.Game(dict(game.players), losses)
    J = jacobian(game, batch)
    dense = J.dense()
    same(restrict(J, "discriminator.0.*"), dense[17:26, 17:26])
    same(hessian(game, batch, player="discriminator"), dense[17:, 17:])


def test_a_loss_with_hooks_on_constants():
    """PyTorch refuses hooks, say to watch gradients, on what requires none."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    plain = game.losses

    def losses(players, one):
        players.generator[0].weight.register_hook(lambda slope: None)
        return plain(players, one)

    J = jacobian(gt.Game(dict(game.players), losses), batch)
    same(restrict(J, "discriminator.0.*"), J.dense()[17:26, 17:26])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("none left"), RuntimeError("shapes differ")])
def test_other_errors_of_a_part_are_told_at_once(error):
    game, batch = cases.tanh_gan(), cases.gan_batch()
    plain, evaluations = game.losses, []

    def losses(players, one):
        if not players.generator[0].weight.requires_grad:
            evaluations.append(one)
            raise error
        return plain(players, one)

    J = jacobian(gt.Game(dict(game.players), losses), batch)
    with pytest.raises(type(error), match=str(error)):
        restrict(J, "discriminator.0.*")
    assert len(evaluations) == 1


def test_coupling_has_the_singular_values_of_the_block():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    C = coupling(jacobian(game, batch), "generator", "discriminator")
    expected = torch.linalg.svdvals(dense[:17, 17:])
    found = eigenvalues(C, k=3, which="LA").values
    torch.testing.assert_close(found, expected[:3], rtol=1e-6, atol=1e-9)
    everything = torch.cat([expected, -expected, torch.zeros(30 - 2 * len(expected), dtype=F64)])
    torch.testing.assert_close(spectrum(C).values.sort().values, everything.sort().values)
    assert C.slices == {"rows": slice(0, 17), "columns": slice(17, 30)}


def test_parts_of_an_update_operator():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = gt.trainers.make("simultaneous", game, lr=0.1, base="momentum")
    optimizer.step(batch)
    U = update_operator(optimizer, batch)
    dense = U.dense()
    same(restrict(U, "generator"), dense[:17, :17])
    same(restrict(U, "*:momentum"), dense[30:, 30:])
    assert restrict(U, "*:momentum").kind == "map"


def test_names_of_complex_parameters_count_twice():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.ones(2, dtype=F64))
            self.z = nn.Parameter(torch.ones(3, dtype=torch.complex128))

    game = gt.minimization(Complex(), lambda m, _: (m.a**2).sum() + 3 * (m.z.abs() ** 2).sum())
    H = hessian(game, None)
    assert H.parameters == {"model.a": slice(0, 2), "model.z": slice(2, 8)}
    torch.testing.assert_close(restrict(H, "model.z").dense(), 6 * torch.eye(6, dtype=F64))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda J: restrict(J, "generatr"), "Unknown part 'generatr'. Did you mean 'generator'"),
        (lambda J: restrict(J, "generator.1"), "Unknown part 'generator.1'. Did you mean 'generator"),
        (lambda J: restrict(J, torch.tensor([40])), "do not fit an operator of order 30"),
        (lambda J: restrict(J, torch.tensor([0.5])), "holds floating numbers"),
        (lambda J: restrict(J, slice(30, 40)), "is empty"),
        (lambda J: restrict(matrix_operator(torch.eye(3)), "a"), "has no names"),
        (lambda J: J + identity(29), "Operators of one order"),
        (lambda J: J * J, "A @ B is the product"),
        (lambda J: J * 1j, "scaled by a real number"),
        (lambda J: J * float("nan"), "scaled by a finite number"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(jacobian(cases.tanh_gan(), cases.gan_batch()))


def test_adding_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        _ = matrix_operator(torch.eye(3)) + 2
