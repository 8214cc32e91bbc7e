"""Settings of a study's cells that are chosen on seeds that are not reported."""

import dataclasses
import json

import pytest
from harness import study, tuning

from gantools import GantoolsError

CALLS = []


def peaked(cell, seed, folder):
    """Highest where the rate is the cell's best; seed 8 is off by much, and a rate of 4 is stopped."""
    CALLS.append((cell["best"], cell["rate"], cell["steps"], seed))
    if cell["rate"] == 4:
        raise GantoolsError("NaN.")
    return {"value": -abs(cell["rate"] - cell["best"]) + (5 if seed == 8 else 0), "rate": cell["rate"]}


def small(**more):
    cells = {f"best {best}": {"best": best, "rate": 0, "steps": 30} for best in (1, 3)}
    tuned = study.Tuning(
        grid=lambda cell: [{"rate": rate} for rate in (1, 2, 3, 4)],
        seeds=(7, 8),
        score=lambda result: result["value"],
        rule="The rule: the highest value.",
        shorter=lambda cell: {"steps": cell["steps"] // 3},
        worst=-100.0,
    )
    return study.Study("small", peaked, cells, {"value": "value"}, cells, range(2), tuning=tuned, **more)


def page():
    return study.Page("Small", "What?\n\nHow.\n\n    command", [study.Section("Rates {rate}, {seeds} seeds.")])


def test_every_cell_runs_with_the_settings_that_were_best_on_the_other_seeds(tmp_path):
    CALLS.clear()
    results = study.execute(small(), tmp_path)
    tried = [call for call in CALLS if call[3] in (7, 8)]
    assert len(tried) == 2 * 4 * 2 and all(steps == 10 for _, _, steps, _ in tried)
    reported = [call for call in CALLS if call[3] in (0, 1)]
    assert sorted(reported) == [(best, best, 30, seed) for best in (1, 3) for seed in (0, 1)]
    assert {name: cell["rate"] for name, cell in results.study.cells.items()} == {"best 1": 1, "best 3": 3}
    assert [trial.chosen for trial in results.tried["best 3"]] == [False, False, True, False]
    assert results.tried["best 3"][0].scores == [-2, 3] and results.tried["best 3"][3].scores == [-100, -100]
    assert all(trial.seconds > 0 for trials in results.tried.values() for trial in trials)
    CALLS.clear()
    assert study.execute(small(), tmp_path).tried == results.tried and CALLS == []  # nothing is run again


def test_seeds_that_train_together_do_so_in_trials_with_one_setting_at_a_time(tmp_path):
    calls = []

    def together(cell, seeds):
        calls.append((cell["best"], cell["rate"], tuple(seeds)))
        return {seed: peaked({**cell, "rate": min(cell["rate"], 3)}, seed, tmp_path) for seed in seeds}

    results = study.execute(small(together=together), tmp_path)
    trials = [(best, rate, (7, 8)) for best in (1, 3) for rate in (1, 2, 3, 4)]
    assert calls == [*trials, (1, 1, (0, 1)), (3, 3, (0, 1))]
    assert [len(own) for own in results.tried.values()] == [4, 4]


def test_a_stopped_trial_has_the_worst_score_and_of_equals_the_first_is_chosen(tmp_path):
    flat = small()
    alike = dataclasses.replace(flat.tuning, score=lambda result: 1.0, worst=2.0)
    results = study.execute(dataclasses.replace(flat, tuning=alike, cells={"best 1": flat.cells["best 1"]}), tmp_path)
    assert results.tried["best 1"][3].chosen and results.failed("best 1")  # its worst was made the best here
    equal = dataclasses.replace(alike, worst=0.0)
    results = study.execute(dataclasses.replace(flat, tuning=equal), tmp_path / "equal")
    assert all(own[0].chosen for own in results.tried.values())


def test_results_of_other_settings_are_not_taken_for_those_of_the_chosen_ones(tmp_path):
    study.execute(small(), tmp_path)  # leaves a folder for each run
    other = dataclasses.replace(small().tuning, score=lambda result: -result["value"], worst=-100.0)
    with pytest.raises(ValueError, match="best 1 was run with {'rate': 1}, and {'rate': 3} are chosen now: remove"):
        study.execute(dataclasses.replace(small(), tuning=other), tmp_path)


def test_nothing_is_chosen_on_seeds_that_are_reported(tmp_path):
    with pytest.raises(ValueError, match=r"Seeds \[7\] are reported"):
        study.execute(dataclasses.replace(small(), seeds=(6, 7)), tmp_path)


def test_the_page_says_what_was_tried_and_is_written_anew_from_the_numbers(tmp_path, capsys):
    command = ["--root", str(tmp_path / "runs"), "--out", str(tmp_path)]
    study.main(small(), page(), command)
    text = (tmp_path / "small.md").read_text()
    assert "Rates 1 and 3, 2 seeds." in text and "chosen from 4 before it was run, on seeds 7, 8" in text
    assert "The rule: the highest value." in " ".join(text.split())
    table = [line for line in text.splitlines() if line.startswith("| best")]
    assert table[-2:] == [
        "| best 1 | **2.500** | 1.500 | 0.500 | -100.000 |",
        "| best 3 | 0.500 | 1.500 | **2.500** | -100.000 |",
    ]
    assert "a wider grid may do better: best 1 (rate 1)." in " ".join(text.split())
    assert json.loads((tmp_path / "small-tuning.json").read_text())["best 3"][2]["chosen"]
    study.main(small(), page(), ["--page", "--out", str(tmp_path)])
    assert (tmp_path / "small.md").read_text() == text


def test_trials_have_the_cells_settings_but_for_what_is_tried_and_shortened():
    trials = tuning.trials(small())
    assert trials.tuning is None and list(trials.seeds) == [7, 8] and len(trials.cells) == 8
    assert trials.cells["best 3, rate 2"] == {"best": 3, "rate": 2, "steps": 10}
