"""Small games in float64, whose fields are known in closed form or cheap enough to differentiate by brute force."""

import torch
from torch import Tensor, nn

import gantools as gt

F64 = torch.float64


class Cube(torch.autograd.Function):
    """x^3 by NumPy, forwards and backwards: no graph of PyTorch's leads through it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.from_numpy(3 * ctx.saved_tensors[0].detach().numpy() ** 2)


class WrongTangent(torch.autograd.Function):
    """x^3 with a right backward and a wrong forward derivative."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3 * ctx.saved_tensors[0] ** 2

    @staticmethod
    def jvp(ctx, tangent):
        return tangent


WrongTangent.__module__ = "torch.somewhere"  # as one of PyTorch's own: those are not traced


class Point(nn.Module):
    """A player that is nothing but a vector."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.as_tensor(value, dtype=F64).clone())


def bilinear(a, x, y) -> gt.Game:
    """x descends x^T A y, y descends -x^T A y."""
    a = torch.as_tensor(a, dtype=F64)

    def losses(players, batch):
        value = players.x.value @ a @ players.y.value
        return {"x": value, "y": -value}

    return gt.Game({"x": Point(x), "y": Point(y)}, losses)


def scalar_quadratic(mu: float, s: float, x=(1.0,), y=(-0.5,)) -> gt.Game:
    """f = mu/2 x^2 + s x y - mu/2 y^2, x descends f and y descends -f: J = [[mu, s], [-s, mu]]."""

    def losses(players, batch):
        x, y = players["x"].value, players["y"].value
        f = mu / 2 * x * x + s * x * y - mu / 2 * y * y
        return {"x": f.sum(), "y": -f.sum()}

    return gt.Game({"x": Point(x), "y": Point(y)}, losses)


def quadratic(jacobian: Tensor, sizes: tuple[int, ...], start: Tensor) -> gt.Game:
    """A game whose field is J w exactly; J's diagonal blocks must be symmetric. Players "0", "1", ..."""
    edges = [sum(sizes[:i]) for i in range(len(sizes) + 1)]

    def losses(players, batch):
        points = [p.value for p in players.values()]
        result = {}
        for i, (player, own) in enumerate(zip(players, points, strict=True)):
            row = jacobian[edges[i] : edges[i + 1]]
            value = 0.5 * own @ row[:, edges[i] : edges[i + 1]] @ own
            for j, other in enumerate(points):
                if j != i:
                    value = value + own @ row[:, edges[j] : edges[j + 1]] @ other
            result[player] = value
        return result

    players = {str(i): Point(start[edges[i] : edges[i + 1]]) for i in range(len(sizes))}
    return gt.Game(players, losses)


def nonnormal(seed: int = 0, sizes: tuple[int, int] = (3, 2)) -> tuple[gt.Game, Tensor]:
    """A stable game with independent off-diagonal blocks, so that J is far from normal; the game and its J."""
    source = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    jacobian = torch.randn(n, n, generator=source, dtype=F64)
    for part in (slice(0, sizes[0]), slice(sizes[0], n)):
        block = jacobian[part, part]
        jacobian[part, part] = (block + block.T) / 2
    jacobian += 4 * torch.eye(n, dtype=F64)
    return quadratic(jacobian, sizes, torch.randn(n, generator=source, dtype=F64)), jacobian


class DiracGenerator(nn.Module):
    def __init__(self, theta: float):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=F64))

    def forward(self, z):
        return self.theta.expand(len(z), 1)


class DiracDiscriminator(nn.Module):
    def __init__(self, psi: float):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi, dtype=F64))

    def forward(self, x):
        return (self.psi * x).squeeze(1)


def dirac(loss: str, theta: float = 0.0, psi: float = 0.0, regularizers=()) -> gt.Game:
    """The Dirac-GAN of arXiv:1801.04406: data at 0, G = theta, D(x) = psi x."""
    return gt.gan(DiracGenerator(theta), DiracDiscriminator(psi), loss, regularizers)


DIRAC_BATCH = {"real": torch.zeros(2, 1, dtype=F64), "latent": torch.zeros(2, 1, dtype=F64)}


def mlp(*sizes: int, activation=nn.Tanh, seed: int = 0, dtype=F64) -> nn.Sequential:
    """A multilayer perceptron with seeded weights that are not small."""
    source = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), activation()]
    model = nn.Sequential(*layers[:-1]).to(dtype)
    for p in model.parameters():
        scale = 1.2 / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.3
        p.data = scale * torch.randn(p.shape, generator=source, dtype=F64).to(dtype)
    return model


def gan_batch(size: int = 8, seed: int = 0, dtype=F64, shape=(2,), latent: int = 2) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(100 + seed)
    real = 0.7 * torch.randn(size, *shape, generator=source, dtype=F64) + 0.5
    return {"real": real.to(dtype), "latent": torch.randn(size, latent, generator=source, dtype=F64).to(dtype)}


def tanh_gan(loss="nonsaturating", regularizers=(), seed: int = 0, dtype=F64, activation=nn.Tanh) -> gt.Game:
    """A GAN in the plane with 30 parameters: generator 2-3-2, discriminator 2-3-1."""
    generator = mlp(2, 3, 2, activation=activation, seed=seed, dtype=dtype)
    discriminator = mlp(2, 3, 1, activation=activation, seed=seed + 1, dtype=dtype)
    return gt.gan(generator, discriminator, loss, regularizers)


def classifier(seed: int = 0, size: int = 12):
    """A small softmax classifier: (model, loss, batch)."""
    model = mlp(3, 4, 3, seed=seed)
    source = torch.Generator().manual_seed(seed + 7)
    x = torch.randn(size, 3, generator=source, dtype=F64)
    y = torch.randint(3, (size,), generator=source)

    def loss(model, batch):
        x, y = batch
        return nn.functional.cross_entropy(model(x), y)

    return model, loss, (x, y)


def linear_games() -> dict[str, tuple]:
    """Games with a linear field at the point they start from: a maker, their batch, and their J written by hand."""
    a = torch.tensor([[1.0, 0.3], [-0.2, 0.6]], dtype=F64)
    zero, rotation = torch.zeros(2, 2, dtype=F64), torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
    return {
        "bilinear": (
            lambda: bilinear(a, [1.0, 0.4], [0.5, -1.0]),
            None,
            torch.cat([torch.cat([zero, a], 1), torch.cat([-a.T, zero], 1)]),
        ),
        "quadratic": (lambda: scalar_quadratic(0.7, 1.4), None, torch.tensor([[0.7, 1.4], [-1.4, 0.7]], dtype=F64)),
        "not normal": (lambda: nonnormal()[0], None, nonnormal()[1]),
        "dirac": (lambda: dirac("nonsaturating"), DIRAC_BATCH, 0.5 * rotation),
        "dirac wasserstein": (lambda: dirac("wasserstein"), DIRAC_BATCH, rotation),
    }


def step_batches(optimizer, step: int = 0) -> list:
    """As many batches for `tanh_gan` as a step of the optimizer takes, other ones each step."""
    return [gan_batch(seed=10 * step + k) for k in range(optimizer.batches_per_step)]


def noisy_nets() -> gt.Game:
    """Return a GAN whose nets have batch norm."""
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n)) for n in (2, 1)]
    return gt.gan(*(net.to(F64) for net in nets))
