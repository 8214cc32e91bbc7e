"""The table of all claims is that of the numbers beside it, and its verdicts follow their rules."""

from pathlib import Path

import numpy as np
import pytest
import table_of_results
from claims import more_than_half, within
from claims.theory import by_draws, farther
from harness import study
from harness.intervals import Estimate, fraction
from scipy import stats

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_page_is_that_of_the_numbers_beside_it():
    text = (RESULTS / "README.md").read_text()
    assert table_of_results.page(RESULTS) == text
    pages = {
        line.rsplit("](", 1)[1].split(")")[0] for line in text.splitlines() if line.startswith("| ") and "](" in line
    }
    assert pages and all((RESULTS / name).exists() for name in pages)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [((0.0, 0.4), (0.5, 1.0), "holds"), ((0.5, 1.0), (0.0, 0.4), "does not hold"), ((0.0, 0.6), (0.5, 1.0), "open")],
)
def test_means_are_in_order_where_their_intervals_are_apart(low, high, verdict):
    assert table_of_results.ordered(Estimate(sum(low) / 2, *low), Estimate(sum(high) / 2, *high)) == verdict


@pytest.mark.parametrize(
    ("differences", "others", "verdict"),
    [
        ((0.001, -0.001, 0.002), 0, "holds"),
        ((0.10, -0.10, 0.02), 0, "open"),
        ((0.30, 0.31, 0.32), 0, "does not hold"),
        ((0.28, 0.31, 0.34), 0, "does not hold"),
        ((0.28, 0.31, 0.34), 50, "open"),  # one of so many comparisons, it is not seen
    ],
)
def test_cells_are_alike_within_a_margin_by_the_interval_and_unlike_where_that_is_seen(differences, others, verdict):
    cells = {"a": differences, "b": (0.0, 0.0, 0.0)} | {f"other {n}": (1.0, -1.0, 0.1) for n in range(others)}
    form = study.Study("none", dict, dict.fromkeys(cells, {}), {"x": "x"}, {}, seeds=range(3))
    numbers = {cell: {seed: {"x": value} for seed, value in enumerate(values)} for cell, values in cells.items()}
    compared = tuple((f"other {n}", "b", "x") for n in range(others))
    text, found = within(study.Results(form, numbers, compared), "a", "b", "x", 0.01)
    assert found == verdict
    assert ("not seen after adjustment" in text) == (others > 0)


@pytest.mark.parametrize(("runs", "verdict"), [(20, "holds"), (13, "open"), (3, "does not hold")])
def test_more_than_half_of_the_runs_is_said_by_the_exact_interval(runs, verdict):
    assert more_than_half(fraction(runs, 24)) == verdict


def test_draws_are_the_trials_where_each_has_several_rates():
    assert by_draws(np.array([1.0] * 9 + [0.5] * 2 + [0.0])) == pytest.approx(2 * 11 / 2**10)
    assert by_draws(np.array([0.5, 0.5])) == 1.0


def test_a_mean_within_the_margin_is_not_beyond_it_and_one_beyond_is_by_its_t_test():
    values = {"near": (1.04, 0.97, 1.02), "far": (1.19, 1.20, 1.21)}
    by_cell = {cell: {seed: {"x": x} for seed, x in enumerate(own)} for cell, own in values.items()}
    results = study.Results(study.Study("s", dict, dict.fromkeys(values, {}), {"x": "x"}, {}, seeds=range(3)), by_cell)
    p = farther(results, "x")
    assert p["near"] == 1.0 and p["far"] == pytest.approx(stats.ttest_1samp(values["far"], 1.05).pvalue)
