"""Products by central differences: where nothing else exists, their stated error, and what they cannot serve."""

import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import gantools as gt
from gantools.analysis import eigenvalues, hessian, index, jacobian, spectrum, update_operator
from gantools.analysis.products.differences import DENSE_LIMIT, DifferenceProducts
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.draws import draw
from tests.quick import few

F64, F32 = torch.float64, torch.float32


class Reversed(cases.Cube):
    """A gradient that is not that of the value: the field is no gradient of a loss."""

    @staticmethod
    def backward(ctx, gradient):
        return torch.from_numpy(gradient.detach().numpy()[:, ::-1].copy())


def cube_loss(model, x):
    return cases.Cube.apply(model(x)).square().mean()


def ctc(model, x):
    scores = F.log_softmax(model(x)[:, None].expand(-1, 2, -1), -1)
    return F.ctc_loss(scores, torch.tensor([[1, 2], [2, 3]]), (len(x),) * 2, (2, 2))


def differences(model, loss, x, h=1e-5):
    """Return the Jacobian of the plain gradient, column by column, by central differences in float64."""
    parameters = list(model.parameters())

    def gradient():
        pieces = torch.autograd.grad(loss(model, x), parameters)
        return torch.cat([g.reshape(-1) for g in pieces])

    columns = []
    for p in parameters:
        for i in range(p.numel()):
            there = p.data.view(-1)
            kept = float(there[i])
            there[i] = kept + h
            ahead = gradient()
            there[i] = kept - h
            columns.append((ahead - gradient()) / (2 * h))
            there[i] = kept
    return torch.stack(columns, 1)


@pytest.mark.parametrize("dtype", few([F64, F32], 1))
@pytest.mark.parametrize("loss", [ctc, cube_loss], ids=["ctc", "numpy"])
def test_what_has_no_second_derivative_is_differenced_and_says_so(loss, dtype):
    model, x = cases.mlp(3, 4, 4), draw(5, 3)
    truth = differences(model, loss, x)
    with pytest.warns(GantoolsWarning, match=r"field .*Products are central differences of the field.*relative error"):
        H = hessian(model.to(dtype), loss, x.to(dtype))
    assert H.method == "difference"
    assert H.symmetric
    assert "central differences" in repr(H)
    error = (H.dense().double() - truth).norm() / truth.norm()
    assert error <= 3 * max(H.precision, 1e-9)
    assert H.precision <= (1e-7 if dtype == F64 else 1e-6)
    for method in ("reverse", "forward", "replay"):
        with pytest.raises(GantoolsError, match="method='difference'"):
            hessian(model, loss, x.to(dtype), method=method)


def test_differences_on_request_agree_with_reverse_on_games_and_several_batches():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    batches = [batch, {name: 2 * value for name, value in batch.items()}]
    for one in (batch, batches):
        J, D = jacobian(game, one, method="reverse"), jacobian(game, one, method="difference")
        u = draw(J.n)
        for got, expected in ((D @ u, J @ u), (D.T @ u, J.T @ u), (D.dense(), J.dense())):
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)
    H = hessian(game, batch, player="discriminator", method="difference")
    torch.testing.assert_close(H.dense(), hessian(game, batch, player="discriminator").dense(), rtol=1e-6, atol=1e-8)


def test_a_field_that_is_no_gradient_is_not_called_symmetric():
    model, x = cases.mlp(3, 4, 2), draw(5, 3)
    with pytest.warns(GantoolsWarning):
        J = hessian(model, lambda m, x: Reversed.apply(m(x)).square().mean(), x)
    assert not J.symmetric
    truth = differences(model, lambda m, x: Reversed.apply(m(x)).square().mean(), x)
    torch.testing.assert_close(J.dense(), truth, rtol=1e-6, atol=1e-8)
    u = draw(J.n)
    torch.testing.assert_close(J.T @ u, truth.T @ u, rtol=1e-6, atol=1e-8)


def test_a_large_transpose_is_refused_in_a_sentence():
    n = DENSE_LIMIT + 2
    game = gt.Game(
        {"a": cases.Point([1.0] * (n // 2)), "b": cases.Point([2.0] * (n // 2))},
        lambda p, _: {"a": p.a.value.dot(p.b.value), "b": -p.a.value.dot(p.b.value)},
    )
    J = jacobian(game, torch.ones(1), method="difference")
    u = torch.ones(n, dtype=F64)
    torch.testing.assert_close(J @ u, torch.cat([u[: n // 2], -u[: n // 2]]), rtol=1e-8, atol=1e-8)
    assert not J.has_transpose
    with pytest.raises(GantoolsError, match=f"{n} x {n} is too large"):
        _ = J.T


def test_a_part_is_differenced_too():
    model, x = cases.mlp(3, 4, 4), draw(5, 3)
    with pytest.warns(GantoolsWarning):
        H = hessian(model, ctc, x)
    where = torch.arange(3, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = H.restricted(where)
    torch.testing.assert_close(part.dense(), H.dense()[where][:, where], rtol=1e-6, atol=1e-8)


def noisy(model, x):
    """Float32 in the middle, by NumPy, whatever precision the game is in."""
    return cases.Cube.apply(model(x).float()).double().square().mean()


def test_tolerances_follow_the_stated_error():
    """Below the error of products nothing is a sign, nor a reason to go on searching."""
    model, x = cases.mlp(3, 6, 2), draw(2, 3)  # two samples: most eigenvalues are zero
    truth = torch.linalg.eigvalsh(differences(model, cube_loss, x))
    with pytest.warns(GantoolsWarning):
        H = hessian(model, noisy, x)
    assert 1e-8 < H.precision < 1e-2
    found = index(H)
    assert found.tolerance >= H.precision * float(truth.abs().max()) / 10
    clear = truth.abs() > 10 * found.tolerance
    assert found.counts["negative"] <= int((truth < -found.tolerance / 10).sum())
    assert found.counts["negative"] + found.counts["positive"] >= int(clear.sum())
    s = eigenvalues(H, k=2)
    assert s.converged.all()
    assert f"products known to {H.precision:.0e}" in str(s)
    assert s.matvecs <= 2 * H.n
    assert s.epsilon == spectrum(H).epsilon == H.precision
    best = truth[truth.abs().argsort(descending=True)[:2]]
    assert ((s.values - best).abs() <= 30 * H.precision * truth.abs().max()).all()


def test_noise_is_no_derivative():
    source = np.random.default_rng(0)
    point = torch.ones(3, dtype=F64)
    with pytest.raises(GantoolsError, match="do not settle"):
        DifferenceProducts(lambda w: w + torch.from_numpy(source.normal(size=3)), point)
    assert DifferenceProducts(lambda w: torch.ones(3, dtype=F64), point).product(point).norm() == 0


def test_methods_that_need_derivatives_refuse_and_others_train():
    game, x = gt.minimization(cases.mlp(3, 4, 4), ctc), draw(5, 3)
    with pytest.raises(GantoolsError, match="cannot be differentiated here"):
        Consensus(game).step(x)
    Simultaneous(game).step(x)
    with pytest.raises(GantoolsError, match="have no differences"):
        gt.analysis.gauss_newton(cases.mlp(3, 4, 2), lambda o, b: o.square().mean(), x, method="difference")


@pytest.mark.slow
@pytest.mark.parametrize("base", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("name", ["simultaneous", "extragradient"])
def test_steps_are_differentiated_through_the_field(name, base):
    """Against reverse differentiation where that works, from a state with memory; then where nothing else does."""
    game, x = gt.minimization(cases.mlp(3, 4, 4), lambda m, x: m(x).square().mean()), draw(5, 3)
    optimizer = gt.trainers.make(name, game, lr=0.05, base=base)
    for _ in range(3):
        optimizer.step(x)
    truth = update_operator(optimizer, x).dense()
    U = update_operator(optimizer, x, method="difference")
    torch.testing.assert_close(U.dense(), truth, rtol=1e-5, atol=1e-6 * float(truth.abs().max()))
    assert U.method == "difference" and "central differences" in repr(U)
    u = draw(U.n)
    torch.testing.assert_close(U.T @ u, truth.T @ u, rtol=1e-5, atol=1e-6 * float((truth.T @ u).abs().max()))
    assert game.difference is None


def test_a_step_whose_field_has_no_derivative_is_linearised_with_a_warning():
    model, x = cases.mlp(3, 4, 4), draw(5, 3)
    truth = differences(model, ctc, x)
    game = gt.minimization(model, ctc)
    with pytest.warns(GantoolsWarning, match=r"_ctc_loss_backward.*central differences"):
        U = update_operator(Simultaneous(game, lr=0.1), x)
    torch.testing.assert_close(U.dense(), torch.eye(U.n, dtype=F64) - 0.1 * truth, rtol=1e-6, atol=1e-8)
    with pytest.raises(GantoolsError, match="cannot be differentiated here"):
        update_operator(Simultaneous(game, lr=0.1), x, method="reverse")
    with pytest.raises(GantoolsError, match="cannot be differentiated here"):
        update_operator(Consensus(game, lr=0.1), x)
    smooth = gt.minimization(model, lambda m, x: m(x).square().mean())
    with pytest.raises(GantoolsError, match="differentiates the field itself"):
        update_operator(Consensus(smooth, lr=0.1), x, method="difference")
