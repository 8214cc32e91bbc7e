"""Every block of code on every page is run or marked as output, and the API's pages have every public name."""

import contextlib
import importlib
import inspect
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import torch
from pages import blocks, numbers, run, words

import gantools as gt
from gantools.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
WITH_CODE = [page for page in PAGES[1:] if any(block.runs for block in blocks(page.read_text()))]
LONG = {"recurrent.md", *(page.name for page in ROOT.glob("docs/tutorials/*.md"))}


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_marked(page):
    """Commands as bash, what is printed as text, the rest as Python or a directive of the site."""
    kinds = {block.language for block in blocks(page.read_text())}
    assert all(kind in ("python", "given", "bash", "text") or kind.startswith("{") for kind in kinds)


@pytest.mark.filterwarnings("ignore:gantools.watch")
@pytest.mark.filterwarnings("ignore::gantools.errors.GantoolsWarning")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.name in LONG else []) for page in WITH_CODE],
    ids=name_of,
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        for block, printed in run(page):
            where = f"{page.name}, line {block.line}: {printed}"
            assert block.varies or words(printed) == words(block.code), where
            # Closed forms have their numbers on every machine, but for rounding; what was trained has its own.
            if not block.varies and page.parent.name != "tutorials":
                assert numbers(printed) == pytest.approx(numbers(block.code), rel=0.02, abs=1e-9), where
    pictures = set(re.findall(r"\]\(([\w-]+\.png)\)", page.read_text()))
    if page.parent.name == "tutorials":
        assert {path.name for path in tmp_path.glob("*.png")} == pictures


def commands():
    """Yield the page and words of each command of gantools in a block."""
    for page in PAGES:
        for block in blocks(page.read_text()):
            if block.language == "bash":
                for line in block.code.replace("\\\n", " ").splitlines():
                    typed = shlex.split(line, comments=True)
                    if typed and Path(typed[0]).name == "gantools":
                        yield pytest.param(typed[1:], id=f"{page.name}:{' '.join(typed[1:3])}")


@cache
def help_of(command):
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return stream.getvalue()


@pytest.mark.parametrize("typed", list(commands()))
def test_commands_have_the_flags_that_are_shown(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if typed[0] == "train" and not any(".py:" in word for word in typed):
        assert main([*typed, "--dry-run"]) == 0
    else:
        flags = [word.partition("=")[0] for word in typed if word.startswith("--")]
        known = help_of(typed[0]) + (help_of("train") if typed[0] == "diagnose" else "")  # takes its flags too
        missing = [flag for flag in flags if not re.search(rf"{flag}\b", known)]
        assert not missing and "usage" in help_of(typed[0]).lower()


def test_every_command_has_its_help_on_the_page():
    (listed,) = re.findall(r"^```\{command-help\}\n(.*?)^```", (ROOT / "docs/commands.md").read_text(), re.M | re.S)
    assert listed.split() == list(COMMANDS)


def documented():
    """Return the names on the API's pages, by module."""
    found = {}
    for page in ROOT.glob("docs/api/*.md"):
        for module, names in re.findall(r"^```\{api\} (\S+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            found.setdefault(module, []).extend(names.split())
    return found


@pytest.mark.parametrize("module", ["gantools", *(f"gantools.{name}" for name in gt.__all__)])
def test_every_public_name_is_documented_once(module):
    try:
        names = importlib.import_module(module).__all__
    except (ImportError, AttributeError):  # a class or a function; losses and schedules keep a registry
        return
    held = {name: getattr(importlib.import_module(module), name) for name in names}
    modules = {name for name, entry in held.items() if inspect.ismodule(entry) and not callable(entry)}
    assert sorted(documented()[module]) == sorted(set(names) - modules)


@pytest.mark.parametrize("module", documented())
def test_every_documented_name_has_words(module):
    held = importlib.import_module(module)
    for name in documented()[module]:
        entry = getattr(held, name)
        if callable(entry):
            assert len((inspect.getdoc(entry) or "").split()) >= 4, f"{module}.{name}"
            if inspect.isclass(entry):  # a dataclass without words of its own gets its signature for them
                assert not (entry.__doc__ or "").startswith(f"{entry.__name__}("), f"{module}.{name}"


@pytest.mark.parametrize(("module", "registry"), [("losses", "LOSSES"), ("schedules", "SCHEDULES")])
def test_the_entries_of_modules_without_a_list_are_documented(module, registry):
    entries = getattr(getattr(gt, module), registry)
    names = documented()[f"gantools.{module}"]
    assert {entry.__name__ for entry in entries.values()} <= set(names) and registry in names
