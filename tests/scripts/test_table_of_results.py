"""The table of all claims is that of the numbers beside it, and its verdicts follow their rules."""

from pathlib import Path

import pytest
import table_of_results
from harness.intervals import Estimate

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
