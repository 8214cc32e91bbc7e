"""`gantools train --copies N`: ordinary run folders of several seeds, and sentences for what cannot be."""

import pytest
import torch

import gantools as gt
from gantools.cli import copies, main
from gantools.runs.store.folder import RunFolder
from tests.runs import QUIET, RING, checkpoint, own_file

ARGS = [*RING, *QUIET, "--optimizer", "extragradient", "--seed", "5"]


def run(*args, expect=0):
    assert main(["train", *map(str, args)]) == expect


def test_each_seed_has_a_run_folder_that_goes_on_alone(tmp_path, capsys):
    run(*ARGS, "--steps", "4", "--copies", "2", "--out", tmp_path / "c")
    out = capsys.readouterr().out
    assert f"seed 5: {tmp_path / 'c' / 'seed-5'}, step 4" in out and "seed 6" in out
    run(*ARGS, "--steps", "4", "--out", tmp_path / "alone")
    found, wanted = checkpoint(tmp_path / "c" / "seed-5", 4), checkpoint(tmp_path / "alone", 4)
    for name, t in wanted["parameters"].items():
        torch.testing.assert_close(found["parameters"][name], t, rtol=1e-3, atol=1e-5)
    assert gt.load(tmp_path / "c" / "seed-6").config.seed == 6
    run("--resume", "--out", tmp_path / "c" / "seed-6", "--steps", "6")
    assert RunFolder(tmp_path / "c" / "seed-6").steps()[-1] == 6


def test_the_same_command_goes_on(tmp_path, capsys):
    run(*ARGS, "--steps", "3", "--copies", "2", "--out", tmp_path / "c")
    run(*ARGS, "--steps", "5", "--copies", "2", "--out", tmp_path / "c")
    assert [RunFolder(tmp_path / "c" / f"seed-{seed}").steps() for seed in (5, 6)] == [[3, 5], [3, 5]]
    run(*ARGS, "--optimizer.lr", "0.3", "--batch-size", "16", "--copies", "2", "--out", tmp_path / "c", expect=2)
    assert "started with batch_size = 8" in capsys.readouterr().err


def test_methods_that_would_couple_the_runs_are_trained_one_after_another(tmp_path, capsys):
    args = [*RING, *QUIET, "--optimizer", "competitive", "--steps", "2", "--copies", "2", "--out", tmp_path / "c"]
    run(*args)
    said = capsys.readouterr()
    assert "One after another: competitive would couple the runs" in said.out + said.err
    assert [RunFolder(tmp_path / "c" / f"seed-{seed}").steps() for seed in (0, 1)] == [[2], [2]]


def test_a_run_that_is_not_finite_is_named(tmp_path, capsys):
    args = [f"{own_file(tmp_path)}:nan_later", *QUIET, "--optimizer", "simultaneous", "--steps", "8", "--copies", "2"]
    run(*args, "--out", tmp_path / "c", expect=2)
    assert capsys.readouterr().out.count("NaN or infinite at step 5") >= 2


def test_after_a_run_that_became_nan_the_others_go_on_together(tmp_path, capsys, monkeypatch):
    """Seed 6 is NaN from step 3 on: the same command trains 5 and 7 on in one program, and 6 from where it stood."""
    from gantools.data.sources import Mixture

    original = Mixture.batch

    def spoilt(self, step, batch_size, seed):
        batch = original(self, step, batch_size, seed)
        return batch * float("nan") if seed == 6 and step >= 3 else batch

    monkeypatch.setattr(Mixture, "batch", spoilt)
    args = ["--checkpoint-every", "2", "--copies", "3", "--out", tmp_path / "c"]
    run(*ARGS, "--steps", "4", *args, expect=2)
    stood = [RunFolder(tmp_path / "c" / f"seed-{seed}").steps() for seed in (5, 6, 7)]
    assert stood == [[2, 4], [2], [2, 4]]
    capsys.readouterr()
    started = []
    prepare = copies.prepare_together
    monkeypatch.setattr(
        copies, "prepare_together", lambda c, p: started.append([one.seed for one in c]) or prepare(c, p)
    )
    run(*ARGS, "--steps", "8", *args, expect=2)
    said = capsys.readouterr()
    assert started == [[5, 7]] and "seeds 5, 7 from step 4; seed 6 from step 2" in said.out + said.err
    assert [line.split(":")[0] for line in said.out.splitlines() if line.startswith("seed")] == [
        f"seed {seed}" for seed in (5, 6, 7)
    ]
    stood = [RunFolder(tmp_path / "c" / f"seed-{seed}").steps()[-1] for seed in (5, 6, 7)]
    assert stood == [8, 2, 8]


@pytest.mark.parametrize(
    ("args", "words"),
    {
        "resume": (["--resume", "--copies", "2"], "leave --resume out"),
        "none": (["--copies", "0"], "--copies is 0"),
    }.values(),
)
def test_mistakes(args, words, tmp_path, capsys):
    run(*ARGS, *args, "--out", tmp_path / "c", expect=2)
    assert words in capsys.readouterr().err


def test_a_folder_of_one_run_is_not_taken_for_several(tmp_path, capsys):
    run(*ARGS, "--steps", "1", "--out", tmp_path / "c")
    run(*ARGS, "--steps", "1", "--copies", "2", "--out", tmp_path / "c", expect=2)
    assert "holds a run of one seed" in capsys.readouterr().err
