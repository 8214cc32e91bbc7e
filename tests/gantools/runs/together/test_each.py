"""Runs that differ in rate or gamma stepped together: each is what it is alone, with its own numbers."""

import dataclasses

import pytest
import torch

from gantools.runs.config import Choice
from gantools.runs.together.each import OfEach, ScheduledOfEach
from gantools.runs.together.training import NotTogetherError, prepare_together
from gantools.runs.training_loop import train
from tests.gantools.runs.together.test_together import assert_alike, configured, folders
from tests.runs import cheapen_looks, checkpoint


@pytest.fixture(autouse=True)
def cheap_looks(monkeypatch):
    cheapen_looks(monkeypatch)


def differing(method, *settings, **values):
    configs = configured(method, **values)
    return [dataclasses.replace(c, optimizer=Choice(method, one)) for c, one in zip(configs, settings, strict=True)]


DECAY = {"lr": Choice("cosine", {"start": 0.02, "end": 0.001, "steps": 5})}
CASES = {
    "rates of RMSProp": ("simultaneous", *({"lr": lr, "base": Choice("rmsprop")} for lr in (1e-3, 1e-2, 0.1))),
    "rates of Adam": ("alternating", *({"lr": lr, "base": Choice("adam")} for lr in (1e-3, 1e-2, 0.1))),
    "gamma and rate": ("consensus", {"lr": 0.02, "gamma": 0.1}, {"lr": 0.02, "gamma": 5.0}, {"lr": 0.1, "gamma": 1.0}),
    "a schedule beside numbers": ("alternating", {"lr": 0.1}, DECAY, {"lr": 0.01}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_run_is_what_it_is_alone_with_its_own_settings(case, tmp_path):
    method, *settings = CASES[case]
    configs, paths, alone = differing(method, *settings), folders(tmp_path, "together"), folders(tmp_path, "alone")
    prepare_together(configs, paths).run()
    for config, path, other in zip(configs, paths, alone, strict=True):
        train(config, other)
        assert_alike(path, other)
    ends = [torch.cat([t.flatten() for t in checkpoint(path, 6)["parameters"].values()]) for path in paths]
    assert all((one - other).abs().max() > 1e-3 for one, other in zip(ends, ends[1:], strict=False))


def test_other_settings_that_differ_are_refused(tmp_path):
    for method, *settings in (
        ("jare", {"gamma": 1.0}, {"gamma": 2.0}, {"gamma": 1.0}),
        ("alternating", {"n_d": 1}, {"n_d": 2}, {"n_d": 1}),
    ):
        with pytest.raises(NotTogetherError, match=f"differ in the (gamma|n_d) of {method}"):
            prepare_together(differing(method, *settings), folders(tmp_path, method))


def test_a_number_of_each_copy_multiplies_its_part_may_be_divided_and_does_nothing_else():
    twice = ScheduledOfEach([2.0, 10.0]).at(0)
    assert twice.__class__ is OfEach
    assert (twice * torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [2.0, 4.0, 30.0, 40.0]
    assert (twice / 4 * torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [0.5, 1.0, 7.5, 10.0]
    for wrong in (lambda: 1 - twice, lambda: 1 / twice, lambda: twice / torch.ones(2)):
        with pytest.raises(TypeError):
            wrong()
