"""The update operator of each method equals its closed form on linear games, and so do its trajectories."""

import numpy as np
import pytest
import torch

from gantools.analysis.operators.jacobian import update_operator
from gantools.trainers import make
from tests import cases
from tests.game_oracles import eigenvalues, match_distance, relative, state_vector
from tests.quick import few

F64 = torch.float64
GAMES = cases.linear_games()
H = 0.15
BETA = 0.7 * np.exp(1.3j)


def optimizer_on(game, method, **settings):
    return make(method.split()[0], GAMES[game][0](), **{"lr": H, **settings})


# Methods that are functions of J: eigenvalues of the update from those of J, normal or not ----------------------------


def polynomial_roots(*coefficients):
    return np.roots(np.atleast_1d(coefficients))


def optimistic_pair(l):
    return polynomial_roots(1, -(1 - 2 * H * l), -H * l)


def rotating_momentum(l):
    cubic = np.polymul([1, -1], [1, -2 * BETA.real, abs(BETA) ** 2])
    return np.roots(np.polyadd(cubic.astype(complex), H * l * np.array([1, -BETA.real, 0])))


def lookahead_pair(mu, k=3, alpha=0.4):
    return [1 - alpha + alpha * mu**k, 0]


SPECTRAL = {
    "extragradient": ({}, lambda l: [1 - H * l * (1 - H * l)]),
    "past_extragradient": ({}, optimistic_pair),
    "optimistic": ({}, optimistic_pair),
    "momentum": (
        {"order": "simultaneous", "beta": -0.4},
        lambda l: polynomial_roots(1, -(1 - 0.4 - H * l), -0.4),
    ),
    "momentum positive": (
        {"order": "simultaneous", "beta": 0.8},
        lambda l: polynomial_roots(1, -(1 + 0.8 - H * l), 0.8),
    ),
    "complex_momentum": ({"modulus": 0.7, "phase": 1.3}, rotating_momentum),
    "heun": ({}, lambda l: [1 - H * l + (H * l) ** 2 / 2]),
    "rk4": ({}, lambda l: [1 - H * l + (H * l) ** 2 / 2 - (H * l) ** 3 / 6 + (H * l) ** 4 / 24]),
    "proximal": ({}, lambda l: [1 / (1 + H * l)]),
    "lookahead": ({"inner": "simultaneous", "k": 3, "alpha": 0.4}, lambda l: lookahead_pair(1 - H * l)),
    "lookahead over extragradient": (
        {"inner": "extragradient", "k": 3, "alpha": 0.4},
        lambda l: lookahead_pair(1 - H * l * (1 - H * l)),
    ),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("method", SPECTRAL)
def test_eigenvalues_from_those_of_the_jacobian(method, game):
    settings, of = SPECTRAL[method]
    found = eigenvalues(update_operator(optimizer_on(game, method, **settings), GAMES[game][1]))
    expected = np.concatenate([of(l) for l in np.linalg.eigvals(GAMES[game][2].numpy())])
    assert match_distance(found, expected) < 1e-7


# Methods that are not: the whole matrix ------------------------------------------------------------------------------


def parts(optimizer):
    """The indices of the player that moves first, and those of the other."""
    slices = list(optimizer.game.slices.values())
    if "discriminator" in optimizer.game.slices:
        slices.reverse()
    n = optimizer.game.num_parameters
    return [torch.arange(n)[part] for part in slices]


def off_diagonal(j, optimizer):
    o = j.clone()
    for part in optimizer.game.slices.values():
        o[part, part] = 0
    return o


def sga_matrix(j, optimizer):
    a = (j - j.T) / 2
    return torch.eye(len(j), dtype=F64) - H * (j + optimizer.weight * a.T @ j)


def jare_matrix(j, optimizer):
    return torch.eye(len(j), dtype=F64) - H * (j + optimizer.gamma * off_diagonal(j, optimizer).T @ j)


def hamiltonian_matrix(j, optimizer):
    return torch.eye(len(j), dtype=F64) - H * j.T @ j


def lead_matrix(j, optimizer):
    eye = torch.eye(len(j), dtype=F64)
    of_velocity = optimizer.beta * eye - optimizer.alpha * off_diagonal(j, optimizer)
    return torch.cat([torch.cat([eye - H * j, of_velocity], 1), torch.cat([-H * j, of_velocity], 1)])


def alternating_momentum_matrix(j, optimizer):
    n = len(j)
    total = torch.eye(2 * n, dtype=F64)
    for part in parts(optimizer):
        turn = torch.eye(2 * n, dtype=F64)
        turn[n + part] = 0
        turn[n + part, n + part] = optimizer.beta
        turn[n + part, :n] = j[part]
        turn[part] = -H * turn[n + part]
        turn[part, part] += 1
        total = turn @ total
    return total


def alex_matrix(j, optimizer):
    (first, second), n = parts(optimizer), len(j)
    m, gamma, delta = len(second), optimizer.gamma, optimizer.delta
    eye = torch.eye(n + m, dtype=F64)
    x, y, ahead = eye[first], eye[second], eye[n:]
    x_new = x - H * (j[first][:, first] @ x + j[first][:, second] @ ahead)
    y_new = y - H * (j[second][:, first] @ (x + gamma * (x_new - x)) + j[second][:, second] @ y)
    matrix = torch.zeros(n + m, n + m, dtype=F64)
    matrix[first], matrix[second], matrix[n:] = x_new, y_new, y + delta * (y_new - y)
    return matrix


def competitive_matrix(j, optimizer):
    """The step, and the start of the next solution, which is not a direction of its own."""
    eye, n = torch.eye(len(j), dtype=F64), len(j)
    answer = torch.linalg.solve(eye + H * off_diagonal(j, optimizer), j)
    matrix = torch.zeros(2 * n, 2 * n, dtype=F64)
    matrix[:n, :n], matrix[n:, :n] = eye - H * answer, -(H**0.5) * answer
    return matrix


MATRICES = {
    "sga": ({"weight": 0.6, "align": False}, sga_matrix),
    "jare": ({"gamma": 0.7}, jare_matrix),
    "hamiltonian": ({}, hamiltonian_matrix),
    "lead": ({"beta": 0.3, "alpha": 0.2}, lead_matrix),
    "momentum": ({"beta": -0.4}, alternating_momentum_matrix),
    "alex_gda": ({"gamma": 1.7, "delta": 1.3}, alex_matrix),
    "competitive": ({"tolerance": 1e-15}, competitive_matrix),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("method", MATRICES)
def test_the_whole_matrix(method, game):
    settings, matrix = MATRICES[method]
    optimizer = optimizer_on(game, method, **settings)
    found = update_operator(optimizer, GAMES[game][1]).dense()
    assert relative(found, matrix(GAMES[game][2], optimizer)) < 1e-13


# Trajectories --------------------------------------------------------------------------------------------------------

LINEAR = {name: form[0] for name, form in {**SPECTRAL, **MATRICES}.items()}


@pytest.mark.parametrize("method", few(LINEAR, 4))
def test_the_observed_rate_is_the_spectral_radius(method):
    optimizer = optimizer_on("quadratic", method, **LINEAR[method])
    operator = update_operator(optimizer, None)
    radius = abs(eigenvalues(operator)).max()
    z, norms = state_vector(optimizer.game, optimizer), []
    for period in range(120):
        if period < 10:
            z = operator @ z
        for _ in range(optimizer.period):
            optimizer.step(None)
        if period < 10:
            assert relative(state_vector(optimizer.game, optimizer), z) < 1e-9
        norms.append(optimizer.game.vector().norm().item())
    # The norm turns with the leading pair: its rate is the slope through the whole second half.
    slope = np.polyfit(np.arange(60), np.log(norms[60:]), 1)[0]
    assert abs(np.exp(slope) / radius - 1) < 0.02


# Bilinear: where each method converges -------------------------------------------------------------------------------


def radius(method, a, **settings):
    optimizer = make(method, cases.bilinear([[1.0]], [1.0], [0.5]), lr=a, **settings)
    return abs(eigenvalues(update_operator(optimizer, None))).max()


@pytest.mark.parametrize(
    ("method", "bound"), [("extragradient", 1), ("optimistic", 1 / 3**0.5), ("past_extragradient", 1 / 3**0.5)]
)
def test_stable_exactly_below_the_bound(method, bound):
    assert radius(method, 0.99 * bound) < 1 < radius(method, 1.01 * bound)


def test_rates_on_a_bilinear_game():
    a = 0.4
    assert abs(radius("extragradient", a) ** 2 - (1 - a**2 + a**4)) < 1e-12
    assert abs(radius("optimistic", a) - np.sqrt((1 + np.sqrt(1 - 4 * a**2)) / 2)) < 1e-9
    assert abs(radius("optimistic", 0.5) - np.sqrt(0.5)) < 1e-6  # its best, a double root
    assert abs(radius("heun", a) ** 2 - (1 + a**4 / 4)) < 1e-12
    assert abs(radius("rk4", a) ** 2 - (1 - a**6 / 72 + a**8 / 576)) < 1e-12
    assert radius("rk4", 2.82) < 1 < radius("rk4", 2.84)
    assert abs(radius("hamiltonian", a) - (1 - a)) < 1e-12
    for method in ("proximal", "competitive"):
        assert abs(radius(method, 30.0) - 1 / np.sqrt(1 + 900)) < 1e-9


@pytest.mark.parametrize("beta", [0.9, 0.3, -0.3, -0.5, -0.7])
def test_momentum_converges_in_turn_and_never_at_once(beta):
    for a in (0.1, 0.5, 1.0):
        assert radius("momentum", a, beta=beta, order="simultaneous") > 1
    if beta < 0:
        bound = 2 * (1 + beta)
        assert radius("momentum", 0.99 * bound, beta=beta) < 1 < radius("momentum", 1.01 * bound, beta=beta)


def test_complex_momentum_converges_at_once():
    a, m = 0.6, 0.7  # near its best on this game
    assert abs(radius("complex_momentum", a, modulus=m, phase=5 * np.pi / 12) - 0.910) < 1e-3
    for phase in (0.0, np.pi):
        assert radius("complex_momentum", a, modulus=m, phase=phase) > 1


@pytest.mark.parametrize(("method", "game"), [("lead", "bilinear"), ("lead", "dirac")])
def test_lead_with_alpha_h_is_optimistic(method, game):
    lead = eigenvalues(update_operator(optimizer_on(game, method, beta=0.0, alpha=H), GAMES[game][1]))
    expected = [root for l in np.linalg.eigvals(GAMES[game][2].numpy()) for root in optimistic_pair(l)]
    assert match_distance(lead, expected) < 1e-9


def test_alex_gda_between_simultaneous_alternating_and_nilpotent():
    a = 0.6
    assert abs(radius("alex_gda", a, gamma=0.0, delta=1.0) - np.sqrt(1 + a**2)) < 1e-12
    assert abs(radius("alex_gda", a, gamma=1.0, delta=1.0) - 1) < 1e-7
    for gamma, delta in ((2.0, 1.0), (1.0, 2.0)):
        assert radius("alex_gda", 1.0, gamma=gamma, delta=delta) < 1e-4
        assert radius("alex_gda", 0.05, gamma=gamma, delta=delta) < 1 - 1e-4


def test_sga_and_jare_on_a_zero_sum_game_are_one():
    for game in ("bilinear", "quadratic"):
        sga = update_operator(optimizer_on(game, "sga", weight=0.4, align=False), None).dense()
        jare = update_operator(optimizer_on(game, "jare", gamma=0.4), None).dense()
        assert relative(sga, jare) < 1e-13
    mu, s, lam = 0.7, 1.4, 0.4
    expected = [1 - H * (mu + lam * s**2 + sign * 1j * s * (1 - lam * mu)) for sign in (1, -1)]
    assert match_distance(np.linalg.eigvals(sga.numpy()), expected) < 1e-12
