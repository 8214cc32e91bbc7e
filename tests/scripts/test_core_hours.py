"""Core-hours of the studies: seconds added up, and what they leave out is said."""

import json
from pathlib import Path

import core_hours
import pytest
from harness import study

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def written(out, **seconds):
    for name, found in seconds.items():
        numbers = {"a": {str(seed): {"seconds": one} for seed, one in enumerate(found)}}
        (out / f"{name}.json").write_text(json.dumps(numbers))
        (out / f"{name}.md").write_text("")


def test_seconds_are_added_up_and_other_numbers_are_left_out(tmp_path):
    written(tmp_path, small=(1800.0, 1800.0), other=(9000.0,))
    (tmp_path / "optimizers.json").write_text(json.dumps({"bilinear": [{"seconds": 1e9}]}))
    text = core_hours.hours(tmp_path)
    assert "| [other](other.md) | 1 | 2.50 |  |\n| [small](small.md) | 2 | 1.00 |  |" in text
    assert "Together 3.5 core-hours are recorded, which is within the 16" in text and "optimizers]" not in text


def test_a_study_without_seconds_says_so_and_more_than_asked_is_more(tmp_path):
    written(tmp_path, large=(20 * 3600.0,), silent=())
    text = core_hours.hours(tmp_path)
    assert "| [silent](silent.md) | 0 | 0.00 | all |" in text and "which is more than the 16" in text
    assert "Of 1 of these studies a part is not recorded" in core_hours.told(3.0, 1)


def test_trainings_in_one_program_are_left_out_unless_results_have_their_share():
    form = study.Study("s", dict, {"a": {}}, {}, {}, flags=lambda cell, seed: ["--seed", str(seed)])
    before, now = {"made with": "1", "seconds": 1.0}, {"made with": "1", "seconds": 3.0, "training": 2.0}
    assert core_hours.left_out(form, {"a": {"0": before}}) == ["trainings of several seeds in one program"]
    assert core_hours.left_out(form, {"a": {"0": now}}) == []
    assert core_hours.left_out(form, {"a": {"0": {"seconds": 1.0}}}) == []  # each seed by itself, at that time


def test_what_was_tried_counts_as_well_and_is_said_to_be_left_out_where_it_was_not_timed(tmp_path):
    written(tmp_path, timed=(1800.0,), untimed=(1800.0,))
    for name, trial in {"timed": {"seconds": 5400.0}, "untimed": {}}.items():
        (tmp_path / f"{name}-tuning.json").write_text(json.dumps({"a": [{"settings": {}, "scores": [], **trial}]}))
    text = core_hours.hours(tmp_path)
    assert "| [timed](timed.md) | 1 | 2.00 |  |" in text
    assert "| [untimed](untimed.md) | 1 | 0.50 | trials of its tuning |" in text


@pytest.mark.parametrize("name", ["ring8", "r3gan", "complex_parametrizations", "unitary_memory_long"])
def test_every_study_of_a_page_is_known_by_its_name(name):
    assert core_hours.every_form()[name].name == name and name in core_hours.stored(RESULTS)
