"""Other models that need PyTorch alone: densities, adapters, codes, operators, backward passes of their own."""

import torch
from torch import nn
from torch.nn import functional as F

from compatibility.entries import classify, model, on_output


class GCNLayer(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.linear = nn.Linear(a, b)

    def forward(self, x, edges):
        degree = torch.zeros(len(x), dtype=x.dtype).scatter_add_(0, edges[1], torch.ones(edges.shape[1], dtype=x.dtype))
        y = self.linear(x) * degree.clamp_min(1).rsqrt()[:, None]
        return torch.zeros_like(y).index_add_(0, edges[1], y[edges[0]]) + y


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = GCNLayer(4, 6), GCNLayer(6, 3)

    def forward(self, x, edges):
        return self.b(torch.relu(self.a(x, edges)), edges)


@model("torch")
def graph_convolution():
    batch = {"x": torch.randn(6, 4), "edges": torch.randint(6, (2, 14)), "y": torch.randint(3, (6,))}
    return GCN(), lambda net, b: F.cross_entropy(net(b["x"], b["edges"]), b["y"]), batch


class ExactGP(nn.Module):
    """The marginal likelihood of a Gaussian process, by a Cholesky factor."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(3))

    def forward(self, x, y):
        scale, length, noise = F.softplus(self.raw)
        K = scale * torch.exp(-0.5 * torch.cdist(x, x).square() / length.square()) + noise * torch.eye(len(x)).to(x)
        L = torch.linalg.cholesky(K)
        z = torch.cholesky_solve(y[:, None], L)
        return 0.5 * (y @ z).squeeze() + L.diagonal().log().sum()


@model("torch")
def gaussian_process():
    return ExactGP(), lambda net, b: net(*b), (torch.randn(6, 2), torch.randn(6))


class Coupling(nn.Module):
    """Affine coupling layers of RealNVP; the loss is a negative log-likelihood."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList([nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 2)) for _ in range(2)])

    def forward(self, x):
        log_det = 0.0
        for k, net in enumerate(self.nets):
            s, t = net(x[:, k : k + 1]).chunk(2, 1)
            moved = x[:, 1 - k : 2 - k] * s.tanh().exp() + t
            x = torch.cat([x[:, :1], moved] if k == 0 else [moved, x[:, 1:]], 1)
            log_det = log_det + s.tanh().sum(1)
        return (0.5 * x.square().sum(1) - log_det).mean()


@model("torch")
def normalizing_flow():
    return Coupling(), lambda net, x: net(x), torch.randn(5, 2)


class LoRALinear(nn.Module):
    """A frozen weight and a trainable one of low rank."""

    def __init__(self, a, b, rank=2):
        super().__init__()
        self.base = nn.Linear(a, b).requires_grad_(False)
        self.A, self.B = nn.Parameter(torch.randn(rank, a) / a), nn.Parameter(torch.zeros(b, rank))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


@model("torch")
def low_rank_adapter():
    return nn.Sequential(LoRALinear(4, 6), nn.Tanh(), LoRALinear(6, 3)), classify, (
        torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    )  # fmt: skip


class DoRALinear(LoRALinear):
    """The norm of the weight is detached, as in DoRA's public code."""

    def __init__(self, a, b):
        super().__init__(a, b)
        self.m = nn.Parameter(self.base.weight.norm(dim=1).clone())

    def forward(self, x):
        weight = self.base.weight + self.B @ self.A
        return x @ (self.m[:, None] * weight / weight.norm(dim=1, keepdim=True).detach()).T


@model("torch")
def dora():
    return DoRALinear(4, 3), classify, (torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0]))


class VQVAE(nn.Module):
    """The nearest code, passed straight through, with the commitment loss."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode, self.codes = nn.Linear(4, 2), nn.Linear(2, 4), nn.Embedding(5, 2)

    def forward(self, x):
        z = self.encode(x)
        q = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
        loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        return F.mse_loss(self.decode(z + (q - z).detach()), x) + loss


@model("torch")
def vq_vae():
    return VQVAE(), lambda net, x: net(x), torch.randn(6, 4)


class SimSiam(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))
        self.predict = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))

    def forward(self, a, b):
        za, zb = self.encode(a), self.encode(b)
        pa, pb = self.predict(za), self.predict(zb)
        return -(F.cosine_similarity(pa, zb.detach()).mean() + F.cosine_similarity(pb, za.detach()).mean()) / 2


@model("torch", train=True)
def simsiam():
    return SimSiam(), lambda net, b: net(*b), (torch.randn(6, 4), torch.randn(6, 4))


class DLRM(nn.Module):
    """Embedding bags and dot products, as in recommenders."""

    def __init__(self, sparse=False):
        super().__init__()
        self.bags = nn.ModuleList([nn.EmbeddingBag(6, 3, mode="sum", sparse=sparse) for _ in range(2)])
        self.bottom, self.top = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(6, 1)

    def forward(self, dense, ids):
        rows = torch.stack([self.bottom(dense), *(bag(i) for bag, i in zip(self.bags, ids, strict=True))], 1)
        i, j = torch.tril_indices(3, 3, -1)
        return self.top(torch.cat([rows[:, 0], (rows @ rows.mT)[:, i, j]], 1))


@model("torch")
def recommender():
    batch = {"dense": torch.randn(5, 4), "ids": torch.randint(6, (2, 5, 3))}
    return DLRM(), on_output, batch


@model("torch")
def recommender_with_sparse_gradients():
    batch = {"dense": torch.randn(5, 4), "ids": torch.randint(6, (2, 5, 3))}
    return DLRM(sparse=True), on_output, batch


class Siren(nn.Module):
    """Fits an image and its gradient: the loss differentiates by the inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.b(torch.sin(3 * self.a(x)))


def eikonal(net, x):
    x = x.clone().requires_grad_()
    y = net(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y.square().mean() + (slope.norm(dim=1) - 1).square().mean()


@model("torch")
def siren_with_eikonal_loss():
    return Siren(), eikonal, torch.randn(6, 2)


class NeuralOperator(nn.Module):
    """A Fourier layer with complex weights, as in FNO."""

    def __init__(self, width=3, modes=3):
        super().__init__()
        self.lift, self.read, self.modes = nn.Linear(1, width), nn.Linear(width, 1), modes
        self.weights = nn.Parameter(torch.rand(width, width, modes, dtype=torch.cfloat) / width)
        self.local = nn.Conv1d(width, width, 1)

    def forward(self, x):
        x = self.lift(x).mT
        bands = torch.fft.rfft(x)
        out = torch.zeros_like(bands)
        out[..., : self.modes] = torch.einsum("bix,iox->box", bands[..., : self.modes], self.weights.to(bands.dtype))
        return self.read(F.gelu(torch.fft.irfft(out, n=x.shape[-1]) + self.local(x)).mT)


@model("torch")
def fourier_neural_operator():
    return NeuralOperator(), on_output, torch.randn(3, 8, 1)


class Adjoint(torch.autograd.Function):
    """A solver whose backward pass runs the module again, as reversible nets and adjoints of differential equations."""

    @staticmethod
    def forward(ctx, f, x, *params):
        ctx.f = f
        ctx.save_for_backward(x, *params)
        with torch.no_grad():
            return f(x)

    @staticmethod
    def backward(ctx, g):
        x, *params = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            found = torch.autograd.grad(ctx.f(x), (x, *params), g, allow_unused=True, create_graph=True)
        return None, *found


class Reversible(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))

    def forward(self, x):
        return Adjoint.apply(self.f, x, *self.f.parameters())


@model("torch")
def backward_that_runs_the_module_again():
    return Reversible(), on_output, torch.randn(5, 2)


class SavedDerivative(torch.autograd.Function):
    """As gpytorch's RBF covariance: the backward pass uses a derivative saved in the forward pass."""

    @staticmethod
    def forward(ctx, w):
        y = w.exp()
        ctx.save_for_backward(y.clone())
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


class Exponential(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -0.7]))

    def forward(self, x):
        return SavedDerivative.apply(self.w) * x


@model("torch")
def derivative_saved_in_forward():
    return Exponential(), on_output, torch.tensor([1.0, 2.0])
