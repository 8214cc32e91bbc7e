"""Causes that are no rate: spoilt layers, signs, data, batches, precision, and a healthy GAN beside them."""

import dataclasses
import json

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import gantools as gt
from gantools.analysis import diagnose
from gantools.analysis.diagnosis.choice import chosen
from gantools.analysis.diagnosis.result import Diagnosis
from gantools.analysis.diagnosis.spectrum import within
from tests.analysis.diagnosis.games import adam, networks, ring, ring_game
from tests.quick import few


def diagnosed(game, batches=None, steps=40, **settings):
    return diagnose(game, ring() if batches is None else batches, adam(game, **settings), steps=steps, spectrum=False)


def first(found):
    assert found.findings, str(found)
    return found.findings[0]


def silence(generator, discriminator):
    with torch.no_grad():
        discriminator[2].bias.fill_(-30.0)


def test_a_layer_of_dead_units_is_not_called_frozen_under_a_penalty_that_differentiates_within():
    def dead(generator, discriminator):
        with torch.no_grad():
            generator[0].bias.fill_(-30.0)

    game = ring_game(regularizers=[gt.regularizers.R1(0.5)], spoil=dead)
    finding = first(diagnosed(game, steps=20))
    assert (finding.cause, finding.player, finding.layer) == ("dead_units", "generator", "0")


class Detached(nn.Module):
    """The first half of a network, cut off from the second."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).detach()


def test_dead_units_are_found_in_their_layer_and_not_those_below_blamed():
    finding = first(diagnosed(ring_game(spoil=silence)))
    assert (finding.cause, finding.player, finding.layer) == ("dead_units", "discriminator", "2")


def test_a_layer_cut_off_from_the_loss_is_frozen():
    generator, discriminator = networks()
    generator = nn.Sequential(Detached(generator[:2]), generator[2:])
    finding = first(diagnosed(gt.gan(generator, discriminator)))
    assert (finding.cause, finding.player, finding.certain) == ("frozen_layer", "generator", True)
    assert finding.layer == "0.inner.0"


def own_game(generator_sign=1, discriminator_sign=1):
    generator, discriminator = networks()

    def losses(players, batch):
        fake = players["g"](batch["latent"])
        real = batch["real"].detach().requires_grad_()
        r, f = players["d"](real), players["d"](fake.detach())
        d = softplus(-discriminator_sign * r).mean() + softplus(discriminator_sign * f).mean()
        return {"g": softplus(-generator_sign * players["d"](fake)).mean(), "d": d}

    return gt.Game({"g": generator, "d": discriminator}, losses)


@pytest.mark.parametrize(("g", "d", "player"), [(-1, 1, "g"), (1, -1, "d")])
def test_a_wrong_sign_is_found_in_losses_of_ones_own(g, d, player):
    finding = first(diagnosed(own_game(g, d)))
    assert (finding.cause, finding.player, finding.certain) == ("wrong_sign", player, True)


@pytest.mark.slow
def test_losses_of_ones_own_with_right_signs_have_no_wrong_sign():
    assert not diagnosed(own_game()).findings


def test_a_root_at_zero_is_found_with_its_operation():
    generator, discriminator = networks()

    def losses(players, batch):
        fake = players["g"](batch["latent"])
        r, f = players["d"](batch["real"]), players["d"](fake)
        root = (players["d"][0].weight * 0).square().sum().sqrt()
        return {"g": softplus(-f).mean(), "d": softplus(-r).mean() + softplus(f).mean() + root}

    finding = first(diagnosed(gt.Game({"g": generator, "d": discriminator}, losses)))
    assert (finding.cause, finding.player) == ("penalty_not_finite", "d") and finding.certain


def test_large_data_are_not_normalised():
    batches = [{**batch, "real": 100 * batch["real"]} for batch in ring()]
    assert first(diagnosed(ring_game(), batches)).cause == "unnormalised_data"


@pytest.mark.parametrize("scale", [float("nan"), 1e4])
def test_one_poisonous_batch_is_found_by_its_number(scale):
    batches = ring(8)
    batches[5] = {**batches[5], "real": scale * batches[5]["real"]}
    found = first(diagnosed(ring_game(), batches))
    assert found.cause == "poisonous_batch" and "atch 5" in found.evidence


def test_steps_that_bfloat16_swallows_are_found():
    game = ring_game(spoil=lambda g, d: (g.bfloat16(), d.bfloat16()))
    batches = [{key: value.bfloat16() for key, value in batch.items()} for batch in ring()]
    assert first(diagnosed(game, batches, lr=1e-6)).cause == "low_precision"


def test_equal_latents_collapse_the_samples():
    batches = [{**batch, "latent": torch.ones_like(batch["latent"])} for batch in ring()]
    found = diagnosed(ring_game(), batches)
    assert "collapse" in [finding.cause for finding in found.findings]


@pytest.mark.parametrize(("loss", "named"), few([("minimax", True), ("nonsaturating", False)], 1))
def test_a_minimax_loss_under_a_sure_discriminator_saturates_and_the_other_one_does_not(loss, named):
    """All samples lie at (5, 5), with score -70: log(1 - D) has the derivative exp(-70) there."""
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    with torch.no_grad():
        generator.bias.fill_(5.0)
        discriminator.weight.fill_(-10.0)
        discriminator.bias.fill_(30.0)
    found = diagnosed(gt.gan(generator, discriminator, loss))
    assert ("saturating_loss" in [finding.cause for finding in found.findings]) is named
    if named:
        finding = next(finding for finding in found.findings if finding.cause == "saturating_loss")
        assert finding.player == "generator" and finding.advice[0].flags == ("--loss", "nonsaturating")


def test_a_training_that_runs_away_for_no_known_cause_is_not_called_healthy():
    shown = Diagnosis((), ("the training runs away at step 3, and no cause of it was found.",), steps=2)
    assert not shown.healthy and "Healthy" not in str(shown) and "runs away" in str(shown)


@pytest.mark.slow
def test_a_crushing_penalty_is_found():
    found = diagnosed(ring_game(regularizers=[gt.regularizers.R1(1e5)]), steps=200)
    assert first(found).cause == "penalty_scale"


@pytest.mark.slow
def test_healthy_gans_are_healthy_and_everything_goes_into_json():
    for regularizers, beta in (([gt.regularizers.R1(0.1)], 0.0), ([gt.regularizers.R1(1.0)], 0.5)):
        found = diagnosed(ring_game(regularizers=regularizers), steps=600, beta=beta)
        assert found.healthy, str(found)
        assert json.loads(json.dumps(found.to_dict()))["healthy"] is True


@pytest.mark.parametrize(("error", "said"), [(0.0, ""), (1e-5, ""), (0.02, " within 0.02"), (3.0, " within 3")])
def test_an_eigenvalue_is_told_with_its_error_where_that_reaches_its_digits(error, said):
    A = gt.analysis.LinearOperator(lambda u: 0.5 * u, 3, symmetric=True, dtype=torch.float64)
    s = dataclasses.replace(gt.analysis.spectrum(A), errors=torch.full((3,), error, dtype=torch.float64))
    assert within(s, 0) == said


def penalised(graph, weight=10.0):
    """A critic of Wasserstein's kind on the ring, whose penalty's slopes are differentiated again or not."""
    torch.manual_seed(0)
    generator, discriminator = networks()

    def losses(players, batch):
        fake = players["g"](batch["latent"])
        middle = ((batch["real"] + fake) / 2).detach().requires_grad_()
        (slope,) = torch.autograd.grad(players["d"](middle).sum(), middle, create_graph=graph)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        score = players["d"](fake).mean()
        return {"g": -score, "d": score - players["d"](batch["real"]).mean() + weight * penalty}

    return gt.Game({"g": generator, "d": discriminator}, losses)


def test_a_penalty_without_a_gradient_is_found_by_differences_of_the_loss():
    found = diagnosed(penalised(graph=False), lr=0.02)
    finding = next(one for one in found.findings if one.cause == "missing_gradient")
    assert finding.player == "d" and "create_graph=True" in finding.advice[0].line
    assert not [one for one in diagnosed(penalised(graph=True), lr=0.02).findings if one.cause == "missing_gradient"]


class Half(nn.Module):
    """A discriminator on features in float16, whose mean square overflows where they are large."""

    def __init__(self, inner, size):
        super().__init__()
        self.inner, self.size = inner, size

    def forward(self, x):
        features = (self.size * x).to(torch.float16)
        return self.inner((features * (features.square().mean(1, keepdim=True) + 1e-6).rsqrt()).float())


@pytest.mark.parametrize(("size", "overflows"), [(3e4, True), (1.0, False)])
def test_a_range_that_ends_within_a_module_is_found_by_the_field_in_float32(size, overflows):
    generator, discriminator = networks()
    found = diagnosed(gt.gan(generator, Half(discriminator, size), "nonsaturating"), lr=1e-4)
    named = [one for one in found.findings if one.cause == "low_precision"]
    assert bool(named) == overflows
    assert not overflows or (named[0].certain and "in float32" in named[0].evidence)


def test_rows_in_the_order_of_a_file_are_found_by_the_means_of_batches():
    """Of batches of B rows from two levels a apart, in order, the variance of means is a^2 / 4 to the error 1 / B."""
    rng = torch.Generator().manual_seed(0)
    levels = torch.arange(40 * 64) >= 20 * 64
    rows = torch.randn(40 * 64, 2, generator=rng) + 2.0 * levels[:, None]
    mixed = rows[torch.randperm(len(rows), generator=rng)]
    ordered, shuffled = ([{"real": part} for part in data.split(64)] for data in (rows, mixed))
    assert chosen(ordered).order == pytest.approx(64, rel=0.4)
    assert chosen(shuffled).order == 1.0 and chosen(ordered[:8]).order == 1.0
    batches = [batch | {"latent": torch.randn(64, 4, generator=rng)} for batch in ordered]
    assert "unshuffled_batches" in [one.cause for one in diagnosed(ring_game(), batches, steps=8).findings]
