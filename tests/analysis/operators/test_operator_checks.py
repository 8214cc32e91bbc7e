"""What operators refuse to differentiate, and what they do not mind."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.algebra import restrict
from gantools.analysis.operators.jacobian import hessian, jacobian, update_operator
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games import arbiter
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.quick import few

F64 = torch.float64
METHODS = ["reverse", "forward", "replay", "auto"]


@pytest.mark.parametrize("loss", few(sorted(gt.losses.LOSSES), 2))
@pytest.mark.parametrize("dead", ["generator", "discriminator", "both"])
def test_no_false_alarm_on_dead_layers(loss, dead):
    game, batch = cases.tanh_gan(loss, activation=nn.ReLU), cases.gan_batch(16)
    for player in game.players if dead == "both" else [dead]:
        with torch.no_grad():
            game.players[player][0].bias.fill_(-30.0)
    for optimizer in (Consensus(game, lr=1e-3), Simultaneous(game, lr=1e-3, base="adam")):
        optimizer.step(batch)
        assert update_operator(optimizer, batch).dense().isfinite().all()
    assert jacobian(game, batch).dense().isfinite().all()


def test_no_false_alarm_where_players_do_not_meet():
    game = gt.Game(
        {"a": cases.Point([1.0, -2.0]), "b": cases.Point([0.5]), "c": cases.Point([2.0])},
        lambda p, _: {
            "a": p.a.value.square().sum() + p.a.value.sum() * p.b.value.sum(),
            "b": p.b.value.pow(4).sum(),
            "c": (p.c.value.exp() * p.a.value.sum()).sum(),
        },
    )
    dense = jacobian(game, None).dense()
    a, b, c = game.slices.values()
    assert not dense[b, a].any() and not dense[b, c].any() and not dense[a, c].any() and dense[c, a].all()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("wakes", [True, False])
def test_no_false_alarm_where_the_derivative_is_truly_zero(wakes, dtype):
    """A unit about to wake, and a dependence on the square of what is zero: the field moves, but not to and fro."""

    def losses(players, batch):
        b = players.b.value
        gate = torch.relu(b[0] - 1e-12) if wakes else 1e6 * b[0].square()
        return {"a": (players.a.value * (3 + gate)).sum(), "b": b.pow(4).sum()}

    players = {"a": cases.Point([1.0]).to(dtype), "b": cases.Point([0.0, 1.0]).to(dtype)}
    game = gt.Game(players, losses)
    assert not jacobian(game, None).dense()[0].any()


def test_no_false_alarm_at_an_equilibrium():
    for loss in ("minimax", "wasserstein"):
        assert jacobian(cases.dirac(loss), cases.DIRAC_BATCH).dense().abs().sum() > 0
    game, _ = cases.nonnormal()
    game.load_vector(torch.zeros(5, dtype=F64))
    jacobian(game, None)


def test_no_false_alarm_on_noise_inside_the_loss():
    """Random numbers are no detachment; each evaluation of the probe draws the same."""

    def losses(players, batch):
        noise = torch.randn(2, dtype=F64)
        return {"a": (players.a.value * noise).sin().sum(), "b": (players.b.value * noise).square().sum()}

    game = gt.Game({"a": cases.Point([1.0, 2.0]), "b": cases.Point([1.0, 2.0])}, losses)
    before = torch.get_rng_state()
    arbiter.judge(game, None)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(GantoolsError, match="differs between two evaluations"):
        jacobian(game, None)


def test_dropout_is_refused_by_the_players_name():
    d = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1)).to(F64)
    game, batch = gt.gan(cases.mlp(2, 3, 2), d), cases.gan_batch()
    for make in (
        lambda: jacobian(game, batch),
        lambda: game.field(batch),
        lambda: update_operator(Simultaneous(game), batch),
        lambda: hessian(game, batch, player="generator"),
    ):
        with pytest.raises(GantoolsError, match=r"Dropout is active in player 'discriminator' \(1\).*\.eval\(\)"):
            make()
    d.eval()
    jacobian(game, batch)


@pytest.mark.parametrize(
    "noise",
    [lambda x: nn.functional.dropout(x, 0.3), lambda x: x + 1e-3 * torch.randn_like(x)],
    ids=["dropout", "randn"],
)
@pytest.mark.parametrize("method", METHODS)
def test_randomness_inside_the_loss_is_refused(noise, method):
    model, _, batch = cases.classifier()
    with pytest.raises(GantoolsError, match="differs between two evaluations.*into the batch"):
        hessian(model, lambda m, b: nn.functional.cross_entropy(noise(m(b[0])), b[1]), batch, method=method)


@pytest.mark.parametrize("method", ["reverse", "auto"])
def test_sums_in_any_order_are_no_random_numbers(method):
    """As a GPU's convolutions: they differ in more than the last digits where terms cancel, unless told not to."""
    model, _, batch = cases.classifier()

    def loss(m, b):
        noise = 0.0 if torch.are_deterministic_algorithms_enabled() else 1e-10 * torch.randn((), dtype=F64)
        return nn.functional.cross_entropy(m(b[0]) * (1 + noise), b[1])

    operator = hessian(model, loss, batch, method=method)
    exact = hessian(model, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]), batch)
    u = torch.ones(exact.n, dtype=F64)
    torch.testing.assert_close(operator @ u, exact @ u, rtol=1e-8, atol=1e-10)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_field_that_is_not_finite_is_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    batch["real"][0] = float("nan")
    with pytest.raises(NonFiniteFieldError, match="NaN or infinite"):
        jacobian(game, batch)
    with pytest.raises(NonFiniteFieldError, match="NaN or infinite"):
        update_operator(Simultaneous(game), batch)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_no_false_alarm_where_hessian_and_gradient_vanish(dtype):
    """A bias before batch norm moves nothing, and a linear critic has no curvature: both are zero up to rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)
    x = torch.randn(16, 3, dtype=dtype)
    game = gt.minimization(model, lambda m, b: m(b).square().mean())
    assert restrict(jacobian(game, x), "model.0.bias").dense().norm() < 1e-3
    critic = nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 1)).to(dtype)
    same = gt.gan(nn.Linear(2, 2).to(dtype), critic, "wasserstein")
    with torch.no_grad():
        same.players.generator.weight.copy_(torch.eye(2))
        same.players.generator.bias.zero_()
    z = torch.randn(64, 2, dtype=dtype)
    batch = {"real": z, "latent": z[torch.randperm(64)]}
    assert hessian(same, batch, player="discriminator").dense().norm() < 1e-3
    assert restrict(jacobian(same, batch), "discriminator.1.weight").dense().norm() < 1e-3


def test_no_false_alarm_near_a_stationary_point():
    """There the field is all rounding, and so is its difference from the slope."""
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3))
    batch = torch.randn(64, 6), torch.randn(64, 3)

    def loss(m, b):
        return nn.functional.mse_loss(m(b[0]), b[1]) + 0.1 * sum(p.square().sum() for p in m.parameters())

    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=500, tolerance_grad=0.0, tolerance_change=0.0)

    def closure():
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        return value

    optimizer.step(closure)
    H = hessian(model, loss, batch)
    assert H.field_norm is not None and H.field_norm < 1e-4
