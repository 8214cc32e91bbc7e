"""The three folders install as one package, whose import is light."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import check_wheel
import pytest

import gantools

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "docs", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_listed_packages_equal_the_folders():
    mapping = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapping == {"gantools": "gantools", "gantools.analysis": "analysis", "gantools.trainers": "trainers"}
    found = set()
    for package, folder in mapping.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([package, *inner]))
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == found


def test_every_folder_with_modules_is_a_package():
    for top in ("gantools", "analysis", "trainers"):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module} is in a folder without __init__.py"


def test_versions_agree():
    """One place says the version; the citation repeats it, and the changelog's newest release is it."""
    assert metadata.version("gantools") == gantools.__version__, "install again: pip install -e ."
    cited = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited == [gantools.__version__]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest, *_ = released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert newest == gantools.__version__ and len(released) == len(set(released))
    assert len(released) + changelog.count("## [Unreleased]\n") == len(re.findall("^## ", changelog, re.MULTILINE))


def test_importing_gantools_imports_no_torch():
    names = "('torch', 'numpy', 'scipy', 'matplotlib', 'sklearn')"
    heavy = run_python(f"import sys, gantools; print([m for m in {names} if m in sys.modules])")
    assert heavy == "[]"


def test_the_board_imports_no_torch_and_its_server_no_matplotlib():
    serving = "import sys, gantools.cli.commands.board; print({'torch', 'matplotlib'} & set(sys.modules))"
    assert run_python(serving) == "set()"
    drawing = "import sys, gantools.board as b, gantools.board.pictures; [getattr(b, name) for name in dir(b)]"
    assert run_python(f"{drawing}; print('torch' in sys.modules, 'matplotlib' in sys.modules)") == "False True"


@pytest.mark.slow
def test_folders_are_reached_through_the_package_only():
    where = "import gantools.analysis as a, gantools.trainers as t; print(a.__name__, t.__name__)"
    assert run_python(where) == "gantools.analysis gantools.trainers"


@pytest.mark.parametrize("name", ["Game", "gan", "minimization", "GantoolsError", "analysis", "trainers", "losses"])
def test_names_of_the_public_face(name):
    assert getattr(gantools, name) is not None
    assert name in dir(gantools)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimisers'"):
        gantools.optimisers  # noqa: B018


def test_tensorboard_finds_the_tab():
    declared = PROJECT["project"]["entry-points"]["tensorboard_plugins"]
    installed = metadata.entry_points(group="tensorboard_plugins")
    found = {entry.name: entry.value for entry in installed if entry.name in declared}
    assert found == declared, "install again: pip install -e ."
    for entry in installed.select(name="gantools"):
        assert entry.load().__name__ == "Loader"


def test_the_view_is_in_the_package():
    folder = ROOT / "gantools" / "board" / "live" / "web"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["gantools.board.live"]
    packaged = {file for pattern in patterns for file in folder.parent.glob(pattern)}
    assert packaged == set(folder.iterdir())


@pytest.mark.slow
def test_wheel_and_source_distribution_work_elsewhere(capsys, tmp_path):
    check_wheel.main(["--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.count("modules imported") == 2 and "gantools report run: 1 line" in printed
    assert len(list(tmp_path.iterdir())) == 2


def test_a_wheel_that_holds_too_much_is_refused(tmp_path):
    wheel = tmp_path / "gantools.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in [*check_wheel.packaged(), "tests/test_docs.py", "gantools-0.dist-info/METADATA"]:
            archive.writestr(name, "")
    with pytest.raises(SystemExit, match=r"too much or too little: \['tests/test_docs.py'\]"):
        check_wheel.check_files(wheel, tmp_path / "none.tar.gz")
