"""The sweep of damage to run folders, its quick form: every zero is one, and damage that is not named is counted."""

import shutil

import check_run_folder
import pytest
from run_folder.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", "")
        yield Bench.set_up(tmp_path_factory.mktemp("bench"), digits=False, cheapen=patch.setattr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sweep", "share"),
    [("damage", 41), ("foreign", 4), ("flips", 1), ("processes", 2)],
)
def test_the_counts_are_zero(bench, sweep, share):
    count = check_run_folder.Count()
    getattr(check_run_folder, f"sweep_{sweep}")(bench, count, share)
    assert sum(count.trials.values()) >= 10 and not any(count.wrong.values()), str(count)


@pytest.mark.slow
def test_a_change_that_nobody_names_is_counted(bench):
    """The judge itself: a run in another's place is another result, and a line that vanishes is lost."""

    def exchanged(run):
        shutil.rmtree(run)
        shutil.copytree(bench.bases["other"], run)

    assert bench.verdict("gan", "sample", bench.trial("gan", "sample", exchanged)) == ["altered"]
    trial = bench.trial("gan", "sample", lambda run: None)
    assert bench.verdict("gan", "sample", trial) == [] and trial.code == 0


def test_there_are_enough_cases():
    assert len(check_run_folder.corruptions()) >= 90
