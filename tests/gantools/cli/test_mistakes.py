"""Mistakes on the command line: each is a sentence with exit code 2."""

import numpy as np
import pytest

from gantools.cli import main
from tests.quick import few
from tests.runs import QUIET, RING, checkpoint, fails, own_file, records

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")
UNKNOWN = {
    "command": (["trian"], "Did you mean 'train'?"),
    "optimizer": (["train", "--optimizer", "consenus"], "Did you mean 'consensus'?"),
    "an optimizer that is a base": (["train", "--optimizer", "adam"], "--optimizer.base adam"),
    "base": (["train", "--optimizer.base", "adm"], "Did you mean 'adam'?"),
    "loss": (["train", "--loss", "hing"], "Did you mean 'hinge'?"),
    "data": (["train", "--data", "ring9"], "Did you mean 'ring8'?"),
    "network": (["train", "--network", "dcgna"], "Did you mean 'dcgan'?"),
    "activation": (["train", *RING, "--activation", "rel"], "Did you mean 'relu'?"),
    "activation of one player": (["train", *RING, "--network.generator-activation", "rel"], "Did you mean 'relu'?"),
    "argument of an activation": (["train", *RING, "--activation", "esp(gamma=1)"], "do not fit esp"),
    "regularizer": (["train", "--regularizer", "r3"], "r1, r2, spectral_norm"),
    "regularizer twice": (["train", "--regularizer", "r1", "--regularizer", "r1"], "twice"),
    "device": (["train", *RING, "--device", "gpu7"], "try cpu"),
    "device for spectrum": (["spectrum", "own.py:gan", "--device", "gpu7"], "try cpu"),
    "flag": (["train", "--nonsense", "3"], "Unrecognized options: --nonsense"),
    "flag of another optimizer": (
        ["train", "--optimizer", "simultaneous", "--optimizer.gamma", "3"],
        "--optimizer.gamma",
    ),
    "flag of another base": (["train", "--optimizer.base", "sgd", "--optimizer.base.alpha", "0.5"], "base.alpha"),
    "flag of a data set for a file": (["train", "own.py:gan", "--network", "mlp"], "--network"),
    "axis": (["list", "optimisers"], "Did you mean 'optimizers'?"),
    "checkpoint": (["spectrum", "RUN", "--checkpoint", "first"], "neither last, all, nor a step"),
    "step": (["sample", "RUN", "--checkpoint", "3"], "it has 2, 4"),
    "which": (["spectrum", "RUN", "--which", "LX"], "LX"),
    "player of a rate": (["train", *RING, "--optimizer.lr", "generator=1,critic=1"], "Unknown player 'critic'"),
    "player without a rate": (["train", *RING, "--optimizer.lr", "generator=1"], "no rate for 'discriminator'"),
}
NUMBERS = {
    "rate": (["train", "--optimizer.lr", "fast"], "is not a learning rate"),
    "rate of a player": (["train", "--optimizer.lr", "generator=fast"], "is not a learning rate"),
    "negative rate": (["train", *RING, "--optimizer.lr=-1"], "positive"),
    "rate nan": (["train", *RING, "--optimizer.lr", "nan"], "positive"),
    "steps in words": (["train", "--steps", "many"], "many"),
    "negative steps": (["train", "--steps", "-1"], "--steps is -1"),
    "negative seed": (["train", "--seed", "-1"], "--seed is -1"),
    "negative every": (["train", "--spectrum-every", "-5"], "--spectrum-every is -5"),
    "batch of none": (["train", "--batch-size", "0"], "--batch-size is 0"),
    "negative batch": (["train", "--batch-size", "-8"], "--batch-size is -8"),
    "latent of none": (["train", "--latent-size", "0"], "--latent-size is 0"),
    "width of none": (["train", *RING, "--network.width", "0"], "width >= 1"),
    "negative gamma": (["train", *RING, "--optimizer.gamma", "-1"], "gamma"),
    "gamma nan": (["train", *RING, "--optimizer.gamma", "nan"], "gamma"),
    "negative weight": (["train", *RING, "--regularizer", "r1", "--regularizer.gamma", "-1"], "gamma"),
    "decay above 1": (["train", *RING, "--optimizer.base", "adam", "--optimizer.base.betas", "0.9", "2"], "beta_2"),
    "one beta": (["train", *RING, "--optimizer.base", "adam", "--optimizer.base.betas", "0.9"], "betas"),
    "no update": (["train", *RING, "--optimizer", "alternating", "--optimizer.n-d", "0"], "n_d = 0"),
    "sigma 0": (["train", *RING, "--data.sigma", "0"], "sigma"),
    "ring8 batch": (["train", "--data", "ring8", "--batch-size", "12"], "multiple of 8"),
    "odd batch": (
        ["train", *QUIET, "--network", "mlp", "--batch-size", "7", "--optimizer.estimator", "independent"],
        "2 equal parts",
    ),
    "batch above the data": (["train", "--data", "digits", "--batch-size", "1798"], "at most 1797"),
    "no samples": (["sample", "RUN", "--n", "0"], "at least one"),
    "negative samples": (["sample", "RUN", "--n", "-4"], "at least one"),
    "negative k": (["spectrum", "RUN", "--k", "-3"], "-3"),
    "negative tolerance": (["spectrum", "RUN", "--tol", "-1"], "tol"),
    "negative rate to judge by": (["spectrum", "RUN", "--lr", "-1"], "lr"),
    "spectrum of an empty batch": (["spectrum", "RUN", "--batch-size", "0"], "--batch-size is 0"),
    "path to itself": (["path", "RUN", "--from", "4"], "to itself"),
    "path from nowhere": (["path", "RUN", "--from", "3"], "no checkpoint of step 3"),
    "path of one point": (["path", "RUN", "--points", "1"], "make no path"),
    "path on an empty batch": (["path", "RUN", "--batch-size", "0"], "--batch-size is 0"),
    "no probes": (["index", "RUN", "--method", "estimate", "--probes", "0"], "probes"),
    "port": (["board", "RUN", "--port", "99999999"], "99999999"),
}
FILES = {
    "missing file": ("missing.py:build", "There is no file 'missing.py'"),
    "no function": ("own.py", "names no function"),
    "missing function": ("own.py:shufled", "Did you mean 'shuffled'?"),
    "not a function": ("bad.py:number", "Unknown function"),
    "raises": ("bad.py:raises", "KeyError: 'oh' (line 8 of bad.py)"),
    "returns nothing": ("bad.py:nothing", "returned a NoneType: return (game, batches)"),
    "returns a model": ("bad.py:model", "returned a tuple of Linear, list"),
    "needs an argument": ("bad.py:needs", "missing 1 required positional argument"),
    "no batches": ("bad.py:no_batches", "empty"),
    "empty loader": ("bad.py:empty_loader", "empty"),
    "an empty batch": ("bad.py:empty_batch", "empty"),
    "a generator of batches": ("bad.py:one_shot", "only once"),
    "wrong shapes": ("bad.py:shapes", "The generator makes samples of shape (3,), the data has (2,)"),
    "its loss raises": ("bad.py:loss_raises", "ZeroDivisionError: division by zero (line 41 of bad.py)"),
    "loss without a scalar": ("bad.py:no_scalar", "not a real scalar"),
    "losses for other players": ("bad.py:other_players", "one scalar for each of 'x'"),
    "no latent": ("bad.py:no_latent", "latent"),
    "syntax error": ("syntax.py:build", "SyntaxError"),
    "fails at import": ("imports.py:build", "No module named 'nowhere'"),
}
BAD = """import torch
from torch import nn
import gantools as gt
number = 3


def raises():
    return {}["oh"]

def nothing():
    pass

def model():
    return nn.Linear(1, 1), []

def needs(argument):
    pass

def game(loss=lambda players, batch: {"x": players["x"](batch).mean()}):
    return gt.Game({"x": nn.Linear(2, 1)}, loss)

def no_batches():
    return game(), []

def empty_loader():
    return game(), torch.utils.data.DataLoader([])

def empty_batch():
    return game(), [{"x": torch.zeros(0, 2)}]

def one_shot():
    return game(), (torch.ones(4, 2) for _ in range(3))

def shapes():
    batches = [{"real": torch.ones(4, 2), "latent": torch.ones(4, 1)}] * 3
    return gt.gan(nn.Linear(1, 3), nn.Linear(2, 1)), batches

def loss_raises():
    def loss(players, batch):
        if (batch[0] > 2).all():
            1 / 0
        return {"x": players["x"](batch[0]).mean()}
    return game(loss), [(torch.full((4, 2), float(i)),) for i in range(9)]

def no_scalar():
    return game(lambda players, batch: {"x": players["x"](batch)}), torch.ones(4, 2)

def other_players():
    return game(lambda players, batch: {"y": players["x"](batch).mean()}), torch.ones(4, 2)

def no_latent():
    return gt.gan(nn.Linear(1, 2), nn.Linear(2, 1)), {"real": torch.ones(4, 2)}
"""


def _resolve(argv, run):
    return [str(run) if word == "RUN" else word for word in argv]


class TestMistakes:
    @pytest.mark.parametrize("case", UNKNOWN)
    def test_unknown(self, capsys, tmp_path, trained, case):
        own_file(tmp_path)
        argv, words = UNKNOWN[case]
        assert words in fails(capsys, *_resolve(argv, trained))
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize("case", NUMBERS)
    def test_numbers(self, capsys, tmp_path, trained, case):
        argv, words = NUMBERS[case]
        err = fails(capsys, *_resolve(argv, trained), *(["--steps", "1"] if case == "odd batch" else []))
        assert words in err
        assert case == "odd batch" or not (tmp_path / "runs").exists()

    @pytest.mark.parametrize("case", FILES)
    @pytest.mark.parametrize("command", few(["train", "spectrum", "index"], 1))
    def test_files(self, capsys, tmp_path, case, command):
        own_file(tmp_path)
        (tmp_path / "bad.py").write_text(BAD)
        (tmp_path / "syntax.py").write_text("def build(:\n")
        (tmp_path / "imports.py").write_text("import nowhere\n")
        target, words = FILES[case]
        assert words in fails(capsys, command, target, *(["--optimizer", "simultaneous"] if command == "train" else []))

    def test_what_a_file_raises_in_the_middle_leaves_what_was_there(self, capsys, tmp_path):
        (tmp_path / "bad.py").write_text(BAD)
        args = ["bad.py:loss_raises", *QUIET, "--optimizer", "simultaneous", "--out", "a", "--checkpoint-every", "1"]
        fails(capsys, "train", *args)
        assert [record["step"] for record in records(tmp_path / "a")] == [0, 1, 2]
        assert checkpoint(tmp_path / "a", 3)["step"] == 3

    def test_the_traceback_can_be_had(self, tmp_path, monkeypatch):
        (tmp_path / "bad.py").write_text(BAD)
        monkeypatch.setenv("GANTOOLS_TRACEBACK", "1")
        with pytest.raises(ValueError) as error:
            main(["spectrum", "bad.py:loss_raises"])
        assert isinstance(error.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (np.array([[0.0, np.nan]] * 9), "9 NaN or infinite"),
            (np.zeros((0, 2)), "no samples"),
            (np.array(["a"]), "not real numbers"),
            (b"", "Cannot read"),
            (None, "no file"),
        ],
    )
    def test_data_files(self, capsys, tmp_path, content, words):
        if isinstance(content, bytes):
            (tmp_path / "x.npy").write_bytes(content)
        elif content is not None:
            np.save(tmp_path / "x.npy", content)
        assert words in fails(capsys, "train", "--data", "x.npy", "--out", "a")
        assert not (tmp_path / "a").exists()

    def test_a_folder_without_images(self, capsys, tmp_path):
        assert "no image" in fails(capsys, "train", "--data", f"folder:{tmp_path}")
        assert f"folder:{tmp_path}" in fails(capsys, "train", "--data", tmp_path)

    def test_a_data_set_in_place_of_a_file(self, capsys):
        assert "--data ring8" in fails(capsys, "train", "ring8")
