"""Gauss-Newton and Fisher matrices against the same written out with whole Jacobians."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from gantools.analysis import fisher, gauss_newton, hessian, restrict
from gantools.errors import GantoolsError
from tests import cases
from tests.game_oracles import relative
from tests.quick import few

F64 = torch.float64


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(n_out=3, size=10, seed=0):
    x = torch.randn(size, 4, generator=source(seed), dtype=F64)
    return cases.mlp(4, 5, n_out, seed=seed), x


def output_jacobian(model, x):
    """The outputs (m,) and their Jacobian (m, n), by plain autograd."""
    flat = model(x).reshape(-1)
    return flat.detach(), gradients(model, flat)


def gradients(model, values):
    """The gradient of each value by all parameters, (values, n)."""
    parameters = list(model.parameters())
    rows = [torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True) for value in values]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])


def softmax_information(logits):
    p = logits.softmax(1)
    return torch.block_diag(*[torch.diag(row) - torch.outer(row, row) for row in p]) / len(logits)


def same(operator, matrix):
    assert operator.symmetric and operator.kind == "hessian"
    u = torch.randn(len(matrix), 3, generator=source(1), dtype=F64)
    assert relative(operator @ u, matrix @ u) < 1e-12
    assert relative(operator @ u[:, 0], matrix @ u[:, 0]) < 1e-12
    assert relative(operator.dense(), matrix) < 1e-12


def test_gauss_newton_and_exact_fisher_of_a_classifier():
    model, x = problem()
    y = torch.arange(10) % 3
    flat, J = output_jacobian(model, x)
    expected = J.T @ softmax_information(flat.view(10, 3)) @ J
    same(gauss_newton(model, lambda f, b: cross_entropy(f, b[1]), (x, y)), expected)
    same(fisher(model, "categorical", (x, y), kind="exact"), expected)
    assert torch.linalg.eigvalsh(expected).min() > -1e-14


METHODS = ["auto", "reverse", "forward", "replay"]
REPLAY_SLOW = [*METHODS[:3], pytest.param("replay", marks=pytest.mark.slow)]


@pytest.mark.parametrize("method", REPLAY_SLOW)
@pytest.mark.parametrize("several", few([False, True], 1))
def test_every_method_and_a_part_of_it(method, several):
    model, x = problem()
    y = torch.arange(10) % 3
    flat, J = output_jacobian(model, x)
    batch = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])] if several else (x, y)
    expected = J.T @ softmax_information(flat.view(10, 3)) @ J
    g = gradients(model, cross_entropy(model(x), y, reduction="none"))
    G = gauss_newton(model, lambda f, b: cross_entropy(f, b[1]), batch, method=method)
    F = fisher(model, "categorical", batch, kind="empirical", method=method)
    assert F.method == method or method == "auto"
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)  # snapshots: this changes nothing
    same(G, expected)
    same(F, g.T @ g / 10)
    for part in (slice(25, 43), torch.tensor([2, 3, 30])):
        where = torch.arange(43)[part]
        same(restrict(G, part), expected[where][:, where])
    same(restrict(F, "model.2.*"), (g.T @ g / 10)[25:, 25:])


def test_squared_errors_and_bits():
    model, x = problem(2)
    y = torch.rand(10, 2, generator=source(5), dtype=F64).round()
    flat, J = output_jacobian(model, x)
    same(gauss_newton(model, lambda f, b: ((f - b[1]) ** 2).sum(1).mean() / 2, (x, y)), J.T @ J / 10)
    same(fisher(model, "gaussian", (x, y), kind="exact"), J.T @ J / 10)
    p = flat.sigmoid()
    expected = J.T @ torch.diag(p * (1 - p)) @ J / 10
    same(fisher(model, "bernoulli", x, kind="exact"), expected)
    criterion = lambda f, b: binary_cross_entropy_with_logits(f, b[1], reduction="sum") / 10  # noqa: E731
    same(gauss_newton(model, criterion, (x, y)), expected)


def test_of_a_linear_model_gauss_newton_is_the_hessian():
    model, x = nn.Linear(4, 3, dtype=F64), problem()[1]
    y = torch.arange(10) % 3
    G = gauss_newton(model, lambda f, b: cross_entropy(f, b[1]), (x, y))
    H = hessian(model, lambda m, b: cross_entropy(m(b[0]), b[1]), (x, y))
    assert relative(G.dense(), H.dense()) < 1e-13


def test_structured_outputs_and_other_batches():
    """A model with two heads, and a batch that is a mapping."""

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.scale = cases.mlp(4, 3, 2, seed=1), cases.mlp(4, 2, 1, seed=2)

        def forward(self, x):
            return {"mean": self.mean(x), "scale": self.scale(x), "count": torch.tensor(3)}

    model, x = Heads(), problem()[1]
    weight = torch.tensor([2.0, 0.5, 3.0], dtype=F64)
    G = gauss_newton(
        model,
        lambda f, b: (weight[:2] * f["mean"] ** 2).sum() / 2 + (weight[2] * f["scale"] ** 2).sum() / 2,
        {"x": x},
        forward=lambda m, b: m(b["x"]),
    )
    J = gradients(model, torch.cat([model(x)["mean"], model(x)["scale"]], 1).reshape(-1))
    same(G, J.T @ (weight.repeat(10)[:, None] * J))
    with pytest.raises(GantoolsError, match="Which of 'x' does the model take"):
        gauss_newton(model, lambda f, b: f.sum(), {"x": x})


def test_empirical_fisher():
    model, x = problem()
    y = torch.arange(10) % 3
    g = gradients(model, cross_entropy(model(x), y, reduction="none"))
    expected = g.T @ g / 10
    same(fisher(model, "categorical", (x, y), kind="empirical"), expected)
    per_sample = fisher(model, lambda f, b: cross_entropy(f, b[1], reduction="none"), (x, y), kind="empirical")
    same(per_sample, expected)
    target = torch.randn(10, 3, generator=source(3), dtype=F64)
    flat, J = output_jacobian(model, x)
    s = torch.stack([J[3 * i : 3 * i + 3].T @ (flat.view(10, 3) - target)[i] for i in range(10)])
    same(fisher(model, "gaussian", (x, target), kind="empirical"), s.T @ s / 10)


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli", "gaussian"])
def test_the_mean_of_sampled_fishers_is_the_exact_one(likelihood):
    model, x = problem(3, size=4)
    exact = fisher(model, likelihood, x, kind="exact").dense()
    generator = source(0)
    few = [fisher(model, likelihood, x, generator=generator, draws=200).dense() for _ in range(12)]
    mean, spread = torch.stack(few).mean(0), torch.stack(few).std(0)
    # Twelve means: their deviation from the truth, entry by entry, in standard errors, is that of Student's t.
    t = (mean - exact).abs() / (spread / 12**0.5 + 1e-12 * exact.abs().max())
    assert t.square().mean().sqrt() < 1.6
    assert relative(mean, exact) < 0.1
    one = fisher(model, likelihood, x, generator=source(1), draws=1)
    assert torch.linalg.matrix_rank(one.dense(), tol=1e-10) <= 4  # a draw for each of four samples


def test_draws_come_from_the_generator_and_stay():
    model, x = problem()
    batches = [x[:6], x[6:]]
    first = fisher(model, "categorical", batches, generator=source(3))
    again = fisher(model, "categorical", batches, generator=source(3))
    other = fisher(model, "categorical", batches, generator=source(4))
    # The second may come from a recording, which rounds otherwise.
    assert relative(first.dense(), first.dense()) < 1e-13 and relative(again.dense(), first.dense()) < 1e-13
    assert relative(other.dense(), first.dense()) > 1e-3


def test_positions_are_rows():
    """Logits (N, C, T), as `cross_entropy` takes them."""

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cases.mlp(4, 6, seed=2)

        def forward(self, x):
            return self.net(x).view(len(x), 3, 2)

    model, x = Positions(), problem(size=5)[1]
    y = torch.randint(3, (5, 2), generator=source(1))
    G = gauss_newton(model, lambda f, b: cross_entropy(f, b[1]), (x, y))
    assert relative(fisher(model, "categorical", (x, y), kind="exact").dense(), G.dense()) < 1e-13
    g = gradients(model, cross_entropy(model(x), y, reduction="none").reshape(-1))
    same(fisher(model, "categorical", (x, y), kind="empirical"), g.T @ g / 10)


def test_several_batches_are_weighted_by_size():
    model, x = problem()
    y = torch.arange(10) % 3
    criterion = lambda f, b: cross_entropy(f, b[1])  # noqa: E731
    whole = gauss_newton(model, criterion, (x, y)).dense()
    loader = DataLoader(TensorDataset(x, y), batch_size=4)  # 4 + 4 + 2
    assert relative(gauss_newton(model, criterion, loader).dense(), whole) < 1e-13
    assert (
        relative(
            fisher(model, "categorical", loader, kind="empirical").dense(),
            fisher(model, "categorical", (x, y), kind="empirical").dense(),
        )
        < 1e-13
    )
    with pytest.raises(GantoolsError, match="shuffle=False"):
        gauss_newton(model, criterion, DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True))
    with pytest.raises(GantoolsError, match="no batches|list of batches is empty"):
        gauss_newton(model, criterion, [])


def test_buffers_stand_still_and_modes_are_kept():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    x, y = problem()[1], torch.arange(10) % 3
    criterion = lambda f, b: cross_entropy(f, b[1])  # noqa: E731
    with pytest.raises(GantoolsError, match="Dropout is active"):
        gauss_newton(model, criterion, (x, y))
    model[3].eval()
    before = {name: b.clone() for name, b in model.named_buffers()}
    G = gauss_newton(model, criterion, (x, y))
    matrix = G.dense()
    assert all(torch.equal(before[name], b) for name, b in model.named_buffers())
    flat, J = output_jacobian(model, x)
    assert relative(matrix, J.T @ softmax_information(flat.view(10, 3)) @ J) < 1e-10
    model.eval()  # a snapshot: this changes nothing
    assert relative(G.dense(), matrix) < 1e-14  # a clock chooses blocks, and so the last bits
    assert relative(gauss_newton(model, criterion, (x, y)).dense(), matrix) > 1e-3


def test_a_layer_of_it():
    model, x = problem()
    G = gauss_newton(model, lambda f, b: (f**2).mean(), x)
    torch.testing.assert_close(restrict(G, "model.2.*").dense(), G.dense()[25:, 25:])


def test_a_linear_criterion_has_no_curvature():
    model, x = problem()
    assert not gauss_newton(model, lambda f, b: f.sum(), x).dense().any()
    assert not gauss_newton(model, lambda f, b: torch.tensor(3.0), x).dense().any()


def test_float32():
    model, x = problem()
    exact = fisher(model, "categorical", x, kind="exact").dense()
    single = fisher(model.float(), "categorical", x.float(), kind="exact")
    assert single.dtype == torch.float32 and relative(single.dense().double(), exact) < 1e-5


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(x) + torch.randn(len(x), self.out_features)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m, x: fisher(m, "categorical", x), "generator=torch.Generator"),
        (lambda m, x: fisher(m, "categorial", x, kind="exact"), "Did you mean 'categorical'"),
        (lambda m, x: fisher(m, "categorical", x, kind="emprical"), "Did you mean 'empirical'"),
        (lambda m, x: fisher(m, "categorical", x, kind="empirical"), "targets from a batch"),
        (lambda m, x: fisher(m, lambda f, b: f.sum(1), x, kind="exact"), "draws from the model's prediction"),
        (lambda m, x: fisher(m, lambda f, b: f.mean(), x, kind="empirical"), "loss for each of the 10 samples"),
        (lambda m, x: gauss_newton(m, lambda f, b: f, x), r"must return a scalar, not shape \(10, 3\)"),
        (lambda m, x: gauss_newton(m, lambda f, b: f.sum(), x * float("nan")), "NaN or infinite"),
        (lambda m, x: gauss_newton(m.forward, lambda f, b: f.sum(), x), "give the torch.nn.Module"),
        (lambda m, x: gauss_newton(Noisy(4, 2), lambda f, b: f.sum(), x.float()), "outputs differ between two"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(*problem())
