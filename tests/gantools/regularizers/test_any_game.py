"""Regularizers in the losses of any game."""

import pytest
import torch

import gantools as gt
from gantools.errors import GantoolsError
from gantools.regularizers import R1, InstanceNoise, WganGP
from tests import cases


def test_regularizers_in_the_losses_of_any_game_are_those_of_a_gan():
    regularizers = [R1(0.3), WganGP(0.5), InstanceNoise(0.1)]
    gan = cases.tanh_gan(regularizers=regularizers, dtype=torch.float64)

    def losses(players, batch):
        fake = players.G(batch["latent"])
        seen = gt.regularizers.regularized(regularizers, players.D, batch["real"], fake, batch)
        generator, discriminator = gt.losses.nonsaturating(seen.real_scores, seen.fake_scores)
        return seen.added_to({"G": generator, "D": discriminator}, generator="G", discriminator="D")

    own = gt.Game({"G": gan.players["generator"], "D": gan.players["discriminator"]}, losses)
    batch = gt.regularizers.draw(regularizers, cases.gan_batch(dtype=torch.float64), torch.Generator().manual_seed(0))
    assert torch.equal(own.field(batch), gan.field(batch))
    assert not batch["real"].requires_grad
    wrong = gt.Game(own.players, lambda players, batch: _with_wrong_names(losses, players, batch, regularizers))
    with pytest.raises(GantoolsError, match="Unknown player 'discriminator'"):
        wrong.field(batch)


def _with_wrong_names(losses, players, batch, regularizers):
    fake = players.G(batch["latent"])
    seen = gt.regularizers.regularized(regularizers, players.D, batch["real"], fake, batch)
    return seen.added_to(losses(players, batch))
