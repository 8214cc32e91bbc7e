"""What the README shows runs, names every method, and pages and scripts name files that exist."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gantools.trainers import OPTIMIZERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_quickstart_runs(capsys):
    rng = torch.Generator().manual_seed(0)
    given = {
        "generator": nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)),
        "discriminator": nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)),
        "batches": [
            {"real": torch.randn(32, 2, generator=rng), "latent": torch.randn(32, 4, generator=rng)} for _ in range(3)
        ],
        "model": nn.Linear(3, 2),
        "data": (torch.randn(20, 3, generator=rng), torch.arange(20) % 2),
        "loss": lambda model, data: cross_entropy(model(data[0]), data[1]),
    }
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, given)
    printed = capsys.readouterr().out
    assert "eigenvalues computed" in printed
    assert "eigenvalues of the update" in printed
    assert "4 zero" in printed  # softmax is blind to a shift: a weight for each of 3 inputs, and the bias


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_stands_in_the_table(name):
    table = README[README.index("## Methods") : README.index("## What can be trusted")]
    assert f"`{name}`" in table


SCRIPTS = [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("examples/*.py")]


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    named = set(re.findall(r"(?<![\w/])(?:scripts|examples|tests|docs)/[\w/.-]+\.\w+", page.read_text()))
    missing = [path for path in named if not (ROOT / path).exists() and not path.endswith("/NAME.py")]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_are_imported_exist(page):
    for module in re.findall(r"^from (gantools[\w.]*) import", page.read_text(), re.MULTILINE):
        assert importlib.util.find_spec(module), f"{module} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
