"""What the README shows runs, names every method, and pages and scripts name files that exist."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import gantools as gt
from gantools.analysis.diagnosis.causes import STAGES
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
    exec(python_of_the_readme()[0], given)
    printed = capsys.readouterr().out
    assert "eigenvalues computed" in printed
    assert "eigenvalues of the update" in printed
    assert "4 zero" in printed  # softmax is blind to a shift: a weight for each of 3 inputs, and the bias


def python_of_the_readme():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.filterwarnings("ignore:gantools.watch")
def test_three_lines_in_a_loop_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = torch.Generator().manual_seed(0)
    D, G = nn.Linear(2, 1), nn.Linear(4, 2)
    given = {"gt": gt, "torch": torch, "D": D, "G": G, "epochs": 2}
    given |= {f"opt_{name}": torch.optim.Adam(net.parameters()) for name, net in (("d", D), ("g", G))}
    given["loader"] = [(torch.randn(8, 2, generator=rng), torch.randn(8, 4, generator=rng)) for _ in range(3)]
    exec(python_of_the_readme()[1], given)
    given["watch"].writer.close()
    assert "Your step" in str(given["watch"].last) and list(tmp_path.glob("runs/mine/events*"))


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
    words = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)  # without code
    links = [link for link in re.findall(r"\]\(([^)]+)\)", words) if "://" not in link]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert not missing


def test_the_causes_of_a_diagnosis_are_counted_where_they_are_told():
    count = sum(map(len, STAGES))
    for page, words in (("README.md", "looks for (\\d+) causes"), ("CHANGELOG.md", "which of (\\d+)\\s+causes")):
        assert set(re.findall(words, (ROOT / page).read_text())) == {str(count)}
