"""Flags: every entry of every registry parses, and comes back from the file as it went in."""

import json

import pytest

from gantools.cli.flags import parse_train
from gantools.cli.schedule_text import parse_rate
from gantools.data.sources import DATA
from gantools.errors import GantoolsError
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS
from gantools.regularizers import REGULARIZERS
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.configure import RECOMMENDED
from gantools.trainers.base_rules import BASES
from gantools.trainers.optimizer import OPTIMIZERS
from tests.quick import few


def config(*argv):
    return parse_train(argv).config


SPECS = {"folder": "folder:images", "npy": "x.npy"}
EVERY = [
    *[["--optimizer", name] for name in OPTIMIZERS],
    *[["--optimizer", "simultaneous", "--optimizer.base", name] for name in BASES],
    *[["--loss", name] for name in LOSSES],
    *[["--data", SPECS.get(name, name)] for name in DATA],
    *[["--network", name] for name in NETWORKS],
    *[["--activation", name] for name in ACTIVATIONS],
    *[["--regularizer", name] for name in REGULARIZERS],
    ["--activation", "esp(beta=2.0, learned=True)"],
    ["--regularizer", "r1", "r2", "--regularizer.r1.gamma", "0.3", "--regularizer.r2.gamma", "7"],
    ["--optimizer.base", "adam", "--optimizer.base.betas", "0.5", "0.9"],
    ["--optimizer.lr", "generator=1.23456789012e-4,discriminator=4e-4"],
    ["--optimizer.lr", "1.23456789012e-4"],
    ["own.py:build", "--optimizer.lr", "0.3"],
]


@pytest.mark.parametrize("argv", few(EVERY, 15), ids=" ".join)
def test_every_choice_goes_through_its_file_and_resumes(tmp_path, argv):
    first = config(*argv)
    assert TrainConfig.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    (tmp_path / "config.json").write_text(json.dumps({"config": first.to_dict()}))
    assert config("--resume", "--out", str(tmp_path)) == first
    assert config("--resume", f"--out={tmp_path}", *argv) == first


def test_two_regularizers_have_settings_of_their_own():
    both = config("--regularizer", "r1", "r2", "--regularizer.r1.gamma", "0.3", "--regularizer.r2.gamma", "7")
    assert both.regularizers == (Choice("r1", {"gamma": 0.3}), Choice("r2", {"gamma": 7.0}))
    assert config("--regularizer", "r1", "--regularizer", "r2").regularizers[1].name == "r2"
    assert config("--regularizer", "r2", "--regularizer.gamma", "3").regularizers == (Choice("r2", {"gamma": 3.0}),)


def test_a_base_has_settings_of_its_own():
    base = config("--optimizer.base", "adam", "--optimizer.base.betas", "0.5", "0.9").optimizer.settings["base"]
    assert base == Choice("adam", {"betas": [0.5, 0.9], "eps": 1e-8})


def test_defaults_are_those_recommended_for_the_data():
    for name, advice in RECOMMENDED.items():
        given = config("--data", SPECS.get(name, name), "--optimizer", "consensus")
        assert (given.steps, given.batch_size, given.network.name) == (
            advice["steps"], advice["batch_size"], advice["network"].name,
        )  # fmt: skip
        assert given.optimizer.settings["lr"] == advice["optimizer"]["lr"]
        assert given.optimizer.settings["gamma"] == advice["consensus"]["gamma"]
    assert set(RECOMMENDED) == set(DATA)


def test_steps_of_a_resumed_run_can_be_raised(tmp_path):
    first = config("--data", "ring8", "--optimizer.gamma", "3", "--steps", "5")
    (tmp_path / "config.json").write_text(json.dumps({"config": first.to_dict()}))
    again = config("--resume", "--out", str(tmp_path), "--steps", "50")
    assert again.steps == 50 and again.optimizer.settings["gamma"] == 3.0


@pytest.mark.parametrize("argv", [["a.py:f", "--seed", "3"], ["--seed", "3", "a.py:f"], ["--seed=3", "a.py:f"]])
def test_a_file_wherever_it_stands(argv):
    given = config(*argv)
    assert given.target == "a.py:f" and given.seed == 3


def test_rates():
    assert parse_rate("1e-4") == 1e-4
    assert parse_rate("generator=1e-4, discriminator=4e-4") == {"generator": 1e-4, "discriminator": 4e-4}
    for text in ("", "fast", "generator=", "generator=1,discriminator"):
        with pytest.raises(GantoolsError, match="not a learning rate"):
            parse_rate(text)


class TestABaseForEachPlayer:
    TEXT = "generator=adam(betas=(0.5, 0.999)),discriminator=adam(eps=1e-6, betas=(0, 0.9))"

    def test_is_typed_in_one_word_and_resumed(self, tmp_path):
        chosen = config("--optimizer", "alternating", "--optimizer.base", self.TEXT)
        bases = chosen.optimizer.settings["base"]
        assert bases["discriminator"] == Choice("adam", {"betas": [0, 0.9], "eps": 1e-6})
        assert bases["generator"] == Choice("adam", {"betas": [0.5, 0.999], "eps": 1e-8})
        assert TrainConfig.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
        (tmp_path / "config.json").write_text(json.dumps({"config": chosen.to_dict()}))
        assert config("--resume", "--out", str(tmp_path)) == chosen
        with pytest.raises(GantoolsError, match="another --out"):
            config("--resume", "--out", str(tmp_path), "--optimizer.base", "generator=sgd,discriminator=sgd")

    def test_is_a_mistake_in_a_sentence(self):
        for text, words in {
            "generator=adam,discriminator=": "names no base rule",
            "generator=adam(0.5),discriminator=sgd": "names no base rule",
            "generator=adamm,discriminator=sgd": "Did you mean 'adam'",
            "generator=adam(beta=1),discriminator=sgd": "Did you mean 'betas'",
        }.items():
            with pytest.raises(GantoolsError, match=words):
                config("--optimizer.base", text)
