"""Configurations from values: those that the same flags give, and a sentence for a setting that does not exist."""

import pytest

from gantools.cli.flags import parse_train
from gantools.errors import GantoolsError
from gantools.runs.config import Choice
from gantools.runs.configure import configure

CASES = {
    "nothing": ({}, []),
    "a method": ({"optimizer": Choice("lookahead", {"k": 7})}, ["--optimizer", "lookahead", "--optimizer.k", "7"]),
    "a base": ({"base": Choice("adam", {"eps": 1e-6})}, ["--optimizer.base", "adam", "--optimizer.base.eps", "1e-6"]),
    "data": ({"data": Choice("ring8"), "steps": 9}, ["--data", "ring8", "--steps", "9"]),
    "a network": (
        {"data": Choice("ring8"), "network": Choice("mlp", {"width": 5})},
        ["--data", "ring8", "--network.width", "5"],
    ),
    "regularizers": (
        {"regularizers": [Choice("r1", {"gamma": 0.3}), Choice("clip")], "loss": "hinge"},
        ["--regularizer", "r1", "clip", "--regularizer.r1.gamma", "0.3", "--loss", "hinge"],
    ),
    "an average": ({"average": Choice("ema", {"decay": 0.9})}, ["--average", "ema", "--average.decay", "0.9"]),
    "a file": ({"target": "own.py:build", "optimizer": Choice("sga", {"lr": 0.1})},
               ["own.py:build", "--optimizer", "sga", "--optimizer.lr", "0.1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_values_and_flags_give_the_same(case):
    values, flags = CASES[case]
    assert configure(**values) == parse_train(flags).config


@pytest.mark.parametrize("case", CASES)
def test_what_is_stored_takes_the_place_of_what_is_recommended(case):
    stored = configure(**CASES[case][0])
    assert configure(target=stored.target, stored=stored) == stored
    again = configure(Choice(stored.optimizer.name, {"lr": 0.5}), target=stored.target, stored=stored, steps=3)
    assert again.steps == 3 and again.optimizer.settings == {**stored.optimizer.settings, "lr": 0.5}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": Choice("consensus", {"gama": 1.0})}, "Unknown setting of 'consensus' 'gama'. Did you mean"),
        ({"optimizer": Choice("consenus")}, "Did you mean 'consensus'"),
        ({"optimizer": Choice("adam")}, "--optimizer.base adam"),
        ({"base": Choice("adm")}, "Did you mean 'adam'"),
        ({"data": Choice("ring9")}, "Did you mean 'ring8'"),
        ({"network": Choice("mpl")}, "Did you mean 'mlp'"),
        ({"loss": "hing"}, "Did you mean 'hinge'"),
        ({"regularizers": [Choice("r1"), Choice("r1")]}, "twice"),
        ({"average": Choice("mean")}, "Known: ema, uniform"),
    ],
)
def test_mistakes(values, words):
    with pytest.raises(GantoolsError) as error:
        configure(**values)
    assert words in str(error.value)
