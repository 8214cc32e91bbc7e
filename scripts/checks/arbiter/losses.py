"""Losses of a network `m` that are wrong as a whole; `then` is a loss of scores. Each is made for a network."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def hooked(x: Tensor) -> Tensor:
    x = 1.0 * x
    if x.requires_grad:
        x.register_hook(lambda gradient: 0.5 * gradient)
    return x


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
        weights = {k: torch.tensor(v.tolist(), dtype=v.dtype) for k, v in m.state_dict().items()}
        target.to(x.dtype).load_state_dict(weights)
        return then(m(x)) + (m(x) - target(2 * x)).square().mean()

    return loss


def moving_average(net: Any) -> Loss:
    target = copy.deepcopy(net).requires_grad_(False)

    def loss(m: Any, x: Tensor, then: Then) -> Tensor:
        for slow, p in zip(target.parameters(), m.parameters(), strict=True):
            slow.data = 0.5 * slow.data + 0.5 * torch.tensor((p + 0.1).tolist(), dtype=p.dtype)
        return then(m(x)) + (m(x) - target(2 * x)).square().mean()

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
