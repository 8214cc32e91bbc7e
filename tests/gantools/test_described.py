"""What games, operators and results say of themselves, in a terminal and in a notebook."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.described import ROWS, in_bytes

WICKED = "<script>alert('x')</script>\nsecond"


def game(name: str = "y") -> gt.Game:
    players = {"x": nn.Linear(2, 1), name: nn.Linear(3, 1, bias=False)}
    return gt.Game(players, lambda p, b: {"x": p["x"](b[:, :2]).square().mean(), name: p[name](b).square().mean()})


def test_a_game_says_its_players_sizes_dtype_and_device():
    lines = repr(game()).splitlines()
    assert lines[0] == "Game of 2 players: 6 parameters, torch.float32, cpu"
    assert lines[1:] == ["  'x': 3 parameters, Linear", "  'y': 3 parameters, Linear"]
    assert "Game of 1 player: 3 parameters, torch.float64" in repr(
        gt.minimization(nn.Linear(2, 1).double(), lambda model, batch: model(batch).mean())
    )


def test_operators_say_what_they_are_and_their_parts():
    g, batch = game(), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    optimizer = gt.trainers.make("simultaneous", g, lr=0.1, base="adam")
    for operator, head, parts in (
        (gt.analysis.jacobian(g, batch), "Jacobian: 6 x 6, field, torch.float32, cpu; products by method", ["'x': 3 "]),
        (gt.analysis.hessian(g, batch, player="y"), "Hessian: 3 x 3, symmetric, hessian", ["'y': 3 "]),
        (gt.analysis.update_operator(optimizer, batch), "Jacobian of a training step: 18 x 18, map", ["'x': 3 "]),
    ):
        text = repr(operator)
        assert text.startswith(head) and all(part in text for part in parts), text
    matrix = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True)
    assert repr(matrix) == "LinearOperator(3 x 3, symmetric, hessian, torch.float64, cpu)"


def test_a_gauss_newton_matrix_is_not_called_a_hessian():
    batch = (torch.ones(2, 2), torch.ones(2, 1))
    G = gt.analysis.gauss_newton(nn.Linear(2, 1), lambda out, b: (out - b[1]).square().mean(), batch)
    assert repr(G).startswith("Gauss-Newton or Fisher matrix: 3 x 3, symmetric")


def test_many_parts_are_counted():
    A = gt.analysis.LinearOperator(lambda u: u, ROWS + 3)
    A.slices = {f"p{i}": slice(i, i + 1) for i in range(ROWS + 3)}
    for text in (repr(A), A._repr_html_()):
        assert "and 3 more parts" in text and f"p{ROWS - 1}" in text and f"p{ROWS}" not in text
    assert len(repr(A).splitlines()) == ROWS + 2


def test_html_escapes_names():
    g, batch = game(WICKED), torch.ones(2, 3)
    for thing in (g, gt.analysis.jacobian(g, batch)):
        html = thing._repr_html_()
        assert "<script" not in html and "&lt;script&gt;" in html and "<table>" in html
        assert len(repr(thing).splitlines()) == 3  # a line break in a name is shown as one
    spectrum = gt.analysis.spectrum(gt.analysis.jacobian(g, batch), vectors=True)
    assert WICKED in spectrum.parts and "<script" not in spectrum._repr_html_()


def test_results_say_what_was_found_in_a_line():
    A = gt.analysis.LinearOperator(lambda u: torch.tensor([-2.0, 0.0, 3.0]).double() * u, 3, symmetric=True)
    spectrum, index = gt.analysis.spectrum(A), gt.analysis.index(A)
    assert repr(spectrum).startswith("Spectrum: 3 of 3 eigenvalues (all; hessian, torch.float64), 3 converged, largest")
    assert "modulus 3," in repr(spectrum)
    assert repr(index).startswith("Index of 3 eigenvalues (exact): 1 negative, 1 zero, 1 positive; sizes up to ")
    density = repr(gt.analysis.spectral_density(A, 1, 3))
    assert density.startswith("Density of 3 eigenvalues between -2 and 3: 1 x ")
    estimated = repr(gt.analysis.index(A, tol=0.5, method="estimate", probes=1, steps=3))
    assert "(estimate): negative " in estimated and " to " in estimated
    assert all("\n" not in text and "tensor(" not in text for text in (repr(spectrum), repr(index), density, estimated))


@pytest.mark.parametrize("complete", [True, False])
def test_a_spectrum_names_its_selection(complete):
    A = gt.analysis.LinearOperator(lambda u: torch.arange(60.0).double() * u, 60, symmetric=True)
    found = gt.analysis.spectrum(A) if complete else gt.analysis.eigenvalues(A, 3, "LR")
    assert ("(all;" if complete else "3 of 60 eigenvalues (LR;") in repr(found)


def test_bytes_have_the_unit_that_suits_them():
    assert [in_bytes(n) for n in (12, 2048, 3 * 2**20, 1.5 * 2**30)] == ["12 bytes", "2 KiB", "3 MiB", "1.5 GiB"]
