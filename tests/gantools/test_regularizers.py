"""Regularizers against closed forms and plain autograd."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.regularizers import R1, R2, REGULARIZERS
from tests import cases
from tests.game_oracles import relative

F64 = torch.float64


def split(game, field):
    return (field[part] for part in game.slices.values())


@pytest.mark.parametrize("gamma", [0.0, 0.7, 10.0])
def test_r1_on_the_dirac_gan_is_half_gamma_psi_squared(gamma):
    plain = cases.dirac("minimax", 0.3, -0.8).field(cases.DIRAC_BATCH)
    for regularizer in (R1(gamma), R2(gamma)):
        field = cases.dirac("minimax", 0.3, -0.8, [regularizer]).field(cases.DIRAC_BATCH)
        torch.testing.assert_close(field - plain, torch.tensor([0.0, gamma * -0.8], dtype=F64))


@pytest.mark.parametrize(("regularizer", "on_real"), [(R1(3.0), True), (R2(3.0), False)])
def test_terms_against_plain_autograd(regularizer, on_real):
    game, batch = cases.tanh_gan("hinge", [regularizer]), cases.gan_batch()
    g, d = game.players.generator, game.players.discriminator
    points = batch["real"] if on_real else g(batch["latent"]).detach()
    rows = [torch.autograd.functional.jacobian(lambda x: d(x[None]).sum(), x, create_graph=True) for x in points]
    penalty = 1.5 * torch.stack([row.square().sum() for row in rows]).mean()
    expected = torch.autograd.grad(penalty, list(d.parameters()), allow_unused=True)
    expected = torch.cat([(torch.zeros(1, dtype=F64) if e is None else e).reshape(-1) for e in expected])
    with_term = dict(zip(game.slices, split(game, game.field(batch)), strict=True))
    without = dict(zip(game.slices, split(game, cases.tanh_gan("hinge").field(batch)), strict=True))
    assert relative(with_term["discriminator"] - without["discriminator"], expected) < 1e-12
    # The generator is not charged with the discriminator's penalty.
    assert torch.equal(with_term["generator"], without["generator"])


def test_terms_add_up():
    batch = cases.gan_batch()
    fields = [cases.tanh_gan("minimax", r).field(batch) for r in ([], [R1(1.0)], [R2(2.0)], [R1(1.0), R2(2.0)])]
    torch.testing.assert_close(fields[3] - fields[0], fields[1] + fields[2] - 2 * fields[0])


def test_images_and_one_score_each_of_any_shape():
    d = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1)).to(F64)
    g = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))).to(F64)
    batch = cases.gan_batch(3, shape=(1, 4, 4))
    per_sample = []
    for x in batch["real"]:
        x = x[None].requires_grad_()
        (gradient,) = torch.autograd.grad(d(x).sum(), x)
        per_sample.append(gradient.square().sum())
    losses = {
        name: gt.gan(g, d, "hinge", regs).field_at(
            torch.cat([p.detach().flatten() for m in (g, d) for p in m.parameters()]), {}, batch
        )
        for name, regs in {"with": [R1(2.0)], "without": []}.items()
    }
    difference = losses["with"].losses["discriminator"] - losses["without"].losses["discriminator"]
    torch.testing.assert_close(difference, torch.stack(per_sample).mean())


@pytest.mark.parametrize("gamma", [-1.0, float("nan")])
def test_a_weight_is_not_negative(gamma):
    with pytest.raises(GantoolsError, match="pass a number of at least 0"):
        R1(gamma)


def test_registry():
    assert REGULARIZERS["r1"] is R1 and REGULARIZERS["r2"] is R2
    with pytest.raises(GantoolsError, match="Unknown regularizer 'R1'. Did you mean 'r1'"):
        REGULARIZERS["R1"]
