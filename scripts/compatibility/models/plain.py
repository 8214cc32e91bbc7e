"""Models that need PyTorch alone, written as their public files have them; fifteen of them are tests."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from compatibility.entries import classify, model, on_output


def images(size=8, channels=3, count=4):
    return torch.randn(count, channels, size, size), torch.arange(count) % 3


class CausalSelfAttention(nn.Module):
    """As in nanoGPT."""

    def __init__(self, width, heads):
        super().__init__()
        self.c_attn, self.c_proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = (y.view(B, T, self.heads, C // self.heads).transpose(1, 2) for y in self.c_attn(x).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(width), CausalSelfAttention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """Tied embeddings; returns its own loss."""

    def __init__(self, vocab=7, width=8, checkpointed=False):
        super().__init__()
        self.wte, self.wpe, self.checkpointed = nn.Embedding(vocab, width), nn.Embedding(6, width), checkpointed
        self.h, self.ln_f = nn.ModuleList([Block(width, 2), Block(width, 2)]), nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx, targets):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1)))
        for block in self.h:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        logits = self.lm_head(self.ln_f(x))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


def second(net, batch):
    return net(*batch)[1]


@model("torch")
def nano_gpt():
    ids = torch.randint(7, (2, 6))
    return NanoGPT(), second, (ids[:, :-1], ids[:, 1:])


@model("torch")
def nano_gpt_checkpointed():
    ids = torch.randint(7, (2, 6))
    return NanoGPT(checkpointed=True), second, (ids[:, :-1], ids[:, 1:])


class RMSNorm(nn.Module):
    """As in Llama: computes in float32."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).type_as(x) * self.weight


class LlamaBlock(nn.Module):
    """Rotary positions as complex numbers, SwiGLU."""

    def __init__(self, dim=8, heads=2):
        super().__init__()
        self.heads, self.norm, self.norm2 = heads, RMSNorm(dim), RMSNorm(dim)
        self.wqkv, self.wo = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.w1, self.w2, self.w3 = (nn.Linear(a, b, bias=False) for a, b in ((dim, 12), (12, dim), (dim, 12)))

    def rotate(self, x):
        T, half = x.shape[1], x.shape[-1] // 2
        freqs = torch.outer(torch.arange(T), 1.0 / 10000 ** (torch.arange(half) / half))
        turn = torch.polar(torch.ones_like(freqs), freqs)[None, :, None]
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(3).type_as(x)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (y.view(B, T, self.heads, -1) for y in self.wqkv(self.norm(x)).chunk(3, -1))
        q, k, v = (y.transpose(1, 2) for y in (self.rotate(q), self.rotate(k), v))
        scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(C / self.heads)
        scores = scores + torch.full((T, T), float("-inf")).triu(1).type_as(scores)
        x = x + self.wo((F.softmax(scores.float(), -1).type_as(q) @ v).transpose(1, 2).reshape(B, T, C))
        y = self.norm2(x)
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))


@model("torch", tolerance=1e-4)
def llama_block():
    return LlamaBlock(), on_output, torch.randn(2, 4, 8)


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def resnet():
    return nn.Sequential(BasicBlock(3, 4), BasicBlock(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


@model("torch")
def resnet_block():
    return resnet(), classify, images()


@model("torch", train=True)
def resnet_in_train_mode():
    return resnet(), classify, images()


class SqueezeExcite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, 2, 1), nn.Conv2d(2, width, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


@model("torch")
def mobilenet_v3_block():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish(inplace=True),
        nn.Conv2d(4, 4, 3, 1, 1, groups=4), SqueezeExcite(4), nn.Hardswish(), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    return net, classify, images()


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(dim, dim, 7, padding=3, groups=dim), nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).permute(0, 3, 1, 2)


@model("torch")
def convnext_block():
    return ConvNeXtBlock(), on_output, torch.randn(2, 4, 8, 8)


class UNet(nn.Module):
    """With a sinusoidal time, group norm and a skip connection, as diffusion models have it."""

    def __init__(self, width=4):
        super().__init__()
        self.time, self.first = nn.Linear(4, width), nn.Conv2d(1, width, 3, padding=1)
        self.down, self.norm = nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(2, width)
        self.up, self.last = nn.ConvTranspose2d(width, width, 2, 2), nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x, t):
        phase = t[:, None] * torch.exp(-torch.arange(2, dtype=x.dtype))
        shift = self.time(torch.cat([phase.sin(), phase.cos()], 1))[:, :, None, None]
        skip = F.silu(self.first(x)) + shift
        return self.last(torch.cat([self.up(F.silu(self.norm(self.down(skip)))), skip], 1))


@model("torch")
def diffusion_unet():
    return UNet(), lambda net, b: F.mse_loss(net(b[0], b[1]), b[2]), (
        torch.randn(3, 1, 8, 8), torch.rand(3), torch.randn(3, 1, 8, 8)
    )  # fmt: skip


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


class SSM(nn.Module):
    """A selective state space as in Mamba, step by step."""

    def __init__(self, width=3, state=2):
        super().__init__()
        self.log_a, self.skip = nn.Parameter(torch.randn(width, state)), nn.Parameter(torch.ones(width))
        self.b, self.c, self.dt = nn.Linear(width, state), nn.Linear(width, state), nn.Linear(width, width)

    def forward(self, x):
        h, out = x.new_zeros(len(x), x.shape[2], self.log_a.shape[1]), []
        for u in x.unbind(1):
            dt = F.softplus(self.dt(u))[..., None]
            h = torch.exp(-dt * self.log_a.exp()) * h + dt * self.b(u)[:, None] * u[..., None]
            out.append((h * self.c(u)[:, None]).sum(-1) + self.skip * u)
        return torch.stack(out, 1)


@model("torch")
def state_space():
    return SSM(), on_output, torch.randn(2, 4, 3)


class LSTMClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(6, 4, padding_idx=0), nn.LSTM(4, 4, batch_first=True, bidirectional=True)
        self.read = nn.Linear(8, 3)

    def forward(self, ids):
        return self.read(self.rnn(self.embed(ids))[0].mean(1))


@model("torch")
def lstm_classifier():
    return LSTMClassifier(), classify, (torch.randint(6, (4, 5)), torch.tensor([0, 1, 2, 1]))


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


class MixtureOfExperts(nn.Module):
    """The two best of four experts for each sample."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4)) for _ in range(4)])

    def forward(self, x):
        weight, chosen = self.gate(x).topk(2)
        out = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            rows, place = (chosen == k).nonzero(as_tuple=True)
            out = out.index_add(0, rows, weight.softmax(-1)[rows, place, None] * expert(x[rows]))
        return out


@model("torch")
def mixture_of_experts():
    return MixtureOfExperts(), on_output, torch.randn(6, 4)


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


class TransformerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Transformer(8, 2, 1, 1, 12, dropout=0.0, batch_first=True)

    def forward(self, a, b):
        return self.net(a, b)


@model("torch")
def torch_transformer():
    return TransformerNet(), on_output, (torch.randn(2, 4, 8), torch.randn(2, 3, 8))


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


class Capsules(nn.Module):
    """Dynamic routing without a gradient through its first rounds, as CapsNet's public code detaches it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(2, 4, 3, 3))

    def forward(self, x):
        votes = torch.einsum("bid,ojde->boie", x, self.weight[:, :1]).squeeze(-1)
        logits = torch.zeros(votes.shape[:-1], dtype=x.dtype)
        for last in (False, True):
            seen = votes if last else votes.detach()
            s = (logits.softmax(1)[..., None] * seen).sum(2)
            v = s * (s.square().sum(-1, keepdim=True) / (1 + s.square().sum(-1, keepdim=True)))
            logits = logits + (seen * v[:, :, None]).sum(-1)
        return v


@model("torch")
def capsules():
    return Capsules(), on_output, torch.randn(3, 4, 3)


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
