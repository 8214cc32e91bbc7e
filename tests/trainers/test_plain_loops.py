"""Each method, step by step on a tanh GAN away from equilibrium, against a plain loop over a field of matrices.

The loops share nothing with gantools: the field is `tanh_gan_field`, second derivatives are its dense Jacobian, complex
numbers are complex, the implicit step is solved by fixed-point iteration, and Adam is Adam on one vector.
"""

import numpy as np
import pytest
import torch

from gantools.trainers import make
from tests import cases
from tests.game_oracles import dense_autograd, relative, tanh_gan_field
from tests.quick import few

F64 = torch.float64
G, D = slice(0, 17), slice(17, 30)
LR = {"generator": 0.05, "discriminator": 0.1}
H = torch.tensor([0.05] * 17 + [0.1] * 13, dtype=F64)


def field(w, batch):
    return tanh_gan_field(w, batch).detach()


def jacobian(w, batch):
    return dense_autograd(lambda z: tanh_gan_field(z, batch), w)


class Adam:
    """h times Adam's direction, moments and count inside."""

    def __init__(self):
        self.m = self.v = torch.zeros(30, dtype=F64)
        self.t = 0

    def __call__(self, g):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        return H * (self.m / (1 - 0.9**self.t)) / ((self.v / (1 - 0.999**self.t)) ** 0.5 + 1e-8)


class SGD:
    def __call__(self, g):
        return H * g


def extragradient(w, batches, step):
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        ahead = w - step(field(w, first))
        w = w - step(field(ahead, second))
        yield w


def extragradient_on_one_batch(w, batches, step):
    yield from extragradient(w, [b for b in batches for _ in range(2)], step)


def past_extragradient(w, batches, step):
    g = torch.zeros(30, dtype=F64)
    for batch in batches:
        ahead = w - step(g)
        g = field(ahead, batch)
        w = w - step(g)
        yield w


def optimistic(w, batches, step):
    past = torch.zeros(30, dtype=F64)
    for batch in batches:
        move = step(field(w, batch))
        w = w - 2 * move + past
        past = move
        yield w


def momentum(w, batches, step, turns=(slice(0, 30),), betas=None):
    beta = torch.tensor([0.3] * 17 + [-0.5] * 13, dtype=F64)
    m = torch.zeros(30, dtype=F64)
    w = w.clone()
    for batch in batches:
        for turn in turns:
            m[turn] = (beta * m + field(w, batch))[turn]
            w[turn] -= (H * m)[turn]
        yield w.clone()


def momentum_in_turn(w, batches, step):
    yield from momentum(w, batches, step, turns=(D, G))


def complex_momentum(w, batches, step):
    beta, mu = 0.7 * np.exp(0.9j), torch.zeros(30, dtype=torch.complex128)
    for batch in batches:
        mu = beta * mu + field(w, batch)
        w = w - H * mu.real
        yield w


def lead(w, batches, step, moved=lambda last, value, force, step: 0.4 * last - H * value - 0.3 * force):
    before = w
    for batch in batches:
        j, last = jacobian(w, batch), w - before
        force = torch.cat([j[G, D] @ last[D], j[D, G] @ last[G]])
        before, w = w, w + moved(last, field(w, batch), force, step)
        yield w


def lead_adam(w, batches, step):
    return lead(w, batches, step, lambda last, value, force, step: -step(value + 0.3 * force))


def complex_adam(w, batches, step):
    beta, mu, v = 0.7 * np.exp(0.9j), torch.zeros(30, dtype=torch.complex128), torch.zeros(30, dtype=F64)
    for t, batch in enumerate(batches):
        g = field(w, batch)
        mu, v = beta * mu + g, 0.999 * v + 0.001 * g**2
        w = w - H * mu.real / ((v / (1 - 0.999 ** (t + 1))) ** 0.5 + 1e-8)
        yield w


def complex_rmsprop(w, batches, step):
    beta, mu, v = 0.7 * np.exp(0.9j), torch.zeros(30, dtype=torch.complex128), torch.ones(30, dtype=F64)
    for batch in batches:
        g = field(w, batch)
        mu, v = beta * mu + g, 0.9 * v + 0.1 * g**2
        w = w - H * mu.real / (v + 1e-10) ** 0.5
        yield w


def competitive(w, batches, step, rates=lambda g: H):
    for batch in batches:
        g, j = field(w, batch), jacobian(w, batch)
        j[G, G] = j[D, D] = 0
        h = rates(g)
        w = w - torch.linalg.solve(torch.eye(30, dtype=F64) + h[:, None] * j, h * g)
        yield w


def adaptive_competitive(w, batches, step):
    v, t = torch.zeros(30, dtype=F64), 0

    def rates(g):
        nonlocal v, t
        v, t = 0.9 * v + 0.1 * g**2, t + 1
        return H * (1 - 0.9**t) ** 0.5 / (v**0.5 + 1e-3)

    yield from competitive(w, batches, step, rates)


def sga(w, batches, step, align=True):
    for batch in batches:
        xi, j = field(w, batch), jacobian(w, batch)
        adjustment, uphill = (j - j.T).T @ xi / 2, j.T @ xi
        # Both signs occur on this path with this eps.
        sign = torch.sign(xi @ uphill * (adjustment @ uphill) / 30 - 5e-4) if align else 1
        w = w - step(xi + 0.8 * sign * adjustment)
        yield w


def sga_without_alignment(w, batches, step):
    yield from sga(w, batches, step, align=False)


def jare(w, batches, step):
    for batch in batches:
        z = w.clone().requires_grad_()
        xi = tanh_gan_field(z, batch)
        (by_d,) = torch.autograd.grad(0.5 * xi[D].square().sum(), z, retain_graph=True)
        (by_g,) = torch.autograd.grad(0.5 * xi[G].square().sum(), z)
        w = w - step(xi.detach() + 2.0 * torch.cat([by_d[G], by_g[D]]))
        yield w


def hamiltonian(w, batches, step):
    for batch in batches:
        z = w.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(0.5 * tanh_gan_field(z, batch).square().sum(), z)
        w = w - step(gradient)
        yield w


def alex_gda(w, batches, step):
    g, d = w[G], w[D]
    g_ahead = g
    for batch in batches:
        d_new = d - 0.1 * field(torch.cat([g_ahead, d]), batch)[D]
        d_ahead = d + 1.5 * (d_new - d)
        g_new = g - 0.05 * field(torch.cat([g, d_ahead]), batch)[G]
        g_ahead = g + 1.2 * (g_new - g)
        g, d = g_new, d_new
        yield torch.cat([g, d])


def lookahead(w, batches, step):
    slow = w
    for index, batch in enumerate(batches):
        w = torch.cat([w[G], (w - step(field(w, batch)))[D]])
        w = torch.cat([(w - step(field(w, batch)))[G], w[D]])
        if (index + 1) % 3 == 0:
            slow = w = slow + 0.4 * (w - slow)
        yield w


def heun(w, batches, step):
    for batch in batches:
        k1 = field(w, batch)
        k2 = field(w - H * k1, batch)
        w = w - H * (k1 + k2) / 2
        yield w


def heun_with_penalty(w, batches, step):
    for batch in batches:
        z = w.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(tanh_gan_field(z, batch)[G].square().sum(), z)
        gradient[G] = 0
        w = next(heun(w, [batch], step)) - 0.6 * H * gradient
        yield w


def rk4(w, batches, step):
    for batch in batches:
        k1 = field(w, batch)
        k2 = field(w - H / 2 * k1, batch)
        k3 = field(w - H / 2 * k2, batch)
        k4 = field(w - H * k3, batch)
        w = w - H / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield w


def proximal(w, batches, step):
    for batch in batches:
        end = w
        for _ in range(60):
            end = w - H * field(end, batch)
        assert relative(w - H * field(end, batch), end) < 1e-15
        w = end
        yield w


MOMENTA = {"beta": {"generator": 0.3, "discriminator": -0.5}}
LOOPS = [
    ("extragradient", {"sample": "independent"}, extragradient, SGD),
    ("extragradient", {"sample": "independent", "base": "adam"}, extragradient, Adam),
    ("extragradient", {}, extragradient_on_one_batch, SGD),
    ("past_extragradient", {}, past_extragradient, SGD),
    ("past_extragradient", {"base": "adam"}, past_extragradient, Adam),
    ("optimistic", {}, optimistic, SGD),
    ("optimistic", {"base": "adam"}, optimistic, Adam),
    ("momentum", {"order": "simultaneous", **MOMENTA}, momentum, SGD),
    ("momentum", MOMENTA, momentum_in_turn, SGD),
    ("complex_momentum", {"modulus": 0.7, "phase": 0.9}, complex_momentum, SGD),
    ("lead", {"beta": 0.4, "alpha": 0.3}, lead, SGD),
    ("lead", {"alpha": 0.3, "base": "adam"}, lead_adam, Adam),
    ("complex_momentum", {"modulus": 0.7, "phase": 0.9, "base": "adam"}, complex_adam, SGD),
    ("complex_momentum", {"modulus": 0.7, "phase": 0.9, "base": "rmsprop_tf1"}, complex_rmsprop, SGD),
    ("competitive", {"tolerance": 1e-12}, competitive, SGD),
    ("adaptive_competitive", {"tolerance": 1e-12, "beta": 0.9, "eps": 1e-3}, adaptive_competitive, SGD),
    ("sga", {"weight": 0.8, "eps": -5e-4}, sga, SGD),
    ("sga", {"weight": 0.8, "eps": -5e-4, "base": "adam"}, sga, Adam),
    ("sga", {"weight": 0.8, "align": False}, sga_without_alignment, SGD),
    ("jare", {"gamma": 2.0}, jare, SGD),
    ("jare", {"gamma": 2.0, "base": "adam"}, jare, Adam),
    ("hamiltonian", {}, hamiltonian, SGD),
    ("alex_gda", {"gamma": 1.5, "delta": 1.2}, alex_gda, SGD),
    ("lookahead", {"k": 3, "alpha": 0.4}, lookahead, SGD),
    ("heun", {}, heun, SGD),
    ("heun", {"penalty": 0.6}, heun_with_penalty, SGD),
    ("rk4", {}, rk4, SGD),
    ("proximal", {}, proximal, SGD),
]


@pytest.mark.parametrize(
    ("name", "settings", "loop", "base"), few(LOOPS, 9), ids=lambda part: getattr(part, "__name__", None) or str(part)
)
def test_equals_a_plain_loop_step_by_step(name, settings, loop, base):
    game = cases.tanh_gan()
    optimizer = make(name, game, lr=LR, **settings)
    count = optimizer.batches_per_step
    batches = [cases.gan_batch(seed=k) for k in range(8 * count)]
    start = game.vector()
    for step, expected in enumerate(loop(start, batches, base())):
        optimizer.step(*batches[step * count : (step + 1) * count])
        assert relative(game.vector(), expected) < 1e-9
    assert step == 7 and relative(game.vector(), start) > 0.01


def test_alignment_turns_away_from_an_unstable_point():
    """The adjustment alone pulls towards any stationary point; aligned, it pushes away from an unstable one."""
    ends = {}
    for align in (True, False):
        game = cases.scalar_quadratic(-0.3, 1.0, (0.02,), (0.01,))
        optimizer = make("sga", game, lr=0.1, align=align, eps=0.0)
        for _ in range(50):
            optimizer.step(None)
        ends[align] = game.vector().norm().item()
    assert ends[False] < 0.02 < ends[True]


def test_lookahead_keeps_the_base_memory_over_the_fall():
    optimizer = make("lookahead", cases.tanh_gan(), lr=0.01, k=2, base="adam")
    before = {}
    for step in range(2):
        before = {key: value.clone() for key, value in optimizer.state.memory.items()}
        optimizer.step(cases.gan_batch(seed=step))
    game, memory = optimizer.game, optimizer.state.memory
    assert not torch.equal(memory["generator:exp_avg"], before["generator:exp_avg"])
    assert torch.equal(game.vector(), torch.cat([memory["generator:slow"], memory["discriminator:slow"]]))
    assert optimizer.state.counters["generator"] == 2


def test_the_implicit_step_reports_its_residual():
    optimizer = make("proximal", cases.tanh_gan(), lr=0.5)
    w, batch = optimizer.game.vector(), cases.gan_batch()
    info = optimizer.step(batch)
    end = optimizer.game.vector()
    left = end - w + 0.5 * field(end, batch)
    assert info.inner_residual < 1e-10
    assert abs(left.norm() / (0.5 * field(w, batch).norm()) - info.inner_residual) < 1e-12
    rough = make("proximal", cases.tanh_gan(), lr=0.5, newton_steps=1, krylov_steps=1).step(batch).inner_residual
    assert 1e-6 < rough < 1
