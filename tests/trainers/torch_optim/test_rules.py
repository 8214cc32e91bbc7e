"""The steps of torch.optim's optimizers as pure maps, against these optimizers themselves."""

import copy

import pytest
import torch

import gantools as gt
from gantools.errors import GantoolsError
from gantools.trainers.torch_optim.steps import TorchStep, updates_made
from tests import cases
from tests.game_oracles import finite_jacobian, flat, relative
from tests.quick import few

SETTINGS = {
    "sgd": (torch.optim.SGD, {"lr": 0.05}),
    "sgd momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "maximize": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    "rmsprop centred": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "centered": True}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    "adam amsgrad": (torch.optim.Adam, {"lr": 0.01, "betas": (0.0, 0.9), "amsgrad": True}),
    "adam decoupled": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.1}),
    "tensor rate": (torch.optim.Adam, {"lr": torch.tensor(0.01, dtype=torch.float64)}),
}


class Loop:
    """A plain training loop: the discriminator moves, then the generator against it, unless both move together."""

    def __init__(self, cls, settings, together=False):
        self.game = cases.tanh_gan(dtype=torch.float64)
        self.together = together
        self.optimizers = {
            "D": cls(self.game.players["discriminator"].parameters(), **settings),
            "G": cls(self.game.players["generator"].parameters(), **settings),
        }

    def step(self, batch, turns=("D", "G")):
        owners = {"D": "discriminator", "G": "generator"}
        for names in [turns] if self.together else [(name,) for name in turns]:
            losses = self.game.losses(self.game.players, batch)
            gradients = {
                name: torch.autograd.grad(
                    losses[owners[name]], list(self.game.players[owners[name]].parameters()), retain_graph=True
                )
                for name in names
            }
            for name in names:
                for p, g in zip(self.game.players[owners[name]].parameters(), gradients[name], strict=True):
                    p.grad = g
                self.optimizers[name].step()

    def point(self):
        """Parameters and the optimizers' state, as the linearised map has them, in its order."""
        w = self.game.vector()
        return torch.cat([w, *TorchStep(self.game, self.optimizers).init(w).memory.values()])

    def load(self, step, z):
        """Put parameters and memory into the modules and the optimizers."""
        n = self.game.num_parameters
        self.game.load_vector(z[:n])
        start = n
        for key, value in step.init(z[:n]).memory.items():
            player, _, name = key.partition(":")
            optimizer = self.optimizers["D" if player == "discriminator" else "G"]
            for p in self.game.players[player].parameters():
                optimizer.state[p][name].copy_(z[start : start + p.numel()].view_as(p))
                start += p.numel()
            assert value.numel()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_map_is_the_optimizers_step(name, together):
    loop = Loop(*SETTINGS[name], together=together)
    turns = "together" if together else None
    for seed in range(4):
        batch = cases.gan_batch(seed=seed, dtype=torch.float64)
        step = TorchStep(loop.game, loop.optimizers, turns)
        state = step.state
        w, state = step.update(loop.game.vector(), state, batch)
        loop.step(batch)
        assert relative(w, loop.game.vector()) < 1e-12
        assert relative(torch.cat([w, *state.memory.values()]), loop.point()) < 1e-12


@pytest.mark.parametrize(
    "name",
    few(["sgd momentum", "adamw", *(pytest.param(n, marks=pytest.mark.slow) for n in ("rmsprop centred", "adam"))], 1),
)
def test_the_operator_is_the_jacobian_of_the_optimizers_step(name):
    loop = Loop(*SETTINGS[name])
    for seed in range(3):
        loop.step(cases.gan_batch(seed=seed, dtype=torch.float64))
    batch = cases.gan_batch(seed=7, dtype=torch.float64)
    U = gt.analysis.update_operator(loop.optimizers, batch, game=loop.game)
    step, start = TorchStep(loop.game, loop.optimizers), loop.point()
    kept = copy.deepcopy({key: optimizer.state_dict() for key, optimizer in loop.optimizers.items()})

    def real_step(z):
        for key, optimizer in loop.optimizers.items():
            optimizer.load_state_dict(copy.deepcopy(kept[key]))
        loop.load(step, z)
        loop.step(batch)
        return loop.point()

    sizes = 1e-3 * start.abs().clamp(min=1e-6)  # second moments stay positive
    assert relative(U.dense(), finite_jacobian(real_step, start, sizes)) < 1e-6


def test_a_dead_units_second_moment_has_finite_derivatives():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1)).double()
    with torch.no_grad():
        net[0].bias.fill_(-100.0)
    game = gt.minimization(net, lambda model, x: model(x).square().mean())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    game.losses(game.players, x)["model"].backward()
    optimizer.step()
    assert gt.analysis.update_operator(optimizer, x, game=game).dense().isfinite().all()


class TestTurns:
    def test_are_read_from_the_counts_of_updates(self):
        loop = Loop(*SETTINGS["adam"])
        batch = cases.gan_batch(dtype=torch.float64)
        assert TorchStep(loop.game, loop.optimizers).turns == {"D": 1, "G": 1}
        for _ in range(2):
            loop.step(batch, ("D", "D", "D", "G"))
        loop.step(batch, ("D",))
        assert updates_made(loop.optimizers["D"]) == 7
        step = TorchStep(loop.game, loop.optimizers)
        assert step.turns == {"D": 3, "G": 1} and step.batches_per_step == 3
        start = loop.game.vector()
        w, _ = step.update(start, step.state, batch, batch, batch)
        loop.step(batch, ("D", "D", "D", "G"))
        assert relative(w, flat(*loop.game.players.values())) < 1e-12

    @pytest.mark.parametrize("turns", [{"D": 1}, {"D": 1, "G": 0}, {"D": 1, "H": 1}, "alternating"])
    def test_that_say_nothing_are_refused(self, turns):
        loop = Loop(*SETTINGS["sgd"])
        with pytest.raises(GantoolsError, match="turns|optimizer"):
            TorchStep(loop.game, loop.optimizers, turns)


class TestOptimizersThatDoNotMatchThePlayers:
    def test_one_for_both_moves_them_together(self):
        game, batch = cases.tanh_gan(dtype=torch.float64), cases.gan_batch(dtype=torch.float64)
        optimizer = torch.optim.Adam(game.parameters(), lr=0.01)
        one = TorchStep(game, optimizer)
        w, state = one.update(game.vector(), one.state, batch)
        field = game.field(batch)
        for p, g in zip(game.parameters(), game.unflatten(field), strict=True):
            p.grad = g
        optimizer.step()
        assert relative(w, game.vector()) < 1e-12 and len(state.memory) == 4

    def test_a_parameter_in_no_optimizer_stays(self):
        game, batch = cases.tanh_gan(dtype=torch.float64), cases.gan_batch(dtype=torch.float64)
        first, *rest = game.players["generator"].parameters()
        groups = [{"params": rest, "lr": 0.5}, {"params": list(game.players["discriminator"].parameters())}]
        step = TorchStep(game, torch.optim.SGD(groups, lr=0.1))
        w, _ = step.update(game.vector(), step.state, batch)
        moved = (game.vector() - w) / game.field(batch)
        n, total = first.numel(), game.slices["generator"].stop
        expected = torch.cat([torch.zeros(n), 0.5 * torch.ones(total - n), 0.1 * torch.ones(len(w) - total)])
        assert torch.allclose(moved, expected.double(), atol=1e-9)

    def test_a_parameter_that_never_had_a_gradient_is_passed_over(self):
        net = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 1), "unused": torch.nn.Linear(2, 1)}).double()
        game = gt.minimization(net, lambda model, x: model["used"](x).square().mean())
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
        x = torch.ones(3, 2, dtype=torch.float64)
        for _ in range(2):
            step = TorchStep(game, optimizer)
            w, _ = step.update(game.vector(), step.state, x)
            optimizer.zero_grad()
            game.losses(game.players, x)["model"].backward()
            optimizer.step()
        assert relative(w, game.vector()) < 1e-12

    def test_what_has_no_closed_form_is_refused_with_a_remedy(self):
        game = cases.tanh_gan()
        optimizer = torch.optim.SGD(game.parameters(), lr=0.1)
        with pytest.raises(GantoolsError, match="update=step"):
            TorchStep(game, [optimizer, torch.optim.SGD(game.parameters(), lr=0.1)])
        with pytest.raises(GantoolsError, match="Adagrad.*update=step"):
            TorchStep(game, torch.optim.Adagrad(game.parameters()))
        with pytest.raises(GantoolsError, match="none|No parameter"):
            TorchStep(game, torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1))
        with pytest.raises(GantoolsError, match="game=game"):
            gt.analysis.update_operator(optimizer, cases.gan_batch())
