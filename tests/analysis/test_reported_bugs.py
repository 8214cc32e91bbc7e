"""Wrong second and third derivatives that public reports found, replayed: right here, or refused.

The numbers are those of the reports at github.com/pytorch/pytorch/issues.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gantools as gt
from gantools.analysis import hessian, update_operator
from gantools.errors import GantoolsError, NonFiniteFieldError
from tests.analysis.products.test_differences import differences
from tests.draws import draw
from tests.quick import few

F64 = torch.float64
METHODS = ("auto", "reverse", "forward", "difference")


class Held(nn.Module):
    """Parameters by name, of given values."""

    def __init__(self, **values: Tensor):
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(value.clone().to(F64)))


# Functions, in closed form -------------------------------------------------------------------------------------------


class Product(torch.autograd.Function):
    """A backward pass that keeps its own result."""

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
    """An intermediate result kept as an attribute."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = 2 * x
        return ctx.kept**2

    @staticmethod
    def backward(ctx, grad):
        return 4 * ctx.kept * grad


class Ratio(torch.autograd.Function):
    """A derivative that depends on the input only by what was kept."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept, ctx.x = 2 * x, x
        return 3 * ctx.kept

    @staticmethod
    def backward(ctx, grad):
        return torch.full_like(grad, 3) * grad * ctx.kept / ctx.x


def of_a_product(x: Tensor) -> Tensor:
    """Return the second derivatives of the product of all x (n,): the product of all but two."""
    places = range(len(x))
    rest = [[x[[k for k in places if k not in (i, j)]].prod() if i != j else 0.0 for j in places] for i in places]
    return torch.tensor(rest, dtype=F64)


def of_a_determinant(n: int, log: bool = False) -> Tensor:
    """Return the second derivatives at the identity (n, n) of det, or of log |det|."""
    traces, swapped = (torch.einsum(f"ij,kl->{to}", torch.eye(n), torch.eye(n)).to(F64) for to in ("ijkl", "iklj"))
    return ((0 if log else 1) * traces - swapped).reshape(n * n, n * n)


ZEROS, POSITIVE = torch.tensor([2.0, 3.0, 0.0, 0.0], dtype=F64), torch.tensor([0.5, 2.0, 1.5], dtype=F64)
EYE = torch.eye(3, dtype=F64)
FUNCTIONS = {
    "prod with two zeros (106789)": (torch.prod, ZEROS, of_a_product(ZEROS)),
    "a result that is kept (18619)": (Product.apply, POSITIVE, of_a_product(POSITIVE)),
    "an attribute (58509)": (lambda x: Kept.apply(x).sum(), POSITIVE, 8 * EYE),
    "a ratio of what is kept (76185)": (lambda x: Ratio.apply(x).square().sum(), POSITIVE, 72 * EYE),
    "a determinant (149694)": (torch.linalg.det, EYE, of_a_determinant(3)),
    "its logarithm (192521)": (lambda x: torch.linalg.slogdet(x)[1], EYE, of_a_determinant(3, log=True)),
}


@pytest.mark.filterwarnings("ignore::gantools.errors.GantoolsWarning")
@pytest.mark.parametrize("method", ["auto", "reverse", "forward", "replay"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives_are_right_or_refused(name, method):
    function, x, expected = FUNCTIONS[name]
    try:
        H = hessian(Held(x=x), lambda held, _: function(held.x), None, method=method).dense()
    except GantoolsError as error:
        assert method in {"forward", "replay"} and "wrong forward derivative" in str(error)
        return
    torch.testing.assert_close(H, expected, rtol=1e-9, atol=1e-9)


# Models, against differences -----------------------------------------------------------------------------------------


class Flow(nn.Module):
    """An orthogonal flow of Householder reflections, as in Sylvester flows, with a diagonal part between."""

    def __init__(self):
        super().__init__()
        self.vectors, self.taus, self.scale = (
            nn.Parameter(draw(*s, seed=i)) for i, s in enumerate(((4, 3), (3,), (3,)))
        )

    def forward(self, x: Tensor) -> Tensor:
        Q = torch.linalg.householder_product(self.vectors.tril(-1) + torch.eye(4, 3, dtype=F64), self.taus)
        return x + torch.tanh((x @ Q) * self.scale) @ Q.T


class Halting(nn.Module):
    """Adaptive computation: the chance to halt at each step, of which one is certain, so that a factor is zero."""

    def __init__(self):
        super().__init__()
        self.chance = nn.Parameter(torch.tensor([0.3, 1.0, 0.2, 0.4], dtype=F64))
        self.values = nn.Parameter(draw(4))

    def forward(self, x: Tensor) -> Tensor:
        going = torch.cumprod(1 - self.chance, 0)
        before = torch.cat([going.new_ones(1), going[:-1]])
        return (x * self.chance * before * self.values.sin()).sum(1)


class ComplexNet(nn.Module):
    """A complex-valued network with softsign."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Parameter(torch.complex(draw(3, 2, seed=i), draw(3, 2, seed=i + 5))) for i in (0, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.softsign(F.softsign(x.to(self.first.dtype) @ self.first) @ self.second.T).abs().square()


class Autoencoder(nn.Module):
    """A variational autoencoder of binary data, with noise of its own batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(4, 4, dtype=F64), nn.Linear(2, 4, dtype=F64)

    def loss(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + (log_variance / 2).exp() * draw(len(x), 2, seed=8)
        recovered = self.decoder(z).sigmoid()
        rest = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return F.binary_cross_entropy(recovered, x.sigmoid(), reduction="sum") + rest


def precision_loss(m: Held, x: Tensor) -> Tensor:
    """The likelihood of a Gaussian whose factor is learnt, by the inverse and the solution from the factor."""
    factor = m.raw.tril(-1) + torch.diag(m.raw.diagonal().exp())
    inverse = torch.cholesky_inverse(factor)
    return (x @ inverse * x).sum() + torch.cholesky_solve(x.T, factor).square().mean() + m.raw.diagonal().sum()


REPORTS = {
    "reduction='sum' (59477)": (Autoencoder, lambda m, x: m.loss(x), draw(3, 4)),
    "softsign of complex numbers (80926)": (ComplexNet, lambda m, x: m(x).mean(), draw(4, 3)),
    "householder_product (198017)": (Flow, lambda m, x: m(x).sin().square().mean(), draw(5, 4)),
    "cumprod at a zero (198017)": (Halting, lambda m, x: m(x).square().mean(), draw(5, 4)),
    "cholesky_inverse and _solve (198017)": (lambda: Held(raw=draw(3, 3) / 2), precision_loss, draw(4, 3)),
    "prod of tiny factors (193012)": (
        lambda: Held(scale=torch.tensor([1e-3, 1.0, 0.5, 2.0])),
        lambda m, x: (4000 * m.scale.prod() * x.sin()).square().mean() + m.scale.prod(),
        draw(5, 1),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("report", few(REPORTS, 3))
def test_replayed(report, method):
    make, loss, x = REPORTS[report]
    model = make()
    truth = differences_of_any(model, loss, x)
    if method == "forward" and report.startswith(("cholesky", "cumprod")):
        with pytest.raises(GantoolsError, match="Dual numbers give wrong products"):
            hessian(model, loss, x, method=method)
        return
    found = hessian(model, loss, x, method=method).dense()
    assert (found - truth).norm() <= 1e-6 * truth.norm()


def test_a_rule_that_is_wrong_at_the_point_itself_gives_way():
    """Both ways are right near by, where the arbiter judges; several batches make the choice between them."""
    make, loss, x = REPORTS["cumprod at a zero (198017)"]
    model = make()
    truth = (differences(model, loss, x) + differences(model, loss, 2 * x)) / 2
    H = hessian(model, lambda m, pair: loss(m, pair[0]), [(x, 1), (2 * x, 1), (x, 1), (2 * x, 1)])
    assert H.method == "reverse"
    assert (H.dense() - truth).norm() <= 1e-6 * truth.norm()


def differences_of_any(model: nn.Module, loss: object, x: Tensor) -> Tensor:
    """Return `differences` for complex parameters too, as their real views (..., 2)."""
    if not any(p.is_complex() for p in model.parameters()):
        return differences(model, loss, x, h=1e-4 if "scale" in dict(model.named_parameters()) else 1e-5)
    parameters = list(model.parameters())

    def gradient() -> Tensor:
        pieces = torch.autograd.grad(loss(model, x), parameters)  # type: ignore[operator]
        return torch.cat([torch.view_as_real(g.resolve_conj()).reshape(-1) for g in pieces])

    columns = []
    for p in parameters:
        there = torch.view_as_real(p.data).view(-1)
        for i in range(len(there)):
            kept = float(there[i])
            there[i] = kept + 1e-5
            ahead = gradient()
            there[i] = kept - 1e-5
            columns.append((ahead - gradient()) / 2e-5)
            there[i] = kept
    return torch.stack(columns, 1)


def kernel(m: Held, x: Tensor) -> Tensor:
    """An RBF kernel by the distance and not its square."""
    return torch.exp(-(torch.linalg.norm(m.a / m.length - m.b / m.length) ** 2))


@pytest.mark.parametrize("method", METHODS[:3])
def test_points_of_a_kernel_that_coincide(method):
    """pytorch 92075: differentiating forwards gave a wrong Hessian without a word, and backwards NaN."""
    apart = Held(a=draw(3), b=draw(3, seed=2), length=torch.tensor(1.5))
    truth = differences(apart, kernel, None)
    assert (hessian(apart, kernel, None, method=method).dense() - truth).norm() <= 1e-7 * truth.norm()
    together = Held(a=draw(3), b=draw(3), length=torch.tensor(1.5))
    with pytest.raises(NonFiniteFieldError, match="not twice differentiable.*norm.*at zero"):
        hessian(together, kernel, None, method=method)


def test_differences_serve_where_the_kernel_is_smooth_and_its_formula_is_not():
    together = Held(a=draw(3), b=draw(3), length=torch.tensor(1.5))
    found = hessian(together, kernel, None, method="difference").dense()
    eye = 2 / 1.5**2 * torch.eye(3, dtype=F64)
    zero = torch.zeros(3, 1, dtype=F64)
    truth = torch.cat([torch.cat([-eye, eye, zero], 1), torch.cat([eye, -eye, zero], 1), torch.zeros(1, 7, dtype=F64)])
    torch.testing.assert_close(found, truth, rtol=1e-6, atol=1e-6)


# Normalizations, whose third derivatives consensus needs --------------------------------------------------------------


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
