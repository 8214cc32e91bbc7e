"""Simultaneous gradient descent: closed forms of games.md 4.1-4.4 as eigenvalues of the update, and trajectories."""

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.trainers import Momentum, Simultaneous
from tests import cases
from tests.game_oracles import eigenvalues, match_distance, relative

F64 = torch.float64
A = torch.tensor([[1.3, -0.4, 0.2], [0.1, 0.8, 0.5]], dtype=F64)  # singular values 1.39.., 0.92..; a null direction


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


# 4.1 Dirac-GAN -------------------------------------------------------------------------------------------------------

DIRAC = {"minimax": 0.5, "nonsaturating": 0.5, "wasserstein": 1.0}


@pytest.mark.parametrize(("loss", "f1"), DIRAC.items())
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_dirac_gan_at_equilibrium(loss, f1, gamma):
    game = cases.dirac(loss, regularizers=[gt.regularizers.R1(gamma)] if gamma else [])
    # The descent field's J is minus Mescheder's v': lambda = gamma/2 -+ sqrt(gamma^2/4 - f1^2).
    root = np.emath.sqrt(gamma**2 / 4 - f1**2)
    expected = np.array([gamma / 2 + root, gamma / 2 - root])
    assert match_distance(eigenvalues(jacobian(game, cases.DIRAC_BATCH)), expected) < 1e-7
    h = 0.2
    update = update_operator(Simultaneous(game, lr=h), cases.DIRAC_BATCH)
    assert match_distance(eigenvalues(update), 1 - h * expected) < 1e-7


def test_dirac_gan_with_r1_and_r2():
    gamma = 0.7  # each regularizer is gamma/2 psi^2, so together they damp by gamma
    game = cases.dirac("minimax", regularizers=[gt.regularizers.R1(gamma), gt.regularizers.R2(gamma)])
    root = np.emath.sqrt(gamma**2 - 0.25)
    found = eigenvalues(jacobian(game, cases.DIRAC_BATCH))
    assert match_distance(found, [gamma + root, gamma - root]) < 1e-7


@pytest.mark.parametrize(("gamma", "f1"), [(0.4, 0.5), (1.5, 1.0)])
def test_dirac_gan_with_r1_is_stable_exactly_below_gamma_over_f1_squared(gamma, f1):
    game = cases.dirac("wasserstein" if f1 == 1 else "minimax", regularizers=[gt.regularizers.R1(gamma)])
    for factor, inside in ((0.99, True), (1.01, False)):
        update = update_operator(Simultaneous(game, lr=factor * gamma / f1**2), cases.DIRAC_BATCH)
        assert (abs(eigenvalues(update)).max() < 1) == inside


def test_dirac_gan_instance_noise():
    # Noise of variance s^2 on both samples, here as a symmetric two-point law with the same second moment.
    s = 0.6
    noise = torch.tensor([[s], [-s]], dtype=F64)
    game = cases.dirac("minimax")
    plain = game.losses

    def losses(players, batch):
        shifted = lambda z: players["generator_"](z) + noise  # noqa: E731
        return plain({"generator": shifted, "discriminator": players["discriminator"]}, {**batch, "real": noise})

    noisy = gt.Game(
        {"generator_": game.players.generator, "discriminator": game.players.discriminator},
        lambda p, b: {("generator_" if k == "generator" else k): v for k, v in losses(p, b).items()},
    )
    # v' has f2 s^2 -+ sqrt(f2^2 s^4 - f1^2) with f1 = 1/2, f2 = -1/4.
    root = np.emath.sqrt(s**4 / 16 - 0.25)
    found = eigenvalues(jacobian(noisy, cases.DIRAC_BATCH))
    assert match_distance(found, [s**2 / 4 + root, s**2 / 4 - root]) < 1e-7


@pytest.mark.parametrize("loss", ["minimax", "wasserstein"])
def test_dirac_gan_norm_grows_by_the_exact_factor_everywhere(loss):
    h, game = 0.3, cases.dirac(loss, 0.9, -1.4)
    optimizer = Simultaneous(game, lr=h)
    for _ in range(50):
        theta, psi = game.vector().tolist()
        slope = 1.0 if loss == "wasserstein" else sigmoid(psi * theta)  # f'(-psi theta): our D is high on real samples
        optimizer.step(cases.DIRAC_BATCH)
        grown = game.vector().square().sum().item() / (theta**2 + psi**2)
        assert abs(grown - (1 + h**2 * slope**2)) < 1e-13


def test_dirac_nonsaturating_continuous_limit():
    # d/dt |z|^2/2 = -u tanh(u/2), with u = -theta psi for our D, from <xi, z> itself.
    theta, psi = 0.7, -1.1
    game = cases.dirac("nonsaturating", theta, psi)
    u = theta * psi
    inner = -(game.field(cases.DIRAC_BATCH) @ game.vector()).item()
    # xi = (-psi s(-u), theta s(u)): <xi, z> = u (s(u) - s(-u)) = u tanh(u/2)
    assert abs(inner + u * np.tanh(u / 2)) < 1e-14


# 4.2 Bilinear --------------------------------------------------------------------------------------------------------


def bilinear_operator(h, base="sgd"):
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, generator=source, dtype=F64), torch.randn(3, generator=source, dtype=F64)
    game = cases.bilinear(A, x, y)
    return game, Simultaneous(game, lr=h, base=base)


@pytest.mark.parametrize("h", [0.05, 0.7, 2.0])
def test_bilinear_eigenvalues(h):
    game, optimizer = bilinear_operator(h)
    s = np.linalg.svd(A.numpy(), compute_uv=False)
    expected = np.concatenate([1 + 1j * h * s, 1 - 1j * h * s, [1.0]])  # the null space of A stands still
    assert match_distance(eigenvalues(update_operator(optimizer, None)), expected) < 1e-12


@pytest.mark.parametrize("beta", [0.9, 0.3, -0.5])
def test_bilinear_with_momentum(beta):
    h, s = 0.6, 1.3
    game = cases.bilinear([[s]], [1.0], [0.5])
    optimizer = Simultaneous(game, lr=h, base=Momentum(beta))
    a = h * s
    polynomial = np.polymul(np.polymul([1, -1], [1, -1]), np.polymul([1, -beta], [1, -beta]))
    polynomial = np.polyadd(polynomial, [a**2, 0, 0])
    update = update_operator(optimizer, None)
    assert match_distance(eigenvalues(update), np.roots(polynomial)) < 1e-7
    assert abs(eigenvalues(update)).max() > 1  # for every real beta


@pytest.mark.parametrize("base", ["sgd", "momentum"])
def test_linear_trajectories_follow_the_operator_exactly(base):
    game, optimizer = bilinear_operator(0.2, base)
    operator = update_operator(optimizer, None)
    z = torch.cat([game.vector(), *optimizer.state.memory.values()])
    for _ in range(20):
        z = operator @ z
        optimizer.step(None)
    assert relative(torch.cat([game.vector(), *optimizer.state.memory.values()]), z) < 1e-13


# 4.3 Scalar quadratic, and a game that is not normal -----------------------------------------------------------------


@pytest.mark.parametrize(("mu", "s"), [(1.0, 2.0), (0.3, 0.1)])
def test_scalar_quadratic(mu, s):
    game = cases.scalar_quadratic(mu, s)
    eigenvalue = np.array([mu + 1j * s, mu - 1j * s])
    assert match_distance(eigenvalues(jacobian(game, None)), eigenvalue) < 1e-13
    best = mu / (mu**2 + s**2)
    for h in (0.1, best, 1.99 * best, 2.01 * best):
        found = eigenvalues(update_operator(Simultaneous(game, lr=h), None))
        assert match_distance(found, 1 - h * eigenvalue) < 1e-12
        assert (abs(found).max() < 1) == (h < 2 * best)
    fastest = eigenvalues(update_operator(Simultaneous(game, lr=best), None))
    assert abs(abs(fastest).max() ** 2 - s**2 / (mu**2 + s**2)) < 1e-12


@pytest.mark.parametrize("beta", [0.6, -0.2])
def test_scalar_quadratic_with_polyak_momentum(beta):
    mu, s, h = 1.0, 0.7, 0.3
    found = eigenvalues(update_operator(Simultaneous(cases.scalar_quadratic(mu, s), lr=h, base=Momentum(beta)), None))
    expected = np.concatenate([np.roots([1, -(1 + beta - h * lam), beta]) for lam in (mu + 1j * s, mu - 1j * s)])
    assert match_distance(found, expected) < 1e-12


def test_observed_contraction_is_the_spectral_radius():
    mu, s, h = 1.0, 2.0, 0.25
    game = cases.scalar_quadratic(mu, s)
    optimizer = Simultaneous(game, lr=h)
    radius = abs(eigenvalues(update_operator(optimizer, None))).max()
    start = game.vector().norm()
    for _ in range(40):
        optimizer.step(None)
    # J is normal: every step contracts by exactly the spectral radius.
    assert abs((game.vector().norm() / start).item() / radius**40 - 1) < 1e-12


def test_a_game_that_is_not_normal():
    game, j = cases.nonnormal()
    assert relative(j @ j.T, j.T @ j) > 0.1
    assert relative(jacobian(game, None).dense(), j) < 1e-14
    h = torch.tensor([0.1, 0.1, 0.1, 0.2, 0.2], dtype=F64)
    update = update_operator(Simultaneous(game, lr={"0": 0.1, "1": 0.2}), None)
    assert relative(update.dense(), torch.eye(5, dtype=F64) - h[:, None] * j) < 1e-14


def test_asymptotic_contraction_of_the_game_that_is_not_normal():
    game, _ = cases.nonnormal()
    optimizer = Simultaneous(game, lr=0.1)
    radius = abs(eigenvalues(update_operator(optimizer, None))).max()
    norms = []
    for _ in range(400):
        optimizer.step(None)
        norms.append(game.vector().norm().item())
    rate = (norms[399] / norms[199]) ** (1 / 200)
    assert abs(rate - radius) < 5e-3 * radius


# 4.4 Distribution games ----------------------------------------------------------------------------------------------


def linear_wgan(dimension=2):
    class Shift(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(torch.full((dimension,), 0.2, dtype=F64))

        def forward(self, z):
            return z + self.theta

    critic = torch.nn.Linear(dimension, 1, bias=False, dtype=F64)
    return gt.gan(Shift(), critic, "wasserstein")


def test_wgan_of_linear_means_is_copies_of_the_bilinear_game():
    source = torch.Generator().manual_seed(0)
    batch = {
        "real": torch.tensor([3.0, 4.0], dtype=F64) + torch.randn(64, 2, generator=source, dtype=F64),
        "latent": torch.randn(64, 2, generator=source, dtype=F64),
    }
    game, h = linear_wgan(), 0.1
    assert match_distance(eigenvalues(jacobian(game, batch)), [1j, 1j, -1j, -1j]) < 1e-12
    expected = np.array([1 + 1j * h] * 2 + [1 - 1j * h] * 2)
    assert match_distance(eigenvalues(update_operator(Simultaneous(game, lr=h), batch)), expected) < 1e-12
    theta, psi = game.vector()[:2], game.vector()[2:]
    gap = batch["real"].mean(0) - batch["latent"].mean(0) - theta
    torch.testing.assert_close(game.field(batch), torch.cat([-psi, -gap]))


@pytest.mark.parametrize(("loss", "zero_sum"), [("minimax", True), ("wasserstein", True), ("nonsaturating", False)])
def test_the_structure_of_a_zero_sum_jacobian(loss, zero_sum):
    j = jacobian(cases.tanh_gan(loss), cases.gan_batch())
    g, d = j.slices.values()
    dense = j.dense()
    assert relative(dense[g, g], dense[g, g].T) < 1e-12 and relative(dense[d, d], dense[d, d].T) < 1e-12
    assert (relative(dense[g, d], -dense[d, g].T) < 1e-12) == zero_sum
