"""What holds for a run of every registered method: the digits GAN trains, and one that diverges ends in a sentence."""

import pytest

from gantools.cli import main
from gantools.trainers import OPTIMIZERS
from tests.gantools.runs.test_training_loop import assert_same_run, at_step
from tests.quick import few
from tests.runs import QUIET, RING, checkpoint, die, killed, own_file, records


@pytest.mark.parametrize("name", few(OPTIMIZERS, 6))
def test_a_run_that_meets_nan_is_stopped_with_a_sentence(name, tmp_path, capsys):
    args = [f"{own_file(tmp_path)}:nan_later", "--optimizer", name, "--optimizer.lr", "0.01", *QUIET]
    assert main(["train", *args, "--steps", "20", "--checkpoint-every", "1", "--out", str(tmp_path / "a")]) == 2
    err = capsys.readouterr().err
    assert "is NaN or infinite at step 5" in err and "Lower the learning rate" in err
    assert "Traceback" not in err and err.count("\n") == 1
    assert [record["step"] for record in records(tmp_path / "a")] == [0, 1, 2, 3, 4]
    assert all(value.isfinite().all() for value in checkpoint(tmp_path / "a", 5)["parameters"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_killed_and_resumed_is_the_run_that_never_stopped(name, tmp_path):
    args = [*RING, *QUIET, "--optimizer", name, "--optimizer.lr", "0.01", "--checkpoint-every", "3", "--steps", "10"]
    assert main(["train", "--out", str(tmp_path / "whole"), *args]) == 0
    killed("train", "--out", str(tmp_path / "cut"), *args, at=at_step(5, die))
    assert main(["train", "--resume", "--out", str(tmp_path / "cut")]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_digits_gan_trains_200_steps(name, tmp_path, capsys):
    args = ["--data", "digits", "--optimizer", name, "--network.width", "4", "--batch-size", "16", "--latent-size", "8"]
    looks = ["--sample-every", "0", "--spectrum-every", "0", "--log-every", "1", "--checkpoint-every", "200"]
    assert main(["train", *args, *looks, "--steps", "200", "--out", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().err == ""
    seen = [record for record in records(tmp_path / "a") if "note" not in record]
    assert len(seen) == 200 and all(value is not None for record in seen for value in record.values())
    assert len({record["loss/discriminator"] for record in seen}) > 150
    assert all(value.isfinite().all() for value in checkpoint(tmp_path / "a", 200)["parameters"].values())
