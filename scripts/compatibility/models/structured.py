"""Layers that solve something inside: time constants (ncps), equilibria (torchdeq), chains (pytorch-crf), slots."""

import geoopt
import torch
from ncps.torch import LTC, CfC
from ncps.wirings import AutoNCP
from slot_attention import SlotAttention
from torch import nn
from torch.nn import functional as F
from torchcrf import CRF
from torchdeq import get_deq

from compatibility.entries import model, on_output


@model("ncps")
def liquid_time_constants():
    return LTC(2, AutoNCP(6, 1)), on_output, torch.randn(3, 4, 2)


@model("ncps")
def closed_form_continuous_time():
    return CfC(2, 5, proj_size=1, backbone_units=8), on_output, torch.randn(3, 4, 2)


@model("torchdeq")
def deep_equilibrium():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.given, self.read = nn.Linear(3, 3), nn.Linear(2, 3), nn.Linear(3, 2)
            nn.init.normal_(self.hidden.weight, std=0.3)
            solver = {"f_solver": "fixed_point_iter", "b_solver": "fixed_point_iter", "f_tol": 1e-13, "b_tol": 1e-13}
            self.solve = get_deq(
                ift=True, f_max_iter=200, b_max_iter=200, f_stop_mode="abs", b_stop_mode="abs", **solver
            )

        def forward(self, x):
            given = self.given(x)
            found, _ = self.solve(lambda z: torch.tanh(self.hidden(z) + given), torch.zeros_like(given))
            return self.read(found[-1])

    return Net(), on_output, torch.randn(5, 2)


@model("pytorch-crf")
def conditional_random_field():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn = nn.Embedding(7, 4), nn.LSTM(4, 2, bidirectional=True, batch_first=True)
            self.read, self.chain = nn.Linear(4, 3), CRF(3, batch_first=True)

        def forward(self, words, tags, mask):
            return -self.chain(self.read(self.rnn(self.embed(words))[0]), tags, mask=mask, reduction="mean")

    lengths = torch.tensor([5, 4, 3])[:, None]
    batch = {"words": torch.randint(7, (3, 5)), "tags": torch.randint(3, (3, 5)), "mask": torch.arange(5) < lengths}
    return Net(), lambda net, b: net(**b), batch


@model("slot_attention", precisions=(torch.float64,))
def slot_attention():
    def loss(net, x):
        with torch.random.fork_rng():  # slots begin at samples, others in each precision
            torch.manual_seed(1)
            return (net(x) - x[:, :2]).square().mean()

    return SlotAttention(num_slots=2, dim=4, iters=2, hidden_dim=8), loss, torch.randn(2, 5, 4)


@model("geoopt", nudge=0.02)
def hyperbolic_embedding():
    ball = geoopt.PoincareBall(c=1.0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.points = geoopt.ManifoldParameter(0.1 * torch.randn(6, 2), manifold=ball)
            self.turn = nn.Linear(2, 2)

        def forward(self, i, j):
            return ball.dist(ball.expmap0(self.turn(ball.logmap0(self.points[i]))), self.points[j])

    batch = (torch.arange(5), torch.arange(1, 6), torch.rand(5))
    return Net(), lambda net, b: F.binary_cross_entropy_with_logits(1 - net(b[0], b[1]), b[2]), batch
