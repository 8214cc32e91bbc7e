"""The recipe for Slurm, with submitit's executor that runs jobs in this process."""

import importlib.util
import logging
from pathlib import Path

import pytest

from gantools.runs.store.folder import RunFolder
from tests.runs import QUIET, RING

RECIPE = Path(__file__).parents[3] / "examples" / "sweeps" / "slurm.py"


@pytest.fixture
def recipe():
    spec = importlib.util.spec_from_file_location("slurm_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    logging.getLogger("submitit").handlers.clear()  # of jobs in this process, which submitit leaves open


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its logs open
def test_every_job_is_a_run_and_the_same_command_goes_on(recipe, tmp_path):
    args = ["--methods", "simultaneous", "extragradient", "--seeds", "0", "4", "--cluster", "debug"]
    args += ["--out", str(tmp_path / "out"), *RING, *QUIET]
    for steps in (2, 3, 3):
        folders = [Path(folder) for folder in recipe.main([*args, "--steps", str(steps)])]
        assert [f.name for f in folders] == [
            f"{method}-seed{seed}" for method in ("simultaneous", "extragradient") for seed in (0, 4)
        ]
        assert {RunFolder(folder).steps()[-1] for folder in folders} == {steps}
    assert [RunFolder(folder).record().config.seed for folder in folders] == [0, 4, 0, 4]


def test_a_job_that_is_to_end_is_submitted_anew_as_it_was(recipe, tmp_path):
    run = recipe.Run()
    again = run.checkpoint("consensus", 1, 9, tmp_path, ["--data", "ring8"])
    assert again.function is run and again.args == ("consensus", 1, 9, tmp_path, ["--data", "ring8"])
