"""The bugs of public implementations (games.md, section 3), each with what would have caught it; numbers are theirs."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.trainers import make
from gantools.trainers.second_order.linear_solvers import gmres
from tests import cases
from tests.game_oracles import relative

F64 = torch.float64


@pytest.mark.parametrize("name", ["sga", "jare", "hamiltonian", "lead", "competitive", "lola", "sos", "unrolled"])
def test_2_no_parameter_is_dropped(name):
    """A parameter that the second derivative does not reach keeps its own gradient."""
    offset = nn.Parameter(torch.tensor([2.0], dtype=F64))
    game = cases.tanh_gan("wasserstein")
    game.players.generator.register_parameter("offset", offset)
    plain = gt.gan(*game.players.values(), loss="wasserstein").losses

    def losses(players, batch):
        values = plain(players, batch)
        return {**values, "generator": values["generator"] + 3 * players["generator"].offset.sum()}

    make(name, gt.Game(dict(game.players), losses), lr=0.1).step(cases.gan_batch())
    expected = 2.0 if name == "hamiltonian" else 2.0 - 0.1 * 3  # whose direction is J^T xi alone
    assert abs(offset.item() - expected) < 1e-14


@pytest.mark.slow
def test_6_the_last_step_is_kept_by_value():
    """Bilinear, lr 0.1, 2000 steps: 5.6e-5 for optimistic descent, 3e4 where the past gradient is an alias."""
    game = cases.bilinear([[1.0]], [1.0], [1.0])
    optimizer = make("optimistic", game, lr=0.1)
    for _ in range(2000):
        before = dict(optimizer.state.memory)
        kept = {key: value.clone() for key, value in before.items()}
        optimizer.step(None)
        assert all(torch.equal(before[key], kept[key]) for key in before)
    assert 3e-5 < game.vector().norm() < 1e-4


def test_7_both_players_see_the_same_point():
    """One update moves the discriminator by its field at the old generator, and the generator by its at the old one."""
    names = "extragradient past_extragradient heun rk4 lead proximal competitive lola sos unrolled"
    for name in names.split():
        game, batch = cases.tanh_gan(), cases.gan_batch()
        make(name, game, lr=1e-7).step(batch)
        twin = cases.tanh_gan()
        moved = (twin.vector() - game.vector()) / 1e-7
        assert relative(moved, twin.field(batch)) < 1e-5


def test_9_the_step_taken_back_is_the_last_one():
    game = cases.scalar_quadratic(0.5, 1.0)
    optimizer, h, moves, points = make("optimistic", game, lr=0.1), 0.1, [], [game.vector()]
    for _ in range(4):
        moves.append(h * game.field(None))
        optimizer.step(None)
        points.append(game.vector())
    for t in range(1, 4):
        assert relative(points[t + 1], points[t] - 2 * moves[t] + moves[t - 1]) < 1e-14
    lag_two = points[3] - 2 * moves[3] + moves[1]
    assert relative(points[4], lag_two) > 1e-3


@pytest.mark.parametrize("name", ["heun", "rk4"])
def test_11_the_joint_flow_is_integrated(name):
    """Its order is that of the joint flow; with the other player frozen it would be one."""
    j = torch.tensor([[0.4, 1.0], [-1.0, 0.4]], dtype=F64)

    def error(h):
        game = cases.scalar_quadratic(0.4, 1.0)
        exact = torch.linalg.matrix_exp(-j) @ game.vector()
        optimizer = make(name, game, lr=h)
        for _ in range(round(1 / h)):
            optimizer.step(None)
        return (game.vector() - exact).norm()

    order = torch.log2(error(0.1) / error(0.05))
    assert abs(order - {"heun": 2, "rk4": 4}[name]) < 0.2


def test_8_one_dimensional_players():
    for name in ("lead", "sga", "jare", "proximal", "competitive", "adaptive_competitive", "lola", "sos", "unrolled"):
        game = cases.dirac("minimax", 0.9, -1.4)
        make(name, game, lr=0.1).step(cases.DIRAC_BATCH)
        assert game.vector().isfinite().all()


def test_8_the_buffers_are_written():
    optimizer = make("adaptive_competitive", cases.tanh_gan("minimax"), lr=0.01)
    for step in range(3):
        before = optimizer.state.memory
        optimizer.step(cases.gan_batch(seed=step))
        after = optimizer.state.memory
        assert len(after) == 4 and not any(torch.equal(before[key], after[key]) for key in after)


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_a_warm_start_does_not_add_up(loss):
    """A solver that starts from the last solution with the residual b takes the last step again with every step."""
    batch, ends = cases.gan_batch(), []
    for _ in range(2):
        optimizer = make("competitive", cases.tanh_gan(loss), lr=0.1, tolerance=1e-12)
        for _ in range(6):
            if ends:  # start from nothing
                optimizer.load_state_dict(make("competitive", optimizer.game).state_dict())
            optimizer.step(batch)
        ends.append(optimizer.game.vector())
    assert relative(ends[0], ends[1]) < 1e-11


# The linear solver, and sentences ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_gmres(n):
    source = torch.Generator().manual_seed(n)
    a = torch.randn(n, n, generator=source, dtype=F64) + 3 * torch.eye(n, dtype=F64)
    b = torch.randn(n, generator=source, dtype=F64)
    x, residual = gmres(lambda u: a @ u, b, 1e-12, 50)
    assert relative(x, torch.linalg.solve(a, b)) < 1e-9 and residual < 1e-11
    x, residual = gmres(lambda u: a @ u, b, 1e-12, 1)
    assert abs((a @ x - b).norm() / b.norm() - residual) < 1e-12
    assert not gmres(lambda u: a @ u, torch.zeros_like(b), 1e-12, 50)[0].any()
    assert relative(gmres(lambda u: 2 * u, b, 1e-12, 50)[0], b / 2) < 1e-15  # stops after one product


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("extragradient", {"sample": "both"}, "Unknown sample 'both'"),
        ("momentum", {"beta": 1.0}, r"beta = 1.0 is outside \(-1, 1\)"),
        ("momentum", {"beta": {"generator": 0.5}}, "beta names no momentum for 'discriminator'"),
        ("momentum", {"order": "random"}, "Unknown order 'random'"),
        ("complex_momentum", {"modulus": 1.0}, r"modulus = 1.0 is outside \[0, 1\)"),
        ("jare", {"gamma": -1.0}, "gamma = -1.0 is not a weight"),
        ("lookahead", {"k": 0}, "k of at least 1"),
        ("lookahead", {"inner": "lookahead"}, "Unknown inner method 'lookahead'"),
        ("heun", {"penalty": -1.0}, "penalty = -1.0 is not a weight"),
        ("complex_momentum", {"base": "momentum"}, "does not go over Momentum, which is a momentum of its own"),
        ("proximal", {"tolerance": 0.0}, "positive tolerance"),
    ],
)
def test_settings_are_checked(name, settings, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        make(name, cases.tanh_gan(), **settings)


def test_the_penalty_needs_a_discriminator():
    with pytest.raises(GantoolsError, match="'discriminator', which this game lacks"):
        make("rk4", cases.bilinear([[1.0]], [1.0], [1.0]), penalty=0.1)
    assert not make("rk4", cases.tanh_gan()).second_order and make("rk4", cases.tanh_gan(), penalty=0.1).second_order
