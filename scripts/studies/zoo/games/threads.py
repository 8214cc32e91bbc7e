"""Ten families of public reports in miniature, each with the changed game that cured it."""

from typing import Any

import torch
from parts import around, drawn, gaussian, mlp, ring, scores_of, waves
from torch import Tensor, nn
from torch.nn.functional import one_hot

import gantools as gt

Made = tuple[gt.Game, Any]


class Vocoder(nn.Module):
    """Generator of waves (B, 1, 32) from the magnitudes of their spectrum (B, 1, 17)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(17, 64, 64, 32, activation=lambda: nn.LeakyReLU(0.1))

    def forward(self, spectrum: Tensor) -> Tensor:
        return self.net(spectrum)


class Features(nn.Module):
    """Convolutional discriminator of waves, with the features of each of its layers."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(1, 16), (16, 32), (32, 1)]
        self.layers = nn.ModuleList(nn.Conv1d(n, m, 5, 2 if m > 1 else 1, 2) for n, m in sizes)

    def forward(self, wave: Tensor) -> list[Tensor]:
        found = []
        for layer in self.layers:
            wave = layer(wave)
            found.append(wave)
            wave = nn.functional.leaky_relu(wave, 0.1)
        return found


def spectrum(wave: Tensor) -> Tensor:
    """Return the magnitudes of a wave's Fourier coefficients, in place of a mel spectrogram."""
    c = torch.fft.rfft(wave)
    return (c.real.square() + c.imag.square() + 1e-6).sqrt() / 4


def vocoder() -> Made:
    """HiFi-GAN in miniature: least squares, matched features (2), spectra (45) (jik876/hifi-gan 143)."""

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["generator"](batch["latent"])
        *real_features, real = players["discriminator"](batch["real"])
        *features, score = players["discriminator"](fake)
        matched = sum((a.detach() - b).abs().mean() for a, b in zip(real_features, features, strict=True))
        sound = (spectrum(fake) - batch["latent"]).abs().mean()
        return {"generator": (score - 1).square().mean() + 2 * matched + 45 * sound,
                "discriminator": (real - 1).square().mean() + score.square().mean()}  # fmt: skip

    batches = [{"real": w, "latent": spectrum(w)} for w in (waves(32) for _ in range(100))]
    return gt.Game({"generator": Vocoder(), "discriminator": Features()}, losses), batches


class Variational(nn.Module):
    """Autoencoder of waves whose code is Gaussian; (B, 1, 32) and noise (B, 1, 4) to waves, means and log variances."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(32, 64, 8), mlp(4, 64, 32)

    def forward(self, wave: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(wave).chunk(2, -1)
        return self.decoder(mean + (log_variance / 2).exp() * noise), mean, log_variance


def audio_autoencoder() -> Made:
    """A variational autoencoder of sounds with a discriminator (Stability-AI/stable-audio-tools 144)."""

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake, mean, log_variance = players["autoencoder"](batch["real"], batch["latent"])
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).mean()
        real_score, score = players["discriminator"](batch["real"]), players["discriminator"](fake)
        return {"autoencoder": 10 * (fake - batch["real"]).square().mean() + 0.1 * divergence - 0.1 * score.mean(),
                "discriminator": (1 - real_score).relu().mean() + (1 + score).relu().mean()}  # fmt: skip

    players = {"autoencoder": Variational(), "discriminator": mlp(32, 64, 1)}
    batches = [{"real": 3 * waves(32), "latent": torch.randn(32, 1, 4)} for _ in range(100)]
    return gt.Game(players, losses), batches


def overpowered() -> Made:
    """A wide discriminator of waves against a small generator (jik876/hifi-gan 100, "is D too powerful?")."""
    generator, discriminator = mlp(8, 32, 32), mlp(32, 128, 128, 1, activation=lambda: nn.LeakyReLU(0.1))
    return gt.gan(generator, discriminator), drawn(lambda n: waves(n)[:, 0], 8)


def _r3gan(gamma: float) -> Made:
    generator, discriminator = mlp(4, 32, 32, 2), mlp(2, 64, 64, 1)
    with torch.no_grad():
        for layer in discriminator[::2]:
            layer.weight.mul_(3)  # slopes 27 times those of fresh weights, as a pretrained backbone may have
    regularizers = [gt.regularizers.R1(gamma=gamma), gt.regularizers.R2(gamma=gamma)]
    return gt.gan(generator, discriminator, "relativistic", regularizers), drawn(ring(4, 0.1), 4)


def r3gan() -> Made:
    """R1 and R2 with the gamma of FFHQ 256 on another discriminator: abnormally large losses (brownvc/R3GAN 5)."""
    return _r3gan(150.0)


def r3gan_lighter() -> Made:
    """The same with a gamma 100 times less."""
    return _r3gan(1.5)


def _distilled(centre: float) -> Made:
    mean = torch.full((4,), centre)
    data = gaussian(mean, torch.tensor([1.0, 0.5, 1.0, 0.5]))
    generator, discriminator = mlp(4, 32, 4), mlp(4, 64, 64, 1, activation=nn.Tanh)
    with torch.no_grad():
        generator[-1].bias.add_(mean + 1.5)
    regularizers = [gt.regularizers.R1(gamma=0.2), gt.regularizers.R2(gamma=0.2)]
    return gt.gan(generator, discriminator, "relativistic", regularizers), drawn(data, 4)


def relativistic_flat() -> Made:
    """A student that begins near data far from 0: all logits equal, no gradient (guandeh17/Self-Forcing 37)."""
    return _distilled(300.0)


def relativistic_normalised() -> Made:
    """The same with the data centred."""
    return _distilled(0.0)


class Steps(nn.Module):
    """A student that flows in steps of `dt` for a time 1, with the steps of inference beside those of training."""

    def __init__(self, inference: int):
        super().__init__()
        self.net, self.inference = mlp(3, 32, 2), inference

    def forward(self, x: Tensor) -> Tensor:
        n = 2 if self.training else self.inference
        for k in range(n):
            # The network learns displacements of its own two steps, not a velocity.
            x = x + self.net(torch.cat([x, torch.full_like(x[:, :1], k / n)], 1))
        return x


def _student(inference: int) -> Made:
    regularizers = [gt.regularizers.R1(gamma=0.5)]
    data = gaussian(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0]))
    return gt.gan(Steps(inference), mlp(2, 32, 32, 1), "nonsaturating", regularizers), drawn(data, 2)


def mismatched_inference() -> Made:
    """A student trained with two steps and used with eight: the game is healthy (modelscope/DiffSynth-Studio 1617)."""
    return _student(8)


def matched_inference() -> Made:
    """The same, used with the steps that it was trained with."""
    return _student(2)


def _autoencoder(weight: float) -> Made:
    directions = torch.linalg.qr(torch.randn(16, 16)).Q
    scale = torch.tensor([1.5, 1.2] + [0.25] * 14)
    batches = [{"real": (torch.randn(64, 16) * scale) @ directions.T} for _ in range(100)]
    autoencoder = nn.Sequential(nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False))
    with torch.no_grad():
        autoencoder[0].weight.copy_(directions[:, :2].T)
        autoencoder[1].weight.copy_(directions[:, :2])

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["autoencoder"](batch["real"])
        real_score, score = players["discriminator"](batch["real"]), players["discriminator"](fake)
        return {"autoencoder": (fake - batch["real"]).square().mean() - weight * score.mean(),
                "discriminator": (1 - real_score).relu().mean() + (1 + score).relu().mean()}  # fmt: skip

    return gt.Game({"autoencoder": autoencoder, "discriminator": mlp(16, 64, 1)}, losses), batches


def autoencoder() -> Made:
    """A fitted autoencoder that a heavy adversarial term joins (CompVis/latent-diffusion 350, TATS 28)."""
    return _autoencoder(1000.0)


def autoencoder_lighter() -> Made:
    """The same with a light adversarial term."""
    return _autoencoder(0.01)


class Rounded(nn.Module):
    """A network whose products are taken in another precision, as autocast does; float32 parameters and scores."""

    def __init__(self, net: nn.Sequential, dtype: torch.dtype):
        super().__init__()
        self.net, self.dtype = net, dtype

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                x = nn.functional.linear(x, layer.weight.to(self.dtype), layer.bias.to(self.dtype))
            else:
                x = layer(x)
        return x


def _probabilities(dtype: torch.dtype) -> Made:
    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        _, real, fake = scores_of(players, batch)
        # Probabilities that a sample is generated.
        real, fake = (-real).sigmoid(), (-fake).sigmoid()
        return {"generator": -(1 - fake).log().float().mean(),
                "discriminator": -((1 - real).log() + fake.log()).float().mean()}  # fmt: skip

    players = {"generator": mlp(4, 32, 2), "discriminator": Rounded(mlp(2, 32, 32, 1), dtype)}
    return gt.Game(players, losses), drawn(around(torch.tensor([[5.0, 5.0]]), 0.5), 4)


def bfloat16() -> Made:
    """Cross entropy of probabilities in bfloat16, where 1 - p is 0 early (Open-Sora-Plan 265, magvit2-pytorch 16)."""
    return _probabilities(torch.bfloat16)


def float32() -> Made:
    """The same in float32."""
    return _probabilities(torch.float32)


def _table(scale: float, offset: float) -> Made:
    def rows(n: int) -> Tensor:
        kind = torch.distributions.Categorical(torch.tensor([0.5, 0.3, 0.2])).sample((n,))
        income = offset + scale * (torch.randn(n) * 0.5 + kind - 0.7)
        age = torch.randn(n) * 0.7 + 0.5 * (kind - 0.7)
        return torch.cat([income[:, None], age[:, None], one_hot(kind, 3).float()], 1)

    regularizers = [gt.regularizers.R1(gamma=0.1)]
    return gt.gan(mlp(8, 64, 5), mlp(5, 64, 1), "nonsaturating", regularizers), drawn(rows, 8)


def table() -> Made:
    """A table with a column of incomes in currency beside categories (sdv-dev/CTGAN PR 499)."""
    return _table(20_000.0, 50_000.0)


def table_normalised() -> Made:
    """The same with every column of about unit size."""
    return _table(1.0, 0.0)


def imitation() -> Made:
    """Motions to imitate: scores at 1 and -1, a reward clipped at 0; cured by fewer updates (legged_lab 28, 31)."""

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        _, real, fake = scores_of(players, batch)
        reward = (1 - 0.25 * (fake - 1).square()).relu()
        return {"generator": -reward.mean(),
                "discriminator": (real - 1).square().mean() + (fake + 1).square().mean()}  # fmt: skip

    discriminator = nn.Sequential(mlp(4, 64, 64, 1), nn.Tanh())
    data = gaussian(torch.full((4,), 4.0), torch.full((4,), 0.5))
    return gt.Game({"generator": mlp(4, 32, 4), "discriminator": discriminator}, losses), drawn(data, 4)
