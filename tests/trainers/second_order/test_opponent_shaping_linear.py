"""LOLA, SOS, LookAhead and unrolled steps on linear games: their matrices, written by hand."""

import numpy as np
import pytest
import torch

from gantools.analysis.operators.jacobian import update_operator
from gantools.trainers import make
from tests import cases
from tests.game_oracles import eigenvalues, match_distance, relative
from tests.quick import few

F64 = torch.float64
GAMES = cases.linear_games()
H, ALPHA = 0.15, 0.4


def bordered(block, corner=None):
    """A quadratic loss x^T B y + y^T C y / 2, as its Hessian."""
    block = torch.as_tensor(block, dtype=F64)
    m, n = block.shape
    corner = torch.zeros(n, n, dtype=F64) if corner is None else torch.as_tensor(corner, dtype=F64)
    return torch.cat([torch.cat([torch.zeros(m, m, dtype=F64), block], 1), torch.cat([block.T, corner], 1)])


def own_and_cross(j, rows):
    """The Hessian of a loss of `cases.quadratic`: its player's rows of J, their mirror image, no other block."""
    hessian = torch.zeros_like(j)
    hessian[rows] = j[rows]
    hessian[:, rows] = j[rows].T
    return hessian


A = [[1.0, 0.3], [-0.2, 0.6]]
F = torch.tensor([[0.7, 1.4], [1.4, -0.7]], dtype=F64)
N = GAMES["not normal"][2]
HESSIANS = {
    "bilinear": [bordered(A), -bordered(A)],
    "quadratic": [F, -F],
    "not normal": [own_and_cross(N, slice(0, 3)), own_and_cross(N, slice(3, 5))],
    "dirac": [bordered([[-0.5]]), bordered([[0.5]])],
    "dirac wasserstein": [bordered([[-1.0]]), bordered([[1.0]])],
}


def blocks(optimizer):
    return list(optimizer.game.slices.values())


def off_diagonal(j, parts):
    o = j.clone()
    for part in parts:
        o[part, part] = 0
    return o


def chi_matrix(hessians, j, parts):
    """The Jacobian of chi on a quadratic game: sum over j of (block j, i of J)^T times the rows j of L_i's Hessian."""
    chi = torch.zeros_like(j)
    for i, own in enumerate(parts):
        for k, other in enumerate(parts):
            if k != i:
                chi[own] += j[other, own].T @ hessians[i][other]
    return chi


def lola_matrix(j, hessians, optimizer):
    parts = blocks(optimizer)
    shaped = j - ALPHA * off_diagonal(j, parts) @ j - ALPHA * chi_matrix(hessians, j, parts)
    return torch.eye(len(j), dtype=F64) - H * shaped


def lookahead_matrix(j, hessians, optimizer):
    return torch.eye(len(j), dtype=F64) - H * (j - ALPHA * off_diagonal(j, blocks(optimizer)) @ j)


def unrolled_matrix(j, hessians, optimizer, k=3, inner=0.2):
    x, y = blocks(optimizer)
    turn = torch.eye(len(j[y]), dtype=F64) - inner * j[y, y]
    of_y = torch.linalg.matrix_power(turn, k)
    of_x = -inner * sum(torch.linalg.matrix_power(turn, i) for i in range(k)) @ j[y, x]
    end = torch.eye(len(j), dtype=F64)  # (x, y) -> (x, y_k)
    end[y, y], end[y, x] = of_y, of_x
    direction = j.clone()
    direction[x] = (hessians[0][x] + of_x.T @ hessians[0][y]) @ end
    return torch.eye(len(j), dtype=F64) - H * direction


MATRICES = {
    "lola": ({"alpha": ALPHA}, lola_matrix),
    "sos": ({"alpha": ALPHA}, lookahead_matrix),  # at the equilibrium
    "unrolled": ({"k": 3, "inner_lr": 0.2}, unrolled_matrix),
}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("method", MATRICES)
def test_the_whole_matrix(method, game):
    settings, matrix = MATRICES[method]
    build, batch, j = GAMES[game]
    optimizer = make(method, build(), lr=H, **settings)
    if method == "sos":
        optimizer.game.load_vector(torch.zeros(len(j), dtype=F64))
    found = update_operator(optimizer, batch).dense()
    assert relative(found, matrix(j, HESSIANS[game], optimizer)) < 1e-13


@pytest.mark.parametrize(("method", "settings"), few([(name, form[0]) for name, form in MATRICES.items()], 2))
def test_the_observed_rate_is_the_spectral_radius(method, settings):
    optimizer = make(method, cases.scalar_quadratic(0.7, 1.4), lr=H, **settings)
    twin = make(method, cases.scalar_quadratic(0.7, 1.4, (0.0,), (0.0,)), lr=H, **settings)
    radius = abs(eigenvalues(update_operator(twin, None))).max()
    norms = []
    for _ in range(160):
        optimizer.step(None)
        norms.append(optimizer.game.vector().norm().item())
    slope = np.polyfit(np.arange(100), np.log(norms[60:]), 1)[0]
    assert radius < 1 and abs(np.exp(slope) / radius - 1) < 0.02


def bilinear_radius(method, a, **settings):
    optimizer = make(method, cases.bilinear([[1.0]], [0.0], [0.0]), lr=a, **settings)
    return abs(eigenvalues(update_operator(optimizer, None))).max()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_unrolled_on_a_bilinear_game(k):
    a = 0.4
    found = eigenvalues(update_operator(make("unrolled", cases.bilinear([[1.0]], [1.0], [0.5]), lr=a, k=k), None))
    shift = 2 * k * a**2
    assert match_distance(found, np.roots([1, shift - 2, 1 - shift + a**2])) < 1e-7
    bound = np.sqrt(4 / (4 * k - 1))
    assert bilinear_radius("unrolled", 0.99 * bound, k=k) < 1 < bilinear_radius("unrolled", 1.01 * bound, k=k)


def test_lola_and_sos_on_a_bilinear_game():
    h, alpha, s = 0.3, 0.25, 1.3
    for method, times in (("lola", 2), ("sos", 1)):
        found = eigenvalues(update_operator(make(method, cases.bilinear([[s]], [0.0], [0.0]), lr=h, alpha=alpha), None))
        expected = 1 - times * h * alpha * s**2 + 1j * h * s
        assert match_distance(found, [expected, expected.conjugate()]) < 1e-12
    # With the default alpha = h: LOLA contracts where hs < sqrt(3)/2, and SOS where extragradient does.
    for method, bound in (("lola", np.sqrt(3) / 2), ("sos", 1.0)):
        assert bilinear_radius(method, 0.99 * bound) < 1 < bilinear_radius(method, 1.01 * bound)


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_lola_on_dirac_away_from_equilibrium_by_hand(loss):
    """L_G = -+ f(-+u), L_D = f(u) with u = theta psi and f the softplus; all derivatives are those of products."""
    theta, psi, alpha = 0.9, -1.4, 0.3
    u = theta * psi
    f1 = 1 / (1 + np.exp(-u))
    f2 = f1 * (1 - f1)
    # Derivatives of f(u) by theta, psi and both, and of the generator's loss, which is -f(u) or f(-u) = f(u) - u.
    d = {"theta": f1 * psi, "psi": f1 * theta, "mixed": f1 + u * f2}
    g = {
        "minimax": {key: -value for key, value in d.items()},
        "nonsaturating": {"theta": d["theta"] - psi, "psi": d["psi"] - theta, "mixed": d["mixed"] - 1},
    }[loss]
    by_theta = g["theta"] - alpha * (g["mixed"] * d["psi"] + d["mixed"] * g["psi"])
    by_psi = d["psi"] - alpha * (d["mixed"] * g["theta"] + g["mixed"] * d["theta"])
    game = cases.dirac(loss, theta, psi)
    make("lola", game, lr=0.1, alpha=alpha).step(cases.DIRAC_BATCH)
    np.testing.assert_allclose(game.vector().numpy(), [theta - 0.1 * by_theta, psi - 0.1 * by_psi], rtol=1e-13)
