"""The runner that the studies share: results kept one by one, intervals, tables, what failed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from harness import programs, study

from gantools import GantoolsError
from gantools.errors import MissingDependencyError
from gantools.sweeps.pool import Pool

CALLS = []


def noisy(cell, seed, folder):
    CALLS.append((cell["mean"], seed))
    if cell["mean"] < 0:
        raise GantoolsError("The field of player 'x' is NaN.")
    value = cell["mean"] + np.random.default_rng(seed).normal()
    return {"value": value, "curves": {"step": [0, 10], "distance": [1.0, value]}}


def small(cells=(0.0, 1.0), seeds=range(4)):
    named = {f"mean {mean}": {"mean": mean} for mean in cells}
    quick = {"mean 0.0": {"mean": 0.0}}
    return study.Study("small", noisy, named, {"value": "value", "seconds": "time"}, quick, seeds)


def page(**more):
    section = study.Section(
        "Means of {mean},\n{seeds} seeds.\n\n| a | table |\n|---|---|",
        figures={"all": ("All", study.Results.figure), "distance": ("Distance", lambda r: r.curves("distance"))},
        pairs=[("mean 1.0", "mean 0.0"), ("mean 1.0", "no such cell")],
        compared=("value",),
    )
    return study.Page("Small", "What is asked?\n\nWhat is done.\n\n    a command", [section], **more)


def test_a_part_has_some_cells_and_columns_in_the_order_asked(tmp_path):
    whole = study.execute(small(), tmp_path)
    part = whole.part(["mean 1.0"], {"seconds": "time", "value": "own heading"})
    assert part.table().splitlines()[0] == "| cell | time | own heading |" and part.table().count("\n") == 2
    assert np.array_equal(part.values("mean 1.0", "value"), whole.values("mean 1.0", "value"))


def test_what_is_computed_is_not_computed_again(tmp_path):
    CALLS.clear()
    first = study.execute(small(seeds=range(2)), tmp_path)
    assert len(CALLS) == 4
    second = study.execute(small(), tmp_path)
    assert len(CALLS) == 8 and set(CALLS) == {(m, s) for m in (0.0, 1.0) for s in range(4)}
    assert second.by_cell["mean 0.0"][1] == first.by_cell["mean 0.0"][1]


def test_pairs_by_seed_find_a_difference_that_the_spread_hides(tmp_path):
    results = study.execute(small(), tmp_path)
    found = results.contrast("mean 1.0", "mean 0.0", "value")
    assert found.mean == pytest.approx(1.0) and found.half == pytest.approx(0.0, abs=1e-12)
    estimate = results.estimate("mean 0.0", "value")
    assert estimate.high - estimate.low > 1.0
    # Four equal differences: their sign alone is known, which is a coin thrown four times.
    assert found.p == 2 * 0.5**4
    assert "no difference is seen (+1)" in results.difference("mean 1.0", "mean 0.0", "value")
    more = study.execute(small(seeds=range(7)), tmp_path)
    assert "higher (+1)" in more.difference("mean 1.0", "mean 0.0", "value")


def test_failed_runs_are_counted_and_left_out(tmp_path):
    results = study.execute(small(cells=(0.0, -1.0)), tmp_path)
    assert len(results.failed("mean -1.0")) == 4 and np.isnan(results.values("mean -1.0", "value")).all()
    table = results.table()
    assert "| mean -1.0 | - |" in table and "4 of 4" in table and "0 of 4" in table
    assert "cannot be compared" in results.difference("mean -1.0", "mean 0.0", "value")


def test_a_package_that_is_missing_is_no_result(tmp_path, capsys):
    def lacking(cell, seed, folder):
        if seed == 1:
            raise MissingDependencyError("Install it.")
        return noisy(cell, seed, folder)

    lacks = dataclasses.replace(small((0.0,)), run=lacking)
    with pytest.raises(SystemExit, match="2"):
        study.main(lacks, page(), ["--root", str(tmp_path), "--out", str(tmp_path)])
    assert capsys.readouterr().err == "Install it.\n"
    assert [path.name for path in tmp_path.glob("*.json")] == ["mean_0.0-seed0.json"]


@pytest.mark.slow
def test_processes_give_the_same_results(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{Path(study.__file__).parents[1]}")
    alone = study.execute(small(seeds=range(2)), tmp_path / "a")
    together = study.execute(small(seeds=range(2)), tmp_path / "b", Pool(jobs=2))
    np.testing.assert_allclose(alone.values("mean 1.0", "value"), together.values("mean 1.0", "value"), rtol=1e-12)


def test_differences_are_bold_where_one_is_seen_and_are_counted(tmp_path):
    results = study.execute(small(cells=(0.0, 1.0, -1.0), seeds=range(7)), tmp_path)
    pairs = [("mean 1.0", "mean 0.0"), ("mean 0.0", "mean 0.0"), ("mean -1.0", "mean 0.0")]
    head, _, *rows, _, count = results.differences(pairs, ["value"]).splitlines()
    assert head == "| difference | value |"
    assert rows[0] == "| mean 1.0 against mean 0.0 | **+1** |"
    assert rows[1:] == ["| mean 0.0 against mean 0.0 | +0 |", "| mean -1.0 against mean 0.0 | - |"]
    assert count == "Of 2 differences 1 are seen; 1 would be, each alone."
    alike = results.difference("mean 0.0", "mean 0.0", "value")
    assert alike.endswith("no difference is seen (+0, the same with every seed).")
    # p = 1/64 is below 5 %, and 5/64 is not: beside four more comparisons of the page the same one is not seen.
    others = tuple((cell, cell, column) for cell in ("mean 0.0", "mean 1.0") for column in ("value", "seconds"))
    many = dataclasses.replace(results, compared=(*others, ("mean 1.0", "mean 0.0", "value")))
    assert not many.seen("mean 1.0", "mean 0.0", "value")


def test_what_was_not_seen_says_what_would_have_been():
    """Of five seeds one of 1 + t(0.8) / t(0.975) half widths, with four degrees of freedom."""
    values = {"a": (0.1, -0.2, 0.3, 0.1, -0.1), "b": (0.0,) * 5}
    by_cell = {cell: {seed: {"x": x} for seed, x in enumerate(own)} for cell, own in values.items()}
    results = study.Results(study.Study("s", dict, dict.fromkeys(values, {}), {"x": "x"}, {}), by_cell)
    times = 1 + scipy.stats.t.ppf(0.8, 4) / scipy.stats.t.ppf(0.975, 4)
    assert f"One of {times:.2f} half widths would have been" in results.differences([("a", "b")], ["x"])


def test_fractions_are_named_on_the_page_that_shows_them(tmp_path):
    fractions = dataclasses.replace(
        small(), columns={"value": "value", "solved": "solved"}, trials={"solved": "starts"}
    )
    results = study.execute(fractions, tmp_path)
    assert "Exact binomial intervals over all starts: solved." in " ".join(page().render(results, "").split())
    shown = study.Page("Small", "What?\n\nThis.", [study.Section("Here:", {"value": "value"})])
    assert "Exact binomial" not in shown.render(results, "")


def test_a_single_seed_shows_no_difference(tmp_path):
    results = study.execute(small(seeds=[3]), tmp_path)
    assert "**" not in results.differences([("mean 1.0", "mean 0.0")], ["value"])
    assert "cannot be compared" in results.difference("mean 1.0", "mean 0.0", "value")


def test_main_writes_page_numbers_and_figures(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["--root", str(tmp_path / "runs"), "--out", str(out), "--seeds", "7"]
    study.main(small(), page(verdict=lambda results: ["First.", "Second."]), command)
    assert {f.name for f in out.iterdir()} == {"small.md", "small.json", "small-all.png", "small-distance.png"}
    numbers = json.loads((out / "small.json").read_text())
    assert set(numbers["mean 0.0"]) == {"7"} and "curves" not in numbers["mean 0.0"]["7"]
    assert "mean 0.0" in capsys.readouterr().out
    text = (out / "small.md").read_text()
    begin = "# Small\n\nWhat is asked?\n\n    python scripts/studies/small.py --jobs 2\n\nWhat is done. Seeds 7.\n\n"
    assert text.startswith(begin + "Means of 0.0 and 1.0, 1 seeds.\n\n| a | table |\n|---|---|\n\n| cell |")
    assert "![Distance](small-distance.png)" in text and "no such cell" not in text
    assert "## Verdict\n\n- First.\n- Second.\n\n## How to read the numbers" in text
    assert f"torch {torch.__version__}" in text and "were not recorded" not in text
    study.main(small(), page(), ["--page", "--out", str(out)])
    assert "| mean 0.0 |" in (out / "small.md").read_text() and "Seeds 7." in (out / "small.md").read_text()


def test_a_quick_form_has_its_own_cells_and_root_and_a_flag_chooses_another_form(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study.main(small(), page(), ["--quick"])
    assert (tmp_path / "runs" / "small-quick" / "small.md").exists()
    assert set(json.loads((tmp_path / "runs" / "small-quick" / "small.json").read_text())) == {"mean 0.0"}
    long = dataclasses.replace(small(cells=(5.0,)), name="small_long")
    study.main(small(), page(), ["--long", "--seeds", "0"], long=long)
    text = (tmp_path / "docs" / "results" / "small_long.md").read_text()
    assert "    python scripts/studies/small.py --long --jobs 2\n" in text and "| mean 5.0 |" in text
    assert (tmp_path / "docs" / "results" / "small_long-all.png").exists()


def test_training_goes_on_where_it_was(tmp_path):
    args = [
        "--data",
        "ring8",
        "--network.width",
        "4",
        "--network.depth",
        "1",
        "--batch-size",
        "8",
        "--sample-every",
        "0",
    ]
    args += ["--spectrum-every", "0", "--log-every", "1"]
    run, last = study.train_gan([*args, "--steps", "3"], tmp_path / "run")
    assert run.steps() == [3] and last["loss/generator"] > 0
    run, _ = study.train_gan([*args, "--steps", "5"], tmp_path / "run")
    assert run.steps()[-1] == 5 and [record["step"] for record in run.metrics()] == [0, 1, 2, 3, 4]


TINY = ["--data", "ring8", "--network.width", "4", "--network.depth", "1", "--batch-size", "8", "--sample-every", "0",
        "--spectrum-every", "0", "--log-every", "1", "--steps", "3"]  # fmt: skip


def tiny_flags(cell, seed):
    return [*TINY, "--seed", str(seed), "--optimizer", cell["optimizer"]] if cell else []


def tiny(cell, seed, folder):
    if not cell:
        return {"loss": 0.0}
    run, last = study.train_gan(tiny_flags(cell, seed), folder)
    return {"loss": last["loss/generator"], "resumed": len(run.record().content.get("resumed", []))}


def test_the_seeds_of_a_cell_are_trained_together_before_each_is_measured(tmp_path, monkeypatch):
    """Those of a method that would couple them, and cells that train nothing, are run one after another."""
    cells = {name: {"optimizer": name} for name in ("optimistic", "proximal")} | {"none": {}}
    seeds = study.Study("tiny", tiny, cells, {"loss": "loss"}, {}, range(2))
    alone = study.execute(seeds, tmp_path / "alone")
    together = []
    original = programs.prepare_together
    monkeypatch.setattr(programs, "prepare_together", lambda *args: together.append(args) or original(*args))
    found = study.execute(dataclasses.replace(seeds, flags=tiny_flags), tmp_path / "together")
    assert [[config.seed for config in configs] for configs, _ in together] == [[0, 1], [0, 1]]
    for name in cells:
        assert np.allclose(found.values(name, "loss"), alone.values(name, "loss"), rtol=1e-4)
    assert [result["resumed"] for result in found.by_cell["optimistic"].values()] == [0, 0]
    shares = found.values("optimistic", "training")
    assert shares[0] == shares[1] > 0 and (found.values("optimistic", "seconds") > shares).all()
    assert not found.values("proximal", "training").any() and not found.values("none", "training").any()
    assert "failed" not in found.by_cell["proximal"][0]


def test_seeds_that_run_together_are_kept_one_by_one_and_a_single_one_runs_alone(tmp_path):
    CALLS.clear()
    groups = []

    def together(cell, seeds):
        groups.append((cell["mean"], list(seeds)))
        return {seed: {"value": cell["mean"] + seed} for seed in seeds}

    both = dataclasses.replace(small(), together=together)
    results = study.execute(dataclasses.replace(both, seeds=range(2)), tmp_path)
    assert groups == [(0.0, [0, 1]), (1.0, [0, 1])] and not CALLS
    assert results.values("mean 1.0", "value").tolist() == [1, 2]
    assert study.result_path(tmp_path, "mean 1.0", 1).exists()
    study.execute(dataclasses.replace(both, seeds=range(3)), tmp_path)
    assert len(groups) == 2 and CALLS == [(0.0, 2), (1.0, 2)]


def test_a_page_says_where_some_seeds_lack_a_number_and_its_figures_what_their_marks_are(tmp_path):
    results = study.execute(small(), tmp_path)
    assert "over 4 seeds, cut" in page().render(results, "a command")
    for axes_of in (results.figure(), results.curves("distance")):
        (legend,) = axes_of.legends
        assert {"mean", "mean and 95 % interval"} & {text.get_text() for text in legend.get_texts()}
    del results.by_cell["mean 0.0"][2]["value"]
    assert "over 4 seeds, or those of them that have the number, cut" in page().render(results, "a command")
