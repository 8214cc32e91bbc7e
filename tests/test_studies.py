"""The studies: every cell's flags are ones that the program has, and the quick forms run through."""

import runpy
import sys
from pathlib import Path

import activations
import complex_parametrizations
import esp_index
import pytest

from gantools.flags import parse_train

SCRIPTS = Path(activations.__file__).parent


@pytest.mark.parametrize("module", [activations, complex_parametrizations])
def test_every_cell_is_a_run_that_can_be_configured(module, monkeypatch, tmp_path):
    configured = {}
    monkeypatch.setattr(module.gan_cells, "measured", lambda args, folder: configured.setdefault(tuple(args), {}))
    for cell in module.STUDY.cells.values():
        module.run(dict(cell), 3, tmp_path)
    assert len(configured) == len(module.STUDY.cells)
    for args in configured:
        config = parse_train(list(args)).config
        assert config.seed == 3 and config.steps == module.STEPS and config.optimizer.name in args


def test_every_esp_cell_names_what_exists():
    for cell in esp_index.STUDY.cells.values():
        assert cell["set"] in esp_index.SETS and cell["hidden"] in esp_index.HIDDEN
        assert cell["activation"] in esp_index.KINDS
    assert esp_index.run({"set": "linear", "hidden": "8-2", "activation": "esp", "steps": 2}, 0, Path())["loss"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["activations", "complex_parametrizations", "esp_index"])
def test_the_quick_form(name, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--quick", "--root", str(tmp_path)])
    runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    table = capsys.readouterr().out
    assert "±" in table and "nan" not in table
    assert (tmp_path / f"{name}.md").read_text().count("\n|") > 5 and len(list(tmp_path.glob("*.png"))) >= 1
