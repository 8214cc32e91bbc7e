"""Networks, losses and games that are right, of which the arbiter must refuse none."""

import logging
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from arbiter.cases import DTYPES, Case, widened
from arbiter.games import library_gan, loop_gan, three, uneven
from arbiter.nets import ACTIVATIONS, LOSSES, NETS, OUT, SAMPLES


class Reversed(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -0.7 * gradient


class Clipped(torch.autograd.Function):
    """Clamping, whose gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 0.8 * x.clamp(-1, 1) + 0.1 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (1 + 0.1 * x)


class Swish(torch.autograd.Function):
    """An activation that saves its input only, as public code writes it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return gradient * (s * (1 + x * (1 - s)))


# What a loss may do with the network's scores, in ways that are right; `then` is the loss of scores.
Then = Callable[[Tensor], Tensor]


def straight_through(z: Tensor) -> Tensor:
    return z + ((8 * z).round() / 8 - z).detach()


def logged(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    loss = then(m(x))
    logging.getLogger("arbiter").debug("loss %.3f, norm %s", loss.item(), [float(p.norm()) for p in m.parameters()])
    return loss


def penalised(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    x = x.detach().requires_grad_()
    z = m(x)
    (slope,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    return then(z) + 0.1 * (slope.flatten(1).square().sum(1) + 1e-6).sqrt().mean()


def penalised_by_a_number(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    """A penalty without `create_graph`: a constant to the gradient that is taken, and none to its derivative."""
    x = x.detach().requires_grad_()
    z = m(x)
    (slope,) = torch.autograd.grad(z.square().sum(), x, retain_graph=True)
    return then(z) * (1 + slope.square().mean())


def meaned_teacher(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    with torch.no_grad():
        target = m(x).softmax(1)
    return then(m(x)) + F.cross_entropy(m(0.9 * x), target)


def siamese(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    z = m(x)
    return then(z) - (F.normalize(z, dim=1) * F.normalize(z.roll(1, 0), dim=1).detach()).sum(1).mean()


def autocast(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        z = m(x)
    return then(z.double() if z.dtype == torch.float64 else z.float())


def decayed(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    return then(m(x)) + 0.01 * sum((p.abs() if p.is_complex() else p).square().sum() for p in m.parameters())


def balanced(m: nn.Module, x: Tensor, then: Then) -> Tensor:
    z = m(x)
    one, other = then(z), z.square().mean()
    return one + one.detach() / (other.detach() + 0.1) * other


WAYS: dict[str, Callable[[nn.Module, Tensor, Then], Tensor]] = {
    "plain": lambda m, x, then: then(m(x)),
    "logged": logged,
    "detached copy looked at": lambda m, x, then: then(m(x)) + 0.0 * float(m(x).detach().numpy().mean() > 1e9),
    "penalty on the input's gradient": penalised,
    "penalty without create_graph": penalised_by_a_number,
    "teacher under no_grad": meaned_teacher,
    "siamese": siamese,
    "balanced by detached sizes": balanced,
    "straight through": lambda m, x, then: then(straight_through(m(x))),
    "gradient reversal": lambda m, x, then: then(Reversed.apply(m(x))) + m(x).square().mean(),
    "own backward": lambda m, x, then: then(Clipped.apply(m(x))),
    "own activation": lambda m, x, then: then(Swish.apply(m(x))),
    "weight decay": decayed,
    "autocast": autocast,
    "half of it without gradient": lambda m, x, then: then(0.5 * m(x) + 0.5 * m(x).detach()),
    "sum in double": lambda m, x, then: then(m(x).double().to(x.dtype if x.is_floating_point() else m(x).dtype)),
    "scaled up": lambda m, x, then: 65536 * then(m(x)),
    "scaled down": lambda m, x, then: 1e-6 * then(m(x)),
    "in train mode and back": lambda m, x, then: then(m(x)) + then(m(x).flip(0)),
    "sorted": lambda m, x, then: then(m(x).sort(0).values),
    "masked": lambda m, x, then: then(torch.where(m(x) > 0, m(x), 0.1 * m(x).sin())),
    "maximum": lambda m, x, then: then(torch.maximum(m(x), -0.3 * m(x))),
    "hook that looks": lambda m, x, then: then(_looked_at(m(x))),
    "written in place": lambda m, x, then: then(m(x).mul(1.0).mul_(0.7).add_(0.1)),
}


def _looked_at(z: Tensor) -> Tensor:
    if z.requires_grad:
        z.register_hook(lambda gradient: None)
    return z


def _large(m: nn.Module, _: Tensor) -> None:
    for p in m.parameters():
        p.data.mul_(10)


def _tiny(m: nn.Module, _: Tensor) -> None:
    for p in m.parameters():
        p.data.mul_(1e-3)


def _uneven(m: nn.Module, _: Tensor) -> None:
    for k, p in enumerate(m.parameters()):
        p.data.mul_(10.0 ** (2 - 4 * (k % 2)))


def _frozen(m: nn.Module, _: Tensor) -> None:
    parameters = list(m.parameters())
    for p in parameters[: len(parameters) // 3]:
        p.requires_grad_(False)


def _on_kinks(m: nn.Module, x: Tensor) -> None:
    for name, p in m.named_parameters():
        if "bias" in name:
            p.data.zero_()
    if x.is_floating_point():
        x[1:3] = 0


def _dead(m: nn.Module, _: Tensor) -> None:
    for name, p in m.named_parameters():
        if "bias" in name:
            p.data[: len(p) // 2] = -20.0


# What is done to the weights or the batch, and how the case is compared then.
STATES: dict[str, tuple[Callable[[nn.Module, Tensor], None] | None, str]] = {
    "as made": (None, "as it is"),
    "large weights": (_large, "in double"),
    "tiny weights": (_tiny, "in double"),
    "uneven weights": (_uneven, "in double"),
    "frozen layers": (_frozen, "as it is"),
    "zero biases at zero inputs": (_on_kinks, "no"),
    "dead units": (_dead, "as it is"),
    "stationary": (None, "as it is"),
    "one sample": (None, "as it is"),
    "batch in a tuple": (None, "as it is"),
    "batch in nested dictionaries": (None, "as it is"),
    "two batches' worth": (None, "as it is"),
}
MANY = ("batch norm", "conv, batch norm", "conv, instance norm", "linear solve")  # these need several samples
GENTLE = (
    "large weights",
    "uneven weights",
    "zero biases at zero inputs",
)  # where some losses overflow or have no slope
ROUGH = ("Poisson", "Gaussian", "InfoNCE", "cosine", "triplet", "logarithm")


def _packed(state: str, x: Tensor, y: Tensor, c: Tensor) -> tuple[Any, Callable[[Any], tuple[Tensor, Tensor, Tensor]]]:
    if state == "batch in a tuple":
        return (x, (y, c)), lambda b: (b[0], *b[1])
    if state == "batch in nested dictionaries":
        return {"in": {"x": x}, "out": {"y": y, "c": c}, "step": 3}, lambda b: (
            b["in"]["x"],
            b["out"]["y"],
            b["out"]["c"],
        )
    return {"x": x, "y": y, "c": c}, lambda b: (b["x"], b["y"], b["c"])


def model(seed: int) -> Case:
    """Return a network with a loss, in some state and precision."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    names = sorted(NETS)
    net_name, act = names[seed % len(names)], rng.choice(sorted(ACTIVATIONS))
    loss_name, way = rng.choice(sorted(LOSSES)), rng.choice(sorted(WAYS))
    state, dtype = rng.choice(sorted(STATES)), rng.choice(DTYPES)
    if state == "one sample" and (net_name in MANY or loss_name == "log-sum-exp"):
        state = "as made"
    net, x = NETS[net_name](ACTIVATIONS[act])
    y, c = torch.randn(SAMPLES, OUT), torch.randint(0, OUT, (SAMPLES,))
    change, compared = STATES[state]
    if change is not None:
        change(net, x)
    if state == "one sample":
        x, y, c = x[:1], y[:1], c[:1]
    if state in GENTLE and loss_name in ROUGH:
        loss_name = "Huber"
    if state == "zero biases at zero inputs" and (way == "siamese" or way.startswith("penalty")):
        way = "plain"
    if not x.is_floating_point() and way.startswith("penalty"):
        way = "plain"
    if "hook" in net_name:  # which begins with singular vectors at random
        with torch.no_grad():
            for _ in range(9):
                net(x)
    if state == "stationary":
        loss_name, way = "squares", "plain"
        with torch.no_grad():
            y = net(x) + 1e-4 * y
    if dtype == torch.float64:
        widened(net)
        x, y = x.to(dtype) if x.is_floating_point() else x, y.double()
    batch, opened = _packed(state, x, y, c)

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        x, y, c = opened(batch)
        value = LOSSES[loss_name]
        return {"model": WAYS[way](players["model"], x, lambda z: value(z, y.to(z.dtype), c))}

    if way in ("autocast", "sum in double"):
        compared = "in double" if compared != "no" else "no"
    name = f"{net_name}, {act}, {loss_name}, {way}, {state}, {str(dtype)[6:]}"
    return Case(name, {"model": net}, losses, batch, compared)


GAMES = (loop_gan, library_gan, three, uneven)


def healthy(count: int) -> list[Callable[[], Case]]:
    """Return functions that make this many cases: two thirds networks, one third games; a longer list goes on."""
    return [lambda k=k: GAMES[k // 3 % len(GAMES)](k) if k % 3 == 2 else model(k - k // 3) for k in range(count)]
