"""Looks at loops whose hooks keep activations or shape the step, against central differences of the loop itself."""

import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gantools as gt
from gantools.errors import GantoolsError
from gantools.trainers.torch_optim.steps import TorchStep
from gantools.watching.copies import Copies
from tests.game_oracles import finite_jacobian


class Remembering(nn.Module):
    """A discriminator whose forward pass leaves its features in a dictionary that it was given."""

    def __init__(self, net, kept):
        super().__init__()
        self.net, self.kept = net, kept

    def forward(self, x):
        self.kept["h"] = self.net[:2](x)
        return self.net[2](self.kept["h"])


class Matching:
    """Feature matching whose features come through `kept`: a hook fills it, and the losses read it."""

    def __init__(self, kind, size=2):
        torch.manual_seed(0)
        self.G = nn.Sequential(nn.Linear(2, size), nn.Tanh(), nn.Linear(size, 2)).double()
        self.D = nn.Sequential(nn.Linear(2, size), nn.Tanh(), nn.Linear(size, 1)).double()
        self.kept = kept = [] if kind == "a list" else {}
        hooked = self.D[1]
        if kind == "a parametrized layer":
            hooked = nn.utils.parametrizations.weight_norm(self.D[0])
        if kind == "an attribute":
            self.D = Remembering(self.D, kept)
        elif kind == "a list":
            hooked.register_forward_hook(lambda module, args, output: kept.append(output))
        else:
            hooked.register_forward_hook(lambda module, args, output: kept.update(h=output))
        self.batch = torch.randn(2, 6, 2, dtype=torch.float64)
        self.optimizers = {
            name: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5) for name, net in self.players.items()
        }

    @property
    def players(self):
        return {"D": self.D, "G": self.G}

    def features(self, x):
        if isinstance(self.kept, list):
            self.kept.clear()
        self.D(x)
        return (self.kept["h"] if isinstance(self.kept, dict) else self.kept[0]).mean(0)

    def losses(self, players, batch):
        real, fake = batch[0] + 1, self.G(batch[1])
        match = (self.features(fake) - self.features(real).detach()).square().sum()
        d = softplus(-self.D(real)).mean() + softplus(self.D(fake.detach())).mean()
        return {"D": d, "G": 3 * match + softplus(-self.D(fake)).mean()}

    def step(self, batch):
        for name, optimizer in self.optimizers.items():
            for other in self.optimizers.values():
                other.zero_grad()
            self.losses(None, batch)[name].backward()
            optimizer.step()

    def look(self, **options):
        options = {"tol": 1e-8, "budget": None, "k": 3, "every": 1, **options}
        return gt.watch(self.players, optimizers=self.optimizers, **options)(0, self.batch)

    def game_eigenvalues(self):
        """Return those of the game's Jacobian, by differences of each player's gradient."""
        own = {name: list(net.parameters()) for name, net in self.players.items()}
        live = [p for part in own.values() for p in part]

        def field(w):
            write(live, w)
            losses = self.losses(None, self.batch)
            found = [torch.autograd.grad(losses[name], part, retain_graph=True) for name, part in own.items()]
            return joined([g for part in found for g in part])

        return torch.linalg.eigvals(self.differences(live, field))

    def step_radius(self):
        """Return that of the loop's step, by differences; the loop moves, and is put back."""
        live = [p for net in self.players.values() for p in net.parameters()]
        live += [state["momentum_buffer"] for o in self.optimizers.values() for state in o.state.values()]

        def step(z):
            write(live, z)
            self.step(self.batch)
            return joined(live)

        return float(torch.linalg.eigvals(self.differences(live, step)).abs().max())

    @staticmethod
    def differences(live, function):
        start = joined(live).clone()
        found = finite_jacobian(function, start, 1e-5)
        write(live, start)
        return found


def joined(tensors):
    return torch.cat([x.detach().reshape(-1) for x in tensors])


def write(tensors, vector):
    with torch.no_grad():
        for x, piece in zip(tensors, vector.split([x.numel() for x in tensors]), strict=True):
            x.copy_(piece.view_as(x))


def nearest(values, others):
    """Return how far the eigenvalues are from the nearest of the others, relative to the largest."""
    return float((values[:, None] - others[None]).abs().min(1).values.max() / others.abs().max())


@pytest.mark.parametrize("kind", ["a dictionary", "a list", "an attribute", "a parametrized layer"])
def test_losses_read_what_hooks_of_the_same_pass_have_kept(kind):
    loop = Matching(kind)
    for _ in range(3):
        loop.step(loop.batch)
    kept = list(loop.kept.values()) if isinstance(loop.kept, dict) else list(loop.kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look = loop.look(losses=loop.losses)
    after = list(loop.kept.values()) if isinstance(loop.kept, dict) else list(loop.kept)
    assert len(kept) == len(after) and all(a is b for a, b in zip(kept, after, strict=True))
    assert nearest(look.spectra["game/jacobian"].values, loop.game_eigenvalues()) < 1e-7
    assert look.spectral_radius == pytest.approx(loop.step_radius(), rel=1e-7)


def scaled(parameters):
    for p in parameters:
        p.grad.mul_(0.3)


def replace_step(optimizer, parameters):
    own = type(optimizer).step

    def step(self):
        scaled(parameters)
        return own(self)

    optimizer.step = step.__get__(optimizer)


SHAPED = {
    "register_hook": lambda o, ps: [p.register_hook(lambda g: g.clamp(-0.02, 0.02) + 0.1 * g) for p in ps],
    "register_post_accumulate_grad_hook": lambda o, ps: [
        p.register_post_accumulate_grad_hook(lambda p: scaled([p])) for p in ps
    ],
    "register_step_pre_hook": lambda o, ps: o.register_step_pre_hook(lambda *_: scaled(ps)),
    "register_step_post_hook": lambda o, ps: o.register_step_post_hook(lambda *_: [p.data.mul_(0.9) for p in ps]),
    "a step method": replace_step,
}


@pytest.mark.parametrize("kind", SHAPED)
def test_hooks_that_shape_the_step_are_in_its_differences_and_refused_in_closed_form(kind):
    loop = Matching("a dictionary")
    SHAPED[kind](loop.optimizers["D"], list(loop.D.parameters()))
    for _ in range(3):
        loop.step(loop.batch)
    look = loop.look(update=loop.step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = loop.look(losses=loop.losses)
    said = "\n".join(without.notes)
    assert re.search(f"'D' is shaped by .*{kind}.*pass gantools.watch.update=step", said)
    assert ("left out of the game" in said) == (kind == "register_hook")
    assert set(without.spectra) == {"game/jacobian"}
    assert look.spectral_radius == pytest.approx(loop.step_radius(), rel=1e-7)
    game = gt.Game(loop.players, loop.losses)
    with pytest.raises(GantoolsError, match=kind):
        TorchStep(game, loop.optimizers)
    if kind == "register_hook":
        with pytest.raises(GantoolsError, match=r"Hooks on the gradients of player 'D' \(register_hook\)"):
            gt.analysis.jacobian(game, loop.batch)


def test_a_scheduler_of_rates_is_no_hook_and_steps_with_the_copied_optimizer():
    loop = Matching("a dictionary")
    loop.step(loop.batch)
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(o, 0.5) for o in loop.optimizers.values()]

    def step(batch):
        loop.step(batch)
        for scheduler in schedulers:
            scheduler.step()

    closed, own = loop.look(losses=loop.losses), loop.look(update=step)
    expected = loop.step_radius()
    assert all(o.param_groups[0]["lr"] == 0.1 for o in loop.optimizers.values())
    assert closed.spectral_radius == pytest.approx(expected, rel=1e-7)
    assert own.spectral_radius == pytest.approx(expected, rel=1e-7)


def test_a_hook_of_a_parameter_may_name_the_parameter_itself_and_one_that_is_frozen_now():
    p = nn.Parameter(torch.ones(2))
    p.register_hook(lambda g: g * p.detach() * 3)
    p.requires_grad_(False)
    twin = Copies(grads=True).of(Copies(grads=True).of(p))
    assert not twin.requires_grad and not p.requires_grad
    with torch.no_grad():
        twin.mul_(2)
    twin.requires_grad_().sum().backward()
    assert twin.grad.tolist() == [6.0, 6.0] and p.grad is None


def test_a_hook_for_the_steps_of_all_optimizers_is_refused_in_closed_form():
    loop = Matching("a dictionary")
    game = gt.Game(loop.players, loop.losses)
    handle = register_optimizer_step_pre_hook(lambda *_: None)
    try:
        with pytest.raises(GantoolsError, match="a hook before its step"):
            TorchStep(game, loop.optimizers)
    finally:
        handle.remove()
    assert TorchStep(game, loop.optimizers).turns == {"D": 1, "G": 1}
