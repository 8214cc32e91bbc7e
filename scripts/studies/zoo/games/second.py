"""A second set of games written afterwards, after public reports, each with the changed game that cured it if any."""

from typing import Any

import torch
from parts import around, drawn, mlp, scores_of
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot, relu

import gantools as gt

Made = tuple[gt.Game, Any]


def wages() -> Made:
    """Two effects from two instruments: the moments that a critic chooses are to vanish (adversarial moments, AGMM)."""

    def people(n: int) -> dict[str, Tensor]:
        instruments, hidden = torch.randn(n, 2), torch.randn(n, 1)
        causes = instruments @ torch.tensor([[1.0, 0.4], [-0.3, 0.9]]) + 0.5 * hidden
        wage = causes @ torch.tensor([[1.0], [-0.5]]) + hidden + 0.2 * torch.randn(n, 1)
        return {"x": causes, "instruments": instruments, "wage": wage}

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = players["critic"](batch["instruments"])
        moment = ((batch["wage"] - players["model"](batch["x"])) * chosen).mean()
        return {"model": moment, "critic": -moment + 0.02 * chosen.square().mean()}

    players = {"model": nn.Linear(2, 1, bias=False), "critic": nn.Linear(2, 1, bias=False)}
    return gt.Game(players, losses), [people(256) for _ in range(100)]


SEGMENTS = torch.tensor([[1.5, 0.0, -1.0], [-1.0, 1.5, 0.5], [0.5, -1.5, 1.0], [-1.0, -0.5, -1.5]])


def _customers(mixed: bool) -> Made:
    """Return a GAN of customers in four segments, and 200 batches of the rows of a file, read in its order or mixed."""
    rows = SEGMENTS.repeat_interleave(3200, 0)
    rows = rows + 0.4 * torch.randn(rows.shape)
    if mixed:
        rows = rows[torch.randperm(len(rows))]
    batches = [{"real": real, "latent": torch.randn(64, 4)} for real in rows.split(64)]
    regularizers = [gt.regularizers.R1(gamma=0.3)]
    return gt.gan(mlp(4, 32, 32, 3), mlp(3, 64, 64, 1), "nonsaturating", regularizers), batches


def customers() -> Made:
    """Customers as their file lists them, one segment after another (carpedm20/DCGAN-tensorflow PR 292)."""
    return _customers(mixed=False)


def customers_mixed() -> Made:
    """The same rows in random order."""
    return _customers(mixed=True)


class Embedded(nn.Module):
    """Generator of series (B, 12) from as many innovations, each normalised and embedded before they are mixed."""

    def __init__(self, over: str):
        super().__init__()
        self.over, self.norm = over, nn.LayerNorm(1 if over == "variables" else 12)
        self.embedding, self.net = nn.Linear(1, 4), mlp(48, 64, 12)

    def forward(self, latent: Tensor) -> Tensor:
        # (B, 12, 1): a series of one variable.
        given = self.norm(latent[..., None]) if self.over == "variables" else self.norm(latent)[..., None]
        return self.net(self.embedding(given).flatten(1))


def _series(over: str) -> Made:
    t = torch.arange(12) / 12

    def days(n: int) -> Tensor:
        phase, level = 2 * torch.pi * torch.rand(n, 1), 0.5 * torch.randn(n, 1)
        return level + (2 * torch.pi * t + phase).sin() + 0.1 * torch.randn(n, 12)

    regularizers = [gt.regularizers.R1(gamma=0.2)]
    return gt.gan(Embedded(over), mlp(12, 64, 64, 1), "nonsaturating", regularizers), drawn(days, 12)


def series() -> Made:
    """Daily profiles of one variable, as a table of hours (jsyoon0823/TimeGAN 86)."""
    return _series("variables")


def series_over_time() -> Made:
    """The same with the norm over the hours of a day."""
    return _series("time")


class Teacher(nn.Module):
    """A head on the normalised features of a frozen network of points (B, 2), of the sizes found in transformers."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.head, self.dtype = mlp(48, 32, 1), dtype
        self.register_buffer("weight", 0.7 * torch.randn(2, 48))
        self.register_buffer("bias", torch.randn(48))
        self.register_buffer("size", torch.where(torch.arange(48) < 6, 900.0, 250.0))

    def forward(self, x: Tensor) -> Tensor:
        features = ((x @ self.weight + self.bias).tanh() * self.size).to(self.dtype)
        features = features * (features.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        return self.head(features.float())


def _student(dtype: torch.dtype) -> Made:
    data = around(torch.tensor([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]]), 0.2)
    return gt.gan(mlp(4, 32, 32, 2), Teacher(dtype), "hinge"), drawn(data, 4)


def teacher() -> Made:
    """A student judged by a head on its teacher's features, taken in float16 (as in adversarial distillation)."""
    return _student(torch.float16)


def teacher_float32() -> Made:
    """The same in float32."""
    return _student(torch.float32)


def _claims(weight: float, graph: bool) -> Made:
    def rows(n: int) -> Tensor:
        kind = torch.distributions.Categorical(torch.tensor([0.6, 0.4])).sample((n,))
        amount = 0.5 * torch.randn(n, 2) + torch.tensor([[-0.6, 0.4], [0.8, -0.4]])[kind]
        return torch.cat([amount, one_hot(kind, 2).float()], 1)

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake, real_score, score = scores_of(players, batch)
        middle = (batch["real"] + batch["mix"] * (fake - batch["real"])).detach().requires_grad_()
        (slope,) = torch.autograd.grad(players["discriminator"](middle).sum(), middle, create_graph=graph)
        penalty = ((slope.square().sum(1) + 1e-12).sqrt() - 1).square().mean()
        return {"generator": -score.mean(), "discriminator": score.mean() - real_score.mean() + weight * penalty}

    batches = drawn(rows, 8)
    for batch in batches:
        batch["mix"] = torch.rand(64, 1)
    return gt.Game({"generator": mlp(8, 64, 4), "discriminator": mlp(4, 64, 64, 1)}, losses), batches


def claims() -> Made:
    """Insurance claims, a critic of Wasserstein's kind with a penalty, weight 10 (ooples/AiDotNet 1844, CTGAN)."""
    return _claims(10.0, graph=False)


def claims_with_graph() -> Made:
    """The same with slopes that are differentiated again."""
    return _claims(10.0, graph=True)


class Icons(nn.Module):
    """A small DCGAN's generator of pictures (B, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 32 * 4)
        self.second, self.third = nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ConvTranspose2d(16, 1, 4, 2, 1)

    def forward(self, latent: Tensor) -> Tensor:
        x = relu(self.first(latent)).unflatten(1, (32, 2, 2))
        return self.third(relu(self.second(x))).tanh()


class Judge(nn.Module):
    """A convolutional discriminator of such pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1)
        self.last = nn.Linear(32 * 4, 1)

    def forward(self, picture: Tensor) -> Tensor:
        x = leaky_relu(self.first(picture), 0.2)
        return self.last(leaky_relu(self.second(x), 0.2).flatten(1))


def _icons(mean: float, deviation: float) -> Made:
    def pictures(n: int) -> Tensor:
        place = 2.0 + 3 * torch.rand(2, n, 1)
        near = [(-(torch.arange(8) - at).square() / 3).exp() for at in place]
        return 2 * (near[0][:, :, None] * near[1][:, None])[:, None] - 1

    generator = Icons()
    for layer in (generator.second, generator.third):
        nn.init.normal_(layer.weight, mean, deviation)
    regularizers = [gt.regularizers.R1(gamma=0.1)]
    return gt.gan(generator, Judge(), "nonsaturating", regularizers), drawn(pictures, 8)


def icons() -> Made:
    """Spots in small pictures by a DCGAN whose layers are initialised by hand (after pytorch/examples dcgan)."""
    return _icons(1.0, 0.02)


def icons_about_zero() -> Made:
    """The same with convolutions that begin about 0."""
    return _icons(0.0, 0.1)
