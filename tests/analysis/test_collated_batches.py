"""What `torch.utils.data.default_collate` makes of a sample, a list of several things, is one batch everywhere."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import gantools as gt
from gantools import analysis
from gantools.errors import GantoolsError
from tests.draws import draw
from tests.quick import few

N = 8
IMAGES, TARGETS, MASKS = (draw(N, 2, seed=seed) for seed in (0, 1, 2))
DIRECTION = draw(24, seed=3)  # of both players

# A sample, and how the images and targets are found in a batch of such samples.
SAMPLES = {
    "image, labels by name": (lambda i: (IMAGES[i], {"label": TARGETS[i]}), lambda b: (b[0], b[1]["label"])),
    "image, target, file": (lambda i: (IMAGES[i], TARGETS[i], f"{i}.png"), lambda b: (b[0], b[1])),
    "image, (target, mask)": (lambda i: (IMAGES[i], (TARGETS[i], MASKS[i])), lambda b: (b[0], b[1][0])),
    "file, image, target": (lambda i: (f"{i}.png", IMAGES[i], TARGETS[i]), lambda b: (b[1], b[2])),
    "labels by name, image": (lambda i: ({"label": TARGETS[i]}, IMAGES[i]), lambda b: (b[1], b[0]["label"])),
}


class Samples(Dataset):
    def __init__(self, sample):
        self.sample = sample

    def __len__(self):
        return N

    def __getitem__(self, i):
        return self.sample(i)


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()


class Setting:
    """A model and a game of two players whose losses find images and targets in a batch by `parts`."""

    def __init__(self, parts):
        self.parts = parts

    def loss(self, model, batch) -> Tensor:
        images, targets = self.parts(batch)
        return (model(images) - targets).square().mean()

    def losses(self, players, batch) -> dict[str, Tensor]:
        cross = (players.a(self.parts(batch)[0]) * players.b(self.parts(batch)[0])).mean()
        return {"a": self.loss(players.a, batch) + cross, "b": self.loss(players.b, batch) - cross}

    def game(self) -> gt.Game:
        return gt.Game({"a": net(1), "b": net(2)}, self.losses)

    def train(self, name: str, batch, **settings) -> Tensor:
        game = self.game()
        optimizer = gt.trainers.make(name, game, lr=0.01, **settings)
        optimizer.step(*[batch] * optimizer.batches_per_step)
        return game.vector()

    def stepped(self, batch, **settings):
        return analysis.update_operator(gt.trainers.make("consensus", self.game(), lr=0.01, **settings), batch).dense()

    def adam(self, batch):
        model = net(1)
        game, adam = gt.minimization(model, self.loss), torch.optim.Adam(model.parameters())
        return analysis.update_operator(adam, batch, game=game).dense()

    def watched(self, batch):
        model = net(1)
        adam = torch.optim.Adam(model.parameters())
        watcher = gt.watch(
            {"model": model}, lambda p, b: {"model": self.loss(p["model"], b)}, optimizers={"model": adam}
        )
        return torch.cat([s.values.abs().double() for s in watcher.look(1, batch).spectra.values()])


def hessian(setting, batch):
    return analysis.hessian(net(1), setting.loss, batch)


# Of one batch or of a loader.
ANALYSES = {
    "jacobian": lambda s, b: analysis.jacobian(s.game(), b).dense(),
    "jacobian, forward": lambda s, b: analysis.jacobian(s.game(), b, method="forward").dense(),
    "jacobian, difference": lambda s, b: analysis.jacobian(s.game(), b, method="difference").dense(),
    "hessian": lambda s, b: hessian(s, b).dense(),
    "hessian of a player": lambda s, b: analysis.hessian(s.game(), b, player="a").dense(),
    "index": lambda s, b: [analysis.index(hessian(s, b)).negative, analysis.index(hessian(s, b)).positive],
    "eigenvalues": lambda s, b: analysis.eigenvalues(hessian(s, b), k=3).values,
    "density": lambda s, b: analysis.spectral_density(hessian(s, b), probes=2, steps=4).nodes,
    "gauss_newton": lambda s, b: analysis.gauss_newton(
        net(1), lambda out, b: (out - s.parts(b)[1]).square().mean(), b, forward=lambda m, b: m(s.parts(b)[0])
    ).dense(),
    "fisher": lambda s, b: analysis.fisher(
        net(1), "gaussian", b, kind="exact", forward=lambda m, b: m(s.parts(b)[0])
    ).dense(),
    "stationary_point": lambda s, b: analysis.stationary_point(net(1), s.loss, b, max_steps=2).vector,
    "path_angle": lambda s, b: analysis.path_angle(s.game(), w := s.game().vector(), w + DIRECTION, b, points=3).norm,
    "line": lambda s, b: analysis.line(s.game(), b, DIRECTION, points=3).losses["a"],
    "plane": lambda s, b: analysis.plane(s.game(), b, (DIRECTION, DIRECTION.flip(0)), points=3).losses["b"],
    "diagnose": lambda s, b: analysis.diagnose(s.game(), b, steps=5, spectrum=False).numbers,
}
STEPS = {
    "field": lambda s, b: s.game().field(b),
    **{f"step of {name}": lambda s, b, name=name: s.train(name, b) for name in gt.trainers.OPTIMIZERS},
    "step of parts": lambda s, b: s.train("extragradient", gt.split(b, 2)),
    "update_operator": lambda s, b: s.stepped(b),
    "update_operator of Adam": lambda s, b: s.adam(b),
    "watch": lambda s, b: s.watched(b),
}


def check(name: str, call, several: bool = False) -> None:
    """Compare what a call makes of a collated batch, or a loader of one, with the same in a dictionary."""
    sample, parts = SAMPLES[name]
    loader = DataLoader(Samples(sample), N)
    batch = next(iter(loader))
    images, targets = parts(batch)
    named = {"images": images, "targets": targets}
    expected = call(Setting(lambda b: (b["images"], b["targets"])), [named] if several else named)
    got = call(Setting(parts), loader if several else batch)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("several", [False, True], ids=["batch", "loader"])
@pytest.mark.parametrize("analysed", few(ANALYSES, 5))
def test_analyses_take_images_with_targets_and_masks(analysed, several):
    check("image, (target, mask)", ANALYSES[analysed], several)


@pytest.mark.parametrize("step", few(STEPS, 9))
def test_steps_take_images_with_targets_and_masks(step):
    check("image, (target, mask)", STEPS[step])


@pytest.mark.parametrize("analysed", few(["hessian", "jacobian", "line"], 1))
@pytest.mark.parametrize("name", SAMPLES)
def test_every_list_that_holds_a_tensor_is_one_batch(name, analysed):
    check(name, ANALYSES[analysed])


def test_targets_that_are_no_tensor_are_told():
    sample, parts = SAMPLES["image, labels by name"]
    with pytest.raises(GantoolsError, match="second part is a tensor"):
        forward = lambda m, b: m(parts(b)[0])  # noqa: E731
        analysis.fisher(
            net(1), "gaussian", next(iter(DataLoader(Samples(sample), N))), kind="empirical", forward=forward
        )
