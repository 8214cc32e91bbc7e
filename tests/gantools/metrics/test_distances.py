"""Metrics: closed forms for Gaussians, brute force in NumPy, degenerate input, and the features of the digits."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from gantools.data.sources import FiniteSource, make_source
from gantools.errors import GantoolsError
from gantools.metrics.distances import (
    DigitFeatures,
    Thumbnail,
    density_coverage,
    evaluate,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
    train_features,
)


def normal(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


def with_moments(n, mean, covariance, seed=0):
    """n samples whose sample mean and covariance are exactly the given ones."""
    x = normal(n, len(mean), seed)
    x = x - x.mean(0)
    whitened = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return whitened @ torch.linalg.cholesky(covariance).T + mean


@pytest.fixture(scope="module")
def digits():
    return make_source("digits")


@pytest.fixture(scope="module")
def features(digits):
    return train_features(digits, seed=0)


# Modes


def test_mode_coverage_counts_by_the_nearest_mode_within_the_radius():
    modes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    samples = torch.tensor([[0.1, 0.0]] * 3 + [[0.6, 0.0]] * 2 + [[0.0, 0.51]] + [[1.0, 0.4]])
    result = mode_coverage(samples, modes, radius=0.5, minimum=3)
    assert result.counts.tolist() == [3, 3, 0]
    assert result.covered == 2
    assert result.high_quality == pytest.approx(6 / 7)
    assert mode_coverage(samples, modes, radius=0.5, minimum=4).covered == 0


def test_the_least_count_is_25_of_2560_or_in_proportion():
    modes = torch.tensor([[0.0, 0.0], [9.0, 9.0]])

    def covered(inside, n, **options):
        return mode_coverage(
            torch.cat([torch.zeros(inside, 2), torch.full((n - inside, 2), 4.0)]), modes, **options
        ).covered

    assert [covered(24, 2560), covered(25, 2560)] == [0, 1]
    assert [covered(24, 2560, minimum=None), covered(25, 2560, minimum=None)] == [0, 1]
    assert [covered(2, 256, minimum=None), covered(3, 256, minimum=None)] == [0, 1]
    assert [covered(0, 10, minimum=None), covered(1, 10, minimum=None)] == [0, 1]


def test_the_ring_covers_itself():
    source = make_source("ring8")
    result = mode_coverage(source.reference(2560, 0), source.modes, source.radius)
    assert (result.covered, result.high_quality, result.counts.tolist()) == (8, 1.0, [320] * 8)


# Fréchet


def test_frechet_distance_of_gaussians_with_commuting_covariances_is_the_closed_form():
    first, second = torch.tensor([4.0, 1.0, 0.25]).double(), torch.tensor([1.0, 9.0, 0.25]).double()
    mean = torch.tensor([1.0, -2.0, 0.5]).double()
    x = with_moments(50, torch.zeros(3).double(), torch.diag(first), 1)
    y = with_moments(80, mean, torch.diag(second), 2)
    expected = mean.square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-12)


def test_frechet_distance_equals_the_matrix_square_root_formula():
    x, y = normal(300, 6, 1) @ normal(6, 6, 2) + 1, normal(200, 6, 3) @ normal(6, 6, 4)
    a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = scipy.linalg.sqrtm(a @ b)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum().item() + np.trace(a + b - 2 * np.real(root))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_is_exact_for_rank_deficient_sets():
    """Fewer samples than features, constant features, and equal sets: a root of rounding errors would give 1e-8."""
    x = normal(10, 40, 1)
    x[:, 3] = 2.0
    assert abs(frechet_distance(x, x)) < 1e-12 * x.square().sum()
    assert frechet_distance(x, x + 0.5) == pytest.approx(40 * 0.25, rel=1e-12)
    assert frechet_distance(x, 3 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(4 * x.var(0).sum().item(), rel=1e-12)
    orthogonal = torch.zeros(2, 5, 4).double()
    orthogonal[0, :, 0], orthogonal[1, :, 1] = normal(5, 1, 2)[:, 0], normal(5, 1, 3)[:, 0]
    means = (orthogonal[0].mean(0) - orthogonal[1].mean(0)).square().sum()
    expected = means + orthogonal[0].var(0).sum() + orthogonal[1].var(0).sum()
    assert frechet_distance(orthogonal[0], orthogonal[1]) == pytest.approx(expected.item(), rel=1e-12)


def test_float32_samples_are_compared_in_float64():
    x, y = (normal(50, 3, 1) + 1e3).float(), (normal(50, 3, 2) + 1e3).float()
    assert frechet_distance(x, y) == frechet_distance(x.double(), y.double())


# Kernel


def brute_kernel_distance(x, y):
    def k(u, v):
        return (u @ v / len(u) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(u, v) for u in x for v in y) / (n * m)


def test_kernel_distance_equals_the_double_sums():
    x, y = normal(12, 4, 1), normal(9, 4, 2) * 2 + 0.3
    assert kernel_distance(x, y) == pytest.approx(brute_kernel_distance(x.numpy(), y.numpy()), rel=1e-12)


def test_kernel_distance_is_unbiased():
    """Its mean over equal distributions is zero within five standard errors, and it is negative about half the time."""
    values = np.array([kernel_distance(normal(20, 3, 2 * i), normal(30, 3, 2 * i + 1)) for i in range(300)])
    assert abs(values.mean()) < 5 * values.std() / math.sqrt(300)
    assert 0.3 < (values < 0).mean() < 0.9
    # For two points repeated, in one dimension: E k(x, x') - 2 E k(x, y) + E k(y, y') by hand.
    zeros, ones = torch.zeros(4, 1), torch.ones(5, 1)
    assert kernel_distance(zeros, ones) == pytest.approx(1 + 8 - 2)


def test_kernel_distance_sums_over_blocks_of_rows():
    x, y = normal(1500, 3, 1), normal(1100, 3, 2)
    k = [(a @ b.T / 3 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    within = [(m.sum() - m.trace()) / (len(m) * (len(m) - 1)) for m in k[:2]]
    assert kernel_distance(x, y) == pytest.approx((within[0] + within[1] - 2 * k[2].mean()).item(), rel=1e-10)


# Neighbours


def brute_neighbours(real, fake, k):
    """Precision, recall, density and coverage straight from their definitions, one distance at a time."""

    def radii(points):
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]

    def inside(p, centre, radius):
        return np.linalg.norm(p - centre) <= radius

    r, f = radii(real), radii(fake)
    precision = np.mean([any(inside(p, c, s) for c, s in zip(real, r, strict=True)) for p in fake])
    recall = np.mean([any(inside(p, c, s) for c, s in zip(fake, f, strict=True)) for p in real])
    density = sum(inside(p, c, s) for p in fake for c, s in zip(real, r, strict=True)) / (k * len(fake))
    coverage = np.mean([any(inside(p, c, s) for p in fake) for c, s in zip(real, r, strict=True)])
    return precision, recall, density, coverage


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_metrics_equal_their_definitions(k):
    real, fake = normal(40, 3, 1), normal(30, 3, 2) * 0.7 + 0.8
    expected = brute_neighbours(real.numpy(), fake.numpy(), k)
    result = (*precision_recall(real, fake, k), *density_coverage(real, fake, k))
    assert result == pytest.approx(expected, abs=1e-12)
    assert min(result) > 0
    assert max(result[:2]) < 1  # neither trivial nor full, so that a wrong radius would show


def test_neighbour_metrics_do_not_depend_on_the_blocks_of_rows(monkeypatch):
    real, fake = normal(100, 2, 1), normal(90, 2, 2)
    whole = (*precision_recall(real, fake), *density_coverage(real, fake))
    monkeypatch.setattr("gantools.metrics.distances._ROWS", 7)
    assert (*precision_recall(real, fake), *density_coverage(real, fake)) == whole


def test_equal_sets_are_perfect_and_distant_ones_worthless():
    x = normal(60, 3)
    assert precision_recall(x, x) == (1.0, 1.0)
    assert density_coverage(x, x)[1] == 1.0
    assert precision_recall(x, x + 100) == (0.0, 0.0)
    assert density_coverage(x, x + 100) == (0.0, 0.0)


def test_neighbour_metrics_do_not_depend_on_the_origin():
    real, fake = 1e-6 * normal(40, 3, 1), 1e-6 * normal(40, 3, 2)
    moved = (precision_recall(real + 1024, fake + 1024), density_coverage(real + 1024, fake + 1024))
    assert moved == (precision_recall(real, fake), density_coverage(real, fake))


def test_duplicates_lie_in_their_own_ball():
    x = torch.cat([normal(40, 6) + 1e3] * 3)
    assert precision_recall(x, x, k=2) == (1.0, 1.0)


def test_collapse_keeps_precision_and_loses_recall_and_coverage():
    real = normal(300, 2, 1)
    collapsed = real[:1] + 1e-3 * normal(300, 2, 2)
    precision, recall = precision_recall(real, collapsed)
    assert precision == 1.0
    assert recall < 0.02
    assert density_coverage(real, collapsed)[1] < 0.1


def test_density_and_coverage_have_their_expected_values_on_equal_distributions():
    """Naeem et al., lemmas 1 and 2: density 1; coverage 1 - (n-1)...(n-k) / (2n-1)...(2n-k) for n of each."""
    n, k = 400, 3
    values = np.array([density_coverage(normal(n, 2, 2 * i), normal(n, 2, 2 * i + 1), k) for i in range(20)])
    expected = 1 - math.prod((n - j) / (2 * n - j) for j in range(1, k + 1))
    error = values.std(0) / math.sqrt(20)
    assert abs(values[:, 0].mean() - 1) < 5 * error[0]
    assert abs(values[:, 1].mean() - expected) < 5 * error[1]


# Degenerate input


PAIRS = [frechet_distance, kernel_distance, precision_recall, density_coverage]


@pytest.mark.parametrize("metric", PAIRS)
def test_nan_and_infinite_samples_are_counted(metric):
    bad = normal(20, 2)
    bad[3, 0], bad[7, 1], bad[7, 0] = float("nan"), float("inf"), float("nan")
    for pair in ((normal(20, 2), bad), (bad, normal(20, 2))):
        with pytest.raises(GantoolsError, match="2 of 20 samples .* NaN or infinite"):
            metric(*pair)


@pytest.mark.parametrize("metric", PAIRS)
def test_too_few_samples_and_unequal_widths_are_refused(metric):
    least = 6 if metric in (precision_recall, density_coverage) else 2
    metric(normal(least, 2), normal(least, 2))
    for pair in ((normal(least - 1, 2), normal(9, 2)), (normal(9, 2), normal(least - 1, 2))):
        with pytest.raises(GantoolsError, match=f"has {least - 1} but needs at least {least}"):
            metric(*pair)
    with pytest.raises(GantoolsError, match="samples of 2 with samples of 3"):
        metric(normal(9, 2), normal(9, 3))


def test_mode_coverage_refuses_nothing_and_nan():
    modes = torch.zeros(1, 2)
    with pytest.raises(GantoolsError, match="has 0 but needs at least 1"):
        mode_coverage(torch.zeros(0, 2), modes)
    with pytest.raises(GantoolsError, match="1 of 2 samples"):
        mode_coverage(torch.tensor([[0.0, float("nan")], [0.0, 0.0]]), modes)
    with pytest.raises(GantoolsError, match="samples of 3 with samples of 2"):
        mode_coverage(torch.zeros(4, 3), modes)


def test_k_must_be_positive():
    with pytest.raises(GantoolsError, match="k must be at least 1"):
        precision_recall(normal(9, 2), normal(9, 2), k=0)


# Features


@pytest.mark.slow
def test_the_digit_classifier_is_accurate_on_held_out_digits(digits):
    accuracies = [train_features(digits, seed).accuracy.item() for seed in range(3)]
    assert min(accuracies) > 0.95
    assert max(accuracies) < 1  # 1 would mean that the held-out digits had been trained on


@pytest.mark.slow
def test_features_depend_on_the_seed_alone_and_leave_the_global_generator(digits, features):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = train_features(digits, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    for one, two in zip(features.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(features.head.weight, train_features(digits, seed=1, steps=2).head.weight)


def test_features_are_standardised_over_the_data(digits, features):
    outputs = features(digits.samples).double()
    assert outputs.shape == (1797, 64)
    assert outputs.mean(0).abs().max() < 1e-4
    assert (outputs.std(0) - 1).abs().max() < 1e-4


def test_features_are_restored_from_their_state(tmp_path, digits, features):
    torch.save(features.state_dict(), tmp_path / "features.pt")
    restored = DigitFeatures(digits.shape, 10)
    restored.load_state_dict(torch.load(tmp_path / "features.pt", weights_only=True))
    restored.eval()
    x = digits.batch(0, 16, 0)
    assert torch.equal(restored(x), features(x))
    assert restored.accuracy == features.accuracy


def test_features_need_labels():
    for source in (make_source("ring8"), FiniteSource("plain", torch.zeros(9, 1, 8, 8))):
        with pytest.raises(GantoolsError, match="no labels"):
            train_features(source)


def test_thumbnails_average_large_images_only():
    small, large = normal(2, 64).reshape(2, 1, 8, 8), normal(2, 3 * 256).reshape(2, 3, 16, 16)
    assert torch.equal(Thumbnail()(small), small.flatten(1))
    assert Thumbnail()(large).shape == (2, 192)
    assert Thumbnail()(large)[0, 0].item() == pytest.approx(large[0, 0, :2, :2].mean().item())
    assert Thumbnail()(normal(4, 2)).shape == (4, 2)


# Together


COMMON = {"frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"}


def test_evaluate_adds_modes_for_mixtures():
    source = make_source("ring8")
    good = evaluate(source.reference(800, 1), source)
    assert set(good) == COMMON | {"modes_covered", "high_quality"}
    assert all(type(value) is float for value in good.values())
    assert (good["modes_covered"], good["high_quality"]) == (8.0, 1.0)
    half = source.reference(800, 1)[torch.arange(800) % 8 < 4]
    bad = evaluate(half, source)
    assert bad["modes_covered"] == 4.0
    assert bad["recall"] < 0.7 < good["recall"]
    assert bad["frechet_distance"] > 0.3 > good["frechet_distance"]


def test_evaluate_orders_digits_by_quality(digits, features):
    real = digits.reference(600, 1)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(real.shape)).float()
    scores = [evaluate(real + level * noise, digits, features) for level in (0.0, 0.5, 2.0)]
    assert set(scores[0]) == COMMON
    for name, sign in [("frechet_distance", 1), ("kernel_distance", 1), ("precision", -1), ("coverage", -1)]:
        values = [sign * score[name] for score in scores]
        assert values == sorted(values), name
    one_class = digits.samples[digits.labels == 3][:100].repeat(6, 1, 1, 1)
    collapsed = evaluate(one_class, digits, features)
    assert collapsed["precision"] > 0.9
    assert collapsed["recall"] < 0.2


def test_evaluate_is_deterministic_and_leaves_samples_and_graph_alone(digits):
    samples = digits.reference(50, 3).requires_grad_()
    assert evaluate(samples, digits, seed=4) == evaluate(samples, digits, seed=4)
    assert samples.grad is None


def test_evaluate_refuses_samples_of_another_shape_and_training_mode(digits, features):
    with pytest.raises(GantoolsError, match=r"shape \(2,\) but digits has \(1, 8, 8\)"):
        evaluate(torch.zeros(20, 2), digits)
    features.train()
    try:
        with pytest.raises(GantoolsError, match="call features.eval"):
            evaluate(digits.reference(20, 0), digits, features)
    finally:
        features.eval()
    with pytest.raises(GantoolsError, match="NaN or infinite"):
        evaluate(torch.full((20, 1, 8, 8), float("nan")), digits, features)
