"""Networks, losses and games whose field or derivative autograd gets wrong, all of which must be refused."""

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arbiter.cases import DTYPES, Case
from arbiter.games import penalty
from arbiter.losses import WHOLE
from arbiter.nets import ACTIVATIONS, OUT, SAMPLES, WIDTH, Map, mlp

SMOOTH = ("GELU", "SiLU", "Tanh", "ELU", "Softplus", "Mish", "Sigmoid")
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squares": lambda z, y: (z - y).square().mean(),
    "softplus": lambda z, y: F.softplus(-y.sign() * z).mean(),
    "cross entropy": lambda z, y: F.cross_entropy(z, y.softmax(1)),
    "log-sum-exp": lambda z, y: (z - y).logsumexp(1).mean() + z.square().mean(),
}


# Operations that autograd sees otherwise than they are: of a tensor, anywhere in a network. ---------------------------


def opaque(
    slope: Callable[[np.ndarray], np.ndarray] | None, torch_slope: Callable[[Tensor], Tensor] | None = None
) -> Any:
    """Return a function with the values of NumPy's sin(x) + x, as one from a C library, and a backward of some kind."""

    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            value = x.detach().numpy()
            return torch.from_numpy(np.sin(value) + value)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            if torch_slope is not None:
                return gradient * torch_slope(x)
            return gradient * torch.from_numpy(slope(x.detach().numpy()))  # type: ignore[misc]

    return Opaque.apply


class Halved(torch.autograd.Function):
    """A hook-like function of PyTorch's own package, whose second derivative is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0].detach().cos()


Halved.__module__ = "torch.somewhere"  # as one of PyTorch's own: those are not traced


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "NumPy, right backward by NumPy": opaque(lambda x: np.cos(x) + 1),
    "NumPy, wrong backward by NumPy": opaque(lambda x: 1.3 * np.cos(x) + 1),
    "NumPy, wrong backward": opaque(None, lambda x: 2 * x.cos() + 1),
    "NumPy, backward of the identity": opaque(None, torch.ones_like),
    "NumPy, cut": lambda x: 0.5 * x + torch.from_numpy(np.tanh(x.detach().numpy())),
    "NumPy array protocol": lambda x: x * torch.from_numpy(1 + np.square(np.asarray(x.detach()))),
    "list of numbers": lambda x: x * torch.tensor(x.tolist(), dtype=x.dtype),
    "list of numbers only": lambda x: x + torch.tensor((3 * x).sin().tolist(), dtype=x.dtype),
    "mean as a number": lambda x: x * (1 + x.mean().item()),
    "norm as a number": lambda x: x / (1 + float(x.norm())),
    "first entry as a number": lambda x: x + math.sin(float(x.flatten()[0])) * x,
    "NumPy's mean": lambda x: x - float(np.mean(x.detach().numpy())) * x.square(),
    "maximum as a number": lambda x: x * math.exp(-x.detach().abs().max().item()),
    "deep copy of a tensor": lambda x: x * copy.deepcopy(x.detach()).cos(),
    "detached slope, not traced": Halved.apply,
}  # fmt: skip
PLACES = ("first", "middle", "last", "weight", "small beside large")


def operated(seed: int) -> Case:
    """Return a network with one such operation in some place."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    names = sorted(OPERATIONS)
    name, place = names[seed % len(names)], rng.choice(PLACES)
    act, loss, dtype = rng.choice(SMOOTH), rng.choice(sorted(LOSSES)), rng.choice(DTYPES)
    operation = OPERATIONS[name]

    def forward(m: Any, x: Tensor) -> Tensor:
        weight = operation(m.one.weight) if place == "weight" else m.one.weight
        h = F.linear(x, weight, m.one.bias)
        h = m.act(operation(h) if place == "first" else h)
        h = m.two(h)
        h = m.act(operation(h) if place == "middle" else h)
        z = m.three(h)
        z = operation(z) if place == "last" else z
        return z + 0.05 * operation(m.side(x)) + 10 * m.beside(x) if place == "small beside large" else z

    layers = {"one": nn.Linear(3, WIDTH), "two": nn.Linear(WIDTH, WIDTH), "three": nn.Linear(WIDTH, OUT)}
    net = Map(forward, **layers, side=nn.Linear(3, OUT), beside=nn.Linear(3, OUT), act=ACTIVATIONS[act]()).to(dtype)
    batch = {"x": torch.randn(SAMPLES, 3, dtype=dtype), "y": torch.randn(SAMPLES, OUT, dtype=dtype)}
    value = LOSSES[loss]
    return Case(
        f"{name}, {place}, {act}, {loss}, {dtype}",
        {"model": net},
        lambda p, b: {"model": value(p["model"](b["x"]), b["y"])},
        batch,
    )


def whole(seed: int) -> Case:
    """Return a network with a loss that is wrong as a whole."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    names = sorted(WHOLE)
    name, act = names[seed % len(names)], rng.choice(SMOOTH)
    loss, dtype = rng.choice(sorted(LOSSES)), rng.choice(DTYPES)
    net = mlp(ACTIVATIONS[act], *rng.choice([(), (nn.LayerNorm,)]), depth=rng.choice([1, 2])).to(dtype)
    batch = {"x": torch.randn(SAMPLES, 3, dtype=dtype), "y": torch.randn(SAMPLES, OUT, dtype=dtype)}
    wrong, value = WHOLE[name](net), LOSSES[loss]

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        return {"model": wrong(players["model"], batch["x"], lambda z: value(z, batch["y"]))}

    return Case(f"{name}, {act}, {loss}, {dtype}", {"model": net}, losses, batch)


# Games, one of whose losses is wrong ----------------------------------------------------------------------------------


def _copied_discriminator(p: Any, b: Any, fake: Tensor) -> Tensor:
    return F.softplus(-copy.deepcopy(p["discriminator"])(fake)).mean()


GENERATORS: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "a stale copy of the discriminator": _copied_discriminator,
    "a factor from the discriminator": lambda p, b, fake: (s := p["discriminator"](fake).mean()).sin() * (1 + s.item()),
    "the discriminator's scores by NumPy": lambda p, b, fake: (
        fake.square().mean(1) * torch.from_numpy(np.cos(p["discriminator"](fake).detach().numpy()[:, 0]))
    ).mean(),
    "a factor from its own fakes": lambda p, b, fake: (
        F.softplus(-p["discriminator"](fake)).mean() * math.exp(float(fake.mean()))
    ),
    "no gradient": lambda p, b, fake: F.softplus(-p["discriminator"](fake)).mean().detach(),
}
CRITICS: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "fakes by NumPy": lambda p, b, fake: F.softplus(
        p["discriminator"](torch.from_numpy(fake.detach().numpy().copy()))
    ).mean(),
    "fakes from a list": lambda p, b, fake: F.softplus(
        p["discriminator"](torch.tensor(fake.tolist(), dtype=fake.dtype))
    ).mean(),
    "fakes of a stale copy": lambda p, b, fake: F.softplus(
        p["discriminator"](copy.deepcopy(p["generator"])(b["latent"]))
    ).mean(),
    "a weight from both sizes": lambda p, b, fake: (
        F.softplus(p["discriminator"](fake.detach())).mean() * (1 + fake.square().mean().item())
    ),
    "a random mix": lambda p, b, fake: (
        F.softplus(p["discriminator"](fake)).mean()
        + penalty("between", p["discriminator"], b["real"], fake, torch.rand(len(fake), 1).to(fake))
    ),
    "instance noise": lambda p, b, fake: F.softplus(p["discriminator"](fake + torch.randn_like(fake))).mean(),
    "an opaque function": lambda p, b, fake: (
        OPERATIONS["NumPy, wrong backward"](p["discriminator"](fake)).square().mean()
    ),
}  # fmt: skip


def game(seed: int) -> Case:
    """Return a GAN one of whose losses is wrong, the other's right, perhaps of very different sizes."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    act, dtype, factor = ACTIVATIONS[rng.choice(SMOOTH)], rng.choice(DTYPES), rng.choice([1e-3, 1.0, 1e3])
    players = {"generator": mlp(act).to(dtype), "discriminator": mlp(act, inputs=2).to(dtype)}
    batch = {"real": torch.randn(SAMPLES, 2, dtype=dtype), "latent": torch.randn(SAMPLES, 3, dtype=dtype)}
    wrong = [("generator", n) for n in GENERATORS] + [("discriminator", n) for n in CRITICS]
    player, name = wrong[seed % len(wrong)]

    def losses(p: Any, b: Any) -> dict[str, Tensor]:
        fake, d = p["generator"](b["latent"]), p["discriminator"]
        found = {"generator": F.softplus(-d(fake)).mean(), "discriminator": F.softplus(d(fake.detach())).mean()}
        found[player] = found[player] + (GENERATORS | CRITICS)[name](p, b, fake)
        found["discriminator"] = found["discriminator"] + F.softplus(-d(b["real"])).mean()
        if name == "no gradient":
            found["generator"] = found["generator"].detach()
        return {"generator": found["generator"], "discriminator": factor * found["discriminator"]}

    return Case(f"GAN, {player}: {name}, factor {factor}, {dtype}", players, losses, batch)


KINDS = (operated, whole, game, whole, operated)


def broken(count: int) -> list[Callable[[], Case]]:
    """Return functions that make this many cases; a longer list goes on."""
    return [
        lambda k=k: KINDS[k % 5](k // 5 * KINDS.count(KINDS[k % 5]) + KINDS[: k % 5].count(KINDS[k % 5]))
        for k in range(count)
    ]
