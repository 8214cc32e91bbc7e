"""Two-player games of every kind of layer, and their dense Jacobians by plain autograd in one process."""

import torch
from torch import nn
from torch.func import functional_call

import gantools as gt

F64 = torch.float64


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.attention(x, x, x, need_weights=False)[0]).flatten(1)


class Tied(nn.Module):
    """An embedding whose weights are also those of the last layer."""

    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.last.weight = self.table.weight

    def forward(self, x):
        return self.last(self.table((x.abs() * 10).long() % 5).tanh()).flatten(1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x):
        return self.cell(x)[0].flatten(1)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, dtype=torch.complex128))

    def forward(self, x):
        return (x.flatten(1)[:, :4].to(torch.complex128) @ self.weight.T).abs()


def layers():
    """Return, by name, a function that makes a net of images or sequences (N, 4, 4)."""
    lift = nn.Unflatten(1, (1, 4))
    return {
        "perceptron": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, 2)),
        "layer norm": lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Softplus(), nn.Linear(4, 1)),
        "convolution": lambda: nn.Sequential(lift, nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 1, 3)),
        "transposed convolution": lambda: nn.Sequential(lift, nn.ConvTranspose2d(1, 2, 3), nn.Softplus()),
        "group norm": lambda: nn.Sequential(lift, nn.Conv2d(1, 4, 2), nn.GroupNorm(2, 4), nn.Softplus(), nn.Flatten()),
        "batch norm": lambda: nn.Sequential(nn.Conv1d(4, 3, 2), nn.BatchNorm1d(3), nn.Softplus(), nn.Flatten()),
        "attention": Attention,
        "tied embedding": Tied,
        "recurrent": Recurrent,
        "complex": Complex,
    }


def losses(players, batch):
    """Return losses whose Jacobian is not symmetric: what one gains is not what the other loses."""
    one, other = players["one"](batch["x"]), players["other"](batch["x"])
    return {"one": (one * other).mean() + one.square().mean(), "other": (other.square() - 2 * one * other).mean()}


def game(name, wrap=lambda module: module):
    """Return the game of two nets of a kind; `wrap` is applied to each of them."""
    torch.manual_seed(7)
    made = {player: layers()[name]().double() for player in ("one", "other")}
    with torch.no_grad():
        for module in made.values():
            for p in module.parameters():
                p.copy_(torch.randn_like(p) / 2)  # norms' own start is 1 and 0
    return gt.Game({player: wrap(module) for player, module in made.items()}, losses)


def batch(size=6):
    return {"x": torch.randn(size, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(11))}


def dense(name, parts):
    """Return the Jacobian (n, n) of the mean field over batches, weighted by their sizes, by autograd row by row."""
    modules = game(name).players
    leaves = {player: {k: p.detach() for k, p in m.named_parameters()} for player, m in modules.items()}
    leaves = {player: {k: p.clone().requires_grad_() for k, p in own.items()} for player, own in leaves.items()}
    total, field = sum(len(part["x"]) for part in parts), 0
    for part in parts:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            players = {p: lambda x, p=p: functional_call(modules[p], leaves[p], (x,)) for p in modules}
            found = losses(players, part)
        pieces = [torch.autograd.grad(found[p], list(leaves[p].values()), create_graph=True) for p in modules]
        field = field + len(part["x"]) / total * torch.cat([_flat(t) for own in pieces for t in own])
    everything = [t for own in leaves.values() for t in own.values()]
    rows = [torch.autograd.grad(entry, everything, retain_graph=True, materialize_grads=True) for entry in field]
    return torch.stack([torch.cat([_flat(t) for t in row]) for row in rows])


def _flat(t):
    return (torch.view_as_real(t) if t.is_complex() else t).reshape(-1)
