"""The Jacobian of a whole training step: its state, its batches, normalizations, dead units.

That it is the derivative of the step is shown for every method in tests/trainers/test_every_optimizer.py.
"""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.errors import GantoolsError
from gantools.trainers import BASES, Adam, Alternating, Consensus, Simultaneous
from tests import cases
from tests.game_oracles import eigenvalues, finite_jacobian, period_map, relative, state_vector
from tests.oracles import vectors
from tests.quick import few

F64 = torch.float64


STEPS = {
    "simultaneous": lambda game, base: Simultaneous(game, lr={"generator": 0.02, "discriminator": 0.03}, base=base),
    "alternating": lambda game, base: Alternating(game, lr=0.02, base=base, n_d=2),
    "consensus": lambda game, base: Consensus(game, lr=0.02, base=base, gamma=0.7),
    "independent": lambda game, base: Consensus(game, lr=0.02, base=base, gamma=0.7, estimator="independent"),
}


@pytest.mark.parametrize("layer", few([nn.BatchNorm1d, nn.LayerNorm], 1))
@pytest.mark.parametrize("method", STEPS)
def test_update_operator_with_normalization(layer, method):
    """The third derivatives of PyTorch's fused normalizations are wrong."""
    torch.manual_seed(1)
    d = nn.Sequential(nn.Linear(2, 4), layer(4), nn.Tanh(), nn.Linear(4, 1)).to(F64)
    optimizer = STEPS[method](gt.gan(cases.mlp(2, 3, 2), d), "momentum")
    for step in range(2):
        optimizer.step(*[cases.gan_batch(seed=step)] * optimizer.batches_per_step)
    batches = [cases.gan_batch(seed=5)] * optimizer.batches_per_step
    step, z = period_map(optimizer, batches), state_vector(optimizer.game, optimizer)
    U = torch.randn(len(z), 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    differences = finite_jacobian(lambda a: step(z + U @ a), torch.zeros(8, dtype=F64), 1e-4)
    assert relative(update_operator(optimizer, *batches) @ U, differences) < 1e-6


@pytest.mark.parametrize("base", few(sorted(BASES), 2))
@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("steps", few([0, 3], 1))
def test_dead_units_give_no_nan(base, method, steps):
    game, batch = cases.tanh_gan(activation=nn.ReLU), cases.gan_batch()
    with torch.no_grad():
        game.players.discriminator[0].bias[0] = -30.0
    optimizer = STEPS[method](game, base)
    for _ in range(steps):
        optimizer.step(batch)
    dead = torch.cat([torch.zeros(17), torch.tensor([1.0, 1, 0, 0, 0, 0, 1]), torch.zeros(6)]).bool()
    assert not game.field(batch)[dead].any()
    operator = update_operator(optimizer, batch)
    dense = operator.dense()
    assert dense.isfinite().all() and operator.T.dense().isfinite().all()
    # A dead unit stays where it is, and nobody depends on its rate.
    w = dense[:30, :30]
    assert torch.equal(w[dead], torch.eye(30, dtype=F64)[dead])


def test_update_operator_of_adam_at_its_first_step():
    """The sign of the gradient: the derivative of d / (|d| + eps) nearly vanishes."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = Simultaneous(game, lr=0.1, base=Adam((0.0, 0.0), 1e-12))
    dense = update_operator(optimizer, batch).dense()
    alive = game.field(batch).abs() > 1e-6
    assert (dense[:30, :30][alive] - torch.eye(30, dtype=F64)[alive]).abs().max() < 1e-4


def test_update_operator_uses_the_present_state_and_takes_nothing():
    game, batch = cases.noisy_nets(), cases.gan_batch()
    optimizer = Consensus(game, lr=0.01, base="adam", gamma=0.1)
    optimizer.step(batch)
    state, w, buffers = optimizer.state, game.vector(), game.buffers()
    operator = update_operator(optimizer, batch)
    operator @ vectors(operator.n, 2)
    assert optimizer.state is state and torch.equal(game.vector(), w)
    assert all(torch.equal(t, buffers[k]) for k, t in game.buffers().items())
    optimizer.step(batch)
    later = update_operator(optimizer, batch)
    assert relative(later.dense(), operator.dense()) > 1e-3
    assert list(operator.slices) == [
        "generator",
        "discriminator",
        "generator:exp_avg",
        "generator:exp_avg_sq",
        "discriminator:exp_avg",
        "discriminator:exp_avg_sq",
    ]


def test_update_operator_takes_the_batches_of_one_step():
    optimizer, batch = Alternating(cases.tanh_gan(), n_d=3), cases.gan_batch()
    repeated = update_operator(optimizer, batch).dense()
    torch.testing.assert_close(repeated, update_operator(optimizer, batch, batch, batch).dense())
    with pytest.raises(GantoolsError, match=r"takes 3 batch\(es\), but got 4"):
        update_operator(optimizer, *[batch] * 4)
    with pytest.raises(GantoolsError, match="single batches"):
        update_operator(optimizer, [batch, batch])


def test_the_spectrum_of_a_real_step_says_whether_it_converges():
    """Near an equilibrium of a regularized GAN the distance shrinks by the spectral radius, a step at a time."""
    game = cases.dirac("nonsaturating", 1e-5, -2e-5, [gt.regularizers.R1(1.3)])
    for optimizer in (
        Simultaneous(game, lr=0.3, base="momentum"),
        Alternating(game, lr=0.3),
        Consensus(game, 0.3, gamma=0.4),
    ):
        game.load_vector(torch.tensor([1e-5, -2e-5], dtype=F64))
        radius = abs(eigenvalues(update_operator(optimizer, cases.DIRAC_BATCH))).max()
        norms = []
        for _ in range(200):
            optimizer.step(cases.DIRAC_BATCH)
            norms.append(game.vector().norm().item())
        assert abs(np.log(norms[-1] / norms[40]) / 159 - np.log(radius)) < 0.02
