"""Copies of a game trained in one program: each makes the steps that it makes alone."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsWarning
from gantools.games.copies.stacked import Stacked
from gantools.trainers import OPTIMIZERS, make
from gantools.trainers.copies import load_states_of_copies, states_of_copies
from tests.cases import Cube, gan_batch, mlp, tanh_gan

COPIES, STEPS = 3, 4
REGULARIZERS = [gt.regularizers.R1(0.3), gt.regularizers.WganGP(1.0), gt.regularizers.R2(0.1)]
SEPARABLE = [name for name in OPTIMIZERS if not OPTIMIZERS[name].couples]


def batch_of(copy: int, step: int):
    batch = gan_batch(8, seed=100 * copy + step)
    return gt.regularizers.draw(REGULARIZERS, batch, torch.Generator().manual_seed(100 * copy + step))


def penalised(copy: int) -> gt.Game:
    return tanh_gan(regularizers=REGULARIZERS, seed=10 * copy)


def trained(build, name="simultaneous", steps=STEPS, **settings) -> tuple[Stacked, list[gt.Game]]:
    """Train the copies together and each alone; return the stacked game and those trained alone."""
    settings = {"lr": 0.05, **settings}
    many, alone = gt.stacked([build(s) for s in range(COPIES)]), [build(s) for s in range(COPIES)]
    together, single = make(name, many, **settings), [make(name, game, **settings) for game in alone]
    for t in range(steps):
        info = together.step(many.each([batch_of(s, t) for s in range(COPIES)]))
        for s, optimizer in enumerate(single):
            own = optimizer.step(batch_of(s, t))
            for player, loss in own.losses.items():
                torch.testing.assert_close(info.losses[player][s], loss, rtol=1e-9, atol=1e-10)
                norm = own.field_norms[player]
                torch.testing.assert_close(info.field_norms[player][s], norm, rtol=1e-9, atol=1e-10)
    many.hand_out()
    return many, alone


def assert_same(many: Stacked, alone: list[gt.Game]) -> None:
    for together, single in zip(many.games, alone, strict=True):
        torch.testing.assert_close(together.vector(), single.vector(), rtol=1e-9, atol=1e-10)
        for name, buffer in single.buffers().items():
            torch.testing.assert_close(together.buffers()[name], buffer, rtol=1e-9, atol=1e-10)
    assert not torch.equal(alone[0].vector(), alone[1].vector())


@pytest.mark.parametrize("name", SEPARABLE)
def test_every_method_steps_in_each_copy_as_it_does_alone(name):
    many, alone = trained(penalised, name, clip_norm=0.5)
    assert not many.why_one_by_one
    assert_same(many, alone)


@pytest.mark.parametrize("base", ["momentum", "rmsprop", "rmsprop_tf1", "adam"])
@pytest.mark.parametrize("name", ["alternating", "consensus"])
def test_every_base_rule_does(name, base):
    many, alone = trained(penalised, name, base=base, lr=0.01)
    assert not many.why_one_by_one
    assert_same(many, alone)


def test_halves_of_a_batch_are_those_of_each_copy():
    assert_same(*trained(penalised, "consensus", estimator="independent"))


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if OPTIMIZERS[name].couples])
def test_methods_that_would_couple_the_copies_are_refused(name):
    with pytest.raises(gt.GantoolsError, match="cannot train copies together"):
        make(name, gt.stacked([tanh_gan(seed=s) for s in range(2)]), lr=0.1)


@pytest.mark.parametrize("name", ["alternating", "consensus"])
def test_what_is_detached_shapes_the_field_and_its_derivatives_alike(name):
    def build(copy: int) -> gt.Game:
        def losses(players, batch):
            fake = players.generator(batch["latent"])
            with torch.no_grad():
                weight = players.discriminator(batch["real"]).std()
            real = players.discriminator(batch["real"]).mean()
            return {
                "generator": -players.discriminator(fake).mean() * weight,
                "discriminator": (players.discriminator(fake.detach()) ** 2).mean() - real * weight,
            }

        return gt.Game({"generator": mlp(2, 3, 2, seed=copy), "discriminator": mlp(2, 3, 1, seed=copy + 5)}, losses)

    many, alone = trained(build, name)
    assert not many.why_one_by_one
    assert_same(many, alone)


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_a_penalty_that_a_loss_takes_itself_is_vmapped(name):
    """With all that public loops write: requires_grad_, weights of the outputs, an adaptive weight without a graph."""

    def build(copy: int) -> gt.Game:
        def losses(players, batch):
            fake = players.generator(batch["latent"])
            real = batch["real"].detach().requires_grad_(True)
            scores = players.discriminator(real)
            ones = torch.ones_like(scores)
            (by_input,) = torch.autograd.grad(
                outputs=scores, inputs=real, grad_outputs=ones, create_graph=True, retain_graph=True, only_inputs=True
            )
            (adaptive,) = torch.autograd.grad(scores.sum(), real, retain_graph=True)
            assert scores.requires_grad and fake.requires_grad and not ones.requires_grad
            penalty = (by_input.norm(2, dim=1) - 1).square().mean() * (1 + adaptive.abs().mean())
            return {
                "generator": -players.discriminator(fake).mean(),
                "discriminator": players.discriminator(fake).mean() - scores.mean() + penalty,
            }

        return gt.Game({"generator": mlp(2, 3, 2, seed=copy), "discriminator": mlp(2, 3, 1, seed=copy + 5)}, losses)

    many, alone = trained(build, name)
    assert not many.why_one_by_one
    assert_same(many, alone)


class Filled(nn.Module):
    """A net whose output is written into a tensor that it makes, row by row; a flow's solver does the same."""

    def __init__(self, seed: int, make):
        super().__init__()
        self.net, self.make = mlp(2, 3, 2, seed=seed), make

    def forward(self, x):
        out = self.make(x)
        for row, value in enumerate(self.net(x)):
            out[row] = value
        return out


MADE = {
    "zeros": lambda x: torch.zeros(x.shape, dtype=x.dtype),
    "new_empty": lambda x: torch.ones(1, dtype=x.dtype).new_empty(x.shape),
    "full": lambda x: torch.full(x.shape, 3.0, dtype=x.dtype),
}


@pytest.mark.parametrize("made", MADE)
def test_what_a_net_makes_to_be_filled_is_made_for_each_copy(made):
    many, alone = trained(lambda copy: gt.gan(Filled(copy, MADE[made]), mlp(2, 3, 1, seed=copy + 5)), "consensus")
    assert not many.why_one_by_one
    assert_same(many, alone)


def test_flows_with_fixed_steps_are_integrated_for_all_copies_at_once():
    def build(copy: int) -> gt.Game:
        flow = gt.nn.ODEBlock(mlp(2, 3, 2, seed=copy), method="rk4", steps=2)
        return gt.gan(flow, mlp(2, 3, 1, seed=copy + 5))

    many, alone = trained(build, "consensus")
    assert not many.why_one_by_one
    assert_same(many, alone)


@pytest.mark.parametrize("name", ["alternating", "consensus"])
def test_running_statistics_move_in_each_copy(name):
    def build(copy: int) -> gt.Game:
        layers = nn.Sequential(mlp(2, 4, seed=copy), nn.BatchNorm1d(4, dtype=torch.float64), mlp(4, 2, seed=copy + 1))
        return gt.gan(layers, mlp(2, 3, 1, seed=copy + 2))

    many, alone = trained(build, name)
    assert not many.why_one_by_one and "0.1.running_mean" in many.live_buffers()
    assert_same(many, alone)


def test_constraints_and_schedules_hold_in_each_copy():
    regularizers = [gt.regularizers.Clip(0.2), gt.regularizers.R1(gt.schedules.Linear(1.0, 0.0, 5))]

    def build(copy: int) -> gt.Game:
        return tanh_gan(regularizers=regularizers, seed=10 * copy)

    many, alone = gt.stacked([build(s) for s in range(COPIES)]), [build(s) for s in range(COPIES)]
    together, single = make("extragradient", many, lr=0.1), [make("extragradient", game, lr=0.1) for game in alone]
    for t in range(STEPS):
        batches = [{**batch_of(s, t), "step": torch.tensor(t)} for s in range(COPIES)]
        together.step(many.each(batches))
        for optimizer, batch in zip(single, batches, strict=True):
            optimizer.step(batch)
    many.hand_out()
    assert not many.why_one_by_one
    assert_same(many, alone)


def test_what_cannot_be_vmapped_is_evaluated_copy_by_copy():
    def build(copy: int) -> gt.Game:
        def losses(players, batch):
            scores = Cube.apply(players.discriminator(players.generator(batch["latent"])))
            return {"generator": -scores.mean(), "discriminator": scores.mean()}

        return gt.Game({"generator": mlp(2, 3, 2, seed=copy), "discriminator": mlp(2, 3, 1, seed=copy + 5)}, losses)

    with pytest.warns(GantoolsWarning, match=r"one after another.*cannot be vmapped"):
        many, alone = trained(build)
    assert many.why_one_by_one
    assert_same(many, alone)


def test_losses_that_are_another_function_in_each_copy_are_found():
    def build(copy: int) -> gt.Game:
        def losses(players, batch):
            scores = players.discriminator(players.generator(batch["latent"])) * (1 + copy)
            return {"generator": -scores.mean(), "discriminator": scores.square().mean()}

        return gt.Game({"generator": mlp(2, 3, 2, seed=copy), "discriminator": mlp(2, 3, 1, seed=copy + 5)}, losses)

    with pytest.warns(GantoolsWarning, match="another one"):
        assert_same(*trained(build, "lola"))


def test_a_copy_that_is_not_finite_does_not_disturb_the_others():
    def build(copy: int) -> gt.Game:
        game = penalised(copy)
        if copy == 1:
            with torch.no_grad():
                game.parameters()[0][0] = 1e300
        return game

    many, alone = gt.stacked([build(s) for s in range(COPIES)]), [build(s) for s in range(COPIES)]
    together = make("consensus", many, lr=0.05, base="adam")
    single = {s: make("consensus", alone[s], lr=0.05, base="adam") for s in (0, 2)}
    for t in range(STEPS):
        batches = [batch_of(s, t) for s in range(COPIES)]
        batches[1]["real"] = batches[1]["real"] * float("nan")
        info = together.step(many.each(batches))
        for s, optimizer in single.items():
            optimizer.step(batches[s])
    many.hand_out()
    assert info.losses["discriminator"].isfinite().tolist() == [True, False, True]
    for s in single:
        torch.testing.assert_close(many.games[s].vector(), alone[s].vector(), rtol=1e-9, atol=1e-10)
    assert not many.games[1].vector().isfinite().all()


def test_states_go_from_the_copies_into_methods_of_one_game_and_back():
    settings = {"lr": 0.05, "base": "adam"}
    many, alone = trained(penalised, "optimistic", **settings)
    optimizer = make("optimistic", many, **settings)
    single = [make("optimistic", game, **settings) for game in alone]
    for s, own in enumerate(single):
        own.step(batch_of(s, 0))
    load_states_of_copies(optimizer, [own.state_dict() for own in single])
    for own, state in zip(single, states_of_copies(optimizer), strict=True):
        assert state["counters"] == own.state_dict()["counters"]
        for key, value in own.state_dict()["memory"].items():
            assert torch.equal(state["memory"][key], value)


def test_losses_that_draw_random_numbers_are_refused():
    def losses(players, batch):
        noise = torch.randn(8, 2, dtype=torch.float64)
        return {"g": (players.g(batch["latent"]) + noise).square().mean()}

    many = gt.stacked([gt.Game({"g": mlp(2, 2, seed=s)}, losses) for s in range(2)])
    with pytest.raises(gt.GantoolsError, match="draw random numbers"):
        make("simultaneous", many).step(many.each([batch_of(s, 0) for s in range(2)]))


def test_an_update_has_the_eigenvalues_of_each_copys():
    """And the field's own derivatives are left to the copies."""
    many, batches = gt.stacked([penalised(s) for s in range(2)]), [batch_of(s, 0) for s in range(2)]
    together = gt.analysis.update_operator(make("optimistic", many, base="adam"), many.each(batches))
    alone = [make("optimistic", penalised(s), base="adam") for s in range(2)]
    single = [gt.analysis.update_operator(one, batch).dense() for one, batch in zip(alone, batches, strict=True)]
    wanted = torch.cat([torch.linalg.eigvals(one).abs() for one in single]).sort().values
    torch.testing.assert_close(torch.linalg.eigvals(together.dense()).abs().sort().values, wanted, rtol=0, atol=1e-9)
    with pytest.raises(gt.GantoolsError, match="one by one"):
        gt.analysis.jacobian(many, many.each(batches))


def test_batches_of_different_forms_are_evaluated_copy_by_copy():
    many, alone = gt.stacked([penalised(s) for s in range(2)]), [penalised(s) for s in range(2)]
    together, single = make("consensus", many, lr=0.05), [make("consensus", game, lr=0.05) for game in alone]
    for t, sizes in enumerate([(8, 8), (8, 5)]):
        batches = [gt.batches.first_samples(batch_of(s, t), size) for s, size in enumerate(sizes)]
        together.step(many.each(batches))
        for optimizer, batch in zip(single, batches, strict=True):
            optimizer.step(batch)
    many.hand_out()
    assert_same(many, alone)


def test_games_that_are_no_copies_are_refused():
    game = tanh_gan()
    other = gt.gan(mlp(2, 4, 2), mlp(2, 3, 1))
    for games, words in (
        ([], "pass a list of games"),
        ([game, game], "twice"),
        ([game, other], "another architecture"),
        ([gt.stacked([game])], "not stacked again"),
    ):
        with pytest.raises(gt.GantoolsError, match=words):
            gt.stacked(games)
    many = gt.stacked([tanh_gan(seed=s) for s in range(2)])
    with pytest.raises(gt.GantoolsError, match="one for each"):
        many.each([gan_batch()])
    with pytest.raises(gt.GantoolsError, match=r"game\.each"):
        many.field(gan_batch())
