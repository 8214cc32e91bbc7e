"""The studies: every cell's flags are ones that the program has, and the quick forms run through."""

import re
from pathlib import Path

import activations
import associative_memory
import complex_parametrizations
import esp_index
import integrators
import logic_gates
import numpy as np
import pytest
import quantum_mixture
import torch
import unitary_memory
from cells import (
    esp_cells,
    gan_steps,
    integrator_cells,
    logic_cells,
    mixture_cells,
    projection_cells,
    sequence_cells,
)
from harness import catalogue
from nets import flowing_generators
from sequences import loaded_memory, unitary_tasks
from torch import nn

import gantools as gt
from gantools.cli.flags import parse_train
from tests.quick import few

FORMS = [activations.STUDY, complex_parametrizations.STUDY, complex_parametrizations.CONSENSUS,
         flowing_generators.STUDY]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_cell_is_a_run_that_can_be_configured(form):
    configured = {}
    for name, cell in form.cells.items():
        for settings in form.tuning.grid(cell):
            configured[tuple(form.flags({**cell, **settings}, 3))] = {**cell, **settings}, name
    assert len(configured) >= 4 * len(form.cells)
    for args, (cell, name) in configured.items():
        config = parse_train(list(args)).config
        assert config.seed == 3 and config.steps == cell["steps"] and config.optimizer.name == cell["optimizer"], name
        assert config.optimizer.settings["lr"] == cell["lr"]
        assert config.optimizer.settings.get("gamma") == cell.get("gamma")


def test_what_a_gan_is_measured_by_is_in_the_columns_and_its_spectra_are_made_at_the_steps_asked(tmp_path):
    cell = {"steps": 4, "every": 2, "spectra": 1, "at": (2, 4), "width": 3, "optimizer": "simultaneous", "lr": 1e-3}
    args = gan_steps.ring8(cell, 0, "--network.depth", "1", "--latent-size", "2", "--batch-size", "8")
    result = gan_steps.measured(cell, args, 0, tmp_path / "run")
    assert gan_steps.COLUMNS.keys() <= result.keys() and result["curves"]["step"] == [2, 4]
    assert result["radius"] == result["radius at 4"] and result["all"] == float(result["modes"] == 8)
    run = gt.load(tmp_path / "run").double()
    update = gt.analysis.spectrum(gt.analysis.update_operator(run.optimizer, run.batches[4])).values
    assert result["radius"] == pytest.approx(float(update.abs().max()), rel=2e-3)
    J = gt.analysis.jacobian(run.game, run.batches[4]).dense()
    roots = torch.cat([state for name, state in run.optimizer.state.memory.items() if "square" in name]).sqrt() + 1e-8
    followed = torch.linalg.eigvals(1e-3 * J / roots[:, None])
    assert result["least real"] == pytest.approx(float(followed.real.min()), rel=2e-3)
    assert result["max real"] == pytest.approx(float(followed.real.max()), rel=2e-3)
    assert "radius" not in gan_steps.measured(cell, args, 1, tmp_path / "run")


def test_every_esp_cell_names_what_exists():
    for cell in esp_index.STUDY.cells.values():
        assert cell["set"] in esp_cells.SETS and cell["hidden"] in esp_cells.HIDDEN
        assert cell["activation"] in esp_cells.KINDS
    assert esp_cells.run({"set": "linear", "hidden": "8-2", "activation": "esp", "steps": 2}, 0, Path())["loss"] > 0


def test_transient_steps_are_counted_among_the_seeds_that_were_looked_at():
    said = gan_steps.transient("a", {10: np.array([1.0, 1.005, 1.02, np.nan]), 20: np.array([0.9, 0.9, 0.9, 0.9])})
    counts = "at step 10 in 1 of 3 seeds, at step 20 in 0 of 4 seeds"
    assert said == f"a: transient {counts} (radius from 1 to 1.02, 0.9 to 0.9)."


# Cheaper than a run of the study, of the same cells.
SMALLER = {"steps": 2, "units": 8, "delay": 3, "trials": 1, "starts": 3, "repetitions": 1, "points": 40, "depth": 2}
OWN = (unitary_memory, associative_memory, integrators, logic_gates, quantum_mixture, loaded_memory, unitary_tasks)
OWN_CELLS = [
    (module, name) for module in OWN for name, cell in module.STUDY.cells.items()
    # Few points under several waves take long to fit; all methods run on the valley, EM on everything.
    if cell.get("method", "EM") == "EM" or cell["planted"] == "valley"
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), few(OWN_CELLS, 4), ids=[f"{m.__name__}: {name}" for m, name in OWN_CELLS])
def test_every_cell_gives_finite_numbers_for_some_of_the_columns_and_the_same_again(module, name):
    cell = {key: SMALLER.get(key, value) for key, value in module.STUDY.cells[name].items()}
    one, two = (module.STUDY.run(dict(cell), 1, Path()) for _ in range(2))
    assert one == two and len(one.keys() & module.STUDY.columns) >= 2
    assert all(np.isfinite(value) for key, value in one.items() if key != "curves")


def test_nets_of_the_copying_study_have_equal_states_and_its_long_form_some_of_them():
    rng = torch.Generator()
    for name, make in unitary_memory.NETS.items():
        _, state = make(10, 64, rng)(torch.zeros(1, 2, 10))
        assert sum(s.numel() for s in (state if isinstance(state, tuple) else (state,))) == 128, name
    assert unitary_memory.LONG_STUDY.cells.keys() < unitary_memory.NETS.keys()
    assert all(cell["delay"] == 200 for cell in unitary_memory.LONG_STUDY.cells.values())


@pytest.mark.parametrize(("net", "factor"), associative_memory.NETS.items())
def test_the_numbers_in_the_state_are_those_that_the_table_says(net, factor):
    cell = {"task": "recall", "net": net, "steps": 1, "units": 8}
    numbers = 8 * factor[1] * (1 + factor[0] if factor[0] else 2)
    assert associative_memory.run(cell, 0, Path())["state"] == numbers
    assert net != "LSTM, state of 4 copies" or numbers == 8 * 5


def test_the_gradient_ratio_is_the_gain_of_a_linear_net_through_time():
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.eye(10))

        def forward(self, x, state=None):
            h, outputs = torch.zeros(len(x), 10, dtype=x.dtype) if state is None else state[0], []
            for x_t in x.unbind(1):
                h = h @ (0.9 * self.weight) + x_t
                outputs.append(h)
            return torch.stack(outputs, 1), h[None]

    assert sequence_cells.gradient_ratio(lambda inputs, rng: Halved(), 0, 20) == pytest.approx(0.9**20)


@pytest.mark.parametrize("scheme", ["ResNet", "LM-ResNet", "RevNet", "PolyNet", "FractalNet, identity", "ODE, rk4"])
def test_flows_of_a_scheme_have_about_equal_size(scheme):
    reference = sum(p.numel() for p in integrator_cells.flow("ResNet", 8, torch.Generator()).parameters())
    net = integrator_cells.flow(scheme, 8, torch.Generator())
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(reference, rel=0.04)
    assert net(torch.zeros(3, 16)).shape == (3, 16)


def test_a_net_that_computes_xor_counts_as_solved_and_its_working_units_are_counted(monkeypatch):
    """The tutorial's own solution, with a third unit that does nothing: nothing is left to learn."""
    weights = [[[0.829, -0.829, 0.0], [-0.829, 0.829, 0.0]], [[0.0] * 3], [[1 / 0.829], [1 / 0.829], [1.0]], [[0.0]]]
    solution = [torch.tensor(w, dtype=torch.float64)[None].requires_grad_() for w in weights]
    monkeypatch.setattr(logic_cells, "drawn", lambda sizes, starts, rng: solution)
    result = logic_cells.run({**logic_gates.xor(3), "starts": 1, "steps": 1, "rate": 1e-9}, 0, Path())
    assert result["solved"] == 1 and result["working"] == 2 and result["error"] < 1e-12


def test_planted_gaussians_have_the_mean_and_covariance_that_they_say_and_errors_forgive_the_order():
    points, truth = mixture_cells.draw("Gaussian, distance 3", 40_000, np.random.default_rng(0))
    mean = truth.weights_ @ truth.means_
    away = truth.means_ - mean
    covariance = np.einsum("k,kij->ij", truth.weights_, truth.covariances_) + (truth.weights_ * away.T) @ away
    assert np.abs(points.mean(0) - mean).max() < 0.03 and np.abs(np.cov(points.T) - covariance).max() < 0.06
    other = type(truth)(2)
    other.means_, other.covariances_ = truth.means_[::-1] + [0.3, 0.4], truth.covariances_[::-1] + 0.1
    assert mixture_cells.errors(other, truth) == pytest.approx((0.5, 0.5, 0.1))


@pytest.mark.parametrize("module", [activations, complex_parametrizations, esp_index, *OWN])
def test_what_a_page_shows_and_compares_is_in_the_study(module):
    pages = {id(module.PAGE): (module.PAGE, [module.STUDY])}
    for form in getattr(module, "FORMS", {}).values():
        form, page = form if isinstance(form, tuple) else (form, module.PAGE)
        pages.setdefault(id(page), (page, []))[1].append(form)
    for page, forms in pages.values():
        # Another form may lack some of the cells.
        cells = {name: cell for form in forms for name, cell in form.cells.items()}
        for section in page.sections:
            for form in forms:
                shown = (section.columns or form.columns).keys()
                assert shown <= form.columns.keys() and set(section.compared) <= shown
            assert any(map(section.where, cells.values()))
            assert {cell for pair in section.pairs for cell in pair} <= cells.keys()


def test_a_fit_to_projections_finds_the_eigenvalues_of_a_linear_map_without_noise():
    rng = np.random.default_rng(0)
    A = np.array([[0.9, -0.3, 0.1], [0.3, 0.9, 0.0], [0.0, 0.0, 0.5]])
    basis, w, series = rng.normal(size=(3, 5)), rng.normal(size=3), []
    for _ in range(30):
        series.append((w + 7.0) @ basis)  # about a fixed point that is not 0
        w = A @ w
    found, true = projection_cells.fitted(np.array(series), delays=2), np.linalg.eigvals(A)
    expected = true[np.argsort(-np.abs(true))]
    assert np.allclose(sorted(found, key=np.imag), sorted(expected, key=np.imag), atol=1e-8)
    assert projection_cells.compared(found, expected)["error of rate"] < 1e-8
    assert projection_cells.compared(found + 0.01, expected)["error of rate"] > 1e-3


def test_a_study_is_found_by_its_name_and_all_are_listed_without_one(capsys):
    catalogue.main([])
    shown = capsys.readouterr().out
    assert all(name in shown for name in catalogue.found()) and "esp_index" in catalogue.found()
    with pytest.raises(SystemExit, match="no study 'nope'; these are: activations"):
        catalogue.main(["nope"])


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.found())
def test_the_quick_form(name, tmp_path, capsys):
    catalogue.main([name, "--quick", "--root", str(tmp_path)])
    table, page = capsys.readouterr().out, (tmp_path / f"{name}.md").read_text()
    assert ("±" in table or "[" in table) and not re.search(r"\bnan\b", table)
    assert page.count("\n|") > 5 and len(list(tmp_path.glob("*.png"))) >= 1 and "{" not in page
