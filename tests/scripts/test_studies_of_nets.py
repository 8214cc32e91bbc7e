"""What the studies of nets measure, against closed forms, enumerations and dense references."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import integrator_cells
from cells.nets import complex_cells, depth_cells, flow_cells, music, residual_cells
from nets import complex_classifier, continuous_depth, continuous_flow, depth, spirals
from torch import nn
from torch.autograd.functional import jacobian

from gantools.nn import FractalBlock, ODEBlock, activation
from tests.draws import draw, seeded
from tests.gantools.nn.integrators.blocks import layers
from tests.quick import few

F64 = torch.float64

# Depth ---------------------------------------------------------------------------------------------------------------


def test_moments_are_those_known_in_closed_form():
    q = np.array([0.3, 4.0, 900.0])
    square, slope = depth_cells.moments("relu", q)
    assert square == pytest.approx(q / 2, rel=1e-4) and slope == pytest.approx([0.5] * 3, rel=1e-9)
    square, slope = depth_cells.moments("sin", q[:2])
    assert square == pytest.approx((1 - np.exp(-2 * q[:2])) / 2, rel=1e-6)
    assert slope == pytest.approx((1 + np.exp(-2 * q[:2])) / 2, rel=1e-6)
    _, slope = depth_cells.moments("tanh", q[2:])  # a narrow peak: the integral of (1 - tanh^2)^2 is 4/3
    assert slope == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * 900), rel=1e-2)
    square, slope = depth_cells.moments("esp", q[:2])  # sigmoid(b x) is 1/2 where b is almost 0
    assert square == pytest.approx(q[:2] / 4, rel=1e-3) and slope == pytest.approx([0.25] * 2, rel=1e-3)


def test_relu_halves_a_squared_gradient_with_glorot_weights_and_keeps_it_with_its_gain():
    q = np.array([1.0])
    glorot, gain = (depth_cells.predicted("relu", init, "plain", 8, q) for init in ("Glorot", "gain"))
    assert glorot == pytest.approx(0.5 ** (np.arange(7, -1, -1) / 2)) and gain == pytest.approx(np.ones(8))
    assert depth_cells.predicted("relu", "gain", "residual", 8, q)[0] == pytest.approx(2**3.5)


@pytest.mark.parametrize(("name", "init", "kind"), [("tanh", "orthogonal", "plain"), ("silu", "Glorot", "scaled")])
def test_gradients_of_a_net_are_those_of_theory(name, init, kind):
    net, x = depth_cells.Deep(name, init, kind, 8, seeded(3)), draw(200, 64)
    q = depth_cells.weight_variance(init, name) * x.square().mean(1).numpy()
    measured, theory = depth_cells.gradients(net, x, seeded(4)), depth_cells.predicted(name, init, kind, 8, q)
    assert np.abs(measured - np.log10(theory)).max() < 0.06


# Flows ---------------------------------------------------------------------------------------------------------------


def test_the_ring_integrates_to_one_and_held_out_samples_have_its_entropy():
    assert flow_cells.integral(flow_cells.ring_log_prob) == pytest.approx(1, abs=1e-9)
    ticks = torch.linspace(-2.5, 2.5, 126, dtype=F64)
    log_prob = flow_cells.ring_log_prob(torch.cartesian_prod(ticks, ticks))
    entropy = -float((log_prob.exp() * log_prob).sum()) * 0.04**2
    x = flow_cells.samples("ring8", 0, 2)[1].double()
    assert -float(flow_cells.ring_log_prob(x).mean()) == pytest.approx(entropy, abs=0.06)


def test_couplings_and_one_gaussian_are_densities():
    made = flow_cells.Couplings(2, 6, 4, seeded(0)).double()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(0.7)
    assert flow_cells.integral(made, 301, 12.0) == pytest.approx(1, abs=2e-3)
    density, count = flow_cells.mixture({"data": "ring8", "size": 2, "components": 1}, 0)
    train = flow_cells.samples("ring8", 0, 2)[0].double()
    normal = torch.distributions.MultivariateNormal(
        train.mean(0), torch.cov(train.T, correction=0) + 1e-4 * torch.eye(2)
    )
    assert count == 5 and torch.allclose(density(train[:9]), normal.log_prob(train[:9]), atol=1e-6)


def test_a_flow_that_does_nothing_is_a_normal_density_with_no_estimate_to_err():
    made = flow_cells.flow(2, 4, seeded(0)).double()
    with torch.no_grad():
        made.f.layers[-1].weight.zero_()
        made.f.layers[-1].bias.zero_()
    found = flow_cells.of_solver(made, draw(5, 2), 0)
    assert max(abs(found["bias"]), found["spread"]) < 1e-12 and found["evaluations"] > 0
    # Half a cell of the grid lies beyond its last points.
    assert flow_cells.integral(made) == pytest.approx(math.erf(2.52 / math.sqrt(2)) ** 2, abs=1e-4)


# Depth as time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ResNet", "LM-ResNet", "RevNet", "ODE, rk4"])
def test_singular_values_are_those_of_dense_jacobians(scheme):
    net = integrator_cells.flow(scheme, 3, seeded(1)).double()
    u = draw(4, 16)
    own, product = residual_cells.singular_values(net, u)
    dense = torch.stack([jacobian(lambda u: net(u[None])[0], each) for each in u])
    assert torch.allclose(product[-1], torch.linalg.svdvals(dense), atol=1e-9)
    assert own.shape == product.shape == (3, 4, 16) and torch.allclose(own[0], product[0], atol=1e-9)
    if scheme == "RevNet":  # volume is kept, whatever the weights
        assert torch.allclose(own.log().sum(2), torch.zeros(3, 4, dtype=F64), atol=1e-9)


def test_a_skip_of_zero_is_a_plain_net_and_of_one_a_residual_one():
    f, u = layers(4), draw(3, 4)
    assert torch.equal(residual_cells.Skip(f, 0.0)(u), f(u)) and torch.equal(residual_cells.Skip(f, 1.0)(u), u + f(u))


def test_moments_of_a_chain_that_drops_blocks_are_those_of_all_its_outcomes():
    h, p, u, mean, square = 1 / 8, 0.7, 0.9, 0.0, 0.0
    for kept in itertools.product((0, 1), repeat=8):
        x, weight = u, 1.0
        for b in kept:
            x, weight = x + b * h / p * math.sin(x), weight * (p if b else 1 - p)
        mean, square = mean + weight * x, square + weight * x**2
    found = residual_cells.moments(residual_cells.dropped(h, p), 8, u)
    assert found == pytest.approx((mean, math.sqrt(square - mean**2)), abs=1e-11)


def test_moments_of_a_linear_chain_and_of_its_equation_have_the_closed_form():
    """Both square moments grow by ((1 + h)^2 + h^2 (1 - p) / p) a step: up to second moments they are one chain."""
    h, p, u = 0.1, 0.6, 0.8
    law = residual_cells.dropped(h, p, lambda u: u)
    mean, square = (1 + h) ** 6 * u, ((1 + h) ** 2 + h**2 * (1 - p) / p) ** 6 * u**2
    for chain in (law, residual_cells.euler_maruyama(law)):
        assert residual_cells.moments(chain, 6, u) == pytest.approx((mean, math.sqrt(square - mean**2)), rel=1e-9)


def test_the_law_of_a_fractal_block_is_that_of_the_module():
    torch.manual_seed(0)
    block, u = FractalBlock(activation("sin"), 2, step=0.5, drop_path=0.3), torch.tensor([[0.7]], dtype=F64)
    outcomes = np.array([float(block(u)) for _ in range(1500)])
    after, weights = residual_cells.fractal(0.5, 0.3)(np.array([0.7]))
    assert weights.sum() == pytest.approx(1)
    seen = np.abs(outcomes[:, None] - after.T)
    assert (seen.min(1) < 1e-12).all()
    assert (seen < 1e-12).mean(0) == pytest.approx(weights, abs=0.05)


def test_a_flow_answers_alike_by_a_solver_of_high_order_and_its_memory_is_constant_by_the_adjoint():
    net = ODEBlock(layers(16, 8), 2.0, "rk4", steps=4)
    model = nn.Module()
    model.layers = nn.Sequential(nn.Linear(2, 16).double(), net, nn.Linear(16, 1).double())
    x = draw(5, 2)
    exact, _ = residual_cells.answers(model, x, {"method": "dopri5", "tolerance": 1e-9})
    coarse, evaluations = residual_cells.answers(model, x, {"method": "rk4", "solver steps": 20})
    assert torch.allclose(exact, coarse, atol=1e-5) and evaluations == 80
    few_steps, many = (residual_cells.memory({"solver steps": n}, 0) for n in (2, 8))
    assert many["adjoint"] < 1.1 * few_steps["adjoint"] and many["direct"] > 2.5 * few_steps["direct"]


# Music and complex nets ----------------------------------------------------------------------------------------------


def test_a_chord_has_its_pitches_in_the_spectrum_and_progressions_stay_in_range():
    stream = np.random.default_rng(0)
    for chord in music.progression(stream, 40):
        assert all(music.LOWEST <= note < music.LOWEST + music.NOTES for note in chord) and len(chord) == 4
    sound = torch.from_numpy(music.rendered([57], stream)).float()  # A3, 220 Hz
    assert float(sound.square().mean()) == pytest.approx(1, rel=1e-5)
    bins = music.spectra(sound[None]).abs()[0]
    loudest = (int(bins.argmax()) + 1) * music.RATE / music.WINDOW
    assert loudest % 220 < 6 or 220 - loudest % 220 < 6
    x, y = music.windows("train", 0, 1)
    assert x.shape == (32, music.WINDOW) and set(y.sum(1).tolist()) <= {2.0, 3.0, 4.0}


def test_complex_and_real_nets_have_about_equal_parameters():
    def count(cell):
        make = complex_cells.listener if cell["task"] == "notes" else complex_cells.residual
        return sum(p.numel() for p in make(cell, seeded(0)).parameters())

    cells = complex_classifier.STUDY.cells
    for name, cell in cells.items():
        if "width" not in name:
            assert count(cell) == pytest.approx(count(complex_cells.reference(cell)), rel=0.06), name


def test_what_can_be_learned_by_heart_is_learned():
    x, y = draw(16, 1, 8, 8, dtype=torch.float32), torch.arange(16) % 10
    net = complex_cells.residual({"activation": "crelu", "filters": 4, "blocks": 1}, seeded(0))
    complex_cells.trained(net, x, y, {"rate": 0.02, "steps": 25}, seeded(1))
    net.eval()
    assert float((net(x).argmax(1) == y).double().mean()) > 0.8


# All -----------------------------------------------------------------------------------------------------------------

SMALLER = {"steps": 2, "pieces": 3, "passes": 5, "depths": (4, 6)}
CELLS = [(module, name) for module in (depth, continuous_flow, continuous_depth, complex_classifier, spirals)
         for name in module.STUDY.cells]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name"), few(CELLS, 6), ids=[f"{module.__name__}: {name}" for module, name in CELLS]
)
def test_every_cell_gives_finite_numbers_for_some_of_the_columns(module, name):
    cell = {key: SMALLER.get(key, value) for key, value in module.STUDY.cells[name].items()}
    found = module.STUDY.run(cell, 1, Path())
    assert len(found.keys() & module.STUDY.columns) >= 2
    assert all(np.isfinite(value) for key, value in found.items() if key != "curves")


@pytest.mark.parametrize("module", [depth, continuous_flow, continuous_depth, complex_classifier, spirals])
def test_what_a_page_shows_and_compares_is_in_the_study(module):
    for section in module.PAGE.sections:
        shown = (section.columns or module.STUDY.columns).keys()
        assert shown <= module.STUDY.columns.keys() and set(section.compared) <= shown
        assert any(section.where(cell) for cell in module.STUDY.cells.values())
        assert {cell for pair in section.pairs for cell in pair} <= module.STUDY.cells.keys()
