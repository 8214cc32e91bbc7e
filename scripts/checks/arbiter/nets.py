"""Small networks and scalar losses of which the cases of `check_arbiter.py` are combined.

Every network maps a batch of `SAMPLES` inputs to real scores (samples, 2); `NETS` has functions of an activation that
return a network and its input.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

SAMPLES, WIDTH, OUT = 6, 5, 2
Activation = Callable[[], nn.Module]

ACTIVATIONS: dict[str, Activation] = {
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Hardswish": nn.Hardswish,
    "Tanh": nn.Tanh,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "ELU": nn.ELU,
    "Softplus": nn.Softplus,
    "Mish": nn.Mish,
    "Sigmoid": nn.Sigmoid,
    "Hardsigmoid": nn.Hardsigmoid,
    "SELU": nn.SELU,
    "PReLU": nn.PReLU,
    "Hardtanh": nn.Hardtanh,
    "Softsign": nn.Softsign,
    "ReLU6": nn.ReLU6,
    "CELU": nn.CELU,
    "Softshrink": nn.Softshrink,
    "LogSigmoid": nn.LogSigmoid,
    "GELU(tanh)": lambda: nn.GELU("tanh"),
}


class Map(nn.Module):
    """A network written as a function of its layers and the input."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module | nn.Parameter):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(0.5 * torch.randn(*shape, dtype=dtype))


def flat(n: int = 3) -> Tensor:
    return torch.randn(SAMPLES, n)


def image(channels: int = 2, side: int = 6) -> Tensor:
    return torch.randn(SAMPLES, channels, side, side)


def sequence(steps: int = 4, n: int = 4) -> Tensor:
    return torch.randn(SAMPLES, steps, n)


def tokens(steps: int = 4) -> Tensor:
    return torch.randint(0, 7, (SAMPLES, steps))


def mlp(act: Activation, *between: Callable[[int], nn.Module], inputs: int = 3, depth: int = 1) -> nn.Sequential:
    """Return a perceptron with these layers, made for its width, before every activation."""
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(WIDTH if k else inputs, WIDTH), *(make(WIDTH) for make in between), act()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, OUT))


def conv(act: Activation, *after: nn.Module, pool: nn.Module | None = None) -> nn.Sequential:
    """Return a convolution of 2 channels to 4, layers after it, a pooling to 2 x 2 and a linear layer."""
    pool = pool or nn.AvgPool2d(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *after, act(), pool, nn.Flatten(), nn.Linear(16, OUT))


def recurrent(kind: type[nn.RNNBase], **options: Any) -> Map:
    features = 4 * (2 if options.get("bidirectional") else 1)
    cell = kind(4, 4, batch_first=True, **options)
    return Map(lambda m, x: m.head(m.cell(x)[0].mean(1)), cell=cell, head=nn.Linear(features, OUT))


def packed(m: Any, x: Tensor) -> Tensor:
    lengths = torch.arange(len(x)) % 3 + 2
    _, (last, _) = m.cell(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return m.head(last[-1])


def attention(**options: Any) -> Map:
    def forward(m: Any, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return m.head(m.attend(x, x, x, attn_mask=mask, need_weights=False)[0].mean(1))

    return Map(forward, attend=nn.MultiheadAttention(4, 2, batch_first=True, **options), head=nn.Linear(4, OUT))


def encoder(act: Activation, norm_first: bool) -> Map:
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.1, activation=act(), batch_first=True, norm_first=norm_first)
    return Map(lambda m, x: m.head(m.layer(x).mean(1)), layer=layer, head=nn.Linear(4, OUT)).eval()


def of_complex(act: Activation) -> Map:
    def forward(m: Any, x: Tensor) -> Tensor:
        z = x.to(torch.promote_types(x.dtype, torch.complex64)) @ m.first
        z = torch.complex(m.act(z.real), m.act(z.imag)) @ m.second
        return z.abs().square() + z.real

    first, second = (parameter(n, k, dtype=torch.complex64) for n, k in ((3, 4), (4, OUT)))
    return Map(forward, first=first, second=second, act=act())


def tied(act: Activation) -> Map:
    net = Map(lambda m, x: m.two(m.act(m.act(m.one(x)) @ m.one.weight)), one=nn.Linear(3, 4), two=nn.Linear(3, OUT))
    net.act, net.two_again = act(), net.two
    return net


def experts(act: Activation) -> Map:
    def forward(m: Any, x: Tensor) -> Tensor:
        weights, chosen = m.gate(x).softmax(1).topk(2, dim=1)
        outputs = torch.stack([e(x) for e in m.experts], 1)
        return (weights[..., None] * outputs.gather(1, chosen[..., None].expand(-1, -1, OUT))).sum(1)

    return Map(forward, gate=nn.Linear(3, 3), experts=nn.ModuleList(mlp(act) for _ in range(3)))


def checkpointed(act: Activation) -> Map:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.head(torch.utils.checkpoint.checkpoint(m.body, x, use_reentrant=False))

    return Map(forward, body=mlp(act), head=nn.Linear(OUT, OUT))


def spectral(m: nn.Module) -> nn.Module:
    return parametrizations.spectral_norm(m)


def orthogonal(m: nn.Module) -> nn.Module:
    return parametrizations.orthogonal(m, orthogonal_map="cayley")


def resampled(act: Activation, layer: nn.Module) -> nn.Sequential:
    """Return a convolution to 2 x 2 with stride, a layer that doubles the side, and a linear layer."""
    return nn.Sequential(nn.Conv2d(2, 2, 3, stride=3), act(), layer, nn.Flatten(), nn.Linear(32, OUT))


def with_layers(net: nn.Module, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Apply a change to every linear layer and convolution."""
    for m in [*net.modules()]:
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            change(m)
    return net


def bag(act: Activation) -> Map:
    return Map(lambda m, x: m.net(m.bag(x)), bag=nn.EmbeddingBag(7, 3, mode="mean"), net=mlp(act))


def embedded(act: Activation) -> nn.Sequential:
    return nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), mlp(act, inputs=12))


def solved(m: Any, x: Tensor) -> Tensor:
    a = m.one(x)
    return torch.linalg.solve(a.T @ a + torch.eye(WIDTH, dtype=a.dtype), m.two(x).T @ a, left=False) @ m.back


NETS: dict[str, Callable[[Activation], tuple[nn.Module, Tensor]]] = {
    "mlp": lambda a: (mlp(a), flat()),
    "deep mlp": lambda a: (mlp(a, depth=5), flat()),
    "batch norm": lambda a: (mlp(a, nn.BatchNorm1d), flat()),
    "batch norm, eval": lambda a: (mlp(a, nn.BatchNorm1d).eval(), flat()),
    "layer norm": lambda a: (mlp(a, nn.LayerNorm, depth=2), flat()),
    "RMS norm": lambda a: (mlp(a, nn.RMSNorm, depth=2), flat()),
    "conv": lambda a: (conv(a), image()),
    "conv, batch norm": lambda a: (conv(a, nn.BatchNorm2d(4)), image()),
    "conv, group norm": lambda a: (conv(a, nn.GroupNorm(2, 4)), image()),
    "conv, instance norm": lambda a: (conv(a, nn.InstanceNorm2d(4, affine=True)), image()),
    "conv, max pool": lambda a: (conv(a, pool=nn.MaxPool2d(3)), image()),
    "conv, adaptive pool": lambda a: (conv(a, pool=nn.AdaptiveMaxPool2d(2)), image()),
    "conv, Lp pool": lambda a: (conv(a, nn.Softplus(), pool=nn.LPPool2d(2, 3)), image()),
    "conv, local response": lambda a: (conv(a, nn.LocalResponseNorm(2)), image()),
    "transposed conv": lambda a: (
        resampled(a, nn.ConvTranspose2d(2, 2, 2, 2)),
        image(),
    ),
    "upsampling": lambda a: (
        resampled(a, nn.Upsample(scale_factor=2, mode="bilinear")),
        image(),
    ),
    "spectral norm": lambda a: (with_layers(mlp(a, depth=2), spectral), flat()),
    "spectral norm, hook": lambda a: (with_layers(conv(a), nn.utils.spectral_norm), image()),
    "weight norm": lambda a: (with_layers(mlp(a, depth=2), parametrizations.weight_norm), flat()),
    "orthogonal": lambda a: (with_layers(mlp(a), orthogonal), flat()),
    "embedding": lambda a: (embedded(a), tokens()),
    "embedding bag": lambda a: (bag(a), tokens()),
    "LSTM": lambda a: (recurrent(nn.LSTM), sequence()),
    "LSTM, two layers both ways": lambda a: (recurrent(nn.LSTM, num_layers=2, bidirectional=True), sequence()),
    "LSTM, packed": lambda a: (Map(packed, cell=nn.LSTM(4, 4, batch_first=True), head=nn.Linear(4, OUT)), sequence()),
    "GRU": lambda a: (recurrent(nn.GRU), sequence()),
    "RNN": lambda a: (recurrent(nn.RNN, nonlinearity="relu"), sequence()),
    "attention": lambda a: (attention(), sequence()),
    "encoder": lambda a: (encoder(a, False), sequence()),
    "encoder, norm first": lambda a: (encoder(a, True), sequence()),
    "tied weights": lambda a: (tied(a), flat()),
    "complex weights": lambda a: (of_complex(a), flat()),
    "experts": lambda a: (experts(a), flat()),
    "checkpoint": lambda a: (checkpointed(a), flat()),
    "dropout, eval": lambda a: (mlp(a, lambda _: nn.Dropout(0.5)).eval(), flat()),
    "residual": lambda a: (
        Map(lambda m, x: m.head(x + m.act(m.two(m.act(m.one(x))))), one=nn.Linear(3, 4), two=nn.Linear(4, 3),
            head=nn.Linear(3, OUT), act=a()), flat(),
    ),
    "bilinear": lambda a: (Map(lambda m, x: m.act(m.pair(x, x)), pair=nn.Bilinear(3, 3, OUT), act=a()), flat()),
    "einsum": lambda a: (
        Map(lambda m, x: m.act(torch.einsum("bi,ijk,bj->bk", x, m.core, x)), core=parameter(3, 3, OUT), act=a()), flat()
    ),
    "gated": lambda a: (nn.Sequential(nn.Linear(3, 8), nn.GLU(), a(), nn.Linear(4, OUT)), flat()),
    "Fourier": lambda a: (
        Map(lambda m, x: m.head(torch.fft.rfft(m.net(x)).abs().square()), net=nn.Sequential(nn.Linear(3, 6), a()),
            head=nn.Linear(4, OUT)), flat(),
    ),
    "linear solve": lambda a: (
        Map(solved, one=nn.Linear(3, WIDTH), two=nn.Linear(3, SAMPLES), back=parameter(WIDTH, OUT)), flat()
    ),
    "distances to centres": lambda a: (
        Map(lambda m, x: m.head(m.act(torch.cdist(m.net(x), m.centres))), net=nn.Linear(3, 4), centres=parameter(5, 4),
            head=nn.Linear(5, OUT), act=a()), flat(),
    ),
}  # fmt: skip


def info_nce(z: Tensor, y: Tensor, _: Tensor) -> Tensor:
    return F.cross_entropy(F.normalize(z, dim=1) @ F.normalize(y, dim=1).T / 0.5, torch.arange(len(z)))


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "squares": lambda z, y, c: F.mse_loss(z, y),
    "cross entropy": lambda z, y, c: F.cross_entropy(z, c, label_smoothing=0.1),
    "logistic": lambda z, y, c: F.binary_cross_entropy_with_logits(z, y.sigmoid()),
    "hinge": lambda z, y, c: F.multi_margin_loss(z, c, p=2),
    "Huber": lambda z, y, c: F.huber_loss(z, y, delta=0.5),
    "smooth L1": lambda z, y, c: F.smooth_l1_loss(z, y),
    "softplus": lambda z, y, c: F.softplus(-y.sign() * z).mean(),
    "Kullback-Leibler": lambda z, y, c: F.kl_div(z.log_softmax(1), y.softmax(1), reduction="batchmean"),
    "cosine": lambda z, y, c: F.cosine_embedding_loss(z, y, 2.0 * c - 1, margin=-0.5),
    "InfoNCE": info_nce,
    "Gaussian": lambda z, y, c: F.gaussian_nll_loss(z[:, 0], y[:, 0], z[:, 1].exp()),
    "Poisson": lambda z, y, c: F.poisson_nll_loss(z, y.abs()),
    "triplet": lambda z, y, c: F.triplet_margin_loss(z, y, -y, margin=5.0),
    "log-sum-exp": lambda z, y, c: z.logsumexp(1).mean() + z.var(),
    "logarithm": lambda z, y, c: (1 + (z - y).square().sum()).log(),
    "cubes": lambda z, y, c: 1e3 * (z - y).abs().pow(3).mean(),
}
