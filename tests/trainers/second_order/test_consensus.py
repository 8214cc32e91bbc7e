"""Consensus optimization: closed forms, exactness away from equilibrium, a plain loop, the unbiased estimator."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.batches import halves
from gantools.errors import GantoolsError
from gantools.trainers import Consensus
from tests import cases
from tests.game_oracles import eigenvalues, flat, frozen_field, match_distance, plain_consensus_step, relative
from tests.quick import few

F64 = torch.float64


@pytest.mark.parametrize(("loss", "f1"), [("minimax", 0.5), ("nonsaturating", 0.5), ("wasserstein", 1.0)])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_dirac_gan(loss, f1, gamma):
    h = 0.2
    found = eigenvalues(update_operator(Consensus(cases.dirac(loss), lr=h, gamma=gamma), cases.DIRAC_BATCH))
    # v' has -gamma f1^2 +- i f1, and the update is 1 + h times that.
    assert match_distance(found, [1 - h * gamma * f1**2 + 1j * h * f1, 1 - h * gamma * f1**2 - 1j * h * f1]) < 1e-12


def test_dirac_gan_away_from_equilibrium_by_hand():
    theta, psi, gamma, h = 0.9, -1.4, 0.8, 0.1
    game = cases.dirac("minimax", theta, psi)
    Consensus(game, lr=h, gamma=gamma).step(cases.DIRAC_BATCH)
    u = theta * psi
    slope = 1 / (1 + np.exp(-u))
    curve = slope * (1 - slope)
    # xi = s(u) (-psi, theta); half its square is s^2 (theta^2 + psi^2) / 2. No factor 1/2 in front of s s'.
    square = theta**2 + psi**2
    penalty = np.array(
        [slope * curve * psi * square + slope**2 * theta, slope * curve * theta * square + slope**2 * psi]
    )
    expected = np.array([theta, psi]) - h * (slope * np.array([-psi, theta]) + gamma * penalty)
    np.testing.assert_allclose(game.vector().numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_bilinear(gamma):
    matrix = torch.tensor([[1.0, 0.3], [-0.2, 0.6]], dtype=F64)
    s, h = np.linalg.svd(matrix.numpy(), compute_uv=False), 0.4
    game = cases.bilinear(matrix, [1.0, 0.4], [0.5, -1.0])
    found = eigenvalues(update_operator(Consensus(game, lr=h, gamma=gamma), None))
    expected = 1 - h * gamma * s**2
    assert match_distance(found, np.concatenate([expected + 1j * h * s, expected - 1j * h * s])) < 1e-12


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_bilinear_is_stable_exactly_below_its_bound(gamma):
    s = 1.3
    bound = 2 * gamma / (1 + gamma**2 * s**2)
    for h, inside in ((0.99 * bound, True), (1.01 * bound, False)):
        update = update_operator(Consensus(cases.bilinear([[s]], [1.0], [1.0]), lr=h, gamma=gamma), None)
        assert (abs(eigenvalues(update)).max() < 1) == inside


def test_bilinear_with_gamma_h_is_extragradient():
    a = 1 / np.sqrt(2)  # its best: rho^2 = 3/4
    update = update_operator(Consensus(cases.bilinear([[1.0]], [1.0], [1.0]), lr=a, gamma=a), None)
    assert abs(abs(eigenvalues(update)).max() ** 2 - 0.75) < 1e-13


def test_scalar_quadratic():
    mu, s, h, gamma = 0.7, 1.4, 0.15, 0.6
    found = eigenvalues(update_operator(Consensus(cases.scalar_quadratic(mu, s), lr=h, gamma=gamma), None))
    expected = [1 - h * lam - h * gamma * abs(lam) ** 2 for lam in (mu + 1j * s, mu - 1j * s)]
    assert match_distance(found, expected) < 1e-12


@pytest.mark.parametrize("base", ["sgd", "momentum"])
def test_a_game_that_is_not_normal(base):
    game, j = cases.nonnormal()
    optimizer = Consensus(game, lr=0.01, gamma=0.5, base=base)
    operator = update_operator(optimizer, None)
    direction = j + 0.5 * j.T @ j
    if base == "sgd":
        assert relative(operator.dense(), torch.eye(5, dtype=F64) - 0.01 * direction) < 1e-13
    else:
        w = slice(0, 5)
        assert relative(operator.dense()[w, w], torch.eye(5, dtype=F64) - 0.01 * direction) < 1e-13
    z = torch.cat([game.vector(), *optimizer.state.memory.values()])
    for _ in range(20):
        z = operator @ z
        optimizer.step(None)
    assert relative(torch.cat([game.vector(), *optimizer.state.memory.values()]), z) < 1e-12


def test_observed_contraction_is_the_spectral_radius():
    game = cases.scalar_quadratic(0.2, 2.0)
    optimizer = Consensus(game, lr=0.1, gamma=0.5)
    radius = abs(eigenvalues(update_operator(optimizer, None))).max()
    start = game.vector().norm()
    for _ in range(50):
        optimizer.step(None)
    assert abs((game.vector().norm() / start).item() / radius**50 - 1) < 1e-11


# Exactness -----------------------------------------------------------------------------------------------------------


GAMES = {
    "nonsaturating": lambda: cases.tanh_gan("nonsaturating"),
    "wasserstein": lambda: cases.tanh_gan("wasserstein"),
    "relativistic with R1 and R2": lambda: cases.tanh_gan(
        "relativistic", [gt.regularizers.R1(0.3), gt.regularizers.R2(0.3)]
    ),
}


@pytest.mark.parametrize("name", few(GAMES, 2))
def test_exact_away_from_equilibrium(name):
    game, batch, gamma, h = GAMES[name](), cases.gan_batch(), 3.0, 0.1
    w, function = game.vector(), frozen_field(game, batch)
    gradient = torch.zeros_like(w)
    for i in range(len(w)):
        e = torch.zeros_like(w)
        e[i] = 1e-3
        f = [0.5 * function(w + k * e).square().sum() for k in (-2, -1, 1, 2)]
        gradient[i] = (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3
    field = function(w)
    assert (gamma * gradient).norm() > 0.3 * field.norm()
    Consensus(game, lr=h, gamma=gamma).step(batch)
    assert relative((w - game.vector()) / h, field + gamma * gradient) < 1e-6


def test_the_penalty_gradient_is_the_transposed_jacobian_times_the_field():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    w, field = game.vector(), game.field(batch)
    transposed = jacobian(game, batch).T @ field
    Consensus(game, lr=1.0, gamma=2.0).step(batch)
    assert relative(w - game.vector(), field + 2 * transposed) < 1e-13


def test_no_parameter_is_dropped():
    """The last bias under the Wasserstein loss: the squared norm does not reach it, and its own gradient stays."""
    game, batch = cases.tanh_gan("wasserstein"), cases.gan_batch()
    offset = nn.Parameter(torch.tensor([2.0], dtype=F64))
    game.players.generator.register_parameter("offset", offset)

    def losses(players, batch):
        values = gt.gan(players["generator"], players["discriminator"], "wasserstein").losses(players, batch)
        return {**values, "generator": values["generator"] + 3 * players["generator"].offset.sum()}

    extended = gt.Game(dict(game.players), losses)
    before = offset.item()
    Consensus(extended, lr=0.1, gamma=5.0).step(batch)
    assert abs(offset.item() - (before - 0.1 * 3)) < 1e-14


def test_a_field_without_any_derivative():
    game = gt.minimization(cases.Point([1.0, 2.0]), lambda m, _: m.value.sum())
    Consensus(game, lr=0.1, gamma=10.0).step(None)
    torch.testing.assert_close(game.vector(), torch.tensor([0.9, 1.9], dtype=F64))


# A plain loop --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "make"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)]
)
def test_equals_a_plain_loop_step_by_step(base, make):
    game, plain = cases.tanh_gan(), cases.tanh_gan()
    optimizer = Consensus(game, lr={"generator": 1e-2, "discriminator": 2e-2}, gamma=2.0, base=base)
    g, d = plain.players.generator, plain.players.discriminator
    optimizers = make(g.parameters(), lr=1e-2), make(d.parameters(), lr=2e-2)
    for step in range(20):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        plain_consensus_step(g, d, optimizers, batch, 2.0)
        assert relative(game.vector(), flat(g, d)) < 1e-10


def test_relu_nets_in_float32_equal_a_plain_loop():
    kwargs = {"activation": nn.ReLU, "dtype": torch.float32}
    game, plain = cases.tanh_gan(**kwargs), cases.tanh_gan(**kwargs)
    optimizer = Consensus(game, lr=1e-2, gamma=1.0)
    g, d = plain.players.generator, plain.players.discriminator
    optimizers = [torch.optim.SGD(m.parameters(), lr=1e-2) for m in (g, d)]
    for step in range(20):
        batch = cases.gan_batch(seed=step, dtype=torch.float32)
        optimizer.step(batch)
        plain_consensus_step(g, d, optimizers, batch, 1.0)
    assert relative(game.vector(), flat(g, d)) < 1e-5


def test_batch_norm_statistics_move_once_a_step():
    def nets():
        torch.manual_seed(0)
        return [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n)).to(F64) for n in (2, 1)]

    mine, plain = nets(), nets()
    optimizer = Consensus(gt.gan(*mine), lr=0.05, gamma=0.5)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05) for m in plain]
    for step in range(5):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        plain_consensus_step(*plain, optimizers, batch, 0.5)
    for a, b in zip(mine, plain, strict=True):
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


# Estimators ----------------------------------------------------------------------------------------------------------


def noisy_quadratic(w):
    """One player with L(w, b) = 1/2 mean_i (a_i . w)^2: the field A(b) w is linear and noisy."""
    return gt.minimization(cases.Point(w), lambda m, rows: 0.5 * (rows @ m.value).square().mean())


def test_independent_is_the_product_over_the_halves():
    game, batch, h, gamma = cases.tanh_gan(), cases.gan_batch(), 0.1, 2.0
    w = game.vector()
    parts = halves(batch)
    fields = [game.field(part) for part in parts]
    transposed = [jacobian(game, part).T for part in parts]
    expected = (fields[0] + fields[1]) / 2 + gamma * (transposed[0] @ fields[1] + transposed[1] @ fields[0]) / 2
    info = Consensus(game, lr=h, gamma=gamma, estimator="independent").step(batch)
    assert relative((w - game.vector()) / h, expected) < 1e-12
    torch.testing.assert_close(info.field_norm, ((fields[0] + fields[1]) / 2).norm())


@pytest.mark.slow
def test_same_is_biased_and_independent_is_not():
    """E 1/2 |g(B)|^2 = 1/2 |E g|^2 + 1/2 tr Cov g(B), so `same` adds the gradient of 1/2 tr Cov."""
    source = torch.Generator().manual_seed(0)
    w = torch.tensor([1.0, -1.0], dtype=F64)
    size, count, h, gamma = 4, 2000, 1.0, 1.0
    rows = torch.randn(count, size, 2, generator=source, dtype=F64)
    # For a ~ N(0, I): E[a a^T] = I, and E|a a^T w|^2 = (n + 2)|w|^2, so tr Cov of a mean over B is (n + 1)|w|^2 / B.
    exact = w + gamma * w
    bias = gamma * (2 + 1) / size * w
    mean = {}
    for estimator in ("same", "independent"):
        moves = []
        game = noisy_quadratic(w)
        optimizer = Consensus(game, lr=h, gamma=gamma, estimator=estimator)
        state = optimizer.init(w)
        for batch in rows:
            moves.append(w - optimizer.update(w, state, batch)[0])
        moves = torch.stack(moves)
        mean[estimator] = moves.mean(0), moves.std(0) / count**0.5
    deviation = {k: (m - exact) / e for k, (m, e) in mean.items()}
    assert deviation["independent"].abs().max() < 4
    assert ((mean["same"][0] - exact - bias) / mean["same"][1]).abs().max() < 4
    assert deviation["same"].abs().min() > 8


@pytest.mark.parametrize("size", [7, 1])
def test_independent_needs_an_even_batch(size):
    with pytest.raises(GantoolsError, match="2 equal parts.*multiple of 2"):
        Consensus(cases.tanh_gan(), estimator="independent").step(cases.gan_batch(size))


def test_settings_are_checked():
    with pytest.raises(GantoolsError, match=r"gamma = -1.0 is not a weight"):
        Consensus(cases.tanh_gan(), gamma=-1.0)
    with pytest.raises(GantoolsError, match="Unknown estimator 'both': pass 'same' or 'independent'"):
        Consensus(cases.tanh_gan(), estimator="both")
    with pytest.raises(GantoolsError, match="every = 0 is not a number of steps"):
        Consensus(cases.tanh_gan(), every=0)
    with pytest.raises(GantoolsError, match="gamma = .* is not a weight"):
        Consensus(cases.tanh_gan(), gamma=gt.schedules.Linear(1.0, -1.0, 5))
    with pytest.raises(GantoolsError, match="gamma is 'much': pass a positive number, or a schedule"):
        Consensus(cases.tanh_gan(), gamma="much")
