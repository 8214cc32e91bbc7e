"""Looks at loops whose classes and Python modules reach the players by names, against central differences."""

import types

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from gantools.errors import GantoolsError
from gantools.watching.copies import Copies
from gantools.watching.namespaces import Namespaces
from tests.gantools.watching.test_hooks import Matching, nearest

D, G = None, None  # set by each test, as a script sets its own
CALLS, STD = 0, 0.0
SETTINGS = {"std": 0.0}
nets = types.ModuleType("nets")


class Holder:
    G = D = None

    @classmethod
    def losses(cls, players, batch):
        return losses_of(cls.G, cls.D, batch)


class Features:
    seen = 0

    def __call__(self, fake, real):
        global CALLS
        CALLS += 1
        type(self).seen += 1
        return self.distance(fake, real)

    def distance(self, fake, real):
        return (D[:2](fake).mean(0) - D[:2](real).mean(0)).square().sum()

    def forget(self):  # called by no loss
        global STD
        STD = 0.0


features = Features()


class Noisy(nn.Module):
    """A discriminator whose noise a script sets in a dictionary, for each player's loss another."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + SETTINGS["std"] * torch.arange(2.0, dtype=x.dtype))


class Reading(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + STD)


def losses_of(G, D, batch):
    real, fake = batch[0] + 1, G(batch[1])
    d = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    return {"D": d, "G": softplus(-D(fake)).mean()}


def with_features(players, batch):
    found = losses_of(players["G"], players["D"], batch)
    return {**found, "G": found["G"] + 3 * features(players["G"](batch[1]), batch[0])}


def with_module(players, batch):
    found = losses_of(players["G"], players["D"], batch)
    return {**found, "G": found["G"] + nets.D(players["G"](batch[1])).mean().square()}


def with_settings(players, batch):
    SETTINGS["std"] = 1.0
    d = losses_of(players["G"], players["D"], batch)["D"]
    SETTINGS["std"] = 0.0
    return {"D": d, "G": losses_of(players["G"], players["D"], batch)["G"]}


def sets_a_global(players, batch):
    global STD
    STD = 1.0
    d = losses_of(players["G"], players["D"], batch)["D"]
    STD = 0.0
    return {"D": d, "G": losses_of(players["G"], players["D"], batch)["G"]}


class Named(Matching):
    """A loop whose players are what the names of this file stand for."""

    def __init__(self, losses, wrapped=None):
        super().__init__("a dictionary")
        if wrapped is not None:
            self.D = wrapped(self.D)
            self.optimizers["D"] = torch.optim.SGD(self.D.parameters(), lr=0.1, momentum=0.5)
        global D, G
        Holder.D = nets.D = D = self.D
        Holder.G = G = self.G
        self.own = losses

    def losses(self, players, batch):
        return self.own(self.players, batch)


CASES = {
    "attributes of a class": (Holder.losses, None),
    "a method that names a global": (with_features, None),
    "a Python module": (with_module, None),
    "a dictionary that a forward pass reads": (with_settings, Noisy),
}


@pytest.mark.parametrize("kind", CASES)
def test_names_in_code_that_is_not_copied_stand_for_the_copies_in_a_look(kind):
    losses, wrapped = CASES[kind]
    loop = Named(losses, wrapped)
    for _ in range(3):
        loop.step(loop.batch)
    before = CALLS, Features.seen, dict(vars(Holder)), SETTINGS["std"], loop.G[0].weight.detach().clone()
    look, own = loop.look(losses=losses), loop.look(update=lambda batch: loop.step(batch))
    after = CALLS, Features.seen, dict(vars(Holder)), SETTINGS["std"]
    assert after == before[:4] and torch.equal(loop.G[0].weight, before[4])
    assert nets.D is D is loop.D and Holder.D is D
    assert nearest(look.spectra["game/jacobian"].values, loop.game_eigenvalues()) < 1e-7
    expected = loop.step_radius()
    assert look.spectral_radius == pytest.approx(expected, rel=1e-7)
    assert own.spectral_radius == pytest.approx(expected, rel=1e-7)


def test_a_global_that_a_loss_sets_and_a_forward_pass_reads_is_refused_in_a_sentence():
    loop = Named(sets_a_global, Reading)
    with pytest.raises(GantoolsError, match="'STD' is set by the function sets_a_global, and the class Reading"):
        loop.look(losses=sets_a_global)
    loop.step(loop.batch)
    with pytest.raises(GantoolsError, match="'STD' is set by .*Keep it in an attribute"):
        loop.look(update=loop.step)


def test_names_are_put_back_where_a_call_fails_and_what_it_set_in_a_class_is_gone():
    net = nn.Linear(1, 1)

    class Box:
        held = [net]

        def fill(self):
            Box.held.append(1)
            Box.new = self.held[0]
            raise ValueError

    def call():
        Box().fill()

    copies = Copies()
    copied, held = copies.of(call), Box.held
    with pytest.raises(ValueError), Namespaces(copies).holding(Copies(kept=copies.modules)):
        try:
            copied()
        finally:
            assert Box.new is copies.of(net) is not net
    assert Box.held is held == [net] and not hasattr(Box, "new")


def test_losses_that_reach_the_players_past_the_copies_are_refused_in_a_sentence():
    class Data(torch.utils.data.Dataset):  # shared with a look
        critic = None

    loop, data = Named(with_features), Data()
    data.critic = loop.D

    def losses(players, batch):
        found = losses_of(players["G"], players["D"], batch)
        return {**found, "G": found["G"] + data.critic(players["G"](batch[1])).mean()}

    with pytest.raises(GantoolsError, match=r"The losses compute with D\.0\.weight of the loop's own modules"):
        loop.look(losses=losses)
