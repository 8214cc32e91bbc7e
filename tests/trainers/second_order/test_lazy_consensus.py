"""Consensus in its lazy form, and with weights that are schedules."""

import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.batches import halves
from gantools.compare.cost import Cost, measured
from gantools.trainers import Consensus
from tests import cases
from tests.game_oracles import (
    eigenvalues,
    flat,
    match_distance,
    plain_consensus_step,
    plain_simultaneous_step,
    relative,
)
from tests.quick import few

F64 = torch.float64


@pytest.mark.parametrize("every", [2, 3])
def test_lazy_on_a_game_that_is_not_normal(every):
    """One period is a heavy step and then plain ones; at whatever phase it begins, the same steps in a circle."""
    game, j = cases.nonnormal()
    optimizer = Consensus(game, lr=0.01, gamma=0.5, every=every)
    eye = torch.eye(5, dtype=F64)
    plain, heavy = eye - 0.01 * j, eye - 0.01 * (j + every * 0.5 * j.T @ j)
    for phase in range(every):
        steps = [heavy if (phase + k) % every == 0 else plain for k in range(every)]
        period = eye
        for step in steps:
            period = step @ period
        assert relative(update_operator(optimizer, None).dense(), period) < 1e-13
        w = game.vector()
        optimizer.step(None)
        assert relative(game.vector(), steps[0] @ w) < 1e-13


@pytest.mark.parametrize(
    ("build", "batch", "values"),
    [
        (lambda: cases.bilinear([[1.3]], [1.0], [0.4]), None, [1.3j, -1.3j]),
        (lambda: cases.scalar_quadratic(0.7, 1.4), None, [0.7 + 1.4j, 0.7 - 1.4j]),
        (lambda: cases.dirac("nonsaturating"), cases.DIRAC_BATCH, [0.5j, -0.5j]),
    ],
)
def test_lazy_eigenvalues(build, batch, values):
    h, gamma, k = 0.2, 0.6, 4
    found = eigenvalues(update_operator(Consensus(build(), lr=h, gamma=gamma, every=k), batch))
    expected = [(1 - h * l) ** (k - 1) * (1 - h * l - h * k * gamma * abs(l) ** 2) for l in values]
    assert match_distance(found, expected) < 1e-12


def test_lazy_may_diverge_where_plain_consensus_converges():
    """No proof covers it: with h s = 0.5 and gamma = h it takes k < 6."""
    h = 0.5

    def radius(every):
        optimizer = Consensus(cases.bilinear([[1.0]], [1.0], [1.0]), lr=h, gamma=h, every=every)
        return abs(eigenvalues(update_operator(optimizer, None))).max()

    def by_hand(k):
        return abs((1 - h * 1j) ** (k - 1) * (1 - h * 1j - h * k * h))

    for k in range(1, 10):
        assert abs(radius(k) - by_hand(k)) < 1e-12
        assert (radius(k) < 1) == (k < 6)


@pytest.mark.parametrize(("base", "make"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_lazy_equals_a_plain_loop_step_by_step(base, make):
    game, plain = cases.tanh_gan(), cases.tanh_gan()
    optimizer = Consensus(game, lr=1e-2, gamma=2.0, base=base, every=3)
    g, d = plain.players.generator, plain.players.discriminator
    optimizers = make(g.parameters(), lr=1e-2), make(d.parameters(), lr=1e-2)
    for step in range(8):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        if step % 3 == 0:
            plain_consensus_step(g, d, optimizers, batch, 6.0)
        else:
            plain_simultaneous_step(g, d, optimizers, batch)
        assert relative(game.vector(), flat(g, d)) < 1e-10


def test_lazy_goes_on_at_its_phase():
    straight, first, second = (Consensus(cases.tanh_gan(), lr=1e-2, gamma=2.0, every=3) for _ in range(3))
    for step in range(5):
        straight.step(cases.gan_batch(seed=step))
    for step in range(2):
        first.step(cases.gan_batch(seed=step))
    second.load_state_dict(first.state_dict())
    second.game.load_vector(first.game.vector())
    for step in range(2, 5):
        second.step(cases.gan_batch(seed=step))
    assert torch.equal(second.game.vector(), straight.game.vector())
    assert straight.state.counters == {"generator": 5, "discriminator": 5, "consensus:phase": 2}
    assert "consensus:phase" not in Consensus(cases.tanh_gan()).state.counters  # as in older checkpoints


def test_lazy_and_independent():
    game, batch, h = cases.tanh_gan(), cases.gan_batch(), 0.1
    optimizer = Consensus(game, lr=h, gamma=2.0, estimator="independent", every=2)
    w = game.vector()
    fields = [game.field(part) for part in halves(batch)]
    transposed = [jacobian(game, part).T for part in halves(batch)]
    expected = (fields[0] + fields[1]) / 2 + 4.0 * (transposed[0] @ fields[1] + transposed[1] @ fields[0]) / 2
    optimizer.step(batch)
    assert relative((w - game.vector()) / h, expected) < 1e-12
    w, field = game.vector(), game.field(batch)
    optimizer.step(batch)
    assert relative((w - game.vector()) / h, field) < 1e-12


def test_lazy_costs():
    assert measured(Consensus(cases.tanh_gan(), every=4), cases.gan_batch()) == Cost(1, 0.25)


@pytest.mark.parametrize(
    ("name", "weight", "settings"),
    few(
        [
            ("consensus", "gamma", {}),
            ("consensus", "gamma", {"every": 2}),
            ("jare", "gamma", {}),
            ("sga", "weight", {}),
        ],
        2,
    ),
)
def test_a_weight_that_is_a_schedule(name, weight, settings):
    """Each step is that of the value of the moment; the linearisation too."""
    schedule = gt.schedules.Linear(2.0, 0.5, 6)
    optimizer = gt.trainers.make(name, cases.tanh_gan(), lr=0.02, **{weight: schedule}, **settings)
    moved = []
    for step in range(8):
        value = 2.0 - 1.5 * min(step / 6, 1)
        fixed = gt.trainers.make(name, cases.tanh_gan(), lr=0.02, **{weight: value}, **settings)
        fixed.load_state_dict(optimizer.state_dict())
        fixed.game.load_vector(optimizer.game.vector())
        start, batch = optimizer.game.vector(), cases.gan_batch(seed=step)
        if step == 3 and not settings:
            assert relative(update_operator(optimizer, batch).dense(), update_operator(fixed, batch).dense()) < 1e-13
        optimizer.step(batch)
        fixed.step(batch)
        assert relative(optimizer.game.vector(), fixed.game.vector()) < 1e-14
        moved.append(optimizer.game.vector() - start)
    unscheduled = gt.trainers.make(name, cases.tanh_gan(), lr=0.02, **{weight: 2.0}, **settings)
    for step in range(8):
        unscheduled.step(cases.gan_batch(seed=step))
    assert relative(optimizer.game.vector(), unscheduled.game.vector()) > 1e-4


def test_each_player_takes_gamma_at_its_own_count():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = Consensus(game, lr=0.1, gamma=gt.schedules.Linear(3.0, 1.0, 2))
    optimizer.load_state_dict({**optimizer.state_dict(), "counters": {"generator": 1, "discriminator": 2}})
    w, field = game.vector(), game.field(batch)
    penalty = jacobian(game, batch).T @ field
    gamma = torch.tensor([2.0] * 17 + [1.0] * 13, dtype=F64)
    optimizer.step(batch)
    assert relative((w - game.vector()) / 0.1, field + gamma * penalty) < 1e-12


def test_the_examination_happens_once(monkeypatch):
    from gantools.trainers import optimizer as module

    calls, judge = [], module.arbiter.judge
    monkeypatch.setattr(module.arbiter, "judge", lambda *args: calls.append(args) or judge(*args))
    optimizer = Consensus(cases.tanh_gan(), lr=1e-3)
    for _ in range(3):
        optimizer.step(cases.gan_batch())
    assert len(calls) == 1
