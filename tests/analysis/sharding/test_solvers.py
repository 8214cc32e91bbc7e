"""Krylov methods on a basis that two processes share equal those of one, and both decide the same."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import (
    diagonal,
    eigenvalues,
    frobenius_norm,
    hessian,
    identity,
    index,
    jacobian,
    spectral_density,
    spectrum,
    stability,
    trace,
)
from gantools.errors import GantoolsError
from tests.two_processes import half, run_in_two

F64 = torch.float64


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 33, dtype=F64, generator=generator) * torch.linspace(0.2, 3, 33, dtype=F64)


def model():
    torch.manual_seed(0)
    return nn.Linear(33, 1, dtype=F64)


def loss(model, x):
    return (model(x).sin() + 1.5).square().mean()


def game():
    torch.manual_seed(1)
    modules = {"one": nn.Linear(33, 1, dtype=F64), "other": nn.Linear(33, 1, dtype=F64)}

    def losses(players, x):
        one, other = players["one"](x).tanh(), players["other"](x.flip(1)).tanh()
        return {
            "one": (one * other).mean() + one.square().mean(),
            "other": other.square().mean() - (one * other).mean(),
        }

    return gt.Game(modules, losses)


SEARCHES = {
    "leading": ("H", 3, {}),
    "both ends": ("H", 4, {"which": "BE", "basis": 14}),
    "block": ("H", 3, {"block": 2, "basis": 14}),
    "verified": ("H", 2, {"basis": 10, "verify": True}),
    "field": ("J", 3, {"basis": 20}),
    "rotation": ("J", 2, {"which": "LI", "basis": 24}),
    "half": ("H", 2, {"storage": "bfloat16", "basis": 14, "tol": 1e-2}),
    "whole": ("H", 3, {"which": "SM"}),
}


def operators(take=lambda x: x, share=lambda g: g):
    x = take(batch())
    return {"H": hessian(share(gt.minimization(model(), loss)), x), "J": jacobian(share(game()), x)}


def searched(rank):
    made, found = operators(lambda x: half(rank, x), gt.sharded), {}
    for name, (which, k, options) in SEARCHES.items():
        s = eigenvalues(made[which], k, **{"tol": 1e-9, **options})
        arrays = (x.numpy() for x in (s.values, s.residuals, s.vectors))
        found[name] = *arrays, bool(s.converged.all()), s.matvecs, s.message
    J = made["J"]
    start = J.space.own(torch.ones(J.n, dtype=F64))
    found["start"] = eigenvalues(J, 2, start=start, tol=1e-9, basis=20, vectors=False).values.numpy()
    shifted = (J + 2 * identity(J)) @ start
    return found, (str(stability(spectrum(J))), estimates(made["H"])), shifted.numpy(), refusals(made)


def estimates(H):
    """Return what an index, densities (of a basis that is kept and of one that is not), traces and diagonals find."""
    i = index(H, method="estimate", probes=2, steps=12)
    numbers = [np.array([i.negative, i.zero, i.positive, i.matvecs])]
    for leading in (None, 3):
        d = spectral_density(H, probes=2, steps=10, leading=leading, points=5)
        numbers += [d.nodes.numpy().ravel(), d.lower.numpy(), d.upper.numpy()]
    for method in ("hutchinson", "hutch++", "xtrace"):
        for matvecs in (12, H.n):
            found = trace(H, method, matvecs)
            numbers.append(np.array([found.value, found.standard_error]))
    numbers.append(np.array([frobenius_norm(H, probes).value for probes in (5, H.n)]))
    numbers += [H.space.joined(diagonal(H, probes).values).numpy() for probes in (5, H.n)]
    return np.concatenate(numbers)


def refusals(made):
    """Return the sentences of what cannot be had of vectors that are divided."""
    said = []
    for use in (
        lambda: eigenvalues(made["H"], 2, store="basis.pt"),
        lambda: eigenvalues(made["H"], 2, start=torch.ones(34, dtype=F64)),
        lambda: gt.analysis.coupling(made["J"], "one", "other"),
        lambda: made["H"] + identity(made["H"].n),
    ):
        with pytest.raises(GantoolsError) as error:
            use()
        said.append(str(error.value))
    return said


@pytest.mark.slow
def test_searches_equal_those_of_one_process():
    (found, verdict, shifted, said), (there, verdict_there, shifted_there, _) = run_in_two(searched)
    made = operators()
    dense = {name: made[name].dense() for name in made}
    assert verdict[0] == verdict_there[0] == str(stability(spectrum(made["J"])))
    assert np.array_equal(verdict[1], verdict_there[1])
    np.testing.assert_allclose(verdict[1], estimates(made["H"]), rtol=1e-4, atol=1e-4)
    for name, (which, k, options) in SEARCHES.items():
        values, residuals, _, converged, matvecs, message = found[name]
        assert np.array_equal(values, there[name][0]) and np.array_equal(residuals, there[name][1])
        assert converged and (matvecs, message) == there[name][4:]
        alone = eigenvalues(made[which], k, **{"tol": 1e-9, **options})
        half = name == "half"
        size = float(dense[which].norm())
        assert np.abs(values - alone.values.numpy()).max() <= (1e-2 if half else 1e-9) * size, name
        vectors = torch.as_tensor(np.concatenate([found[name][2], there[name][2]]))
        torch.testing.assert_close(vectors.norm(dim=0), torch.ones(len(values), dtype=F64))
        left = dense[which].to(vectors.dtype) @ vectors - vectors * torch.as_tensor(values)
        # What is told is what the whole vectors have.
        np.testing.assert_allclose(residuals, left.norm(dim=0).numpy(), rtol=1e-6, atol=1e-12 * size)
    alone = eigenvalues(made["J"], 2, start=torch.ones(made["J"].n, dtype=F64), tol=1e-9, basis=20).values.numpy()
    assert np.abs(found["start"] - alone).max() <= 1e-9 * size
    truth = (made["J"] + 2 * identity(made["J"])) @ torch.ones(made["J"].n, dtype=F64)
    torch.testing.assert_close(torch.as_tensor(np.concatenate([shifted, shifted_there])), truth)
    for sentence, words in zip(said, ("store=", "start=", "divide", "divide"), strict=True):
        assert words in sentence


def dies(rank):
    H = hessian(gt.sharded(gt.minimization(model(), loss)), half(rank, batch()))
    if rank == 1:
        return "left"
    with pytest.raises(GantoolsError) as error:
        eigenvalues(H, 2)
    return str(error.value)


@pytest.mark.slow
def test_a_process_that_ends_stops_a_search_with_a_sentence():
    said, left = run_in_two(dies)
    assert left == "left" and "connection to another process broke" in said
