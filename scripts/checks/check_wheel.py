"""Build the wheel and the source distribution, install each where nothing else of the project is, and use them there.

    python scripts/checks/check_wheel.py --out dist                  # beside this environment's PyTorch; a minute
    python scripts/checks/check_wheel.py --torch 2.11.0 2.13.0       # with all that pip takes for these versions
    python scripts/checks/check_wheel.py --python PATH/bin/python    # beside the packages of another environment

The files of both are compared with the packages that pyproject.toml lists. Each is installed into an empty environment,
and used from a folder far from the source: every module is imported, a GAN trained, its spectrum taken and reported.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = "import sys; out = sys.argv[1]; from setuptools import build_meta as b; b.build_sdist(out); b.build_wheel(out)"
RING = "--data ring8 --network.width 8 --network.depth 1 --batch-size 16 --steps 20 --sample-every 0 --out run"
COMMANDS = ("--version", "list optimizers", f"train {RING}", "spectrum run", "index run", "report run")
IMPORTS = """
import importlib, pkgutil, sys
from importlib import metadata, resources
import gantools

modules = [module.name for module in pkgutil.walk_packages(gantools.__path__, "gantools.")]
for name in modules:
    importlib.import_module(name)
strangers = [name for name, module in sys.modules.items()
             if name.startswith("gantools") and not module.__file__.startswith(sys.prefix)]
assert not strangers, f"imported from elsewhere: {strangers}"
assert metadata.version("gantools") == gantools.__version__
assert (resources.files("gantools") / "py.typed").is_file()
[tab] = metadata.entry_points(group="tensorboard_plugins", name="gantools")
tab.load()
print(f"{len(modules)} modules imported")
"""


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a folder, without the variables that lead Python elsewhere, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def built(folder: Path) -> tuple[Path, Path]:
    """Return the wheel and the source distribution, made from a copy of the files that git has or would take."""
    source = folder / "source"
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    run([sys.executable, "-c", BUILD, folder / "built"], source)
    return next((folder / "built").glob("*.whl")), next((folder / "built").glob("*.tar.gz"))


def packaged() -> Iterator[str]:
    """Yield the files that pyproject.toml makes part of the package, as paths in the wheel."""
    settings = PROJECT["tool"]["setuptools"]
    for package in settings["packages"]:
        top = max((top for top in settings["package-dir"] if f"{package}.".startswith(f"{top}.")), key=len)
        inside = package.removeprefix(top).replace(".", "/")
        folder = ROOT / (settings["package-dir"][top] + inside)
        for pattern in ("*.py", *settings["package-data"].get(package, ())):
            yield from (f"{package.replace('.', '/')}/{path.relative_to(folder)}" for path in folder.glob(pattern))


def check_files(wheel: Path, sdist: Path) -> str:
    """Compare the files of both with the packages, and return how many there are."""
    expected = set(packaged())
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    described = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    if names - described != expected:
        raise SystemExit(f"{wheel.name}: too much or too little: {sorted((names - described) ^ expected)}")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    if tests := sorted(name for name in held if name.startswith(("tests/", "build/", ".venv/"))):
        raise SystemExit(f"{sdist.name} holds {tests}")
    return f"{wheel.name}: {len(expected)} files and {len(described)} about them; {sdist.name}: {len(held)} entries"


def install(package: Path, python: Path, torch: str | None, folder: Path) -> Path:
    """Return the folder of programs of a new environment with this package.

    Args:
        package: the wheel or the source distribution.
        python: the interpreter to make it of; without `torch` its packages are seen there too.
        torch: the version of PyTorch that pip brings, with all other requirements.
        folder: where to make it.
    """
    run([python, "-m", "venv", *([] if torch else ["--without-pip"]), folder], ROOT)
    programs = folder / "bin"
    if torch:
        run([programs / "python", "-m", "pip", "install", "--quiet", f"torch=={torch}", package], folder)
        return programs
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs, ours = (Path(run([each, "-c", where], ROOT).strip()) for each in (python, programs / "python"))
    (ours / "beside.pth").write_text(f"{theirs}\n")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    if package.suffix != ".whl":  # built by this environment's setuptools: that of the other may be too old
        run([*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", package, "-w", folder], folder)
        package = next(folder.glob("*.whl"))
    run([*pip, "--python", programs / "python", "install", "--no-deps", "--no-index", package], folder)
    return programs


def use(programs: Path, folder: Path, commands: Sequence[str]) -> Iterator[str]:
    """Import every module and run the commands in a folder of their own; yield what the first of each says."""
    folder.mkdir()
    yield run([programs / "python", "-c", IMPORTS], folder).strip()
    for command in commands:
        lines = run([programs / "gantools", *command.split()], folder).strip().splitlines()
        yield f"gantools {command}: " + (", ".join(lines) if command == "--version" else f"{len(lines)} lines")


def main(argv: Sequence[str] | None = None) -> None:
    """Build, compare, install and use; end with an error at the first thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where wheel and source distribution are put when all went well")
    parser.add_argument("--torch", nargs="+", default=[], help="versions of PyTorch that pip installs with them")
    parser.add_argument("--python", nargs="+", type=Path, default=[], help="interpreters whose packages they need")
    args = parser.parse_args(argv)
    pairs = [(python, None) for python in args.python] + [(Path(sys.executable), torch) for torch in args.torch]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = built(folder)
        print(check_files(wheel, sdist))
        for number, (python, torch) in enumerate(pairs or [(Path(sys.executable), None)]):
            for package, commands in ((wheel, COMMANDS), (sdist, COMMANDS[:1])):
                print(f"\n{package.name}, {f'PyTorch {torch}' if torch else f'beside {python}'}", flush=True)
                here = folder / f"{package.suffix[1:]}-{number}"
                programs = install(package, python, torch, here)
                for line in use(programs, here / "elsewhere", commands):
                    print(f"  {line}", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            for package in (wheel, sdist):
                shutil.copy(package, args.out)


if __name__ == "__main__":
    main()
