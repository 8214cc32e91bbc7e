"""Kinds of trouble that were missed once: rates too small, a code among the data, latents ignored, drowned scores."""

import math
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import gantools as gt
from gantools import trainers
from gantools.analysis import diagnose
from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.causes.balance.penalty_scale import penalty_scale
from gantools.analysis.diagnosis.causes.numbers.poisonous_batch import poisonous_batch
from gantools.analysis.diagnosis.causes.numbers.unnormalised_data import unnormalised_data
from gantools.analysis.diagnosis.causes.players.collapse import collapse, of_latent
from gantools.analysis.diagnosis.choice import chosen
from gantools.analysis.diagnosis.walk import Walk
from gantools.games.analytic import quadratic
from tests.analysis.diagnosis.games import adam, networks, ring, ring_game


def test_the_first_batches_are_looked_at_and_later_ones_that_stand_out():
    batches = [
        {"x": torch.full((4,), 1.0 + 0.1 * (i % 7)), "label": torch.ones(4, dtype=torch.long)} for i in range(90)
    ]
    assert list(chosen(batches).batches) == list(range(32))
    for number, value in ((50, math.nan), (60, 0.01), (70, -9999.0), (80, 2.9)):
        batches[number] = {**batches[number], "x": torch.full((4,), value)}
    found = chosen(batches).batches
    assert list(found) == [*range(29), 50, 60, 70] and found[70] is batches[70]
    for number in range(71, 79):  # the oddest four
        batches[number] = {**batches[number], "x": torch.full((4,), 10.0 * number)}
    assert set(chosen(batches).batches) == {*range(28), 50, 70, 77, 78}
    assert list(chosen(batches[:5]).batches) == list(range(5)) and list(chosen([]).batches) == []
    ragged = [batch if i % 2 else {**batch, "more": torch.ones(1)} for i, batch in enumerate(batches)]
    whole = [{"image": torch.ones(4, dtype=torch.uint8)}] * 40
    assert list(chosen(ragged).batches) == list(chosen(whole).batches) == list(range(32))


def test_a_code_for_missing_numbers_is_found_in_a_later_batch_whatever_its_field():
    batches = [ring(1)[0] for _ in range(60)]
    batches[45] = {**batches[45], "real": batches[45]["real"].clone()}
    batches[45]["real"][3, 1] = -9999.0
    game = ring_game(spoil=lambda g, d: d[-1].weight.data.zero_())  # no sample moves anything at first
    (found,) = diagnose(game, batches, adam(game), steps=10, spectrum=False).findings
    assert found.cause == "poisonous_batch" and found.certain
    assert "batch 45" in found.evidence and "1e+04" in found.evidence


@pytest.mark.parametrize("rare", [1.0, 0.0])
def test_a_tensor_that_is_zero_in_most_batches_is_no_code(rare):
    batches = [{**ring(1)[0], "mask": torch.full((64, 1), rare if i == 3 else 0.0)} for i in range(8)]
    game = ring_game()
    assert not list(poisonous_batch(Case(game, batches, adam(game), True, 10, 20.0)))


def test_rates_that_are_far_too_small_are_named_and_the_advised_ones_do_gain():
    game, batch = quadratic(1.0, 1.0)
    found = diagnose(game, batch, trainers.make("simultaneous", game, lr=1e-5), steps=300)
    assert [finding.cause for finding in found.findings] == ["rate_too_small"]
    # |1 - h (1 + i)| is below 1 for h < 1; at 1e-4 300 steps leave 0.97 of the distance.
    assert 1e-4 < float(found.findings[0].advice[0].flags[1]) < 1


@pytest.mark.parametrize("stalled", [True, False])
def test_large_data_are_not_to_blame_where_the_training_copes(stalled):
    game, batches = ring_game(), [{**batch, "real": 10 * batch["real"]} for batch in ring()]
    case = Case(game, batches, adam(game), True, 10, 20.0)
    with mock.patch.object(Case, "stalled", stalled):
        assert len(list(unnormalised_data(case))) == stalled


class Conditional(nn.Module):
    """A generator y + a z of a latent and what it is given, both (N, 2)."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, latent, given):
        return given + self.a * latent


def conditional(a):
    """Return a game of that generator, and a batch of independent latents and conditions."""

    def losses(players, batch):
        fake = players["g"](batch["latent"], batch["given"])
        r, f = players["d"](batch["real"]), players["d"](fake)
        return {"g": softplus(-f).mean(), "d": softplus(-r).mean() + softplus(f).mean()}

    rng = torch.Generator().manual_seed(0)
    real, latent, given = (torch.randn(200, 2, generator=rng) for _ in range(3))
    return gt.Game({"g": Conditional(a), "d": networks()[1]}, losses), {"real": real, "latent": latent, "given": given}


@pytest.mark.parametrize("a", [0.0, 0.5])
def test_how_far_samples_move_with_their_latents_alone(a):
    game, batch = conditional(a)
    case = Case(game, [batch], adam(game, lr=1e-4), True, 10, 20.0)
    z = batch["latent"]
    expected = a * float((z - z.roll(1, 0)).square().mean().sqrt()) / 2**0.5
    expected /= float(batch["real"].std(0).square().mean().sqrt())
    assert of_latent(case, case.start, game.buffers()) == pytest.approx(expected, rel=1e-5)
    with mock.patch.object(Walk, "plateau", True):
        found = list(collapse(case))
    assert bool(found) == (a == 0)
    assert not found or ("another latent" in found[0].evidence and found[0].player == "g")


@pytest.mark.parametrize("weight", [0.0, 1e4])
def test_terms_that_drown_the_scores_of_a_generator_that_stands_still(weight):
    g, d = networks()

    def losses(players, batch):
        fake = players["g"](batch["latent"])
        r, f = players["d"](batch["real"]), players["d"](fake)
        distance = (fake - batch["real"]).square().mean()
        return {"g": softplus(-f).mean() + weight * distance, "d": softplus(-r).mean() + softplus(f).mean()}

    game = gt.Game({"g": g, "d": d}, losses)
    case = Case(game, ring(), adam(game), True, 30, 20.0)
    with mock.patch.object(Walk, "plateau", True):
        found = [one for one in penalty_scale(case) if "other terms of the loss of g" in one.evidence]
    assert len(found) == (weight > 0)
