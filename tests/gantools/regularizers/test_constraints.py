"""Spectral normalisation and clipping of the discriminator."""

import copy

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.errors import GantoolsError
from gantools.regularizers import Clip, SpectralNorm
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.game_oracles import relative

F64 = torch.float64


# Spectral normalisation ----------------------------------------------------------------------------------------------


def normalised(layer):
    return torch.linalg.matrix_norm(layer.weight.detach().movedim(transposed(layer), 0).flatten(1), 2)


def transposed(layer):
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


def test_spectral_norm_makes_every_largest_singular_value_one():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Linear(2, 18), nn.Unflatten(1, (2, 3, 3)), nn.ConvTranspose2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3),
        nn.Flatten(), nn.Linear(36, 1),
    ).to(F64)  # fmt: skip
    weights = [copy.deepcopy(layer.weight.detach()) for layer in (plain[0], plain[2], plain[4], plain[6])]
    generator, before = cases.mlp(2, 3, 2), torch.get_rng_state()
    game = gt.gan(generator, plain, "hinge", [SpectralNorm()])
    assert torch.equal(torch.get_rng_state(), before)
    layers = [plain[0], plain[2], plain[4], plain[6]]
    for layer, weight in zip(layers, weights, strict=True):
        assert abs(normalised(layer) - 1) < 1e-9
        sigma = torch.linalg.matrix_norm(weight.movedim(transposed(layer), 0).flatten(1), 2)
        torch.testing.assert_close(layer.weight.detach(), weight / sigma)
    optimizer = Simultaneous(game, lr=1e-2, base="adam")
    for step in range(30):
        optimizer.step(cases.gan_batch(seed=step))
    assert all(abs(normalised(layer) - 1) < 1e-2 for layer in layers)
    assert not torch.equal(layers[0].weight.detach(), weights[0])


def test_spectral_norm_field_is_the_gradient_through_the_singular_value():
    batch = cases.gan_batch()
    game = cases.tanh_gan("hinge", [SpectralNorm()])
    plain = cases.tanh_gan("hinge").players
    g, d = plain.generator, plain.discriminator

    def score(x):
        for layer in (d[0], d[2]):
            x = nn.functional.linear(x, layer.weight / torch.linalg.svdvals(layer.weight)[0], layer.bias)
            x = torch.tanh(x) if layer is d[0] else x
        return x

    loss = torch.relu(1 - score(batch["real"])).mean() + torch.relu(1 + score(g(batch["latent"]))).mean()
    gradients = torch.autograd.grad(loss, list(d.parameters()))
    expected = dict(zip(("0.weight", "0.bias", "2.weight", "2.bias"), gradients, strict=True))
    names = [n.removeprefix("discriminator.") for n in game.named_parameters() if n.startswith("discriminator")]
    wanted = [expected[n.replace("parametrizations.weight.original", "weight")].flatten() for n in names]
    torch.testing.assert_close(game.field(batch)[game.slices["discriminator"]], torch.cat(wanted))


def test_spectral_norm_is_put_on_once_and_only_on_the_discriminator():
    g, d = cases.mlp(2, 3, 2), cases.mlp(2, 3, 1, seed=1)
    nn.utils.parametrizations.spectral_norm(d[0])
    for _ in range(2):
        game = gt.gan(g, d, regularizers=[SpectralNorm()])
    assert [len(layer.parametrizations.weight) for layer in (d[0], d[2])] == [1, 1]
    assert not any("parametrizations" in name for name in game.named_parameters() if name.startswith("generator"))
    assert game.players.discriminator is d
    again = gt.gan(g, nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 1).to(F64))), regularizers=[SpectralNorm()])
    assert not any("parametrizations" in name for name in again.named_parameters())


def test_spectral_norm_says_what_it_cannot_normalise():
    d = cases.mlp(2, 3, 1)
    nn.init.zeros_(d[2].weight)
    with pytest.raises(GantoolsError, match="layer '2' is zero.*leave spectral_norm out"):
        gt.gan(cases.mlp(2, 3, 2), d, regularizers=[SpectralNorm()])
    with pytest.raises(GantoolsError, match="no linear or convolutional layer"):
        cases.dirac("minimax", regularizers=[SpectralNorm()])


# Clipping ------------------------------------------------------------------------------------------------------------


def test_clip_holds_the_discriminator_in_its_box_under_any_method():
    for make in (lambda g: Simultaneous(g, lr=0.1, base="adam"), lambda g: Consensus(g, lr=0.1, gamma=0.1)):
        game = cases.tanh_gan("wasserstein", [Clip(0.2)])
        optimizer = make(game)
        for step in range(3):
            optimizer.step(cases.gan_batch(seed=step))
            assert all(p.abs().max() <= 0.2 for p in game.players.discriminator.parameters())
        assert any(p.abs().max() > 0.2 for p in game.players.generator.parameters())


def test_a_clamped_coordinate_is_a_row_of_zeros_of_the_update_operator():
    clipped, free = (
        Simultaneous(cases.tanh_gan("wasserstein", some), lr=0.1, base="momentum") for some in ([Clip(0.5)], [])
    )
    batch = cases.gan_batch()
    w, _ = free.update(free.game.vector(), free.state, batch)
    part = free.game.slices["discriminator"]
    outside = torch.zeros(2 * len(w), dtype=torch.bool)
    outside[part] = w[part].abs() > 0.5
    assert 0 < outside.sum() < 13
    expected = update_operator(free, batch).dense()
    expected[outside] = 0
    found = update_operator(clipped, batch).dense()
    assert relative(found, expected) < 1e-14 and not found[outside].any()
