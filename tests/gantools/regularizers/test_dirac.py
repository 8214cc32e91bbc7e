"""Penalties on the Dirac-GAN in closed form, and where a gradient vanishes."""

import cmath

import pytest
import torch

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian
from gantools.regularizers import R1, R2, REGULARIZERS, Dragan, InstanceNoise, WganGP, ZeroCentred
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.draws import drawn
from tests.game_oracles import eigenvalues, match_distance
from tests.quick import few

F64 = torch.float64


# Closed forms on the Dirac-GAN ---------------------------------------------------------------------------------------


def both_roots(real, under_root):
    root = cmath.sqrt(under_root)
    return [real - root, real + root]


DIRAC = {
    "R1": (lambda g: [R1(g)], "minimax", lambda g: (-g / 2, g**2 / 4 - 0.25)),
    "R2": (lambda g: [R2(g)], "nonsaturating", lambda g: (-g / 2, g**2 / 4 - 0.25)),
    "R1 of WGAN": (lambda g: [R1(g)], "wasserstein", lambda g: (-g / 2, g**2 / 4 - 1)),
    "R3GAN": (lambda g: [R1(g), R2(g)], "relativistic", lambda g: (-g, g**2 - 0.25)),
    "zero-centred": (lambda g: [ZeroCentred(g)], "minimax", lambda g: (-g, g**2 - 0.25)),
    # For any symmetric noise of this variance: at 0 its first and second moments alone count. f'' = -1/4.
    "instance noise": (lambda g: [InstanceNoise(g)], "minimax", lambda g: (-(g**2) / 4, g**4 / 16 - 0.25)),
}


@pytest.mark.parametrize("case", DIRAC)
@pytest.mark.parametrize("weight", few([0.2, 0.7, 1.3, 3.0], 2))
def test_dirac_gan_eigenvalues(case, weight):
    make, loss, expected = DIRAC[case]
    two_points = torch.tensor([[1.0], [-1.0]], dtype=F64)
    batch = {
        **cases.DIRAC_BATCH,
        "zero_centred.mix": torch.tensor([0.3, 0.8], dtype=F64),
        "instance_noise.real": two_points,
        "instance_noise.fake": two_points,
    }
    found = -eigenvalues(jacobian(cases.dirac(loss, regularizers=make(weight)), batch))  # Mescheder's v' = -J
    assert match_distance(found, both_roots(*expected(weight))) < 1e-9


@pytest.mark.parametrize("gamma", [0.0, 0.7, 10.0])
def test_r1_on_the_dirac_gan_is_half_gamma_psi_squared(gamma):
    plain = cases.dirac("minimax", 0.3, -0.8).field(cases.DIRAC_BATCH)
    for regularizer in (R1(gamma), R2(gamma)):
        field = cases.dirac("minimax", 0.3, -0.8, [regularizer]).field(cases.DIRAC_BATCH)
        torch.testing.assert_close(field - plain, torch.tensor([0.0, gamma * -0.8], dtype=F64))


def distances(regularizer, steps=500, lr=0.1):
    game = cases.dirac("nonsaturating", 1.0, 1.0, [regularizer])
    batch, optimizer, norms = drawn(game, cases.DIRAC_BATCH), Simultaneous(game, lr=lr), []
    for _ in range(steps):
        optimizer.step(batch)
        norms.append(game.vector().norm().item())
    return norms


@pytest.mark.slow
def test_wgan_gp_does_not_converge_on_the_dirac_gan_and_r1_does():
    assert min(distances(WganGP(0.7))[-100:]) > 0.3
    assert max(distances(R1(0.7))[-100:]) < 1e-3


# Where a gradient vanishes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regularizer", few([WganGP(), WganGP(one_sided=True), Dragan(), ZeroCentred(), R1(), R2()], 3))
@pytest.mark.parametrize("dtype", few([torch.float32, F64], 1))
def test_nothing_is_nan_where_the_gradient_is_zero(regularizer, dtype):
    """Bug 10 of public code: the root of the sum of squares has no derivative at 0."""
    game = cases.tanh_gan("wasserstein", [regularizer], dtype=dtype)
    batch = drawn(game, cases.gan_batch(dtype=dtype))
    with torch.no_grad():
        game.players.discriminator[-1].weight.zero_()  # so that no score depends on its sample
    plain = gt.gan(*game.players.values(), "wasserstein")
    torch.testing.assert_close(game.field(batch), plain.field(batch))
    for method in ("reverse", "forward"):
        assert jacobian(game, batch, method=method).dense().isfinite().all()
    optimizer = Consensus(game, lr=1e-3)
    optimizer.step(batch)
    assert game.vector().isfinite().all()


@pytest.mark.filterwarnings("ignore:In float32 a product with this Jacobian is off")  # rightly
@pytest.mark.parametrize("psi", [1e-25, -1e-30, 3e-40, 1e19])
def test_the_norm_has_its_derivatives_beyond_the_range_of_squares(psi):
    """In float32 the squares of these, or the powers of the squares in the derivatives, are 0 or infinite."""
    game = cases.dirac("wasserstein", 0.0, psi, [WganGP(0.5)])
    game.module.float()
    game = gt.gan(*game.players.values(), "wasserstein", [WganGP(0.5)])
    batch = drawn(game, {key: value.float() for key, value in cases.DIRAC_BATCH.items()})
    sign, size = (1 if psi > 0 else -1), abs(psi)
    expected = torch.tensor([-psi, sign * (size - 1)])  # the penalty is (|psi| - 1)^2 / 2
    torch.testing.assert_close(game.field(batch), expected)
    # Its entries cancel at the scale 1/psi of curvature, in each way of differentiating differently.
    assert jacobian(game, batch, method="reverse").dense().isfinite().all()


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_batch_of_one_sample(name):
    regularizer = REGULARIZERS[name]()
    game = cases.tanh_gan("hinge", [regularizer])
    batch = drawn(game, cases.gan_batch(1))
    assert game.field(batch).isfinite().all() and jacobian(game, batch).dense().isfinite().all()
