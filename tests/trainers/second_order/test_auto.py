"""Consensus that finds weight and rate itself: closed forms of the rule, its budget, resuming, what it says."""

import io

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis import jacobian
from gantools.analysis.operators.jacobian import update_operator
from gantools.cli import main
from gantools.compare.cost import counting
from gantools.errors import GantoolsError
from gantools.trainers import RMSProp, make
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.second_order import auto
from gantools.trainers.second_order.ritz import project
from tests import cases
from tests.game_oracles import eigenvalues, match_distance, state_vector
from tests.runs import QUIET, RING, records

F64 = torch.float64
DECIBEL = 10**0.05 * (1 + 1e-9)  # rounding to whole decibels


def after_the_first_estimate(game, batch=None, **settings):
    """Return the optimizer on a linear game, whose matrices no step changes, after it chose weight and rate."""
    optimizer = make("auto", game, lr=1e-6, share=0.5, **settings)
    while optimizer.state.counters[auto.SPENT] == 0:
        optimizer.step(batch)
    return optimizer


def chosen(optimizer):
    state = optimizer.state
    return optimizer.gamma_at(state), next(iter(optimizer.rates_at(state).values()))


def near(value, expected):
    return 1 / DECIBEL < value / expected < DECIBEL


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("s", [0.02, 1.0, 40.0])
def test_on_a_bilinear_game(s, ratio):
    optimizer = after_the_first_estimate(cases.bilinear([[s]], [1.0], [0.4]), ratio=ratio)
    gamma, rate = chosen(optimizer)
    assert near(gamma, ratio / s) and near(rate, ratio / (s * (1 + ratio**2)))
    found = eigenvalues(update_operator(optimizer, None))
    assert match_distance(found, [1 - rate * gamma * s**2 + sign * 1j * rate * s for sign in (1, -1)]) < 1e-12
    assert abs(abs(found).max() - 1 / np.sqrt(1 + ratio**2)) < 0.1


@pytest.mark.parametrize("base", ["momentum", "adam"])
@pytest.mark.parametrize("matrix", [[[0.0, 3.0], [-3.0, 0.0]], [[1.0, 3.0], [-3.0, 1.0]]])
def test_a_base_that_remembers_directions_gets_a_rate_that_it_bears(base, matrix):
    """At the rate of plain steps both bases left these games, one turning and one attracting, by 1e2 to 1e24."""
    game = cases.quadratic(torch.tensor(matrix, dtype=F64), (1, 1), torch.tensor([1.0, 0.5], dtype=F64))
    optimizer = make("auto", game, lr=1e-2, base=base)
    for _ in range(1000):
        optimizer.step(None)
    assert float(game.vector().norm()) < 1e-3


@pytest.mark.parametrize(("mu", "s"), [(0.2, 1.0), (0.7, 1.4), (-0.3, 2.0)])
def test_on_a_quadratic_game(mu, s):
    """The pair mu +- is of a normal J: it attracts as much as it turns, at the rate that is best for it."""
    gamma, rate = chosen(after_the_first_estimate(cases.scalar_quadratic(mu, s)))
    assert near(gamma, (s - mu) / (mu**2 + s**2))
    value = mu + gamma * (mu**2 + s**2) + 1j * s
    assert near(rate, value.real / abs(value) ** 2)


def test_a_pair_that_attracts_by_itself_leaves_the_given_weight():
    gamma, rate = chosen(after_the_first_estimate(cases.scalar_quadratic(1.4, 0.7), gamma=0.3))
    value = 1.4 + 0.3 * (1.4**2 + 0.7**2) + 0.7j
    assert gamma == 0.3 and near(rate, value.real / abs(value) ** 2)


def test_dirac_gan_converges_without_weight_or_rate():
    optimizer = make("auto", cases.dirac("nonsaturating", 0.5, 0.5))
    plain = make("simultaneous", cases.dirac("nonsaturating", 0.5, 0.5), lr=0.5)
    for _ in range(60):
        optimizer.step(cases.DIRAC_BATCH)
        plain.step(cases.DIRAC_BATCH)
    assert optimizer.game.vector().norm() < 0.02 and plain.game.vector().norm() > 0.7


def test_dirac_gan_at_the_equilibrium():
    """J has +- i/2 there."""
    optimizer = after_the_first_estimate(cases.dirac("nonsaturating", 1e-9, 1e-9), cases.DIRAC_BATCH)
    gamma, rate = chosen(optimizer)
    assert near(gamma, 2.0) and near(rate, 1.0)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 5.0])
def test_projections_on_the_whole_space_are_the_preconditioned_step(gamma):
    game, J = cases.nonnormal()
    D = torch.linspace(0.5, 3.0, len(J), dtype=F64)
    graph = FieldGraph(game, game.vector(), game.buffers(), None)
    found = project(graph.product, D.rsqrt(), torch.ones(len(J), dtype=F64), 20)
    assert found.products == len(J)
    expected = np.linalg.eigvals(((J + gamma * J.T @ J) / D[:, None]).numpy())
    assert match_distance(eigenvalues_of(found.field + gamma * found.damping), expected) < 1e-9
    attracting = expected[expected.real > 0]
    leading = attracting[abs(attracting) >= abs(attracting).max() / 2]
    asked = [abs(v) * min(abs(v) / v.real, 10) for v in leading]
    assert found.rate(gamma)[0] == pytest.approx(1 / max(asked), rel=1e-9)


def eigenvalues_of(matrix):
    return np.linalg.eigvals(matrix.numpy())


def test_a_krylov_space_ends_where_the_start_has_few_directions():
    game, _ = cases.nonnormal()
    J = jacobian(game, None).dense()
    values, vectors = torch.linalg.eig(J)
    pair = int(values.imag.abs().argmax())
    start = vectors[:, pair].real + vectors[:, pair].imag
    graph = FieldGraph(game, game.vector(), game.buffers(), None)
    found = project(graph.product, torch.ones(len(J), dtype=F64), start, 20)
    assert found.products == (2 if values[pair].imag else 1)
    expected = [complex(values[pair]), complex(values[pair]).conjugate()][: found.products]
    assert match_distance(eigenvalues_of(found.field), expected) < 1e-9


def test_estimates_find_the_turning_pair_of_a_gan_and_start_where_the_last_one_ended():
    """The reference is the dense matrix of the same batch; four products after many estimates are enough."""
    game, batch = cases.tanh_gan(), cases.gan_batch(64)
    optimizer = make("auto", game, lr=1e-7, share=0.5, products=4)
    while optimizer.state.counters[auto.SPENT] < 60:
        optimizer.step(batch)
    J = jacobian(game, batch).dense()
    graph = FieldGraph(game, game.vector(), game.buffers(), batch)
    ones = torch.ones(len(J), dtype=F64)
    warm = project(graph.product, ones, optimizer.state.held[auto.START], 4).turning()[0]
    cold = project(graph.product, ones, torch.ones(len(J), dtype=F64), 4).turning()[0]
    values = eigenvalues_of(J)
    exact = values[values.imag.argmax()]
    assert abs(warm - exact) < 0.02 * abs(exact) and abs(warm - exact) < abs(cold - exact)


def test_one_player_is_descended_at_the_rate_of_its_largest_curvature():
    game = cases.quadratic(torch.diag(torch.tensor([4.0, 1.0, 0.5], dtype=F64)), (3,), torch.ones(3, dtype=F64))
    optimizer = after_the_first_estimate(game, gamma=1e-3)
    gamma, rate = chosen(optimizer)
    assert gamma == 1e-3 and near(rate, 1 / (4 + gamma * 16))


def test_second_moments_bear_real_eigenvalues_at_the_edge_of_stability():
    game = cases.quadratic(torch.diag(torch.tensor([4.0, 1.0], dtype=F64)), (2,), torch.ones(2, dtype=F64))
    optimizer = after_the_first_estimate(game, gamma=1e-6, base=RMSProp(0.9))
    D = optimizer.denominator(game.vector(), optimizer.state)
    assert chosen(optimizer)[1] == pytest.approx(float(2 / (4 / D[0])), rel=0.5)


@pytest.mark.parametrize(("share", "products"), [(0.1, 8), (0.15, 3), (0.5, 2)])
def test_estimates_keep_to_their_share_at_every_step(share, products):
    game = cases.tanh_gan()
    optimizer = make("auto", game, lr=1e-3, share=share, products=products)
    optimizer.step(cases.gan_batch())  # the examination before the first step is no part of it
    made = 0
    with counting(game) as counter:
        for step in range(1, 130):
            optimizer.step(cases.gan_batch(seed=step))
            spent = optimizer.state.counters[auto.SPENT]
            assert counter.cost().evaluations == 2 * step + spent
            assert spent <= share * (2 * step + 2 + spent)
            made += optimizer.state.info.note is not None
    assert spent >= products + 2 and made >= 1


@pytest.mark.parametrize("base", ["sgd", "rmsprop"])
def test_resumes_bit_equal_between_estimates(base):
    def new():
        return make("auto", cases.tanh_gan(dtype=torch.float32), lr=1e-3, base=base, share=0.5, products=3)

    def run(optimizer, steps):
        for step in steps:
            optimizer.step(cases.gan_batch(seed=step, dtype=torch.float32))

    straight, first, second = new(), new(), new()
    run(straight, range(40))
    run(first, range(17))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    second.game.load_vector(first.game.vector())
    run(second, range(17, 40))
    assert torch.equal(state_vector(second.game, second), state_vector(straight.game, straight))
    assert second.state.counters == straight.state.counters and straight.state.counters[auto.RATE]
    assert torch.equal(second.state.held[auto.START], straight.state.held[auto.START])
    assert straight.state.counters[auto.SPENT] > first.state.counters[auto.SPENT] > 0


def test_a_refused_step_leaves_weight_and_rate():
    optimizer = make("auto", cases.tanh_gan(), share=0.5, products=2)
    for step in range(2):
        optimizer.step(cases.gan_batch(seed=step))
    before = optimizer.state

    def refuse(w, state):
        assert state.counters[auto.SPENT] > 0
        raise GantoolsError("no")

    with pytest.raises(GantoolsError):
        optimizer.step(cases.gan_batch(seed=2), check=refuse)
    assert optimizer.state is before and before.counters[auto.SPENT] == 0


def test_three_estimates_choose_and_later_ones_move_little_and_stay_near():
    counters = dict.fromkeys([auto.RATE, auto.SUM[auto.RATE], auto.COUNT[auto.RATE]], 0)
    for factor, expected in ((1000.0, 30), (10.0, 20), (1.0, 13), (15.8, 13), (1e9, 15), (1e9, 17), (1e9, 19)):
        auto.moved(counters, auto.RATE, factor)  # the fourth asks for 12, which is too near
        assert counters[auto.RATE] == expected
    for expected in (21, 23, 23):
        auto.moved(counters, auto.RATE, 1e9)
        assert counters[auto.RATE] == expected
    assert auto.moved(counters, auto.RATE, 0.0) and counters[auto.RATE] == -7
    weight = {auto.GAMMA: 5, auto.SUM[auto.GAMMA]: 15, auto.COUNT[auto.GAMMA]: 3}
    assert auto.moved(weight, auto.GAMMA, 1e-9) and weight[auto.GAMMA] == 2


def test_it_says_and_logs_what_it_changed(tmp_path, capsys):
    args = [*RING, *QUIET, "--log-every", "20", "--steps", "60", "--out", str(tmp_path / "a")]
    assert main(["train", *args, "--optimizer", "auto"]) == 0
    printed = capsys.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if line.startswith("step 45: ")]
    assert len(lines) == 1 and "rate 0.0001 -> " in lines[0] and "because" in lines[0]
    logged = {r["step"]: r for r in records(tmp_path / "a") if "auto/gamma" in r}
    assert logged[0]["auto/gamma"] == 1 and logged[40]["auto/rate"] == pytest.approx(1e-4)
    notes = [record for record in records(tmp_path / "a") if "note" in record]
    assert [note["step"] for note in notes] == [45] and f"step 45: {notes[0]['note']}" == lines[0]
    assert f"rate 0.0001 -> {logged[45]['auto/rate']:.3g}" in lines[0]


def test_rates_of_players_are_logged_apart():
    optimizer = make("auto", cases.tanh_gan(), lr={"generator": 0.01, "discriminator": 0.02})
    info = optimizer.step(cases.gan_batch())
    expected = {"auto/gamma": 1.0, "auto/rate/generator": 0.01, "auto/rate/discriminator": 0.02}
    assert info.settings == expected


def test_a_product_that_is_not_finite_changes_nothing():
    """The square root's second derivative at 0 is infinite: the field is finite, products with J are not."""

    def losses(players, batch):
        x = players["x"].value
        return {"x": (torch.where(x > 10, x.sqrt() * 0, x * 0) + x).sum()}

    game = gt.Game({"x": cases.Point([0.0, 0.0])}, losses)
    optimizer = make("auto", game, share=0.5, products=2)
    optimizer._examined = True
    for _ in range(4):
        optimizer.step(None)
    assert chosen(optimizer) == (1.0, 1e-4) and optimizer.state.info.note is None


def test_settings_that_make_no_sense():
    for settings in ({"gamma": 0.0}, {"ratio": -1.0}, {"share": 0.0}, {"share": 0.9}, {"products": 0}):
        with pytest.raises(GantoolsError, match="pass"):
            make("auto", cases.tanh_gan(), **settings)
