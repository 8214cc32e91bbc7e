"""Every loss and layer of torch.nn as a model, a loss and a batch, and what is refused of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.errors import GantoolsError
from tests.draws import draw

F64 = torch.float64


X = draw(5, 4, seed=3)
TARGET = draw(5, 6, seed=4).sigmoid()
LABELS = torch.tensor([0, 1, 2, 3, 5])
SIGNS = draw(5, 6, seed=5).sign()
INDICES = torch.tensor([[0, 1], [2, 2], [3, 0]])
NOT_RECORDED = "cannot be recorded here"


@dataclass(frozen=True)
class Case:
    """A model, a loss and a batch.

    Attributes:
        make: makes the model.
        loss: of the model and the batch.
        batch: the batch.
        refuses: for a method (or "all") the error that its products end in today, and a pattern in its message. All
            else is right.
    """

    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor], Tensor]
    batch: Tensor = field(default_factory=lambda: X)
    refuses: Mapping[str, tuple[type[Exception], str]] = field(default_factory=dict)


# Losses: of an output (5, 6) ------------------------------------------------------------------------------------------


def ctc(o: Tensor) -> Tensor:
    logits = F.log_softmax(o[:, None].expand(5, 2, 6), -1)
    return F.ctc_loss(logits, torch.tensor([[1, 2], [2, 3]]), (5, 5), (2, 2))


# The first word of a name is the function of torch.nn.functional.
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "l1_loss": lambda o: F.l1_loss(o, TARGET),
    "mse_loss": lambda o: F.mse_loss(o, TARGET),
    "mse_loss sum": lambda o: F.mse_loss(o, TARGET, reduction="sum"),
    "mse_loss none": lambda o: F.mse_loss(o, TARGET, reduction="none").mean(),
    "mse_loss weight": lambda o: F.mse_loss(o, TARGET, weight=TARGET),
    "mse_loss of two outputs": lambda o: F.mse_loss(o, o.flip(0)),
    "cross_entropy": lambda o: F.cross_entropy(o, LABELS),
    "cross_entropy smooth": lambda o: F.cross_entropy(o, LABELS, label_smoothing=0.1),
    "cross_entropy probabilities": lambda o: F.cross_entropy(o, TARGET),
    "cross_entropy weight": lambda o: F.cross_entropy(o, LABELS, weight=TARGET[0]),
    "nll_loss": lambda o: F.nll_loss(F.log_softmax(o, 1), LABELS),
    "poisson_nll_loss": lambda o: F.poisson_nll_loss(o, TARGET),
    "gaussian_nll_loss": lambda o: F.gaussian_nll_loss(o, TARGET, o.exp()),
    "kl_div": lambda o: F.kl_div(F.log_softmax(o, 1), TARGET, reduction="batchmean"),
    "kl_div log": lambda o: F.kl_div(F.log_softmax(o, 1), TARGET, reduction="sum", log_target=True),
    "binary_cross_entropy": lambda o: F.binary_cross_entropy(o.sigmoid(), TARGET),
    "binary_cross_entropy_with_logits": lambda o: F.binary_cross_entropy_with_logits(o, TARGET),
    "binary_cross_entropy_with_logits pos_weight": lambda o: F.binary_cross_entropy_with_logits(
        o, TARGET, pos_weight=TARGET[0]
    ),
    "margin_ranking_loss": lambda o: F.margin_ranking_loss(o[:, 0], o[:, 1], SIGNS[:, 0]),
    "hinge_embedding_loss": lambda o: F.hinge_embedding_loss(o, SIGNS),
    "multilabel_margin_loss": lambda o: F.multilabel_margin_loss(o, torch.tensor([[0, 1, -1, 0, 0, 0]] * 5)),
    "huber_loss": lambda o: F.huber_loss(o, TARGET),
    "smooth_l1_loss": lambda o: F.smooth_l1_loss(o, TARGET),
    "soft_margin_loss": lambda o: F.soft_margin_loss(o, SIGNS),
    "multilabel_soft_margin_loss": lambda o: F.multilabel_soft_margin_loss(o, (SIGNS > 0).to(F64)),
    "cosine_embedding_loss": lambda o: F.cosine_embedding_loss(o, TARGET, SIGNS[:, 0]),
    "multi_margin_loss": lambda o: F.multi_margin_loss(o, LABELS),
    "multi_margin_loss squared": lambda o: F.multi_margin_loss(o, LABELS, p=2),
    "triplet_margin_loss": lambda o: F.triplet_margin_loss(o, TARGET, TARGET.flip(0)),
    "triplet_margin_with_distance_loss": lambda o: F.triplet_margin_with_distance_loss(o, TARGET, TARGET.flip(0)),
    "ctc_loss": ctc,
    "cosine_similarity": lambda o: F.cosine_similarity(o, TARGET).sum(),
    "pairwise_distance": lambda o: F.pairwise_distance(o, TARGET).sum(),
    "pdist": lambda o: F.pdist(o).sum(),
    "cdist": lambda o: torch.cdist(o, TARGET).sum(),
    "norm": lambda o: o.norm(),
    "logsumexp": lambda o: o.logsumexp(1).sum(),
}


def curved(model: nn.Module, batch: Tensor) -> Tensor:
    """A loss of any output that is smooth and has a different derivative by each entry."""
    out = model(batch)
    return (torch.linspace(1, 2, out.numel(), dtype=out.dtype).view_as(out) * out.square()).sum() / 2 + out.sin().sum()


# Layers: what comes after Linear(4, ...) and Tanh ---------------------------------------------------------------------


class Called(nn.Module):
    """Layers in a call of their own."""

    def __init__(self, call: Callable[..., Tensor], *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x, *self.layers)


def first(layer: nn.Module) -> nn.Module:
    return Called(lambda x, layer: layer(x)[0], layer)


def attention(need_weights: bool) -> nn.Module:
    def call(x: Tensor, layer: nn.Module) -> Tensor:
        return layer(x, x, x, need_weights=need_weights)[0]

    return Called(call, nn.MultiheadAttention(4, 2, batch_first=True))


def unpooled(pool: nn.Module, back: nn.Module) -> nn.Module:
    return Called(lambda x, pool, back: back(*pool(x)), pool, back)


TRANSFORMER = {"dim_feedforward": 6, "dropout": 0.0, "batch_first": True}
SHAPES = {1: (2, 6), 2: (1, 4, 4), 3: (1, 2, 4, 4)}
ELEMENTWISE = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.GLU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU),
    *(nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink),
    *(nn.Softsign, nn.Tanh, nn.Tanhshrink),
)


# The first word of a name is the layer of torch.nn; the shape is that of one sample before it.
LAYERS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    **{c.__name__: ((6,), c) for c in ELEMENTWISE},
    **{c.__name__: ((6,), lambda c=c: c(dim=1)) for c in (nn.Softmin, nn.Softmax, nn.LogSoftmax)},
    "GELU tanh": ((6,), lambda: nn.GELU("tanh")),
    "RReLU eval": ((6,), lambda: nn.RReLU().eval()),
    "Softmax2d": ((3, 2, 1), nn.Softmax2d),
    "Threshold": ((6,), lambda: nn.Threshold(0.1, 0.2)),
    "Linear": ((6,), lambda: nn.Linear(6, 2)),
    "Bilinear": ((6,), lambda: Called(lambda x, layer: layer(x, x), nn.Bilinear(6, 6, 2))),
    "Conv1d": ((2, 3), lambda: nn.Conv1d(2, 2, 2)),
    "Conv2d": ((2, 3, 2), lambda: nn.Conv2d(2, 2, 2, padding=1)),
    "Conv3d": ((1, 2, 2, 3), lambda: nn.Conv3d(1, 2, 2)),
    "Conv2d groups": ((2, 3, 3), lambda: nn.Conv2d(2, 4, 2, groups=2, dilation=2)),
    **{
        f"Conv2d {mode}": ((1, 3, 4), lambda mode=mode: nn.Conv2d(1, 2, 2, padding=1, padding_mode=mode))
        for mode in ("reflect", "replicate", "circular")
    },
    "ConvTranspose1d": ((2, 3), lambda: nn.ConvTranspose1d(2, 2, 2, stride=2)),
    "ConvTranspose2d": ((2, 3, 2), lambda: nn.ConvTranspose2d(2, 2, 2, stride=2)),
    "ConvTranspose3d": ((1, 2, 2, 3), lambda: nn.ConvTranspose3d(1, 2, 2)),
    "Unfold": ((1, 3, 4), lambda: nn.Unfold(2)),
    "Fold": ((4, 3), lambda: nn.Fold((2, 4), 2)),
    "FractionalMaxPool2d": (
        (1, 4, 4),
        lambda: nn.FractionalMaxPool2d(2, output_size=2, _random_samples=torch.full((5, 1, 2), 0.3, dtype=F64)),
    ),
    "FractionalMaxPool3d": (
        (1, 4, 4, 4),
        lambda: nn.FractionalMaxPool3d(2, output_size=2, _random_samples=torch.full((5, 1, 3), 0.3, dtype=F64)),
    ),
    **{
        f"{name}{d}d{note}": (SHAPES[d], lambda name=name, d=d, make=make: make(getattr(nn, f"{name}{d}d"), SHAPES[d]))
        for d in (1, 2, 3)
        for name, note, make in (
            ("MaxPool", "", lambda c, s: c(2)),
            ("AvgPool", "", lambda c, s: c(2)),
            ("LPPool", "", lambda c, s: c(2, 2)),
            ("AdaptiveMaxPool", "", lambda c, s: c(2)),
            ("AdaptiveAvgPool", "", lambda c, s: c(2)),
            (
                "MaxUnpool",
                "",
                lambda c, s: unpooled(getattr(nn, f"MaxPool{len(s) - 1}d")(2, return_indices=True), c(2)),
            ),
            ("ReflectionPad", "", lambda c, s: c(1)),
            ("ReplicationPad", "", lambda c, s: c(1)),
            ("CircularPad", "", lambda c, s: c(1)),
            ("ZeroPad", "", lambda c, s: c(1)),
            ("ConstantPad", "", lambda c, s: c(1, 0.5)),
            ("BatchNorm", "", lambda c, s: c(s[0])),
            ("BatchNorm", " eval", lambda c, s: c(s[0]).eval()),
            ("InstanceNorm", "", lambda c, s: c(s[0], affine=True)),
        )
    },
    "GroupNorm": ((4, 3), lambda: nn.GroupNorm(2, 4)),
    "LayerNorm": ((6,), lambda: nn.LayerNorm(6)),
    "RMSNorm": ((6,), lambda: nn.RMSNorm(6)),
    "LocalResponseNorm": ((4, 3), lambda: nn.LocalResponseNorm(2)),
    "CrossMapLRN2d": ((4, 3, 1), lambda: nn.CrossMapLRN2d(2)),
    "RNN": ((3, 2), lambda: first(nn.RNN(2, 2, batch_first=True))),
    "RNN relu": ((3, 2), lambda: first(nn.RNN(2, 2, nonlinearity="relu", batch_first=True))),
    "GRU": ((2, 2), lambda: first(nn.GRU(2, 2, batch_first=True))),
    "LSTM": ((2, 2), lambda: first(nn.LSTM(2, 2, batch_first=True))),
    "LSTM projected": ((2, 2), lambda: first(nn.LSTM(2, 3, proj_size=2, batch_first=True))),
    "LSTM both ways": ((2, 2), lambda: first(nn.LSTM(2, 1, batch_first=True, bidirectional=True))),
    "RNNCell": ((4,), lambda: nn.RNNCell(4, 2)),
    "GRUCell": ((4,), lambda: nn.GRUCell(4, 2)),
    "LSTMCell": ((4,), lambda: first(nn.LSTMCell(4, 2))),
    "MultiheadAttention": ((3, 4), lambda: attention(False)),
    "MultiheadAttention weights": ((3, 4), lambda: attention(True)),
    "TransformerEncoderLayer": ((3, 4), lambda: nn.TransformerEncoderLayer(4, 2, **TRANSFORMER)),
    "TransformerEncoderLayer eval": ((3, 4), lambda: nn.TransformerEncoderLayer(4, 2, **TRANSFORMER).eval()),
    "TransformerEncoderLayer gelu": (
        (3, 4),
        lambda: nn.TransformerEncoderLayer(4, 2, activation="gelu", norm_first=True, **TRANSFORMER),
    ),
    "TransformerEncoder": (
        (3, 4),
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, **TRANSFORMER), 1).eval(),
    ),
    "TransformerDecoderLayer": (
        (3, 4),
        lambda: Called(lambda x, m: m(x, x.flip(0)), nn.TransformerDecoderLayer(4, 2, **TRANSFORMER)),
    ),
    "TransformerDecoder": (
        (2, 4),
        lambda: Called(
            lambda x, m: m(x, x.flip(0)), nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, **TRANSFORMER), 1)
        ),
    ),
    "Transformer": (
        (2, 4),
        lambda: Called(lambda x, m: m(x, x.flip(0)), nn.Transformer(4, 2, 1, 1, **TRANSFORMER)),
    ),
    "Upsample nearest": ((1, 2, 3), lambda: nn.Upsample(scale_factor=2)),
    "Upsample exact": ((1, 2, 3), lambda: nn.Upsample(scale_factor=2, mode="nearest-exact")),
    "Upsample linear": ((2, 3), lambda: nn.Upsample(scale_factor=2, mode="linear")),
    "Upsample bilinear": ((1, 2, 3), lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "Upsample bicubic": ((1, 2, 3), lambda: nn.Upsample(scale_factor=2, mode="bicubic")),
    "Upsample trilinear": ((1, 2, 2, 3), lambda: nn.Upsample(scale_factor=2, mode="trilinear")),
    "UpsamplingNearest2d": ((1, 2, 3), lambda: nn.UpsamplingNearest2d(scale_factor=2)),
    "UpsamplingBilinear2d": ((1, 2, 3), lambda: nn.UpsamplingBilinear2d(scale_factor=2)),
    "PixelShuffle": ((4, 2, 1), lambda: nn.PixelShuffle(2)),
    "PixelUnshuffle": ((1, 4, 2), lambda: nn.PixelUnshuffle(2)),
    "ChannelShuffle": ((4, 2, 1), lambda: nn.ChannelShuffle(2)),
    "CosineSimilarity": ((6,), lambda: Called(lambda x, layer: layer(x, TARGET), nn.CosineSimilarity())),
    "PairwiseDistance": ((6,), lambda: Called(lambda x, layer: layer(x, TARGET), nn.PairwiseDistance())),
    "AdaptiveLogSoftmaxWithLoss": (
        (6,),
        lambda: Called(lambda x, layer: layer(x, LABELS)[0], nn.AdaptiveLogSoftmaxWithLoss(6, 6, [3], div_value=2.0)),
    ),
    "grid_sample": (
        (8,),
        lambda: Called(lambda x: F.grid_sample(x.view(5, 1, 2, 4), x.view(5, 2, 2, 2), align_corners=False)),
    ),
    "affine_grid": ((6,), lambda: Called(lambda x: F.affine_grid(x.view(5, 2, 3), (5, 1, 2, 2), align_corners=False))),
}
EMBEDDINGS: dict[str, Callable[[], nn.Module]] = {
    "Embedding": lambda: nn.Embedding(4, 3),
    "Embedding padding_idx": lambda: nn.Embedding(4, 3, padding_idx=0),
    "Embedding by frequency": lambda: nn.Embedding(4, 3, scale_grad_by_freq=True),
    "EmbeddingBag": lambda: nn.EmbeddingBag(4, 3),
    "EmbeddingBag sum": lambda: nn.EmbeddingBag(4, 3, mode="sum"),
    "EmbeddingBag max": lambda: nn.EmbeddingBag(4, 3, mode="max"),
    "Embedding padding_idx tied": lambda: Called(lambda x, e: e(x) @ e.weight.T @ e.weight, nn.Embedding(4, 3, 0)),
    "Embedding padding_idx last": lambda: nn.Embedding(4, 3, padding_idx=-1),
    **{
        f"EmbeddingBag padding_idx {mode}": lambda mode=mode: nn.EmbeddingBag(4, 3, mode=mode, padding_idx=2)
        for mode in ("sum", "mean", "max")
    },
}


# Neither a function of their input alone nor with a derivative of their own, made of others, or bound to devices.
NO_CASES = {
    *("Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"),
    *("RNNBase", "RNNCellBase", "Identity", "Flatten", "Unflatten", "DataParallel", "SyncBatchNorm"),
    *("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"),  # refused: random
}


# What is not right today. A change that makes it so must take it from here.
REFUSES: dict[str, dict[str, tuple[type[Exception], str]]] = {
    "ctc_loss": dict.fromkeys(("reverse", "forward", "replay"), (GantoolsError, "_ctc_loss_backward is not impl")),
    "CrossMapLRN2d": dict.fromkeys(("reverse", "forward", "replay"), (GantoolsError, "cannot be differentiated here")),
    "gaussian_nll_loss": {"replay": (GantoolsError, NOT_RECORDED)},  # it raises by the sign of the variance
    "grid_sample": {"forward": (GantoolsError, "forward AD.*'reverse'"), "replay": (GantoolsError, NOT_RECORDED)}
    if tuple(map(int, torch.__version__.split(".")[:2])) > (2, 11)
    else dict.fromkeys(("reverse", "forward", "replay"), (GantoolsError, "grid_sampler_2d_backward is not impl")),
}


def net(shape: tuple[int, ...], layer: Callable[[], nn.Module]) -> nn.Module:
    head = nn.Linear(4, int(torch.tensor(shape).prod())), nn.Tanh(), nn.Unflatten(1, shape)
    return settled(nn.Sequential(*head, layer()))


def settled(model: nn.Module) -> nn.Module:
    """Take it to float64, and away from zeros and ones where derivatives are special."""
    for i, p in enumerate(model.parameters()):
        p.data = 0.7 * draw(*p.shape, seed=i) + (0.5 if p.dim() == 1 else 0.0)
    return model.to(F64)


def cases() -> dict[str, Case]:
    made: dict[str, Case] = {}
    for name, f in LOSSES.items():
        made[name] = Case(lambda: net((6,), nn.Identity), lambda m, x, f=f: f(m(x)))
    for name, (shape, layer) in LAYERS.items():
        made[name] = Case(lambda shape=shape, layer=layer: net(shape, layer), curved)
    for name, layer in EMBEDDINGS.items():
        made[name] = Case(
            lambda layer=layer: settled(nn.Sequential(layer(), nn.Tanh(), nn.Linear(3, 2))), curved, INDICES
        )
    return {name: Case(c.make, c.loss, c.batch, REFUSES.get(name, {})) for name, c in made.items()}


CASES = cases()
