"""Games that are right: GANs as loops and `gt.gan` make them, and games of three players."""

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gantools as gt
from arbiter.cases import DTYPES, Case
from arbiter.nets import ACTIVATIONS, SAMPLES, mlp


def _fake(players: Any, batch: Any) -> Tensor:
    return players["generator"](batch["latent"])


def _no_grad_fake(players: Any, batch: Any) -> Tensor:
    with torch.no_grad():
        return players["generator"](batch["latent"])


def _replayed(players: Any, batch: Any) -> Tensor:
    return torch.cat([_no_grad_fake(players, batch)[:2], _fake(players, batch)[2:].detach()])


FAKES: dict[str, Callable[[Any, Any], Tensor]] = {
    "shared": _fake,
    "detached": lambda p, b: _fake(p, b).detach(),
    "data": lambda p, b: _fake(p, b).data,
    "under no_grad": _no_grad_fake,
    "two halves": _replayed,
}
SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": lambda s: F.softplus(s).mean(),
    "hinge": lambda s: F.relu(1 + s).mean() + 0.1 * s.square().mean(),
    "least squares": lambda s: (s + 1).square().mean(),
    "exponential": lambda s: (0.5 * s).exp().mean(),
    "Wasserstein": lambda s: s.mean() + 1e-3 * s.square().mean(),
}
PENALTIES = ("none", "real", "between", "norm")


def penalty(kind: str, discriminator: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Return a gradient penalty as public loops write it."""
    if kind == "none":
        return real.new_zeros(())
    x = real if kind == "real" else mix * real + (1 - mix) * fake.detach()
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    if kind == "norm":
        return ((slope.square().sum(1) + 1e-12).sqrt() - 1).square().mean()
    return slope.square().sum(1).mean()


def _gan_batch() -> dict[str, Tensor]:
    batch = {"real": torch.randn(SAMPLES, 2), "latent": torch.randn(SAMPLES, 3), "mix": torch.rand(SAMPLES, 1)}
    return batch


def _in(dtype: torch.dtype, players: dict[str, nn.Module], batch: dict[str, Tensor]) -> tuple[Any, Any]:
    return {k: m.to(dtype) for k, m in players.items()}, {k: x.to(dtype) for k, x in batch.items()}


def _critic(rng: random.Random, act: Callable[[], nn.Module]) -> nn.Module:
    between = rng.choice(
        [(), (nn.LayerNorm,), (nn.BatchNorm1d,), (lambda n: nn.utils.parametrizations.spectral_norm(nn.Linear(n, n)),)]
    )
    return mlp(act, *between, inputs=2)


def loop_gan(seed: int) -> Case:
    """Return the GAN of a public training loop: its fakes made in some way, its penalty of some kind."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    act, fake_name = ACTIVATIONS[rng.choice(sorted(ACTIVATIONS))], rng.choice(sorted(FAKES))
    score, kind, dtype = rng.choice(sorted(SCORES)), rng.choice(PENALTIES), rng.choice(DTYPES)
    players = {"generator": mlp(act, *rng.choice([(), (nn.BatchNorm1d,)])), "discriminator": _critic(rng, act)}
    players, batch = _in(dtype, players, _gan_batch())

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        fake, g = FAKES[fake_name](players, batch), SCORES[score]
        d = players["discriminator"]
        critic = g(-d(batch["real"])) + g(d(fake)) + 2.0 * penalty(kind, d, batch["real"], fake, batch["mix"])
        return {"generator": g(-d(_fake(players, batch))), "discriminator": critic}

    return Case(
        f"GAN, {act().__class__.__name__}, fakes {fake_name}, {score}, penalty {kind}, {dtype}", players, losses, batch
    )


def library_gan(seed: int) -> Case:
    """Return a GAN of `gt.gan` with one of its losses and regularizers."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    R = gt.regularizers
    act, loss = ACTIVATIONS[rng.choice(sorted(ACTIVATIONS))], rng.choice(sorted(gt.losses.LOSSES))
    name = rng.choice(["none", "R1", "R1 and R2", "WGAN-GP", "noise"])
    chosen = {
        "none": [],
        "R1": [R.R1(1.0)],
        "R1 and R2": [R.R1(1.0), R.R2(1.0)],
        "WGAN-GP": [R.WganGP(1.0)],
        "noise": [R.InstanceNoise(0.1)],
    }[name]
    players, batch = _in(rng.choice(DTYPES), {"generator": mlp(act), "discriminator": _critic(rng, act)}, _gan_batch())
    game = gt.gan(players["generator"], players["discriminator"], loss, chosen)
    batch = R.draw(game, batch, torch.Generator().manual_seed(seed))
    return Case(f"gt.gan, {act().__class__.__name__}, {loss}, {name}, {game.dtype}", players, game.losses, batch)


def three(seed: int) -> Case:
    """Return a game of three players: a GAN with a classifier, a cycle, or an autoencoder with a critic."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    kind, act = (
        rng.choice(["auxiliary", "cycle", "adversarial autoencoder"]),
        ACTIVATIONS[rng.choice(sorted(ACTIVATIONS))],
    )
    players = {name: mlp(act, inputs=2) for name in ("one", "two", "three")}
    players, batch = _in(rng.choice(DTYPES), players, {"x": torch.randn(SAMPLES, 2), "z": torch.randn(SAMPLES, 2)})

    def losses(p: Any, b: Any) -> dict[str, Tensor]:
        one, two, three = (p[k] for k in ("one", "two", "three"))
        if kind == "auxiliary":
            fake = one(b["z"])
            labels = (b["z"][:, 0] > 0).long()
            help_ = F.cross_entropy(three(fake), labels)
            critic = F.softplus(-two(b["x"])).mean() + F.softplus(two(fake.detach())).mean()
            return {
                "one": F.softplus(-two(fake)).mean() + help_,
                "two": critic,
                "three": F.cross_entropy(three(fake.detach()), labels),
            }
        if kind == "cycle":
            a, c, d = one(b["x"]).mean(0), two(b["x"]).mean(0), three(b["x"]).mean(0)
            return {
                "one": a.dot(c) + a.dot(a) ** 2,
                "two": c.dot(d) - c.dot(a.detach()),
                "three": d.dot(a).sin() + d.dot(d),
            }
        code = one(b["x"])
        score = three(code)
        return {
            "one": F.mse_loss(two(code), b["x"]) + F.softplus(-score).mean(),
            "two": F.mse_loss(two(code.detach()), b["x"]),
            "three": F.softplus(score).mean() + F.softplus(-three(b["z"])).mean(),
        }

    return Case(
        f"three players, {kind}, {act().__class__.__name__}, {next(players['one'].parameters()).dtype}",
        players,
        losses,
        batch,
    )


def uneven(seed: int) -> Case:
    """Return a GAN one of whose players has losses and weights of another size."""
    case = loop_gan(seed)
    factor, inner = 10.0 ** random.Random(seed).choice([-6, -3, 3, 6]), case.losses

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        found = inner(players, batch)
        return {**found, "discriminator": factor * found["discriminator"]}

    return Case(f"{case.name}, discriminator's loss times {factor:.0e}", case.players, losses, case.batch)
