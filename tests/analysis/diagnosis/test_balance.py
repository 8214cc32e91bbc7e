"""What tells causes apart that look alike: before and after a run blew up, features and scores, precision and rates."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import gantools as gt
from gantools import trainers
from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.causes.balance.penalty_scale import penalty_scale
from gantools.analysis.diagnosis.causes.numbers.low_precision import low_precision
from gantools.analysis.diagnosis.causes.players.wrong_sign import wrong_sign
from gantools.analysis.diagnosis.cures import with_fresh_weights, with_lighter_penalties
from gantools.analysis.diagnosis.observation import Observation, observe
from gantools.analysis.diagnosis.walk import Walk, walk
from gantools.games.analytic import dirac
from gantools.trainers.state import State
from tests.analysis.diagnosis.games import adam, networks, ring, ring_game


def found(cause, game, batches=None, optimizer=None, steps=40):
    return list(cause(Case(game, batches or ring(), optimizer or adam(game, lr=5e-3), True, steps, 20.0)))


def own_game(losses, generator=None, discriminator=None):
    g, d = networks()
    return gt.Game({"g": generator or g, "d": discriminator or d}, losses)


class Featured(nn.Module):
    """A discriminator that returns the features of its layers, the score last or first."""

    def __init__(self, last):
        super().__init__()
        self.inner, self.last = networks()[1], last

    def forward(self, x):
        found = []
        for layer in self.inner:
            x = layer(x)
            found.append(x)
        return found if self.last else (x, found[:-1])


@pytest.mark.parametrize("last", [True, False])
def test_the_score_among_features_is_the_output_on_which_no_other_depends(last):
    def losses(players, batch):
        real, fake = (players["d"](x) for x in (batch["real"], players["g"](batch["latent"])))
        r, f = (x[-1] if last else x[0] for x in (real, fake))
        return {"g": softplus(-f).mean(), "d": softplus(-r).mean() + softplus(f).mean()}

    game, batch = own_game(losses, discriminator=Featured(last)), ring(1)[0]
    seen = observe(game, game.vector(), game.buffers(), batch)
    fake = game.players["d"].inner(game.players["g"](batch["latent"])).flatten().double()
    torch.testing.assert_close(seen.fake_scores, fake.detach(), rtol=1e-6, atol=1e-6)
    # The derivative of softplus is the logistic function.
    torch.testing.assert_close(seen.pulls["d", "fake"], fake.sigmoid().detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("level", [-0.5, 0.2, 1.5])
def test_squares_that_pull_all_scores_the_same_way_at_one_level_have_no_wrong_sign(level):
    def losses(players, batch):
        r, f = players["d"](batch["real"]), players["d"](players["g"](batch["latent"]))
        return {"g": (f - 1).square().mean(), "d": (r - 1).square().mean() + f.square().mean()}

    game = own_game(losses)
    with torch.no_grad():
        game.players["d"][-1].bias.fill_(level)
    assert not found(wrong_sign, game)


def autoencoding(weight):
    torch.manual_seed(0)
    autoencoder = nn.Sequential(nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        autoencoder[0].weight.copy_(1.01 * torch.eye(2))  # at 1 real samples and made ones are the same

    def losses(players, batch):
        made = players["g"](batch["real"])
        r, f = players["d"](batch["real"]), players["d"](made)
        near = (made - batch["real"]).square().mean()
        return {"g": near - weight * f.mean(), "d": (1 - r).relu().mean() + (1 + f).relu().mean()}

    return own_game(losses, generator=autoencoder)


@pytest.mark.parametrize(("weight", "named"), [(1000.0, True), (0.001, False)])
def test_an_adversarial_term_that_drowns_a_reconstruction_is_found(weight, named):
    assert [finding.player for finding in found(penalty_scale, autoencoding(weight))] == ["g"] * named


def test_the_balance_of_a_loss_is_that_of_its_terms():
    """The reconstruction's gradient at 2 times the identity is that of |x|^2 / 2: the mean of x x^T, in closed form."""
    game, batch = autoencoding(3.0), ring(1)[0]
    with torch.no_grad():
        game.players["g"][0].weight.mul_(2 / 1.01)
    seen = observe(game, game.vector(), game.buffers(), batch)
    x = batch["real"].double()
    assert seen.balance["g"][0] == pytest.approx(float((x.T @ x / len(x)).norm()), rel=1e-5)


def probabilities(dtype, autocast=False):
    """A score whose probability rounds to 1 in bfloat16, where log(1 - p) is not finite; autocast or cast by hand."""

    class Rounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = networks()[1]

        def forward(self, x):
            if autocast:
                with torch.autocast("cpu", dtype):
                    return self.inner(x)
            return self.inner(x).to(dtype)

    def losses(players, batch):
        r, f = (players["d"](x).sigmoid() for x in (batch["real"], players["g"](batch["latent"])))
        return {"g": -f.log().float().mean(), "d": -(r.log() + (1 - f).log()).float().mean()}

    game = own_game(losses, discriminator=Rounded())
    with torch.no_grad():
        game.players["d"].inner[-1].bias.fill_(8.0)
    return game


@pytest.mark.parametrize("autocast", [False, True])
def test_a_loss_that_is_finite_in_float32_alone_is_one_of_low_precision(autocast):
    (finding,) = found(low_precision, probabilities(torch.bfloat16, autocast), steps=10)
    assert finding.certain and "float32 is finite" in finding.evidence
    assert not found(low_precision, probabilities(torch.float32), steps=10)


def test_steps_that_run_away_in_any_precision_are_none_of_low_precision():
    game = ring_game("wasserstein", spoil=lambda g, d: (g.bfloat16(), d.bfloat16()))
    batches = [{key: value.bfloat16() for key, value in batch.items()} for batch in ring()]
    optimizer = trainers.make("simultaneous", game, lr=1e30)
    assert walk(optimizer, game.vector(), optimizer.state, batches, 9).failed is not None
    assert not found(low_precision, game, batches, optimizer)


def test_a_discriminator_of_two_points_is_not_called_strong():
    game, batch = dirac()
    seen = observe(game, game.vector(), game.buffers(), batch)
    assert seen.separation in (0.0, 1.0) and seen.confidence is None


def drifting(*distances):
    """A walk whose samples are so far from real ones at -1 and 1, in energy distance, at its looks."""
    looks = []
    for distance in distances:
        real, fake = (torch.tensor([[-1.0], [1.0]]) * (1 + x) for x in (0.0, distance / 2))
        looks.append(Observation({}, torch.ones(200), real=real, fake=fake))
    w, steps = torch.zeros(200), len(looks)
    norms = {"g": np.ones(steps)}
    return Walk(looks, list(range(steps)), norms, norms, np.ones(steps), None, w, State({}, {}, {}), w > 0)


@pytest.mark.parametrize(
    ("distances", "arrived", "plateau"),
    [
        ([4.0] + [0.05] * 11, True, False),
        ([4.0] + [1.0] * 11, False, True),
        ([0.05] * 12, True, False),  # a good checkpoint, which stays
        ([0.05] + [0.1] * 11, False, False),  # and one that is left
    ],
)
def test_samples_that_stand_still_have_arrived_or_not(distances, arrived, plateau):
    """Points at -a and a are at the energy distance a - 1 from those at -1 and 1, if a > 1."""
    made = drifting(*distances)
    np.testing.assert_allclose(made.distances, np.array(distances) / 2, rtol=1e-5)
    assert (made.arrived, made.plateau) == (arrived, plateau)


def test_looks_after_a_run_blew_up_are_not_sound():
    game, batch = dirac(regularizers=[gt.regularizers.R1(0.1)])
    optimizer = trainers.make("simultaneous", game, lr=0.5, base=trainers.Momentum(0.9))
    taken = walk(optimizer, game.vector(), optimizer.state, [batch], 600)
    assert taken.exploded and 1 < len(taken.sound) < len(taken.looks) / 2
    assert max(float(look.field.norm()) for look in taken.sound) < 100 * float(taken.looks[0].field.norm())


def test_lighter_penalties_have_a_hundredth_of_their_part_of_the_field():
    penalties, batch = [gt.regularizers.R1(800.0), gt.regularizers.R2(200.0)], ring(1)[0]
    plain, heavy = ring_game().field(batch), ring_game(regularizers=penalties)
    cure = with_lighter_penalties(adam(heavy), 0.01)
    assert cure is not None and not cure.flags
    part = cure.optimizer.game.field(batch) - plain
    torch.testing.assert_close(part, 0.01 * (heavy.field(batch) - plain), rtol=1e-3, atol=1e-6)
    assert with_lighter_penalties(adam(ring_game()), 0.01) is None


def tanh_far_from_zero(scale):
    """Return a game of a discriminator whose units are 1 on all real samples and -1 on generated ones, and batches."""
    rng = torch.Generator().manual_seed(0)
    batches = [
        {"real": 3 + 0.3 * torch.randn(32, 2, generator=rng), "latent": torch.randn(32, 2, generator=rng)}
        for _ in range(4)
    ]
    torch.manual_seed(0)
    game = gt.gan(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)))
    discriminator = game.players["discriminator"]
    with torch.no_grad():
        discriminator[0].weight.fill_(scale)
        discriminator[0].bias.fill_(-4 * scale)
        discriminator[2].weight.fill_(0.5)
    return game, batches


@pytest.mark.slow
@pytest.mark.parametrize("scale", [3.0, 30.0])  # derivatives of the units are tiny, and exactly 0
def test_a_discriminator_whose_units_are_saturated_is_to_begin_again(scale):
    game, batches = tanh_far_from_zero(scale)
    before, random = game.vector(), torch.get_rng_state()
    optimizer = trainers.make("simultaneous", game, lr=0.1)
    said = gt.analysis.diagnose(game, batches, optimizer, steps=200, spectrum=False)
    (first,) = said.findings
    assert first.cause == "discriminator_too_strong"
    assert first.advice[0].tried and "fresh weights of discriminator" in first.advice[0].line
    assert torch.equal(game.vector(), before) and torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("spoil", ["spectral norm", "own parameter"])
def test_weights_that_no_layer_initialises_are_not_begun_again(spoil):
    game = ring_game()
    discriminator = game.players["discriminator"]
    if spoil == "spectral norm":
        nn.utils.parametrizations.spectral_norm(discriminator[0])
    else:
        discriminator.register_parameter("scale", nn.Parameter(torch.ones(1)))
    game = gt.gan(*game.players.values())
    assert with_fresh_weights(adam(game), "generator", game.vector()) is not None
    assert with_fresh_weights(adam(game), "discriminator", game.vector()) is None
