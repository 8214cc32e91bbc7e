"""Intervals, paired tests and their adjustment, against tables, exact laws and simulation."""

import math

import numpy as np
import pytest
from harness import intervals


def test_intervals_are_those_of_student():
    found = intervals.estimate(np.array([1.0, 2.0, 3.0, math.nan]))
    half = 4.302653 * 1.0 / math.sqrt(3)
    assert found.mean == 2.0 and found.high == pytest.approx(2 + half) and found.low == pytest.approx(2 - half)
    cut = intervals.estimate(np.array([1.0, 2.0, 3.0]), (0.0, 3.0))
    assert (cut.low, cut.high) == (0.0, 3.0)
    single = intervals.estimate(np.array([5.0]))
    assert single.mean == 5.0 and math.isnan(single.low) and math.isnan(single.high)
    assert math.isnan(intervals.estimate(np.array([math.nan])).mean)


def test_how_numbers_are_shown():
    shown = intervals.shown
    assert shown(0.12345, 0.0123) == "0.123 ± 0.012" and shown(1234.5, 67.8) == "1234 ± 68"
    assert shown(math.nan, math.nan) == "-" and shown(3.14159, math.nan) == "3.14"
    assert shown(19978.0, 0.0) == "19978" and shown(1.0, 1e-16) == "1"
    assert shown(0.5, 0.1, sign=True) == "+0.50 ± 0.10" and shown(-0.5, 0.1, sign=True) == "-0.50 ± 0.10"
    assert str(intervals.Estimate(0.95, 0.85, 1.0)) == "0.95 [0.85, 1.00]"
    assert str(intervals.Estimate(3e-9, 0.0, 1e-8)) == "3e-09 [0, 1e-08]"
    assert str(intervals.Estimate(0.25, 0.25 - 1e-17, 0.25 + 1e-16)) == "0.25"


def test_a_fraction_has_its_exact_interval():
    """All of five, by hand: the lower end p solves p^5 = 0.025; none of five is its mirror image."""
    found = intervals.fraction(5, 5)
    assert found.low == pytest.approx(0.025 ** (1 / 5)) and found.high == 1.0
    assert intervals.fraction(0, 5).high == pytest.approx(1 - found.low)
    assert intervals.unlike(5) == pytest.approx(1 - 0.05 ** (1 / 5)) == pytest.approx(0.4507, abs=1e-4)


def test_the_interval_holds_what_it_says():
    """Of a thousand repetitions about 950 contain the mean, 0: between 930 and 970 at 3 standard errors."""
    draws = np.random.default_rng(0).normal(size=(1000, 5))
    inside = sum(found.low <= 0 <= found.high for found in map(intervals.estimate, draws))
    assert 930 <= inside <= 970


def test_of_differences_as_large_as_said_four_of_five_are_seen():
    """The detectable difference is about that of the true power function: 0.8 within 0.05."""
    rng = np.random.default_rng(0)
    half = np.mean([intervals.difference(draw).detectable ** 2 for draw in rng.normal(size=(2000, 10))]) ** 0.5
    seen = sum(intervals.difference(half + draw).p < 0.05 for draw in rng.normal(size=(2000, 10)))
    assert 0.75 <= seen / 2000 <= 0.87


def test_differences_that_are_equal_or_few():
    equal, none = intervals.difference(np.full(6, -2.0)), intervals.difference(np.zeros(6))
    assert equal.p == 2 * 0.5**6 and none.p == 1.0 and equal.mean == -2.0
    assert math.isnan(intervals.difference(np.array([1.0, math.nan])).p)


def test_adjustment_for_many_is_that_of_holm():
    """By hand: 4 * 0.01, then 3 * 0.02, as much again for 2 * 0.03, and 0.5; what was not tested does not count."""
    adjusted = intervals.holm({"a": 0.03, "b": 0.01, "c": math.nan, "d": 0.5, "e": 0.02})
    assert math.isnan(adjusted.pop("c"))
    assert adjusted == pytest.approx({"a": 0.06, "b": 0.04, "d": 0.5, "e": 0.06})


def test_of_pages_without_a_difference_one_in_twenty_shows_any():
    rng = np.random.default_rng(0)
    p = rng.random((2000, 8))
    shown = sum(min(intervals.holm(dict(enumerate(page))).values()) < 0.05 for page in p)
    assert shown / 2000 == pytest.approx(0.05, abs=0.015)
