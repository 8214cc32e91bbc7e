"""Alternating gradient descent: closed forms, invariants, and a plain loop with torch.optim."""

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.errors import GantoolsError
from gantools.trainers import Alternating, Momentum
from tests import cases
from tests.game_oracles import eigenvalues, flat, match_distance, nonsaturating_losses, relative
from tests.quick import few

F64 = torch.float64


@pytest.mark.parametrize(("loss", "f1"), [("minimax", 0.5), ("nonsaturating", 0.5), ("wasserstein", 1.0)])
@pytest.mark.parametrize(("n_d", "n_g"), [(1, 1), (5, 1), (2, 3)])
@pytest.mark.parametrize("h", [0.2, 1.3, 3.0])
def test_dirac_gan(loss, f1, n_d, n_g, h):
    optimizer = Alternating(cases.dirac(loss), lr=h, n_d=n_d, n_g=n_g)
    found = eigenvalues(update_operator(optimizer, cases.DIRAC_BATCH))
    a = np.sqrt(n_g * n_d) * h * f1
    half = 1 - a**2 / 2
    root = np.emath.sqrt(half**2 - 1)
    assert match_distance(found, [half + root, half - root]) < 1e-6
    if abs(a - 2) > 1e-9:
        assert (abs(found).max() < 1 + 1e-9) == (a < 2)


def test_bilinear_stays_on_the_unit_circle():
    matrix = torch.tensor([[1.0, 0.3], [-0.2, 0.6]], dtype=F64)
    game = cases.bilinear(matrix, [1.0, 0.4], [0.5, -1.0])
    h = 0.9
    found = eigenvalues(update_operator(Alternating(game, lr=h), None))
    phi = np.arccos(1 - (h * np.linalg.svd(matrix.numpy(), compute_uv=False)) ** 2 / 2)
    assert match_distance(found, np.concatenate([np.exp(1j * phi), np.exp(-1j * phi)])) < 1e-12


@pytest.mark.parametrize("h", [0.1, 0.8, 1.5])
def test_bilinear_invariant(h):
    s = 1.2
    game = cases.bilinear([[s]], [1.0], [0.5])
    optimizer, a = Alternating(game, lr=h), h * s

    def invariant():
        x, y = game.vector().tolist()
        return x * x + y * y - a * x * y

    start = invariant()
    for _ in range(100):
        optimizer.step(None)
        assert abs(invariant() - start) < 1e-11


@pytest.mark.parametrize("beta", [0.4, -0.3, -0.5, -0.7])
@pytest.mark.parametrize("a", [0.5, 1.0, 1.78])
def test_bilinear_with_momentum(beta, a):
    optimizer = Alternating(cases.bilinear([[1.0]], [1.0], [0.5]), lr=a, base=Momentum(beta))
    found = eigenvalues(update_operator(optimizer, None))
    squares = np.polymul(np.polymul([1, -1], [1, -1]), np.polymul([1, -beta], [1, -beta]))
    assert match_distance(found, np.roots(np.polyadd(squares, [a**2, 0, 0, 0]))) < 1e-6
    if beta < 0 and abs(a - 2 * (1 + beta)) > 1e-9:
        assert (abs(found).max() < 1) == (a < 2 * (1 + beta))


def test_scalar_quadratic_by_hand():
    mu, s, h = 0.8, 1.5, 0.3
    game = cases.scalar_quadratic(mu, s)
    first = np.array([[1 - h * mu, -h * s], [0, 1]])
    second = np.array([[1, 0], [h * s, 1 - h * mu]])
    update = update_operator(Alternating(game, lr=h, n_d=2), None)
    np.testing.assert_allclose(update.dense().numpy(), second @ first @ first, atol=1e-14)


def test_linear_trajectories_follow_the_operator_exactly():
    game, _ = cases.nonnormal()
    optimizer = Alternating(game, lr=0.05, base="momentum", n_d=2, n_g=3)
    operator = update_operator(optimizer, None)
    z = torch.cat([game.vector(), *optimizer.state.memory.values()])
    for _ in range(10):
        z = operator @ z
        optimizer.step(None)
    assert relative(torch.cat([game.vector(), *optimizer.state.memory.values()]), z) < 1e-13


@pytest.mark.parametrize(("n_d", "n_g"), few([(1, 1), (5, 1), (2, 3)], 4))
@pytest.mark.parametrize(
    ("base", "make"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)]
)
def test_equals_a_plain_loop(n_d, n_g, base, make):
    game, plain = cases.tanh_gan(), cases.tanh_gan()
    optimizer = Alternating(game, lr={"generator": 1e-2, "discriminator": 2e-2}, base=base, n_d=n_d, n_g=n_g)
    g, d = plain.players.generator, plain.players.discriminator
    opt_g, opt_d = make(g.parameters(), lr=1e-2), make(d.parameters(), lr=2e-2)
    count = max(n_d, n_g)
    assert optimizer.batches_per_step == count
    for step in range(12):
        batches = [cases.gan_batch(seed=50 * step + k) for k in range(count)]
        info = optimizer.step(*batches)
        assert not info.reused_batches
        for batch in batches[count - n_d :]:
            opt_d.zero_grad()
            nonsaturating_losses(g, d, batch)[1].backward()
            opt_d.step()
        for batch in batches[count - n_g :]:
            opt_g.zero_grad()
            nonsaturating_losses(g, d, batch)[0].backward()
            opt_g.step()
        assert relative(game.vector(), flat(g, d)) < 1e-11
    assert optimizer.state.counters == {"generator": 12 * n_g, "discriminator": 12 * n_d}


@pytest.mark.parametrize("start", ["inside", "outside"])
def test_the_critic_of_a_wgan_is_clipped_after_each_of_its_updates(start):
    """Algorithm 1 of arXiv:1701.07875; initial weights are not clipped."""
    c, lr = 0.05, 0.05
    game, plain = cases.tanh_gan("wasserstein", [gt.regularizers.Clip(c)]), cases.tanh_gan("wasserstein")
    g, d = plain.players.generator, plain.players.discriminator
    if start == "inside":
        for p in (*d.parameters(), *game.players.discriminator.parameters()):
            p.data.clamp_(-c, c)
    opt_g, opt_d = torch.optim.RMSprop(g.parameters(), lr), torch.optim.RMSprop(d.parameters(), lr)
    optimizer = Alternating(game, lr=lr, base="rmsprop", n_d=5)
    for step in range(3):
        batches = [cases.gan_batch(seed=50 * step + k) for k in range(5)]
        optimizer.step(*batches)
        for batch in batches:
            opt_d.zero_grad()
            (d(g(batch["latent"])).mean() - d(batch["real"]).mean()).backward()
            opt_d.step()
            for p in d.parameters():
                p.data.clamp_(-c, c)
        opt_g.zero_grad()
        (-d(g(batches[-1]["latent"])).mean()).backward()
        opt_g.step()
        assert relative(game.vector(), flat(g, d)) < 1e-12


def test_players_of_any_other_game_move_in_their_order():
    game = cases.bilinear([[1.0]], [1.0], [0.5])
    Alternating(game, lr=0.1).step(None)
    x = 1.0 - 0.1 * 0.5
    torch.testing.assert_close(game.vector(), torch.tensor([x, 0.5 + 0.1 * x], dtype=F64))
    assert Alternating(cases.tanh_gan(), n_d=5).turns() == [("discriminator", 5), ("generator", 1)]


def test_info_is_that_of_each_players_first_update():
    game, batches = cases.tanh_gan(), [cases.gan_batch(seed=k) for k in range(3)]
    optimizer = Alternating(game, lr=1e-2, n_d=3)
    field = game.field(batches[0])
    info = optimizer.step(*batches)
    assert list(info.losses) == list(info.field_norms) == ["generator", "discriminator"]
    torch.testing.assert_close(info.field_norms["discriminator"], field[game.slices["discriminator"]].norm())


def test_one_batch_for_five_updates_is_used_again_and_said():
    game, twin, batch = cases.tanh_gan(), cases.tanh_gan(), cases.gan_batch()
    info = Alternating(game, lr=1e-2, n_d=5).step(batch)
    assert info.reused_batches
    assert not Alternating(twin, lr=1e-2, n_d=5).step(*[batch] * 5).reused_batches
    assert torch.equal(game.vector(), twin.vector())


@pytest.mark.parametrize("turns", [{"n_d": 0}, {"n_g": -1}])
def test_every_player_moves(turns):
    with pytest.raises(GantoolsError, match="at least one update"):
        gt.trainers.make("alternating", cases.tanh_gan(), **turns)
