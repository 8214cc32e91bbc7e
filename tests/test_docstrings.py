"""Examples in docstrings of public names print what they say, up to the last digits of numbers."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from pages import numbers, words
from torch import nn

import gantools as gt
from gantools.games.analytic import bilinear, quadratic

API = (Path(__file__).parents[1] / "docs" / "api").glob("*.md")
PUBLIC = [
    (module, name)
    for page in sorted(API)
    for module, names in re.findall(r"^```\{api\} (\S+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for name in names.split()
]


def words_of(module, name):
    return inspect.getdoc(getattr(importlib.import_module(module), name)) or ""


EXAMPLES = [(module, name) for module, name in PUBLIC if ">>> " in words_of(module, name)]


class Close(doctest.OutputChecker):
    """Compares words as they are and numbers up to rounding."""

    def check_output(self, want, got, optionflags):
        return words(got) == words(want) and numbers(got) == pytest.approx(numbers(want), rel=0.02, abs=1e-9)


@pytest.mark.parametrize(("module", "name"), EXAMPLES, ids=[name for _, name in EXAMPLES])
def test_examples_print_what_they_say(module, name):
    game, batch = bilinear()
    given = {"gt": gt, "torch": torch, "nn": nn, "game": game, "batch": batch, "quadratic": quadratic()}
    example = doctest.DocTestParser().get_doctest(words_of(module, name), given, name, module, 0)
    runner, said = doctest.DocTestRunner(Close(), verbose=False), []
    with torch.random.fork_rng():
        runner.run(example, out=said.append)
    assert runner.tries and not runner.failures, "".join(said)


def test_what_is_used_most_has_an_example():
    assert len(EXAMPLES) >= 25


def test_another_number_or_word_is_seen():
    said = Close().check_output
    assert said("tensor([1.0000, 2.0000])\n", "tensor([1., 2.])\n", 0)
    assert not said("tensor([1.0000, 2.0000])\n", "tensor([1., 2.1])\n", 0) and not said("True\n", "False\n", 0)


NN = [name for module, name in PUBLIC if module == "gantools.nn" and callable(getattr(gt.nn, name))]


@pytest.mark.parametrize("name", NN)
def test_layers_say_their_errors(name):
    """Of a class, those of the classes that it is derived from too."""
    entry = getattr(gt.nn, name)
    family = inspect.getmro(entry) if inspect.isclass(entry) else [inspect.unwrap(entry)]
    source = "".join(inspect.getsource(one) for one in family if one.__module__.startswith("gantools."))
    if re.search(r"raise Gantools|require_complex\(|raise suggest|fans\(", source):
        assert "Raises:" in inspect.getdoc(entry)
