"""What models are wrapped in or bring along: checkpoints, compilation, kernels, sparse gradients, tied attributes."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

import gantools as gt
from gantools.analysis import hessian
from gantools.errors import GantoolsWarning
from tests import cases

F64 = torch.float64


def differences(model, loss, batch, u, h=1e-4):
    """Return the derivative of the plain gradient along u, the module's own parameters moved and put back."""
    parameters = list(model.parameters())
    steps = [piece.view_as(p) for p, piece in zip(parameters, u.split([p.numel() for p in parameters]), strict=True)]

    def gradient(t):
        kept = [p.data for p in parameters]
        for p, step in zip(parameters, steps, strict=True):
            p.data = p.data + t * step
        found = torch.autograd.grad(loss(model, batch), parameters, allow_unused=True, materialize_grads=True)
        for p, data in zip(parameters, kept, strict=True):
            p.data = data
        return torch.cat([(g.to_dense() if g.is_sparse else g).reshape(-1) for g in found])

    return (8 * (gradient(h) - gradient(-h)) - (gradient(2 * h) - gradient(-2 * h))) / (12 * h)


def assert_right(model, loss, batch, methods=("reverse", "forward")):
    size = sum(p.numel() for p in model.parameters())
    u = torch.randn(size, generator=torch.Generator().manual_seed(3), dtype=F64)
    expected = differences(model, loss, batch, u)
    for method in methods:
        H = hessian(model, loss, batch, method=method)
        assert (H @ u - expected).norm() < 1e-7 * expected.norm(), method


class Checkpointed(nn.Module):
    def __init__(self, inner, reentrant=False):
        super().__init__()
        self.inner, self.out, self.reentrant = inner, nn.Linear(4, 2), reentrant

    def forward(self, x):
        return self.out(checkpoint(self.inner, x, use_reentrant=self.reentrant))


def mean_square(model, x):
    return model(x).square().mean()


def samples(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=F64)


INNER = {
    "tanh": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()),
    "layer norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)),
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()),
}


@pytest.mark.parametrize("name", INNER)
def test_of_checkpointed_parts(name):
    torch.manual_seed(0)
    model = Checkpointed(INNER[name]()).to(F64)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    size = sum(p.numel() for p in model.parameters())
    H = hessian(model, mean_square, samples(6, 3))
    first = H.dense()
    for key, value in model.state_dict().items():
        assert torch.equal(value, kept[key])  # running statistics too
    assert_right(model, mean_square, samples(6, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    torch.testing.assert_close(H @ torch.eye(size, dtype=F64), first)  # a snapshot


@pytest.mark.parametrize("optimizer", ["extragradient", "heun", "consensus"])
def test_steps_of_checkpointed_parts_are_those_without(optimizer):
    ends = []
    for wrap in (True, False):
        torch.manual_seed(0)
        model = Checkpointed(INNER["tanh"]()).to(F64)
        if not wrap:
            model = nn.Sequential(model.inner, model.out)
        game = gt.minimization(model, mean_square)
        opt = gt.trainers.make(optimizer, game, lr=0.3)
        for _ in range(2):
            opt.step(samples(6, 3))
        ends.append(game.vector())
    torch.testing.assert_close(*ends)


def test_checkpointing_works_outside_as_before():
    model, x = Checkpointed(INNER["tanh"]()).to(F64), samples(6, 3)
    hessian(model, mean_square, x)
    calls = []
    model.inner.register_forward_pre_hook(lambda *_: calls.append(1))
    mean_square(model, x).backward()
    assert len(calls) == 2


class OwnLoss(nn.Module):
    """Returns its own loss, as Hugging Face models do."""

    def __init__(self):
        super().__init__()
        self.net = cases.mlp(3, 4, 2)

    def forward(self, x):
        return self.net(x).square().mean()


def test_of_a_compiled_module():
    plain, x = OwnLoss(), samples(6, 3)
    compiled = torch.compile(plain, backend="aot_eager")
    expected = hessian(plain, lambda m, x: m(x), x).dense()
    torch.testing.assert_close(hessian(compiled, lambda m, x: m(x), x).dense(), expected)


def test_of_what_is_tied_to_a_parameter():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 1).to(F64)
            self.linear.weight.scale = 2.0

        def forward(self, x):
            return self.linear.weight.scale * self.linear(x)

    assert_right(Scaled(), mean_square, samples(5, 3))


def test_of_a_model_that_names_its_kernel():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(4, 12).to(F64)

        def forward(self, x):
            q, k, v = self.project(x).view(2, 3, 1, 12).transpose(1, 2).chunk(3, dim=-1)
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return F.scaled_dot_product_attention(q, k, v)

    assert_right(Attends(), mean_square, samples(2, 3, 4))


@pytest.mark.parametrize("layer", ["attention", "transformer"])
def test_of_torch_layers_under_a_kernel_that_the_loss_names(layer):
    torch.manual_seed(0)
    if layer == "attention":
        net = nn.MultiheadAttention(4, 2, batch_first=True).to(F64)
    else:
        net = nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True).to(F64)

    def loss(net, x):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return (net(x, x, x, need_weights=False)[0] if layer == "attention" else net(x).tanh()).square().mean()

    assert_right(net, loss, samples(2, 3, 4))


class Words(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.out = nn.Embedding(5, 3, **settings).to(F64), nn.Linear(3, 2).to(F64)

    def forward(self, x):
        return self.out(self.words(x).tanh())


WORDS = torch.tensor([[0, 1], [2, 2]])


def test_of_sparse_embeddings():
    assert_right(Words(sparse=True), mean_square, WORDS)
    steps = []
    for sparse in (True, False):
        game = gt.minimization(Words(sparse=sparse), mean_square)
        gt.trainers.Simultaneous(game, lr=0.1, base="adam").step(WORDS)
        gt.trainers.Consensus(game, lr=0.1, gamma=1.0).step(WORDS)
        steps.append(game.vector())
    torch.testing.assert_close(*steps)


def test_of_embeddings_of_bounded_norm():
    """The rows used are shortened on the way, and the gradient is that by the shortened ones: no Hessian."""
    model = Words(max_norm=1.0)
    kept = model.words.weight.detach().clone()
    assert kept.norm(dim=1).max() > 1
    with pytest.warns(GantoolsWarning, match="words: rows above max_norm"):
        H = hessian(model, mean_square, WORDS)
    assert torch.equal(model.words.weight, kept) and not H.symmetric
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GantoolsWarning)
        assert_right(model, mean_square, WORDS, ["reverse"])


class Caching(nn.Module):
    """Keeps at its first call what it makes: a buffer, an attribute, a length beside it, and a hook."""

    def __init__(self):
        super().__init__()
        self.linear, self.length = nn.Linear(3, 2), 0
        self.register_buffer("table", None, persistent=False)

    def forward(self, x):
        if self.length < len(x):
            self.length = len(x)
            self.table = torch.arange(float(len(x))).to(x)[:, None]
            self.register_buffer("more", self.table + 1, persistent=False)
            self.kept = self.linear.weight.sum()
            self.linear.register_forward_hook(lambda module, given, output: output.sin())
        return self.linear(x) * self.table[: len(x)] + self.more[: len(x)]


@pytest.mark.parametrize("method", ["reverse", "forward", "replay", "difference"])
def test_what_a_model_keeps_at_its_first_call_is_not_left_by_an_analysis(method):
    torch.manual_seed(0)
    model, x = Caching(), samples(5, 3).float()
    hessian(model, mean_square, x, method=method) @ torch.ones(8)
    assert model.length == 0 and model.table is None
    assert not hasattr(model, "more") and not hasattr(model, "kept") and not model.linear._forward_hooks
    assert torch.isfinite(mean_square(model, x)) and model.table.dtype == torch.float32
    kept = model.kept
    H = hessian(model, mean_square, x, method=method)
    assert model.kept is kept and len(model.linear._forward_hooks) == 1 and H.n == 8


def test_of_hooks_that_bear_one_backward_pass_only():
    """As those of opacus, which take what the forward pass left from a list."""

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.linear, self.given = nn.Linear(3, 2).to(F64), nn.Linear(2, 2).to(F64), []
            self.linear.register_forward_hook(lambda module, given, output: self.given.append(given[0].detach()))
            self.linear.register_full_backward_hook(lambda *_: self.given.__delitem__(-1))

        def forward(self, x):
            self.given.clear()
            return self.linear(self.first(x).tanh())

    model, x = Counted(), samples(4, 3)
    u = torch.randn(14, generator=torch.Generator().manual_seed(3), dtype=F64)
    with pytest.warns(GantoolsWarning, match="out of range.*central differences"):
        H = hessian(model, mean_square, x)
    assert (H @ u - differences(model, mean_square, x, u)).norm() < 1e-6 * (H @ u).norm()


def test_of_a_batch_whose_tensors_are_out_of_sight():
    """A recurrent net refuses another precision with a ValueError, where the arbiter decides in float64."""

    class Opaque:
        def __init__(self, x):
            self.x = x

    torch.manual_seed(0)
    net, x = nn.LSTM(3, 2, batch_first=True), samples(2, 3, 3).float()
    H = hessian(net, lambda net, batch: net(batch.x)[0].square().mean(), Opaque(x))
    same = hessian(net, lambda net, x: net(x)[0].square().mean(), x)
    torch.testing.assert_close(H @ torch.ones(H.n), same @ torch.ones(H.n))
