"""What copies of a game may not share, may differ in, and where they step aside: each still steps as it does alone."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import gantools as gt
from gantools.errors import GantoolsWarning
from gantools.trainers import make
from tests.cases import mlp, tanh_gan
from tests.gantools.games.copies.test_stacked import assert_same, batch_of, trained

softplus = nn.functional.softplus


def losses(players, batch):
    G, D = players["generator"], players["discriminator"]
    fake, real = G(batch["latent"]), batch["real"]
    return {
        "generator": softplus(-D(fake)).mean(),
        "discriminator": softplus(-D(real)).mean() + softplus(D(fake.detach())).mean(),
    }


def game_of(copy, losses=losses, discriminator=None, constraints=None):
    discriminator = discriminator or mlp(2, 3, 1, seed=10 * copy + 1)
    return gt.Game({"generator": mlp(2, 3, 2, seed=10 * copy), "discriminator": discriminator}, losses, constraints)


def test_a_module_of_two_copies_is_refused():
    shared = mlp(2, 3, 1)
    with pytest.raises(gt.GantoolsError, match="share a module"):
        gt.stacked([game_of(copy, discriminator=shared) for copy in range(2)])


def test_each_copy_keeps_to_its_own_constraint():
    def build(copy):
        bound = 0.2 * copy
        own = {"discriminator": lambda w: w.clamp(-bound, bound)} if copy else None
        return game_of(copy, constraints=own)

    many, alone = trained(build)
    assert_same(many, alone)
    assert float(many.games[1].vector()[many.games[1].slices["discriminator"]].abs().max()) <= 0.2


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_text_in_a_batch_is_that_of_each_copy(name):
    def scaled(players, batch):
        return {p: loss * (3.0 if batch["mode"] == "steep" else 1.0) for p, loss in losses(players, batch).items()}

    def batch(copy, step):
        return {**batch_of(copy, step), "mode": "steep" if step and copy == 1 else "flat"}

    many, alone = gt.stacked([game_of(s, scaled) for s in range(2)]), [game_of(s, scaled) for s in range(2)]
    together, single = make(name, many, lr=0.05), [make(name, game, lr=0.05) for game in alone]
    for step in range(3):
        together.step(many.each(batch(s, step) for s in range(2)))
        for s, optimizer in enumerate(single):
            optimizer.step(batch(s, step))
    many.hand_out()
    assert_same(many, alone)


@pytest.mark.parametrize("layer", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_layers_whose_kernels_cannot_be_vmapped_or_differentiated_twice(name, layer):
    def build(copy):
        discriminator = mlp(2, 3, 1, seed=10 * copy + 1)
        torch.manual_seed(copy)
        layer(discriminator[0])
        return game_of(copy, discriminator=discriminator)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GantoolsWarning)  # where they step aside they say so
        assert_same(*trained(build, name))


def test_a_loss_that_cannot_be_vmapped_from_some_step_on_steps_aside_then():
    def late(players, batch):
        found = losses(players, batch)
        if batch["step"] >= 2:
            found["generator"] = found["generator"] * (2.0 if found["generator"].item() > 0 else 1.0)
        return found

    many, alone = gt.stacked([game_of(s, late) for s in range(2)]), [game_of(s, late) for s in range(2)]
    together, single = make("simultaneous", many, lr=0.05), [make("simultaneous", game, lr=0.05) for game in alone]
    for step in range(4):
        each = many.each({**batch_of(s, step), "step": step} for s in range(2))
        if step == 2:
            with pytest.warns(GantoolsWarning, match="one after another"):
                together.step(each)
        else:
            together.step(each)
        for s, optimizer in enumerate(single):
            optimizer.step({**batch_of(s, step), "step": step})
    many.hand_out()
    assert many.why_one_by_one
    assert_same(many, alone)


def test_what_differs_in_its_buffers_or_nearby_alone_is_noticed():
    def normed(copy):
        discriminator = nn.Sequential(*mlp(2, 3, 1, seed=10 * copy + 1))
        discriminator.insert(1, nn.BatchNorm1d(3, momentum=0.1 + 0.4 * (copy == 1), dtype=torch.float64))
        return game_of(copy, discriminator=discriminator)

    def decayed(copy):
        discriminator = mlp(2, 3, 1, seed=10 * copy + 1)
        nn.init.zeros_(discriminator[0].bias)

        def own(players, batch):
            found = losses(players, batch)
            found["discriminator"] = found["discriminator"] + copy * players["discriminator"][0].bias.square().sum()
            return found

        return game_of(copy, own, discriminator)

    for build in (normed, decayed):
        with pytest.warns(GantoolsWarning, match="another one"):
            assert_same(*trained(build))


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_a_single_copy_is_one_too(name):
    many, alone = gt.stacked([tanh_gan(seed=1)]), tanh_gan(seed=1)
    make(name, many, lr=0.05).step(many.each([batch_of(0, 0)]))
    make(name, alone, lr=0.05).step(batch_of(0, 0))
    many.hand_out()
    torch.testing.assert_close(many.games[0].vector(), alone.vector(), rtol=1e-9, atol=1e-12)


def test_random_numbers_that_are_drawn_from_some_step_on_are_refused_then():
    def late(players, batch):
        found = losses(players, batch)
        noise = torch.randn(()).double() if batch["step"] else 0.0
        return {**found, "generator": found["generator"] * (1 + noise)}

    many = gt.stacked([game_of(s, late) for s in range(2)])
    optimizer = make("simultaneous", many, lr=0.05)
    optimizer.step(many.each({**batch_of(s, 0), "step": 0} for s in range(2)))
    with pytest.raises(gt.GantoolsError, match="draw random numbers"):
        optimizer.step(many.each({**batch_of(s, 1), "step": 1} for s in range(2)))


def test_an_error_of_the_users_own_comes_alone():
    """From a step on a key is missing: that is said, and nothing of vmap, before it or as its cause."""

    def late(players, batch):
        return losses(players, batch) if batch["step"] < 1 else {"generator": batch["label"]}

    many = gt.stacked([game_of(s, late) for s in range(2)])
    optimizer = make("simultaneous", many, lr=0.05)
    optimizer.step(many.each({**batch_of(s, 0), "step": 0} for s in range(2)))
    with pytest.raises(KeyError, match="label") as found:  # a warning would be an error here
        optimizer.step(many.each({**batch_of(s, 1), "step": 1} for s in range(2)))
    assert found.value.__context__ is None and not many.why_one_by_one


def test_a_list_of_batches_is_told_what_to_pass():
    many = gt.stacked([game_of(s) for s in range(2)])
    for given in ([batch_of(0, 0), batch_of(1, 0)], batch_of(0, 0), (batch_of(0, 0), batch_of(1, 0))):
        with pytest.raises(gt.GantoolsError, match=r"pass game\.each\(batches\)"):
            make("simultaneous", many).step(given)


def through_data(players, batch):
    """Constants written as `.data`, which vmap refuses."""
    G, D = players["generator"], players["discriminator"]
    fake, real = G(batch["latent"]), batch["real"]
    return {
        "generator": softplus(-D(fake)).mean(),
        "discriminator": softplus(-D(real)).mean() * real.data.std() + softplus(D(fake.data)).mean(),
    }


def checkpointed(players, batch):
    def D(x):
        return checkpoint(players["discriminator"], x, use_reentrant=False)

    return losses({**players, "discriminator": D}, batch)


def distances(players, batch):
    G, D = players["generator"], players["discriminator"]
    fake, real = G(batch["latent"]), batch["real"]
    apart = torch.cdist(fake, real).mean()
    return {"generator": apart + D(fake).mean(), "discriminator": -torch.cdist(D(real), D(fake.detach())).mean()}


class Looked(nn.Module):
    """A discriminator that looks rows up whose gradients are sparse."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(4, 3, sparse=True, dtype=torch.float64)
        self.out = nn.Linear(5, 1, dtype=torch.float64)

    def forward(self, x):
        return self.out(torch.cat([x, self.rows(torch.arange(len(x)) % 4)], 1))


WAYS = {
    "data": (through_data, None),
    "checkpoint": (checkpointed, None),
    "cdist": (distances, None),
    "sparse": (losses, Looked),
}


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
@pytest.mark.parametrize("way", WAYS)
def test_what_vmap_may_not_know_steps_in_each_copy_as_it_does_alone(name, way):
    def build(copy):
        own, discriminator = WAYS[way]
        torch.manual_seed(copy)
        return game_of(copy, own, None if discriminator is None else discriminator())

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The copies are evaluated", GantoolsWarning)  # where they step aside
        assert_same(*trained(build, name))


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_copies_with_an_r1_weight_of_their_own_are_found_and_step_aside(name):
    def build(copy):
        return tanh_gan(regularizers=[gt.regularizers.R1(0.1 + copy)], seed=10 * copy)

    with pytest.warns(GantoolsWarning, match="another one"):
        assert_same(*trained(build, name))


class Labelled(nn.Module):
    """A discriminator that looks its label up in rows of bounded norm."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(4, 3, max_norm=0.5, dtype=torch.float64)
        self.out = nn.Linear(5, 1, dtype=torch.float64)

    def forward(self, x):
        return self.out(torch.cat([x, self.rows(torch.arange(len(x)) % 4)], 1))


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_rows_of_bounded_norm_are_told_of_and_keep_their_gradient(name):
    def build(copy):
        torch.manual_seed(copy)
        return game_of(copy, discriminator=Labelled())

    with pytest.warns(GantoolsWarning) as told:
        many, alone = trained(build, name)
    assert any(str(warning.message).startswith("discriminator.rows: rows above max_norm") for warning in told)
    assert_same(many, alone)
    moved = [not torch.equal(p, q) for p, q in zip(alone[0].parameters(), build(0).parameters(), strict=True)]
    assert all(moved)


def test_copies_are_not_analysed_as_one():
    many = gt.stacked([game_of(s) for s in range(2)])
    each = many.each([batch_of(s, 0) for s in range(2)])
    for analysis in (gt.analysis.jacobian, gt.analysis.diagnose):
        with pytest.raises(gt.GantoolsError, match="analysed one by one"):
            analysis(many, each)
