"""Competitive gradient descent against dense solutions; both solvers, warm starts, what the solver leaves."""

import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.errors import GantoolsError
from gantools.schedules import Linear
from gantools.trainers import make
from gantools.trainers.second_order.linear_solvers import conjugate_gradients, gmres
from tests import cases
from tests.game_oracles import dense_autograd, eigenvalues, match_distance, relative, tanh_gan_field
from tests.quick import few

F64 = torch.float64
G, D = slice(0, 17), slice(17, 30)
LR = {"generator": 0.4, "discriminator": 0.9}
H = torch.tensor([0.4] * 17 + [0.9] * 13, dtype=F64)
BOTH = ("competitive", "adaptive_competitive")


def field_and_across(w, batch, loss):
    a = dense_autograd(lambda z: tanh_gan_field(z, batch, loss), w)
    a[G, G] = a[D, D] = 0
    return tanh_gan_field(w, batch, loss).detach(), a


def plain(w, batch, loss, rates):
    xi, a = field_and_across(w, batch, loss)
    return w - torch.linalg.solve(torch.eye(30, dtype=F64) + rates[:, None] * a, rates * xi)


# Step by step, away from equilibrium ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "solver"), few([("minimax", "cg"), ("minimax", "gmres"), ("nonsaturating", "auto")], 1)
)
def test_equals_the_dense_solution_step_by_step(loss, solver):
    optimizer = make("competitive", cases.tanh_gan(loss), lr=LR, solver=solver, tolerance=1e-13)
    w = start = optimizer.game.vector()
    for step in range(8):
        batch = cases.gan_batch(seed=step)
        w = plain(w, batch, loss, H)
        assert optimizer.step(batch).inner_residual < 1e-12
        assert relative(optimizer.game.vector(), w) < 1e-10
    assert relative(w, start) > 0.1
    xi, _ = field_and_across(w, batch, loss)
    assert relative(w - H * xi, plain(w, batch, loss, H)) > 1e-3  # the players' answers matter here


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "solver"), [("minimax", "cg"), ("minimax", "gmres"), ("nonsaturating", "auto")])
def test_adaptive_equals_the_dense_solution_step_by_step(loss, solver):
    lr = {"generator": 0.004, "discriminator": 0.009}
    optimizer = make("adaptive_competitive", cases.tanh_gan(loss), lr=lr, solver=solver, tolerance=1e-13)
    w = start = optimizer.game.vector()
    v = torch.zeros(30, dtype=F64)
    for step in range(8):
        batch = cases.gan_batch(seed=step)
        v = 0.99 * v + 0.01 * field_and_across(w, batch, loss)[0] ** 2
        rates = 0.01 * H * (1 - 0.99 ** (step + 1)) ** 0.5 / (v**0.5 + 1e-5)
        w = plain(w, batch, loss, rates)
        optimizer.step(batch)
        assert relative(optimizer.game.vector(), w) < 1e-9
    assert relative(w, start) > 0.01


def test_three_players_and_one():
    source = torch.Generator().manual_seed(3)
    jacobian, start = (torch.randn(*shape, generator=source, dtype=F64) for shape in ((6, 6), (6,)))
    across = jacobian.clone()
    for part in (slice(0, 2), slice(2, 3), slice(3, 6)):
        jacobian[part, part] = jacobian[part, part] + jacobian[part, part].T
        across[part, part] = 0
    rates = torch.tensor([0.1, 0.1, 0.5, 0.3, 0.3, 0.3], dtype=F64)
    game = cases.quadratic(jacobian, (2, 1, 3), start)
    make("competitive", game, lr={"0": 0.1, "1": 0.5, "2": 0.3}, tolerance=1e-13).step(None)
    step = torch.linalg.solve(torch.eye(6, dtype=F64) + rates[:, None] * across, rates * (jacobian @ start))
    assert relative(game.vector(), start - step) < 1e-12
    model, loss, batch = cases.classifier()
    game = gt.minimization(model, loss)
    expected = game.vector() - 0.3 * game.field(batch)
    make("competitive", game, lr=0.3).step(batch)
    assert relative(game.vector(), expected) < 1e-14


# Closed forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["cg", "gmres", "auto"])
def test_eigenvalues(solver):
    """1 / (1 +- i h s) without own terms, (1 - h mu) / (1 +- i h s) with them; 0 for each entry of the start."""
    games, h, settings = cases.linear_games(), 0.6, {"lr": 0.6, "solver": solver, "tolerance": 1e-14}
    for name in ("bilinear", "dirac", "dirac wasserstein"):
        make_game, batch, jacobian = games[name]
        found = eigenvalues(update_operator(make("competitive", make_game(), **settings), batch))
        expected = [*(1 / (1 + h * torch.linalg.eigvals(jacobian))).tolist(), *[0] * len(jacobian)]
        assert match_distance(found, expected) < 1e-8  # zeros of a defective matrix
    found = eigenvalues(update_operator(make("competitive", games["quadratic"][0](), **settings), None))
    expected = [(1 - h * 0.7) / (1 + sign * 1j * h * 1.4) for sign in (1, -1)]
    assert match_distance(found, [*expected, 0, 0]) < 1e-8


def test_eigenvalues_of_the_adaptive_form_at_an_equilibrium():
    """There the second moment is 0, so that every rate is h sqrt(1 - beta) / eps at the first step."""
    optimizer = make("adaptive_competitive", cases.dirac("nonsaturating"), lr=3e-5, tolerance=1e-14)
    found = eigenvalues(update_operator(optimizer, cases.DIRAC_BATCH))
    rate = 3e-5 * 0.1 / 1e-5
    assert match_distance(found, [1 / (1 + 0.5j * rate), 1 / (1 - 0.5j * rate), 0.99, 0.99, 0, 0]) < 1e-9


# The solver ----------------------------------------------------------------------------------------------------------


def system(n, positive):
    source = torch.Generator().manual_seed(n)
    a = torch.randn(n, n, generator=source, dtype=F64)
    return (a @ a.T if positive else a + 3 * torch.eye(n, dtype=F64)) + torch.eye(n, dtype=F64), *torch.randn(
        2, n, generator=source, dtype=F64
    )


@pytest.mark.parametrize("n", [1, 2, 7, 30])
@pytest.mark.parametrize("solver", [conjugate_gradients, gmres])
def test_a_start_has_the_residual_b_minus_its_product(solver, n):
    """Public codes that begin with b instead end at the start plus the solution."""
    a, b, start = system(n, solver is conjugate_gradients)
    exact = torch.linalg.solve(a, b)
    x, residual = solver(lambda u: a @ u, b, 1e-12, 3 * n + 5, start)
    assert relative(x, exact) < 1e-9 and residual < 1e-12
    x, residual = solver(lambda u: a @ u, b, 1e-9, 50, exact)
    assert torch.equal(x, exact) and residual < 1e-9
    for iterations in (0, 1):
        x, residual = solver(lambda u: a @ u, b, 1e-12, iterations, start)
        assert abs((b - a @ x).norm() / b.norm() - residual) < 1e-12
    for nothing in (torch.zeros_like(b), torch.full_like(b, float("nan"))):
        x, residual = solver(lambda u: a @ u, nothing, 1e-12, 50, start)
        assert not x.any() and not residual > 0


def test_gmres_on_a_singular_matrix():
    a = torch.diag(torch.tensor([2.0, 1.0, 0.0], dtype=F64))
    b = torch.tensor([2.0, 3.0, 0.0], dtype=F64)
    x, residual = gmres(lambda u: a @ u, b, 1e-12, 10)
    assert relative(x, torch.tensor([1.0, 3.0, 0.0], dtype=F64)) < 1e-12 and residual < 1e-12
    x, residual = gmres(lambda u: 0 * u, b, 1e-12, 10)
    assert not x.any() and residual == 1


@pytest.mark.parametrize(("loss", "solver"), [("minimax", "cg"), ("minimax", "gmres"), ("nonsaturating", "gmres")])
def test_the_residual_is_that_of_the_whole_system(loss, solver):
    for steps in (1, 2, 3):
        optimizer = make("competitive", cases.tanh_gan(loss), lr=LR, solver=solver, tolerance=1e-14, krylov_steps=steps)
        for step in range(2):  # the second starts from the first one's solution
            batch, w = cases.gan_batch(seed=step), optimizer.game.vector()
            info = optimizer.step(batch)
        xi, a = field_and_across(w, batch, loss)
        move = optimizer.game.vector() - w
        left = (move + H * (a @ move) + H * xi) / H.sqrt()
        assert abs(left.norm() / (H.sqrt() * xi).norm() - info.inner_residual) < 1e-12
        assert info.inner_residual > 1e-8
        memory = optimizer.recall(optimizer.state, "solution")
        assert relative(memory, move / H.sqrt()) < 1e-13


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_a_warm_start_is_nearer(loss):
    """On the same batch, with a small step, the last solution is nearly the next one."""
    optimizer = make("competitive", cases.tanh_gan(loss), lr=0.05, krylov_steps=1)
    cold = make("competitive", cases.tanh_gan(loss), lr=0.05, krylov_steps=1)
    for _ in range(4):
        warm = optimizer.step(cases.gan_batch()).inner_residual
    cold.game.load_vector(optimizer.game.vector())
    again = optimizer.step(cases.gan_batch()).inner_residual
    assert again < 0.3 * cold.step(cases.gan_batch()).inner_residual and again < 1e-2 and warm < 1e-2


def test_auto_finds_what_the_game_is():
    def ends(loss, regularizers=()):
        games = {solver: cases.tanh_gan(loss, regularizers) for solver in ("auto", "gmres", "cg")}
        for solver, game in games.items():
            try:
                make("competitive", game, lr=LR, solver=solver).step(cases.gan_batch())
            except GantoolsError as error:
                assert solver == "cg" and "is for zero-sum games, and this one is not" in str(error)
                games[solver] = None
        return [game and game.vector() for game in games.values()]

    for regularizers in ((), (gt.regularizers.R1(2.0),)):  # R1 is the discriminator's own
        auto, general, zero_sum = ends("minimax", regularizers)
        assert torch.equal(auto, zero_sum) and not torch.equal(auto, general)
    for case in (("nonsaturating",), ("minimax", (gt.regularizers.R2(2.0),))):
        auto, general, refused = ends(*case)
        assert torch.equal(auto, general) and refused is None


# Rates, and sentences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
def test_a_rate_of_zero_stands_still(name):
    game = cases.tanh_gan()
    optimizer = make(name, game, lr={"generator": Linear(0.0, 0.1, 10), "discriminator": 0.1})
    start, field = game.vector(), game.field(cases.gan_batch())
    operator = update_operator(optimizer, cases.gan_batch())
    ones = torch.ones(operator.shape[0], dtype=F64)
    assert (operator @ ones).isfinite().all() and (operator.T @ ones).isfinite().all()
    optimizer.step(cases.gan_batch())
    moved = start - game.vector()
    assert not moved[G].any()
    if name == "competitive":
        assert relative(moved[D], 0.1 * field[D]) < 1e-12
    optimizer.step(cases.gan_batch(seed=1))
    assert (game.vector() - start)[G].any() and game.vector().isfinite().all()


@pytest.mark.parametrize("name", BOTH)
def test_clipping_shortens_each_direction(name):
    games = [cases.tanh_gan() for _ in range(2)]
    start, moves = games[0].vector(), []
    for game, clip in zip(games, (None, 0.1), strict=True):
        make(name, game, lr=0.01, clip_norm=clip).step(cases.gan_batch())
        moves.append(game.vector() - start)
    for part in (G, D):
        whole, short = moves[0][part], moves[1][part]
        assert abs(torch.cosine_similarity(whole, short, dim=0) - 1) < 1e-12 and short.norm() < whole.norm()
        if name == "competitive":
            assert abs(short.norm() - 0.01 * 0.1) < 1e-14


def test_single_precision():
    ends = []
    for dtype in (torch.float32, F64):
        for loss in ("minimax", "nonsaturating"):
            game = cases.tanh_gan(loss, dtype=dtype)
            optimizer = make("competitive", game, lr=LR)
            for step in range(3):
                assert optimizer.step(cases.gan_batch(seed=step, dtype=dtype)).inner_residual < 2e-6
            ends.append(game.vector().double())
    assert relative(ends[0], ends[2]) < 1e-4 and relative(ends[1], ends[3]) < 1e-4


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("competitive", {"solver": "lu"}, "Unknown solver 'lu'"),
        ("competitive", {"tolerance": 0.0}, "positive tolerance"),
        ("competitive", {"krylov_steps": 0}, "one Krylov step"),
        ("adaptive_competitive", {"beta": 1.0}, r"beta = 1.0 is outside \[0, 1\)"),
        ("adaptive_competitive", {"eps": 0.0}, "eps = 0.0 does not bound the rates"),
    ],
)
def test_settings_are_checked(name, settings, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        make(name, cases.tanh_gan(), **settings)


def test_conjugate_gradients_are_for_two():
    model, loss, _ = cases.classifier()
    with pytest.raises(GantoolsError, match="for two players, not 1"):
        make("competitive", gt.minimization(model, loss), solver="cg")
