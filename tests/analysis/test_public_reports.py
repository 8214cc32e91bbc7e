"""Second derivatives that public bug reports found wrong, of functions that this library's authors did not choose.

The numbers are those of the reports at github.com/pytorch/pytorch/issues.
"""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, update_operator
from gantools.errors import GantoolsError

F64 = torch.float64


class Product(torch.autograd.Function):
    """18619: a backward pass that keeps its own result."""

    @staticmethod
    def forward(ctx, x):
        y = x.prod()
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * y / x


class Kept(torch.autograd.Function):
    """58509: an intermediate result kept as an attribute."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = 2 * x
        return ctx.kept**2

    @staticmethod
    def backward(ctx, grad):
        return 4 * ctx.kept * grad


class Ratio(torch.autograd.Function):
    """76185: a derivative that depends on the input only by what was kept."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept, ctx.x = 2 * x, x
        return 3 * ctx.kept

    @staticmethod
    def backward(ctx, grad):
        return torch.full_like(grad, 3) * grad * ctx.kept / ctx.x


def second_derivatives_of_a_product(x):
    n = len(x)
    others = torch.ones(n, n, dtype=F64)
    for i in range(n):
        for j in range(n):
            others[i, j] = 0.0 if i == j else torch.cat([x[:i], x[i + 1 :]])[torch.arange(n - 1) != j - (j > i)].prod()
    return others


def second_derivatives_of_a_determinant(x, log=False):
    """Return those at the identity: of det, or of log |det|, whose first is the transposed inverse."""
    n = len(x)
    traces, swapped = torch.zeros(n, n, n, n, dtype=F64), torch.zeros(n, n, n, n, dtype=F64)
    for i in range(n):
        for j in range(n):
            traces[i, i, j, j] += 1
            swapped[i, j, j, i] += 1
    return ((0 if log else 1) * traces - swapped).reshape(n * n, n * n)


ZEROS, POSITIVE = torch.tensor([2.0, 3.0, 0.0, 0.0], dtype=F64), torch.tensor([0.5, 2.0, 1.5], dtype=F64)
CASES = {
    "106789 a product with two zeros": (torch.prod, ZEROS, second_derivatives_of_a_product(ZEROS)),
    "18619": (Product.apply, POSITIVE, second_derivatives_of_a_product(POSITIVE)),
    "58509": (lambda x: Kept.apply(x).sum(), POSITIVE, 8 * torch.eye(3, dtype=F64)),
    "76185": (lambda x: Ratio.apply(x).square().sum(), POSITIVE, 72 * torch.eye(3, dtype=F64)),
    "149694 a determinant": (
        torch.linalg.det,
        torch.eye(3, dtype=F64),
        second_derivatives_of_a_determinant(torch.eye(3)),
    ),
    "192521 a determinant's logarithm": (
        lambda x: torch.linalg.slogdet(x)[1],
        torch.eye(3, dtype=F64),
        second_derivatives_of_a_determinant(torch.eye(3), log=True),
    ),
}


class Point(nn.Module):
    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(x.clone())


@pytest.mark.filterwarnings("ignore::gantools.errors.GantoolsWarning")
@pytest.mark.parametrize("method", ["auto", "reverse", "forward", "replay"])
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_right_or_refused(name, method):
    function, x, expected = CASES[name]
    try:
        H = hessian(Point(x), lambda point, _: function(point.x), None, method=method).dense()
    except GantoolsError as error:
        assert method in {"forward", "replay"} and "wrong forward derivative" in str(error)
        return
    torch.testing.assert_close(H, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(5), nn.BatchNorm1d(5), nn.GroupNorm(1, 5)], ids=["175754", "186256", "group"]
)
def test_third_derivatives_in_the_linearised_step_of_consensus(norm):
    """175754, 186256: fused normalizations have wrong third derivatives, and no error."""
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).to(F64)
    D = nn.Sequential(nn.Linear(2, 5), norm, nn.Tanh(), nn.Linear(5, 1)).to(F64)
    game = gt.gan(G, D)
    batch = {"real": torch.randn(8, 2, dtype=F64), "latent": torch.randn(8, 2, dtype=F64)}
    optimizer = gt.trainers.Consensus(game, lr=0.1, gamma=2.0)
    A = update_operator(optimizer, batch)
    w, u = game.vector(), torch.randn(game.num_parameters, dtype=F64)

    def moved(h):
        game.load_vector(w + h * u)
        gt.trainers.Consensus(game, lr=0.1, gamma=2.0).step(batch)
        return game.vector()

    h = 2e-4
    near, far = moved(h) - moved(-h), moved(2 * h) - moved(-2 * h)
    step = (8 * near - far) / (12 * h) - u
    assert ((A @ u) - u - step).norm() < 1e-6 * step.norm()
