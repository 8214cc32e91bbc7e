"""Unrolled, LOLA and SOS: closed forms on linear games, plain loops from their definitions, what they are known for.

The references differentiate each method's defining scalar, or multiply dense Hessians block by block.
"""

import dataclasses

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.compare.cost import Cost, measured
from gantools.errors import GantoolsError
from gantools.trainers import make
from tests import cases
from tests.game_oracles import eigenvalues, match_distance, relative, state_vector, tanh_gan_losses
from tests.quick import few

F64 = torch.float64


# Plain loops ---------------------------------------------------------------------------------------------------------


EDGES = {"gan": (0, 17, 30), "three": (0, 2, 3, 6)}
RATES = {"gan": (0.05, 0.1), "three": (0.1, 0.05, 0.15)}
COUPLING = torch.randn(6, 6, generator=torch.Generator().manual_seed(3), dtype=F64)


def three_losses(w, batch=None):
    """Three players on vectors of 2, 1 and 3 that pull one sum, each loss with third derivatives that mix players."""
    parts = [w[0:2], w[2:3], w[3:6]]
    losses = []
    for i, own in enumerate(parts):
        rest = torch.cat([parts[j] for j in range(3) if j != i])
        bent = COUPLING[: len(own), : len(rest)] @ torch.tanh(rest)
        mixed = 0.3 * own.sin() @ bent + 0.1 * own.sum() * rest.square().sum()
        losses.append(mixed + 0.2 * own.square().sum() + 0.5 * w.sum() ** 2 - own.sum())
    return losses


def three_game():
    start = torch.randn(6, generator=torch.Generator().manual_seed(4), dtype=F64)
    players = {name: cases.Point(start[a:b]) for name, a, b in (("u", 0, 2), ("v", 2, 3), ("w", 3, 6))}

    def losses(players, batch):
        return dict(zip(players, three_losses(torch.cat([p.value for p in players.values()])), strict=True))

    return gt.Game(players, losses)


def setup(kind):
    """The game, its plain losses, its players' slices, their rates one for each parameter, and its batches."""
    game, losses = (cases.tanh_gan(), tanh_gan_losses) if kind == "gan" else (three_game(), three_losses)
    edges = EDGES[kind]
    parts = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    rates = torch.cat([torch.full((s.stop - s.start,), r, dtype=F64) for s, r in zip(parts, RATES[kind], strict=True)])
    batches = [cases.gan_batch(seed=step) if kind == "gan" else None for step in range(8)]
    return game, losses, parts, rates, batches


def player_rates(game, kind):
    return dict(zip(game.slices, RATES[kind], strict=True))


def lola_loop(w, losses, parts, rates, batches, alpha=None):
    """Differentiate each player's surrogate, as the definition has it."""
    steps = rates if alpha is None else torch.full_like(rates, alpha)
    for batch in batches:
        direction = torch.zeros_like(w)
        for i, part in enumerate(parts):
            z = w.clone().requires_grad_()
            values = losses(z, batch)
            gradients = [torch.autograd.grad(value, z, create_graph=True)[0] for value in values]
            surrogate = values[i]
            for j, other in enumerate(parts):
                if j != i:
                    surrogate = surrogate - gradients[i][other] @ (steps[other] * gradients[j][other])
            direction[part] = torch.autograd.grad(surrogate, z)[0][part]
        w = w - rates * direction
        yield w


BRANCHES = set()


def sos_loop(w, losses, parts, rates, batches, alpha=None, a=0.5, b=0.1):
    """Multiply the dense Hessian of each loss block by block."""
    steps = rates if alpha is None else torch.full_like(rates, alpha)
    for batch in batches:
        z = w.clone().requires_grad_()
        gradients = [torch.autograd.grad(value, z, create_graph=True)[0].detach() for value in losses(z, batch)]
        hessians = [
            torch.autograd.functional.hessian(lambda v, i=i, batch=batch: losses(v, batch)[i], w)
            for i in range(len(parts))
        ]
        xi, xi0, chi = (torch.zeros_like(w) for _ in range(3))
        for i, own in enumerate(parts):
            xi[own] = xi0[own] = gradients[i][own]
            for j, other in enumerate(parts):
                if j != i:
                    xi0[own] = xi0[own] - hessians[i][own, other] @ (steps[other] * gradients[j][other])
                    chi[own] += hessians[j][own, other] @ (steps[other] * gradients[i][other])
        dot, norm = -(chi @ xi0).item(), xi.norm().item()
        p1 = 1.0 if dot >= 0 else min(1.0, -a * (xi0 @ xi0).item() / dot)
        p2 = norm**2 if norm < b else 1.0
        BRANCHES.add("neither" if min(p1, p2) == 1 else "p1" if p1 < p2 else "p2")
        w = w - rates * (xi0 - min(p1, p2) * chi)
        yield w


def unrolled_loop(w, losses, parts, rates, batches, k=3, leader=0, inner=None, base=None):
    """Write the steps of the others down, and differentiate the leader's loss behind them."""
    h = rates if inner is None else torch.full_like(rates, inner)
    others = [(i, part) for i, part in enumerate(parts) if i != leader]
    m, v, t = torch.zeros_like(w), torch.zeros_like(w), 0

    def adam(g, m, v, t):
        m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2, t + 1
        return (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8), m, v, t

    for batch in batches:
        start = w.clone().requires_grad_()
        end, inner_m, inner_v, inner_t = start, m, v, t
        for _ in range(k):
            values = losses(end, batch)
            own = torch.zeros_like(w)
            for i, part in others:
                gradient = torch.autograd.grad(values[i], end, create_graph=True)[0]
                own = own.index_put((torch.arange(len(w))[part],), gradient[part])
            step = own
            if base == "adam":
                held = [x.clone() for x in (inner_m, inner_v)]
                step, inner_m, inner_v, inner_t = adam(own, inner_m, inner_v, inner_t)
                step = step.clone()
                step[parts[leader]] = 0
                inner_m = torch.where(mask(parts[leader], w), held[0], inner_m)
                inner_v = torch.where(mask(parts[leader], w), held[1], inner_v)
            end = end - h * step
        total = torch.autograd.grad(losses(end, batch)[leader], start)[0]
        direction = torch.zeros_like(w)
        direction[parts[leader]] = total[parts[leader]]
        for i, part in others:
            z = w.clone().requires_grad_()
            direction[part] = torch.autograd.grad(losses(z, batch)[i], z)[0][part]
        if base == "adam":
            direction, m, v, t = adam(direction, m, v, t)
        w = w - rates * direction
        yield w


def mask(part, w):
    inside = torch.zeros(len(w), dtype=torch.bool)
    inside[part] = True
    return inside


# All kinds of p occur: 1, that of the three players (p1), and that of a wide b (p2).
LOOPS = [
    ("lola", {}, lola_loop, {}),
    ("lola", {"alpha": 0.15}, lola_loop, {"alpha": 0.15}),
    ("sos", {}, sos_loop, {}),
    ("sos", {"alpha": 0.15}, sos_loop, {"alpha": 0.15}),
    ("sos", {"alpha": 0.15, "a": 0.3}, sos_loop, {"alpha": 0.15, "a": 0.3}),
    ("sos", {"alpha": 0.15, "b": 0.9}, sos_loop, {"alpha": 0.15, "b": 0.9}),
    ("unrolled", {"k": 3}, unrolled_loop, {}),
    ("unrolled", {"k": 2, "inner_lr": 0.4}, unrolled_loop, {"k": 2, "inner": 0.4}),
    ("unrolled", {"k": 3, "base": "adam"}, unrolled_loop, {"base": "adam"}),
]


@pytest.mark.parametrize("kind", few(EDGES, 1))
@pytest.mark.parametrize(
    ("name", "settings", "loop", "plain"), few(LOOPS, 5), ids=[f"{name} {settings}" for name, settings, *_ in LOOPS]
)
def test_equals_a_plain_loop_step_by_step(name, settings, loop, plain, kind):
    game, losses, parts, rates, batches = setup(kind)
    optimizer = make(name, game, lr=player_rates(game, kind), **settings)
    start = game.vector()
    for step, expected in enumerate(loop(start, losses, parts, rates, batches, **plain)):
        optimizer.step(batches[step])
        assert relative(game.vector(), expected) < 1e-9
    assert step == 7 and relative(game.vector(), start) > 0.01


@pytest.mark.parametrize(("kind", "leader"), [("gan", "discriminator"), ("three", "v")])
def test_another_leader(kind, leader):
    game, losses, parts, rates, batches = setup(kind)
    optimizer = make("unrolled", game, lr=player_rates(game, kind), k=2, leader=leader)
    for step, expected in enumerate(
        unrolled_loop(game.vector(), losses, parts, rates, batches, k=2, leader=list(game.slices).index(leader))
    ):
        optimizer.step(batches[step])
        assert relative(game.vector(), expected) < 1e-9


def test_every_branch_of_p_is_met():
    """By the loops above."""
    BRANCHES.clear()
    for kind, settings in (("three", {"alpha": 0.15, "a": 0.3}), ("gan", {"alpha": 0.15, "b": 0.9}), ("gan", {})):
        game, losses, parts, rates, batches = setup(kind)
        list(sos_loop(game.vector(), losses, parts, rates, batches, **settings))
    assert {"neither", "p1", "p2"} == BRANCHES


@pytest.mark.parametrize(
    ("kind", "settings", "branch"),
    [
        ("three", {"alpha": 0.15, "a": 0.3}, "p1"),
        pytest.param("gan", {"alpha": 0.15, "b": 0.9}, "p2", marks=pytest.mark.slow),
    ],
)
def test_the_linearisation_holds_the_derivative_of_p(kind, settings, branch):
    game, losses, parts, rates, batches = setup(kind)
    optimizer = make("sos", game, lr=player_rates(game, kind), **settings)
    w = game.vector()

    def step(z):
        return next(sos_loop(z, losses, parts, rates, batches, **settings))

    for _ in range(8):  # to where the branch is
        BRANCHES.clear()
        step(w)
        if {branch} == BRANCHES:
            break
        w = step(w)
    game.load_vector(w)
    columns = []
    for e in torch.eye(len(w), dtype=F64) * 1e-3:
        near, far = step(w + e) - step(w - e), step(w + 2 * e) - step(w - 2 * e)
        columns.append((8 * near - far) / 12e-3)
    assert {branch} == BRANCHES
    assert relative(update_operator(optimizer, batches[0]).dense(), torch.stack(columns, 1)) < 1e-7


# What they are known for ---------------------------------------------------------------------------------------------


def tandem(x=0.3, y=-0.4):
    """The tandem game of arXiv:1811.08469: L = (x + y)^2 - 2x and (x + y)^2 - 2y."""

    def losses(players, batch):
        x, y = players.x.value, players.y.value
        return {"x": ((x + y) ** 2 - 2 * x).sum(), "y": ((x + y) ** 2 - 2 * y).sum()}

    return gt.Game({"x": cases.Point([x]), "y": cases.Point([y])}, losses)


@pytest.mark.slow
def test_lola_misses_a_fixed_point_that_sos_keeps():
    """On x + y = 1 the field vanishes; both LOLA players push on to x + y = (1 - 2 alpha)/(1 - 4 alpha)."""
    alpha, ends = 0.1, {}
    for name in ("lola", "sos"):
        game = tandem()
        optimizer = make(name, game, lr=alpha)
        for _ in range(400):
            optimizer.step(None)
        ends[name] = game.vector().sum().item()
    assert abs(ends["lola"] - (1 - 2 * alpha) / (1 - 4 * alpha)) < 1e-9
    assert abs(ends["sos"] - 1) < 1e-9


@pytest.mark.parametrize("name", ["lola", "sos"])
def test_one_player_descends(name):
    model, loss, batch = cases.classifier()
    ends = []
    for method in (name, "simultaneous"):
        game = gt.minimization(cases.classifier()[0], loss)
        make(method, game, lr=0.3).step(batch)
        ends.append(game.vector())
    assert relative(*ends) < 1e-15


@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_no_unrolled_step_is_simultaneous(base):
    ends = []
    for name, settings in (("unrolled", {"k": 0}), ("simultaneous", {})):
        optimizer = make(name, cases.tanh_gan(), lr=0.1, base=base, **settings)
        for step in range(3):
            optimizer.step(cases.gan_batch(seed=step))
        ends.append(state_vector(optimizer.game, optimizer))
    assert relative(*ends) < 1e-14


def test_the_unroll_leaves_nothing_behind():
    """Running statistics and the base's memory move once a step, as without it."""
    after = []
    for k in (0, 4):
        torch.manual_seed(0)
        nets = [
            torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, n)).to(F64)
            for n in (2, 1)
        ]
        optimizer = make("unrolled", gt.gan(*nets), lr=0.1, base="adam", k=k)
        optimizer.step(cases.gan_batch())
        state = optimizer.state
        memory = {key: value for key, value in state.memory.items() if key.startswith("discriminator")}
        after.append((state.buffers, memory, state.counters))
    (buffers, memory, counters), (other_buffers, other_memory, other_counters) = after
    assert counters == other_counters == {"generator": 1, "discriminator": 1}
    assert all(torch.equal(memory[key], other_memory[key]) for key in memory) and len(memory) == 2
    assert all(torch.equal(buffers[key], other_buffers[key]) for key in buffers) and buffers


def test_a_leader_that_does_not_look_through_is_another_method():
    """Without the derivative of the unroll the bilinear leader descends A y + khAA^T x: half the damping."""
    a, k = 0.4, 3
    found = eigenvalues(update_operator(make("unrolled", cases.bilinear([[1.0]], [1.0], [0.5]), lr=a, k=k), None))
    ahead = np.roots([1, k * a**2 - 2, 1 - k * a**2 + a**2])
    assert match_distance(found, ahead) > 0.05


@pytest.mark.parametrize("name", ["lola", "sos", "unrolled"])
def test_the_foreseen_steps_follow_a_schedule(name):
    """By default they are the learning rates of the moment, each player's own."""
    lr = {"generator": gt.schedules.Linear(0.2, 0.05, 3), "discriminator": 0.1}
    optimizer = make(name, cases.tanh_gan(), lr=lr)
    for step, rate in enumerate((0.2, 0.15, 0.1, 0.05, 0.05)):
        fixed = make(name, cases.tanh_gan(), lr={**lr, "generator": rate})
        fixed.game.load_vector(optimizer.game.vector())
        for one in (optimizer, fixed):
            one.step(cases.gan_batch(seed=step))
        assert relative(optimizer.game.vector(), fixed.game.vector()) < 1e-14


def test_costs():
    def of(name, **settings):
        return measured(make(name, cases.tanh_gan(), lr=0.01, **settings), cases.gan_batch())

    assert of("unrolled", k=0) == Cost(1, 0)
    assert of("unrolled", k=2) == Cost(2.5, 1)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("unrolled", {"k": -1}, "k = -1 is not a number of steps"),
        ("unrolled", {"leader": "generater"}, "Unknown player 'generater'.*Did you mean 'generator'"),
        ("unrolled", {"inner_lr": 0.0}, "learning rate of 'generator' is 0.0"),
        ("lola", {"alpha": -0.1}, "alpha = -0.1 is not a step"),
        ("sos", {"alpha": float("nan")}, "alpha = nan is not a step"),
        ("sos", {"a": 1.0}, "a = 1.0, b = 0.1: pass numbers between 0 and 1"),
    ],
)
def test_settings_are_checked(name, settings, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        make(name, cases.tanh_gan(), **settings)


def test_all_gradients_of_a_game():
    """`by_all`: row i is the gradient of loss i by the parameters of all players."""
    game, losses, _, _, _ = setup("three")
    w = game.vector()
    rows = game.field_at(w, game.buffers(), None, by_all=True).vector.view(3, 6)
    z = w.clone().requires_grad_()
    expected = torch.stack([torch.autograd.grad(value, z, retain_graph=True)[0] for value in losses(z)])
    assert relative(rows, expected) < 1e-14
    one = game.field_at(w, game.buffers(), None, players=("v",), by_all=True).vector
    assert relative(one, rows[1]) < 1e-14
    assert dataclasses.is_dataclass(game.field_at(w, game.buffers(), None))
