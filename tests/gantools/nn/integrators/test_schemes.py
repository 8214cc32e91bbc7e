"""Blocks as schemes: orders on scalar equations with known solutions, formulas, exact inverses, derivatives."""

import math

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn.integrators.ode import ADAPTIVE, FIXED, ODEBlock
from gantools.nn.integrators.reversible import RevBlock, RevSequence
from gantools.nn.integrators.schemes import DropPath, Flow, FractalBlock, LMBlock, PolyBlock, ResidualBlock
from tests.draws import draw, seeded
from tests.gantools.nn.integrators.blocks import F64, layers
from tests.quick import few


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


# Orders: u' = -u^2 + 1 from u(0) = 0 is tanh; nonlinear, so that no order is an accident of linearity.
RICCATI = Function(lambda u: 1 - u * u)
SCHEMES = {
    "residual": (lambda h: ResidualBlock(RICCATI, h), 1),
    "fractal, one column": (lambda h: FractalBlock(RICCATI, 1, step=h), 1),
    "fractal, Heun": (lambda h: FractalBlock(RICCATI, 2, step=h), 2),
    "fractal, three columns": (lambda h: FractalBlock(RICCATI, 3, step=h), 1),
    "fractal, units": (lambda h: FractalBlock(RICCATI, 2, "unit", h), 1),
    "fractal, three columns of units": (lambda h: FractalBlock(RICCATI, 3, "unit", h), 1),
    "poly 2-way": (lambda h: PolyBlock(Function(lambda u: 1 + 0 * u), Function(lambda u: -u * u), "2-way", h), 1),
    **{f"ode {m}": (lambda h, m=m: ODEBlock(RICCATI, h, m, steps=1), order) for m, order in FIXED.items()},
}


def measured_order(make, exact, start, steps=(16, 32, 64)):
    """The slope of the error over halved steps, integrating to time 1."""
    errors = []
    for n in steps:
        flow = Flow(*[make(1 / n) for _ in range(n)])
        with torch.no_grad():
            errors.append(abs(flow(torch.tensor([[start]], dtype=F64)).item() - exact))
    return math.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize("name", SCHEMES)
def test_each_scheme_has_the_order_it_says(name):
    make, order = SCHEMES[name]
    block = make(0.1)
    assert block.order == order
    assert measured_order(make, math.tanh(1), 0.0) == pytest.approx(order, abs=0.12)


@pytest.mark.parametrize("kind", ["poly-2", "mpoly-2"])
def test_poly_is_of_order_one_on_linear_equations_and_near_backward_euler(kind):
    decay = Function(lambda u: -u)
    g = decay if kind == "mpoly-2" else None
    assert measured_order(lambda h: PolyBlock(decay, g, kind, h), math.exp(-1), 1.0) == pytest.approx(1, abs=0.1)
    a = draw(4, 4)
    linear = Function(lambda u: u @ a.T)
    u, errors = draw(3, 4, seed=2), []
    for h in (0.02, 0.01):
        block = PolyBlock(linear, linear if g else None, kind, h)
        exact = torch.linalg.solve(torch.eye(4, dtype=F64) - h * a, u.T).T
        errors.append((block(u) - exact).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.2)


def test_the_two_step_scheme_is_of_order_one_in_its_own_time_and_the_leapfrog_of_order_two():
    """The limit is (1 + k) u' = f; scaling f by 1 + k gives u' = f."""
    k = -0.3
    scaled = Function(lambda u: (1 + k) * (1 - u * u))

    def flow(f, k, n, first=None):
        h = 1 / n
        blocks = [LMBlock(f, h, k, learned=False) for _ in range(n - 1)]
        blocks[:0] = [LMBlock(RICCATI if first is None else first, h, first=True)]
        return Flow(*blocks)

    def order(f, k, first=None):
        errors = []
        for n in (64, 128):
            end = flow(f, k, n, first)(torch.zeros(1, 1, dtype=F64)).item()
            errors.append(abs(end - math.tanh(1)))
        return math.log2(errors[0] / errors[1])

    assert order(scaled, k) == pytest.approx(1, abs=0.05)
    # Unscaled, time runs 1/(1 + k) as fast: the end is tanh(1/(1 + k)).
    end = flow(RICCATI, k, 2000)(torch.zeros(1, 1, dtype=F64)).item()
    assert end == pytest.approx(math.tanh(1 / (1 + k)), abs=2e-3)
    # k = 1: u_{n+1} = u_{n-1} + 2 h f, begun with one step of Heun's method in place of Euler's.
    heun = Function(lambda u: RICCATI(u) / 2 + RICCATI(u + RICCATI(u) / 128) / 2)
    leapfrog = Function(lambda u: 2 * (1 - u * u))
    assert LMBlock(leapfrog, k=1.0).order == 2
    assert LMBlock(leapfrog, k=-0.3).order == LMBlock(leapfrog, first=True).order == 1
    assert order(leapfrog, 1.0, heun) == pytest.approx(2, abs=0.15)


def test_the_reversible_step_is_symplectic_euler_of_order_one():
    """Harmonic oscillator: order 1, and x^2 + y^2 - h x y is conserved exactly, so no energy drifts away."""
    f, g = Function(lambda y: y), Function(lambda x: -x)
    errors = []
    for n in (64, 128):
        flow = Flow(*[RevBlock(f, g, 1 / n) for _ in range(n)])
        x, y = flow(torch.tensor([[1.0, 0.0]], dtype=F64))[0].tolist()
        errors.append(math.hypot(x - math.cos(1), y + math.sin(1)))
        # Of this order of updates the invariant has a plus sign.
        assert x * x + y * y + x * y / n == pytest.approx(1, abs=1e-12)
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.05)
    assert RevBlock(f, g).order == 1


@pytest.mark.parametrize("method", few(ADAPTIVE, 2))
def test_adaptive_solvers_follow_their_tolerance(method):
    errors, evaluations = [], []
    for tolerance in (1e-4, 1e-6):
        block = ODEBlock(RICCATI, 1.0, method, rtol=tolerance, atol=tolerance / 100)
        with torch.no_grad():
            errors.append(abs(block(torch.zeros(1, 1, dtype=F64)).item() - math.tanh(1)))
        evaluations.append(block.evaluations)
    assert errors[1] < 2e-4  # ends between two steps are interpolated, in which the low orders lose some of it
    assert errors[1] < errors[0] / 2
    assert evaluations[1] > evaluations[0] > 5
    assert block.order == ADAPTIVE[method]


def test_time_may_be_an_argument_of_the_right_hand_side():
    block = ODEBlock(Function(lambda t, u: t * u), 2.0, rtol=1e-9, atol=1e-12, takes_time=True)
    assert block(torch.ones(1, 1, dtype=F64)).item() == pytest.approx(math.exp(2), rel=1e-7)
    fixed = ODEBlock(RICCATI, 0.7, "rk4", steps=7)
    fixed(torch.zeros(1, 1, dtype=F64))
    assert fixed.evaluations == 4 * 7


# Formulas -----------------------------------------------------------------------------------------------------------


def test_blocks_are_the_formulas_of_the_papers():
    f, g, u, last, h = layers(seed=1), layers(seed=2), draw(3, 4), draw(3, 4, seed=2), 0.3
    same = torch.allclose
    assert same(ResidualBlock(f, h)(u), u + h * f(u))
    assert same(PolyBlock(f, step=h)(u), u + h * f(u) + h * f(h * f(u)))
    assert same(PolyBlock(f, g, "mpoly-2", h)(u), u + h * f(u) + h * g(h * f(u)))
    assert same(PolyBlock(f, g, "2-way", h)(u), u + h * f(u) + h * g(u))
    new, old = LMBlock(f, h, k=-0.2)((u, last))
    assert same(new, 1.2 * u - 0.2 * last + h * f(u))
    assert old is u
    new, old = LMBlock(f, h, first=True)(u)
    assert same(new, u + h * f(u))
    assert old is u
    x, y = u.chunk(2, 1)
    half_f, half_g = layers(2, seed=3), layers(2, seed=4)
    top = x + h * half_f(y)
    assert same(RevBlock(half_f, half_g, h)(u), torch.cat([top, y + h * half_g(top)], 1))


def test_fractals_join_their_branches_in_the_order_of_their_units():
    fs, u = [layers(seed=s) for s in range(7)], draw(3, 4)
    plain = FractalBlock(fs, 3, "unit", residual=False)
    deep = (fs[1](fs[0](u)) + fs[2](u)) / 2
    deep = (fs[4](fs[3](deep)) + fs[5](deep)) / 2
    assert torch.allclose(plain(u), (deep + fs[6](u)) / 2)
    assert (plain.order, plain.scheme) == (0, "none")
    heun = FractalBlock(fs[:2], 2, step=0.3)
    middle = u + 0.3 * fs[0](u)
    assert torch.allclose(heun(u), u + 0.15 * (fs[0](u) + fs[1](middle)))
    assert heun.scheme == "Heun's Runge-Kutta"


def test_k_starts_where_the_authors_draw_it():
    ks = torch.stack([LMBlock(nn.Identity(), rng=seeded(s)).k.detach() for s in range(300)])
    assert ks.min() >= -0.1
    assert ks.max() <= 0
    assert ks.mean().item() == pytest.approx(-0.05, abs=0.005)


def test_drop_path_draws_paths_in_training_only_and_counts_as_dropout():
    fs = [Function(lambda u, s=s: u * s) for s in (2.0, 3.0, 5.0)]
    block = FractalBlock(fs, 2, "unit", drop_path=0.3, residual=False)
    u = torch.ones(1, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        seen = [block(u).item() for _ in range(2000)]
        assert set(seen) == {6.0, 5.0, 5.5}
        # Half are global, a column each; of the others 0.49 are whole, and the rest equally deep or shallow.
        assert seen.count(5.5) / 2000 == pytest.approx(0.5 * 0.49, abs=0.04)
        assert seen.count(6.0) / 2000 == pytest.approx(0.5 * 0.5 + 0.25 * 0.51 * 1.0, abs=0.04)
        assert {block.eval()(u).item() for _ in range(50)} == {5.5}
    block.train()
    block.linear = nn.Linear(1, 1)
    with pytest.raises(GantoolsError, match="Dropout is active"):
        gt.analysis.hessian(block, lambda model, batch: model.linear(model(batch)).sum(), u)
    assert isinstance(block.drop_path, DropPath)


# Reversible chains --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RevSequence(ResidualBlock(nn.Identity())), "cannot be undone"),
        (lambda: RevBlock(nn.Identity(), nn.Identity())(torch.ones(1, 3)), "even number"),
        (lambda: RevSequence(RevBlock(nn.Dropout(0.5), nn.Identity()))(torch.ones(1, 4)), "Dropout is active"),
        (lambda: ResidualBlock(nn.Identity(), step=0), "other than 0"),
        (lambda: LMBlock(nn.Identity())(torch.ones(1, 1)), "begin the chain"),
        (lambda: LMBlock(nn.Identity(), first=True)((torch.ones(1), torch.ones(1))), "begins a chain"),
        (lambda: PolyBlock(nn.Identity(), kind="2-way"), "takes f and g"),
        (lambda: PolyBlock(nn.Identity(), nn.Identity()), "takes f alone"),
        (lambda: PolyBlock(nn.Identity(), kind="poly-3"), "Unknown kind"),
        (lambda: FractalBlock(nn.Identity(), 0), "columns >= 1"),
        (lambda: FractalBlock([nn.Identity()] * 2, 3, "unit"), "2 modules for 7 units"),
        (lambda: ODEBlock(nn.Identity(), method="dopri7"), "Did you mean 'dopri"),
        (lambda: ODEBlock(nn.Identity(), method="rk4"), "fixed methods"),
        (lambda: ODEBlock(nn.Identity(), steps=3), "fixed methods"),
        (lambda: ODEBlock(nn.Identity(), rtol=-1.0), "tolerances"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, message):
    with pytest.raises(GantoolsError, match=message):
        call()
