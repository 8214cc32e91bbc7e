"""The proximal point of a game with constraints."""

import torch

import gantools as gt
from gantools.trainers import make
from tests import cases


def test_the_step_ends_at_the_proximal_point_within_the_constraints():
    """w' = P(w - h field(w')): with the field at the end that is within the box, not projected afterwards."""
    game, h, batch = cases.tanh_gan("wasserstein", [gt.regularizers.Clip(0.2)]), 0.5, cases.gan_batch()
    game.load_vector(game.project(game.vector()))
    start = game.vector()
    info = make("proximal", game, lr=h).step(batch)
    end = game.vector()
    assert info.inner_residual < 1e-10
    torch.testing.assert_close(end, game.project(start - h * game.field(batch)), rtol=0, atol=1e-10)
    assert (end[game.slices["discriminator"]].abs() == 0.2).any()
