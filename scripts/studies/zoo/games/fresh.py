"""Eleven sick trainings as users report them, each with the changed game that mends it where no flag does."""

from typing import Any

import torch
from fresh_parts import Painter, Pair, Series, bumps, critic, payoffs, policies
from parts import Vector, drawn, mlp, ring
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, softplus

import gantools as gt

Made = tuple[gt.Game, Any]


def _sensors(missing: float) -> Made:
    """Return a recurrent generator of series, of which three readings of one batch in a hundred are missing."""
    batches = [{"real": _swings(64), "latent": torch.randn(64, 8, 2)} for _ in range(100)]
    batches[37]["real"][5, 3:6] = missing
    discriminator = mlp(8, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))
    return gt.gan(Series(), discriminator, "nonsaturating", [gt.regularizers.R1(gamma=0.1)]), batches


def _swings(size: int) -> Tensor:
    """Return series (size, 8) that swing about 0 with a random phase and amplitude."""
    t, phase = torch.arange(8) / 8, torch.rand(size, 1)
    return (1 + 0.3 * torch.randn(size, 1)) * (2 * torch.pi * (t + phase)).sin() + 0.1 * torch.randn(size, 8)


def sensors() -> Made:
    """Series of a sensor whose missing readings are written as -9999 (clovaai/stargan-v2 169: look at your files)."""
    return _sensors(-9999.0)


def sensors_filled() -> Made:
    """The same with the missing readings put at the mean."""
    return _sensors(0.0)


class Quantised(nn.Module):
    """Autoencoder (B, 16) to (B, 16) whose code of two numbers is rounded to a grid."""

    def __init__(self, straight_through: bool):
        super().__init__()
        self.encoder, self.decoder, self.straight_through = mlp(16, 32, 2), mlp(2, 64, 16), straight_through

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x)
        grid = (4 * code).round() / 4
        return self.decoder(code + (grid - code).detach() if self.straight_through else grid)


def _quantised(straight_through: bool) -> Made:
    directions = torch.linalg.qr(torch.randn(16, 16)).Q
    scale = torch.tensor([1.5, 1.2] + [0.2] * 14)
    batches = [{"real": (torch.randn(64, 16) * scale) @ directions.T} for _ in range(100)]

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["autoencoder"](batch["real"])
        real_score, score = players["discriminator"](batch["real"]), players["discriminator"](fake)
        return {"autoencoder": (fake - batch["real"]).square().mean() - 0.01 * score.mean(),
                "discriminator": (1 - real_score).relu().mean() + (1 + score).relu().mean()}  # fmt: skip

    players = {"autoencoder": Quantised(straight_through), "discriminator": mlp(16, 64, 1)}
    return gt.Game(players, losses), batches


def quantised() -> Made:
    """Compression whose code is rounded before the decoder (Justin-Tan/generative-compression 27)."""
    return _quantised(straight_through=False)


def quantised_straight_through() -> Made:
    """The same where gradients pass the rounding as if it were not there."""
    return _quantised(straight_through=True)


class Adapted(nn.Module):
    """Features of samples (B, 2), and the scores of two classes from them."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.classes = mlp(2, 32, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.features(x))


def _domains(weight: float) -> Made:
    def drawn_pair(n: int) -> dict[str, Tensor]:
        label, other = torch.arange(n) % 2, torch.randint(2, (n,))
        first = lambda kind: 2.0 * kind - 1 + 0.4 * torch.randn(n)  # noqa: E731
        source = torch.stack([first(label), 2.0 * label - 1 + 0.3 * torch.randn(n)], 1)
        target = torch.stack([first(other), 3 + 0.3 * torch.randn(n)], 1)
        return {"source": source, "source_label": label, "x": target, "label": other}

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        model = players["model"]
        known, other = model.features(batch["source"]), model.features(batch["x"])
        told = softplus(-players["domain"](known)).mean() + softplus(players["domain"](other)).mean()
        return {"model": cross_entropy(model.classes(known), batch["source_label"]) + weight * told, "domain": told}

    return gt.Game({"model": Adapted(), "domain": mlp(8, 32, 1)}, losses), [drawn_pair(64) for _ in range(100)]


def domains() -> Made:
    """Domain-adversarial training whose weight is negated twice (CuthbertCai/pytorch_DANN 10 and 13)."""
    return _domains(1.0)


def domains_reversed() -> Made:
    """The same with features that hide the domain."""
    return _domains(-1.0)


def pixels() -> Made:
    """Pictures of 0 to 255 beside a generator that ends in tanh (igul222/improved_wgan_training 72)."""
    batches = drawn(lambda n: 127.5 * (bumps(n) + 1), 8, count=100)
    return gt.gan(Painter(), critic(), "nonsaturating", [gt.regularizers.R1(gamma=0.1)]), batches


def pixels_scaled() -> Made:
    """The same with the pictures within [-1, 1]."""
    return gt.gan(Painter(), critic(), "nonsaturating", [gt.regularizers.R1(gamma=0.1)]), drawn(bumps, 8, count=100)


def _translated(weight: float) -> Made:
    def pairs(n: int) -> dict[str, Tensor]:
        given, side = torch.randn(n, 1), 2.0 * torch.randint(2, (n, 1)) - 1
        real = torch.cat([0.5 * given + side, side - 0.5 * given], 1) + 0.1 * torch.randn(n, 2)
        return {"real": real, "latent": torch.randn(n, 4), "label": given}

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["generator"](batch["latent"], batch["label"])
        real_score = players["discriminator"](batch["real"], batch["label"])
        score = players["discriminator"](fake, batch["label"])
        return {"generator": softplus(-score).mean() + weight * (fake - batch["real"]).square().mean(),
                "discriminator": softplus(-real_score).mean() + softplus(score).mean()}  # fmt: skip

    players = {"generator": Pair(mlp(5, 64, 64, 2)), "discriminator": Pair(mlp(3, 64, 64, 1))}
    return gt.Game(players, losses), [pairs(64) for _ in range(200)]


def translated() -> Made:
    """Translation with a weight of 100 on the squared distance: noise is ignored (CycleGAN-and-pix2pix 152)."""
    return _translated(100.0)


def translated_lighter() -> Made:
    """The same without that distance."""
    return _translated(0.0)


def hinged() -> Made:
    """Four Gaussians, hinge loss and spectral norm, to be trained with the default betas of Adam (DCGAN's advice)."""
    networks = mlp(4, 64, 64, 2), mlp(2, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))
    return gt.gan(*networks, "hinge", [gt.regularizers.SpectralNorm()]), drawn(ring(4, 0.1), 4)


class Attack(nn.Module):
    """Adds to points (B, 2) what a network makes of them, at most `size` to each coordinate."""

    def __init__(self, size: float):
        super().__init__()
        self.net, self.size = mlp(2, 32, 2), size

    def forward(self, x: Tensor) -> Tensor:
        return x + self.size * self.net(x).tanh()


def _robust(beta: float) -> Made:
    def rings(n: int) -> dict[str, Tensor]:
        label, angle = torch.arange(n) % 2, 2 * torch.pi * torch.rand(n)
        radius = 1.0 + label + 0.1 * torch.randn(n)
        return {"x": torch.stack([radius * angle.cos(), radius * angle.sin()], 1), "label": label}

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        clean = log_softmax(players["model"](batch["x"]), 1)
        attacked = log_softmax(players["model"](players["attack"](batch["x"])), 1)
        moved = (clean.exp() * (clean - attacked)).sum(1).mean()
        return {"model": cross_entropy(clean, batch["label"]) + beta * moved, "attack": -moved}

    return gt.Game({"model": mlp(2, 32, 32, 2), "attack": Attack(0.4)}, losses), [rings(64) for _ in range(100)]


def robust() -> Made:
    """TRADES with a network that attacks, and a heavy weight of robustness (yaodongyu/TRADES 12, Harry24k/MAIR 2)."""
    return _robust(10_000.0)


def robust_lighter() -> Made:
    """The same with the weight of the paper."""
    return _robust(6.0)


def budget() -> Made:
    """A classifier with at most 5 % of false alarms, kept by a learnt multiplier (PKU-Alignment/omnisafe 321)."""

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logit = players["model"](batch["x"]).squeeze(1)
        wrong = logit[~batch["alarm"]].sigmoid().mean() - 0.05
        missed = logit[batch["alarm"]].sigmoid().log().neg().mean()
        multiplier = softplus(players["multiplier"].value).squeeze()
        return {"model": missed + multiplier * wrong, "multiplier": -multiplier * wrong}

    def cases(n: int) -> dict[str, Tensor]:
        alarm = torch.arange(n) % 2 == 1
        return {"x": torch.randn(n, 2) + 2.5 * alarm[:, None], "alarm": alarm}

    players = {"model": mlp(2, 16, 1), "multiplier": Vector(torch.full((1,), -2.0))}
    return gt.Game(players, losses), [cases(128) for _ in range(100)]


def scissors() -> Made:
    """Self-play of four rounds, each a weighted rock, paper, scissors, by gradients of both policies."""
    return policies(payoffs(4), 0.5)


def _normalised(momentum: float) -> Made:
    networks = Painter(momentum), critic()
    return gt.gan(*networks, "nonsaturating", [gt.regularizers.R1(gamma=0.1)]), drawn(bumps, 8, count=100)


def evaluated() -> Made:
    """Pictures that are good in training mode and not in eval mode (CycleGAN-and-pix2pix 1329, DualGAN 10)."""
    return _normalised(1e-4)


def evaluated_sooner() -> Made:
    """The same with running statistics that follow those of the batches."""
    return _normalised(0.1)


def clipped() -> Made:
    """A WGAN with clipped weights and another base rule than its authors', at their rate (agrimgupta92/sgan 63)."""
    networks = mlp(4, 64, 64, 2), mlp(2, 64, 64, 1)
    return gt.gan(*networks, "wasserstein", [gt.regularizers.Clip(c=0.05)]), drawn(ring(4, 0.2), 4)
