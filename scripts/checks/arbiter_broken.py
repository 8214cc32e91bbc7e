"""Networks, losses and games whose field or derivative autograd gets wrong, all of which must be refused."""

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from arbiter_cases import Case
from arbiter_healthy import DTYPES, penalty
from arbiter_nets import ACTIVATIONS, OUT, SAMPLES, WIDTH, Map, mlp
from torch import Tensor, nn
from torch.nn import functional as F

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


def hooked(x: Tensor) -> Tensor:
    x = 1.0 * x
    if x.requires_grad:
        x.register_hook(lambda gradient: 0.5 * gradient)
    return x


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


# Losses of a network `m` that are wrong as a whole; `then` is a loss of scores. Each is made for a network. -----------

Then = Callable[[Tensor], Tensor]
Loss = Callable[[Any, Tensor, Then], Tensor]


def captured_list(net: Any) -> Loss:
    kept = list(net.parameters())
    return lambda m, x, then: then(m(x)) + 0.1 * sum(p.square().sum() for p in kept)


def captured_one(net: Any) -> Loss:
    kept = net[0].weight
    return lambda m, x, then: then(m(x)) + 0.3 * kept.abs().sqrt().sum()


def captured_vector(net: Any) -> Loss:
    kept = nn.utils.parameters_to_vector(net.parameters()).detach().clone()

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        now = torch.cat([torch.tensor(p.tolist(), dtype=p.dtype).flatten() for p in m.parameters()])
        return then(m(x)) * (1 + (now - kept + 1).square().mean())

    return loss


def plain_list(net: Any) -> Loss:
    kept = [net[0].weight]
    return lambda m, x, then: then(m[1:](F.linear(x, kept[0], m[0].bias)))


def under_no_grad(net: Any) -> Loss:
    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        with torch.no_grad():
            return then(m(x))

    return loss


def cached(net: Any) -> Loss:
    cache: dict[str, Tensor] = {}

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        if "h" not in cache or cache["h"].shape[0] != len(x):
            cache["h"] = m[0](x)
        return then(m[1:](cache["h"]))

    return loss


def cached_before(net: Any) -> Loss:
    cache: dict[int, Tensor] = {
        n: net[0](torch.linspace(-1, 1, 3 * n).view(n, 3).to(net[0].weight)) for n in range(1, 7)
    }
    return lambda m, x, then: then(m[1:](cache[len(x)]))


def last_scores(net: Any) -> Loss:
    last: dict[int, Tensor] = {}

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        z = m(x)
        before = last.get(len(x), z.detach() + 1)
        last[len(x)] = torch.tensor(z.tolist(), dtype=z.dtype)
        return then(z) + (z - before).square().mean() * (1 + before.square().mean())

    return loss


def stale_copy(net: Any) -> Loss:
    return lambda m, x, then: then(m(x)) + (m(x) - copy.deepcopy(m)(2 * x)).square().mean()


def stale_layer(net: Any) -> Loss:
    return lambda m, x, then: then(copy.deepcopy(m[-1])(m[:-1](x)) + m(x))


def loaded_copy(net: Any) -> Loss:
    target = copy.deepcopy(net).requires_grad_(False)

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        target.load_state_dict({k: torch.tensor(v.tolist(), dtype=v.dtype) for k, v in m.state_dict().items()})
        return then(m(x)) + (m(x) - target(2 * x)).square().mean()

    return loss


def moving_average(net: Any) -> Loss:
    target = copy.deepcopy(net).requires_grad_(False)

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        for slow, p in zip(target.parameters(), m.parameters(), strict=True):
            slow.data = 0.5 * slow.data + 0.5 * torch.tensor((p + 0.1).tolist(), dtype=p.dtype)
        return then(m(x)) + (m(x) - target(2 * x)).square().mean()

    return loss


def ungraphed_penalty(net: Any) -> Loss:
    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        x = x.detach().requires_grad_()
        z = m(x)
        (slope,) = torch.autograd.grad(z.square().sum(), x, retain_graph=True)
        return then(z) * (1 + slope.square().mean())

    return loss


def hooked_weights(net: Any) -> Loss:
    net[0].weight.register_hook(lambda gradient: 0.5 * gradient)
    return lambda m, x, then: then(m(x))


def rescaled_by_sizes(net: Any) -> Loss:
    return lambda m, x, then: then(m(x)) / (1 + sum(float(p.norm()) for p in m.parameters()))


def normalised_by_itself(net: Any) -> Loss:
    return lambda m, x, then: then(m(x)) / (0.1 + then(m(x)).item() ** 2)


def random_state(draw: Callable[[Tensor], Tensor]) -> Callable[[Any], Loss]:
    return lambda net: lambda m, x, then: then(m(draw(x)))


def on_scores(change: Callable[[Tensor], Tensor]) -> Callable[[Any], Loss]:
    return lambda net: lambda m, x, then: then(change(m(x)))


WHOLE: dict[str, Callable[[Any], Loss]] = {
    "captured list": captured_list,
    "captured weight": captured_one,
    "numbers of the weights": captured_vector,
    "weight in a plain list": plain_list,
    "under no_grad": under_no_grad,
    "detached": lambda net: lambda m, x, then: then(m(x)).detach(),
    "data": lambda net: lambda m, x, then: then(m(x).data),
    "item": lambda net: lambda m, x, then: torch.tensor(then(m(x)).item()),
    "as_tensor of a float": lambda net: lambda m, x, then: torch.as_tensor(float(then(m(x)))),
    "accuracy": lambda net: lambda m, x, then: (m(x).argmax(1) == 0).to(x).mean(),
    "NumPy throughout": lambda net: lambda m, x, then: torch.tensor(np.square(m(x).detach().numpy()).mean()),
    "features kept": cached,
    "features kept from before": cached_before,
    "scores of the last call": last_scores,
    "stale copy of the network": stale_copy,
    "stale copy of a layer": stale_layer,
    "weights loaded as numbers": loaded_copy,
    "moving average in the loss": moving_average,
    "penalty without create_graph": ungraphed_penalty,
    "hook on a weight": hooked_weights,
    "hook on features": lambda net: lambda m, x, then: then(m[1:](hooked(m[0](x)))),
    "hook on scores": on_scores(hooked),
    "divided by sizes of weights": rescaled_by_sizes,
    "divided by itself": normalised_by_itself,

    "noise on inputs": random_state(lambda x: x + 0.3 * torch.randn_like(x)),
    "noise by NumPy": random_state(lambda x: x + 0.3 * torch.from_numpy(np.random.randn(*x.shape)).to(x)),  # noqa: NPY002
    "noise by random": random_state(lambda x: x * (1 + random.random())),
    "functional dropout": random_state(lambda x: F.dropout(x, 0.5)),
    "dropped scores": on_scores(lambda z: F.alpha_dropout(z, 0.5, training=True)),
    "Gumbel softmax": on_scores(lambda z: F.gumbel_softmax(z, tau=0.7)),
    "random slopes": on_scores(lambda z: F.rrelu(z - 5, training=True)),
    "random order": on_scores(lambda z: z[torch.randperm(len(z))]),
    "sampled actions": on_scores(lambda z: z.log_softmax(1) * torch.randn(z.shape).to(z).sign()),
    "a coin tossed": random_state(lambda x: x * (0.5 if torch.rand(()) < 0.5 else 1.0)),
    "a coin tossed by random": random_state(lambda x: x * random.choice((0.5, 1.0))),
    "active dropout": lambda net: (net.append(nn.Dropout(0.5)), lambda m, x, then: then(m(x)))[1],
}  # fmt: skip


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
