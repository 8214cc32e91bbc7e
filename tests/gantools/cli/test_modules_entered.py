"""How many modules of the package a command runs through before it computes: a reader has to open as many files."""

import contextlib
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import gantools
from gantools import analysis, trainers
from gantools.cli import main
from tests.runs import QUIET, RING

FOLDERS = {Path(package.__file__).parent: package.__name__ for package in (gantools, analysis, trainers)}

# Modules, and the folders that they are in, as it stands: what is added must not lengthen the way.
SPECTRUM, TRAIN = (61, 16), (53, 16)


class Reached(BaseException):
    """The work begins: stop here."""


def entered(argv, goal):
    """Return the modules with a function that ran before `goal(code, caller)` was true; importing does not count.

    Modules are imported beforehand, as far as the command imports them itself, and class bodies do not count.
    """
    importlib.import_module(f"gantools.cli.commands.{argv[0]}")
    modules: dict[object, str] = {}
    order: dict[str, None] = {}

    def module(code):
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or a class
            return ""
        path = Path(code.co_filename)
        for folder, package in FOLDERS.items():
            if path.is_relative_to(folder):
                return ".".join([package, *path.relative_to(folder).with_suffix("").parts])
        return ""

    def note(frame, event, argument):
        if event == "call":
            code = frame.f_code
            if code not in modules:
                modules[code] = module(code)
            if modules[code]:
                if goal(modules[code], code.co_name, frame.f_back):
                    raise Reached
                order[modules[code]] = None

    sys.setprofile(note)
    try:
        with contextlib.suppress(Reached):
            main([str(word) for word in argv])
            pytest.fail("the goal was not reached")
    finally:
        sys.setprofile(None)
    print(f"{argv[0]}: {len(order)} modules", *order, sep="\n  ")
    return list(order)


def assert_at_most(most, modules):
    folders = {name.rpartition(".")[0] for name in modules}
    assert len(modules) <= most[0] and len(folders) <= most[1], sorted(folders)


@pytest.mark.usefixtures("in_a_folder_of_its_own")
class TestModulesEntered:
    def test_spectrum_to_the_first_product_of_the_krylov_iteration(self, run):
        krylov = str(Path(analysis.__file__).parent / "krylov")

        def first_product(module, function, caller):
            return function == "__matmul__" and caller.f_code.co_filename.startswith(krylov)

        assert_at_most(SPECTRUM, entered(["spectrum", run, "--k", "4"], first_product))

    def test_train_to_the_first_update(self):
        def first_update(module, function, caller):
            return module == "gantools.trainers.optimizer" and function == "update"

        assert_at_most(TRAIN, entered(["train", *RING, *QUIET, "--steps", "2", "--out", "a"], first_update))
