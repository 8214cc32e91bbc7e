"""What is shown while something takes long: on a terminal one line that goes, elsewhere a line every ten seconds."""

import io
import re
import sys

import pytest
import torch

from gantools import analysis
from gantools.runs.store import progress
from gantools.runs.store.progress import Progress, Working


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_of(clock, calls, seconds=1.0):
    """Return what is said in calls of (what, made, planned), so many seconds apart."""
    said = []
    working = Working(said.append)
    for call in calls:
        clock[0] += seconds
        working(*call)
    working.close()
    return said


def test_a_line_every_ten_seconds_with_the_longest_time_left(clock):
    said = lines_of(clock, [("steps", made, 100) for made in range(1, 32)])
    # Of 100 steps, one a second.
    assert said == [f"{n} of at most 100 steps, at most {100 - n} s left" for n in (10, 20, 30)] + [""]


def test_what_is_short_says_nothing(clock):
    assert lines_of(clock, [("steps", made, 9) for made in range(9)]) == []


def test_each_kind_of_work_has_its_own_speed(clock):
    calls = [("steps", made, 50) for made in range(1, 6)] + [("products", 10 * made, 1000) for made in range(1, 12)]
    assert lines_of(clock, calls)[-2] == "50 of at most 1000 products, at most 95 s left"


def test_the_same_work_once_more_begins_anew(clock):
    calls = [("products", made, 100) for made in [*range(1, 50), *range(1, 13)]]
    assert lines_of(clock, calls)[-2] == "11 of at most 100 products, at most 89 s left"


def test_beyond_what_was_planned_and_where_nothing_is_known(clock):
    assert lines_of(clock, [("products", 120, 100)], 10) == ["products: 120", ""]
    assert lines_of(clock, [("products", 7, None)], 10) == ["products: 7", ""]


@pytest.mark.parametrize(("pause", "left"), [(12, "20 min"), (110, "3.0 h"), (0.9, "80 s")])
def test_durations_have_a_unit_of_their_size(clock, pause, left):
    calls = [("products", made, 100) for made in range(2 if pause >= 10 else 13)]
    assert f"at most {left} left" in lines_of(clock, calls, pause)[-2]


def test_on_a_terminal_the_line_changes_and_goes(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_CHANGES", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    working = Working()
    for made in (1, 2):
        working("steps", made, 10)
    working.close()
    shown = terminal.getvalue().split("\r")
    assert any(text.startswith("2 of at most 10 steps, at most") for text in shown)
    assert "".join(shown[-2:]).strip() == "" and "\n" not in terminal.getvalue()


def test_a_terminal_that_was_closed_does_no_harm(monkeypatch):
    class Closed(Terminal):
        def write(self, text):
            raise OSError("closed")

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_CHANGES", 0.0)
    monkeypatch.setattr(sys, "stderr", Closed())
    working = Working()
    working("steps", 1, 10)
    working.close()


def test_a_search_is_shown_product_by_product(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    matrix = torch.diag(torch.linspace(1, 3, 200, dtype=torch.float64))
    A = analysis.LinearOperator(lambda u: matrix @ u, 200, symmetric=True, dtype=torch.float64)
    A @ torch.ones(200, dtype=torch.float64)  # a product before is none of the search
    said = []
    working = Working(said.append)
    with working.search(A, "products") as told:
        found = analysis.eigenvalues(A, 4, progress=told)
    assert A.told is None
    made = [int(number[0]) for text in said if (number := re.search(r"\d+", text))]
    assert made == sorted(made) and set(range(1, found.matvecs + 1)) <= set(made)
    # A basis of 20, and 50 times as many products.
    assert said[-1].split(",")[0].endswith("of at most 1000 products") and said[-1].endswith("4 of 4 converged")


def test_training_says_between_its_steps_what_is_computed_beside_them(monkeypatch, capsys):
    shown = Progress(0, 50)
    shown.show(20, {"loss": 1.0})
    shown.aside("7 of at most 400 products")
    shown.aside("")
    assert capsys.readouterr().out == "step 20/50, 7 of at most 400 products\n"
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    shown = Progress(0, 50)
    shown.show(20, {"loss": 1.0})
    shown.aside("7 of at most 400 products")
    assert "7 of at most 400 products" in terminal.getvalue().split("\r")[-1]
    shown.aside("")
    assert "products" not in terminal.getvalue().split("\r")[-1]
    shown.close()


def test_of_runs_stepped_together_one_bar_shows_all(monkeypatch):
    """A bar is made by what it shows first; one that is to show nothing is none, and a process of many shows none."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    shown, quiet = Progress(0, 50), Progress(0, 50)
    quiet.shown = False
    assert terminal.getvalue() == ""
    for step in (1, 2):
        quiet.show(step, {})
        quiet.aside("products")
        shown.show(step, {"loss": 2.5})
    quiet.close()
    shown.close()
    assert "2/50" in terminal.getvalue() and "loss 2.5" in terminal.getvalue()
    assert "products" not in terminal.getvalue() and "\n" not in terminal.getvalue().rstrip("\n")
    monkeypatch.setattr(Progress, "shown", False)
    before = terminal.getvalue()
    Progress(0, 50).show(50, {})
    assert terminal.getvalue() == before
