"""The GAN objectives: closed forms, signs, gradients, and stability at extreme scores."""

import math

import pytest
import torch

from gantools.errors import GantoolsError
from gantools.losses import LOSSES, relativistic

REAL = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-0.7, 0.4, 1.5], dtype=torch.float64)


def mean(function, *scores):
    rows = list(zip(*[s.tolist() for s in scores], strict=True))
    return sum(function(*row) for row in rows) / len(rows)


def log_sigmoid(t):
    return -math.log(1 + math.exp(-t))


def expected(name):
    """(generator, discriminator) from the formulas of the papers, written with logarithms of probabilities."""
    standard = -mean(log_sigmoid, REAL) - mean(lambda f: math.log(1 - 1 / (1 + math.exp(-f))), FAKE)
    return {
        "minimax": (-standard, standard),
        "nonsaturating": (-mean(log_sigmoid, FAKE), standard),
        "wasserstein": (mean(float, REAL) - mean(float, FAKE), mean(float, FAKE) - mean(float, REAL)),
        "hinge": (
            -mean(float, FAKE),
            mean(lambda r: max(0, 1 - r), REAL) + mean(lambda f: max(0, 1 + f), FAKE),
        ),
        "least_squares": (
            mean(lambda f: (f - 1) ** 2 / 2, FAKE),
            mean(lambda r: (r - 1) ** 2 / 2, REAL) + mean(lambda f: f**2 / 2, FAKE),
        ),
        "relativistic": (
            -mean(lambda r, f: log_sigmoid(f - r), REAL, FAKE),
            -mean(lambda r, f: log_sigmoid(r - f), REAL, FAKE),
        ),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_equals_its_published_formula(name):
    generator, discriminator = LOSSES[name](REAL, FAKE)
    assert generator.shape == discriminator.shape == ()
    assert (generator.item(), discriminator.item()) == pytest.approx(expected(name), rel=1e-14)


@pytest.mark.parametrize("name", ["minimax", "wasserstein"])
def test_zero_sum_losses_add_up_to_exactly_zero(name):
    generator, discriminator = LOSSES[name](REAL, FAKE)
    assert (generator + discriminator).item() == 0.0


@pytest.mark.parametrize("name", LOSSES)
def test_the_generator_raises_fake_scores_and_the_discriminator_real_ones(name):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    generator, discriminator = LOSSES[name](real, fake)
    inside = fake < 1 if name == "least_squares" else torch.ones(3, dtype=torch.bool)
    assert (torch.autograd.grad(generator, fake, retain_graph=True)[0][inside] < 0).all()
    by_real, by_fake = torch.autograd.grad(discriminator, (real, fake))
    assert by_real.sum() < 0 < by_fake.sum()


def test_scores_of_any_shape_are_averaged_over_everything():
    patches = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(2, 3, 4)
    for name, loss in LOSSES.items():
        assert loss(patches, -patches)[1] == loss(patches.flatten(), -patches.flatten())[1], name


@pytest.mark.parametrize("name", ["minimax", "nonsaturating", "relativistic"])
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_logistic_losses_stay_finite_to_second_order_at_extreme_scores(name, scale):
    real = torch.full((4,), scale, requires_grad=True)
    fake = torch.full((4,), -scale, requires_grad=True)
    for loss in LOSSES[name](real, fake):
        first = torch.autograd.grad(loss, (real, fake), create_graph=True, allow_unused=True)
        total = sum(g.sum() for g in first if g is not None)
        second = torch.autograd.grad(total, (real, fake), allow_unused=True, retain_graph=True)
        for value in (loss, *first, *second):
            assert value is None or value.isfinite().all()


@pytest.mark.parametrize(
    ("name", "first", "second"), [("minimax", 0.5, -0.25), ("nonsaturating", 0.5, -0.25), ("wasserstein", 1.0, 0.0)]
)
def test_derivatives_at_zero_are_those_of_the_dirac_gan(name, first, second):
    """games.md 4.1: f'(0) and f''(0) of the utility f that the discriminator maximises on real scores."""
    score = torch.zeros((), dtype=torch.float64, requires_grad=True)
    utility = -LOSSES[name](score[None], torch.zeros(1, dtype=torch.float64))[1]
    (slope,) = torch.autograd.grad(utility, score, create_graph=True)
    assert slope.item() == pytest.approx(first)
    curvature = torch.autograd.grad(slope, score)[0] if slope.requires_grad else torch.tensor(0.0)
    assert curvature.item() == pytest.approx(second)


def test_relativistic_refuses_scores_that_would_broadcast():
    with pytest.raises(GantoolsError, match="as many latents as real"):
        relativistic(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(GantoolsError, match="pairs real with fake"):
        relativistic(torch.zeros(4), torch.zeros(1))


def test_an_unknown_loss_suggests_the_nearest():
    with pytest.raises(GantoolsError, match="Did you mean 'nonsaturating'"):
        LOSSES["non_saturating"]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_one_line_description(name):
    assert LOSSES.describe(name).endswith(".")
