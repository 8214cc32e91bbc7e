"""A step that is not finite is traced to the player, layer, operation and line where that arose."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools import trainers
from gantools.trainers.step_origin import step_origin

INFINITE = float("inf")


def net(out: int = 1) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, out))


def gan(discriminator_term):
    """A game whose generator comes first and whose discriminator's loss has one more term."""

    def losses(players, batch):
        score = players["discriminator"](players["generator"](batch["latent"])).mean()
        real = batch["real"].clone().requires_grad_()
        return {
            "generator": -score,
            "discriminator": score + discriminator_term(players["discriminator"](real), real),
        }

    return gt.Game({"generator": net(2), "discriminator": net()}, losses)


def log_of_zero(scores, real):
    return (scores - scores).abs().log().mean()


def root_at_zero(scores, real):
    slope = torch.autograd.grad((0 * scores).sum(), real, create_graph=True)[0]
    return slope.square().sum(1).sqrt().square().mean()


BATCH = {"real": torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), "latent": torch.ones(4, 2)}


@pytest.mark.parametrize("name", ["simultaneous", "alternating", "extragradient", "consensus"])
@pytest.mark.parametrize(
    ("term", "stage", "operation"), [(log_of_zero, "loss", "log"), (root_at_zero, "gradient", "sqrt")]
)
def test_it_is_the_discriminators_though_the_generator_comes_first(name, term, stage, operation):
    game = gan(term)
    optimizer = trainers.make(name, game)
    optimizer._examined = True
    before, random = game.vector(), torch.get_rng_state()
    origin = step_origin(optimizer, BATCH)
    assert (origin.player, origin.stage, origin.place.operation) == ("discriminator", stage, operation)
    assert "test_step_origin.py, line " in origin.place.line
    assert torch.equal(game.vector(), before) and torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in game.module.modules())


class Cubed(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.full((2,), 1e30))

    def forward(self, x):
        return (x * self.w) ** 3


def test_an_overflow_names_its_layer():
    model = nn.Sequential(nn.Linear(2, 2), Cubed(), nn.LayerNorm(2), nn.Linear(2, 1))
    game = gt.minimization(model, lambda model, batch: model(batch).mean())
    origin = step_origin(trainers.make("simultaneous", game), torch.ones(3, 2))
    assert "layer '1' (Cubed)" in str(origin) and "overflow" in str(origin) and "loss of player 'model'" in str(origin)


@pytest.mark.parametrize("bad", [float("nan"), INFINITE])
def test_a_poisonous_entry_of_the_batch(bad):
    x = torch.ones(3, 2)
    x[1, 0] = bad
    game = gt.minimization(nn.Linear(2, 1), lambda model, batch: model(batch["x"][0]).square().mean())
    origin = step_origin(trainers.make("simultaneous", game), {"x": [x], "y": torch.ones(3)})
    assert origin.in_data and "batch['x'][0]: 1 of 6 entry" in str(origin) and "[1, 0]" in str(origin)


def test_a_buffer():
    norm = nn.BatchNorm1d(2).eval()
    norm.running_mean[0] = float("nan")
    game = gt.minimization(nn.Sequential(norm, nn.Linear(2, 1)), lambda model, batch: model(batch).mean())
    assert "'0.running_mean' of player 'model'" in str(
        step_origin(trainers.make("simultaneous", game), torch.ones(3, 2))
    )


def test_a_mask_is_none_until_an_operation_makes_nan_of_it():
    """Each row's softmax has an infinite entry; only that of the last one has nothing else."""

    def loss(model, mask):
        return model(torch.ones(2, 2)).masked_fill(mask, -INFINITE).softmax(1)[:, 0].log1p().sum()

    game = gt.minimization(nn.Linear(2, 2), loss)
    optimizer = trainers.make("simultaneous", game)
    half = torch.tensor([[False, True], [False, True]])
    assert step_origin(optimizer, half) is None
    assert step_origin(optimizer, half | torch.tensor([[False], [True]])).place.operation == "softmax"


def test_a_step_that_differentiates_the_gradient():
    model = nn.Linear(2, 1, bias=False)
    game = gt.minimization(model, lambda model, x: (model.weight * x).abs().pow(1.5).sum() + model.weight.sum())
    optimizer = trainers.make("consensus", game)
    optimizer._examined = True
    origin = step_origin(optimizer, torch.zeros(2))
    assert (origin.stage, origin.place.operation) == ("derivative of the gradient", "pow")


def test_where_all_is_finite():
    game = gt.minimization(nn.Linear(2, 1), lambda model, x: model(x).square().mean())
    assert step_origin(trainers.make("simultaneous", game), torch.ones(3, 2)) is None


def test_the_random_numbers_of_the_step_are_drawn_again():
    """The loss is NaN for about half of the draws: the same ones whenever it is evaluated from the same state."""
    game = gt.minimization(nn.Linear(2, 1), lambda model, x: model(x).square().mean() * torch.randn(()).sqrt())
    optimizer = trainers.make("simultaneous", game)
    seen = set()
    for seed in range(8):
        torch.manual_seed(seed)
        bad = bool(torch.randn(()) < 0)
        torch.manual_seed(seed)
        assert (step_origin(optimizer, torch.ones(3, 2)) is not None) == bad
        seen.add(bad)
    assert seen == {True, False}
