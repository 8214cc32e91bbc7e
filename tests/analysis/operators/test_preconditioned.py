"""The preconditioned Jacobian against torch.optim's own second moments."""

import copy

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis import (
    eigenvalues,
    gauss_newton,
    hessian,
    jacobian,
    preconditioned,
    restrict,
    spectrum,
    update_operator,
)
from gantools.errors import GantoolsError
from gantools.trainers import Adam, RMSProp
from tests import cases
from tests.game_oracles import match_distance

F64 = torch.float64
BASES = ["adam", "rmsprop", "rmsprop_tf1"]


def trained(base, steps=3):
    game = cases.tanh_gan()
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base=base)
    fields = []
    for k in range(steps):
        fields.append(game.field(cases.gan_batch(seed=k)))
        optimizer.step(cases.gan_batch(seed=k))
    return game, optimizer, torch.stack(fields)


def by_hand(base, fields):
    """The denominators from the gradients seen, written out."""
    v = torch.ones_like(fields[0]) if base == "rmsprop_tf1" else torch.zeros_like(fields[0])
    decay = {"adam": 0.999, "rmsprop": 0.99, "rmsprop_tf1": 0.9}[base]
    for g in fields:
        v = decay * v + (1 - decay) * g**2
    if base == "rmsprop_tf1":
        return (v + 1e-10).sqrt()
    return (v / (1 - decay ** len(fields) if base == "adam" else 1)).sqrt() + 1e-8


@pytest.mark.parametrize("base", BASES)
def test_against_denominators_by_hand(base):
    game, optimizer, fields = trained(base)
    batch = cases.gan_batch()
    J, D = jacobian(game, batch), by_hand(base, fields)
    P = preconditioned(J, optimizer)
    dense = J.dense() / D[:, None]
    torch.testing.assert_close(P.dense(), dense)
    torch.testing.assert_close(P.T.dense(), dense.T)
    u = torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(P @ u, dense @ u)
    assert P.kind == "field" and P.slices == J.slices and not P.symmetric
    torch.testing.assert_close(restrict(P, "generator").dense(), dense[:17, :17])


@pytest.mark.parametrize("base", BASES)
def test_a_hessian_stays_symmetric_with_the_same_eigenvalues(base):
    game, optimizer, fields = trained(base)
    H = hessian(game, cases.gan_batch(), player="discriminator")
    P = preconditioned(H, optimizer)
    D = by_hand(base, fields)[17:]
    assert P.symmetric and P.kind == "hessian"
    expected = np.linalg.eigvals((H.dense() / D[:, None]).numpy())
    assert match_distance(spectrum(P).values.numpy(), expected) < 1e-8 * np.abs(expected).max()
    s = eigenvalues(P, k=1)
    vector = s.vectors[:, 0] / D.sqrt()
    assert (H @ vector / D - s.values[0] * vector).norm() < 1e-6 * vector.norm() * s.values[0].abs()


def test_of_torchs_adam():
    model, loss, batch = cases.classifier()
    twin = copy.deepcopy(model)
    game = gt.minimization(model, loss)
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    torch_adam = torch.optim.Adam(twin.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.step(batch)
        torch_adam.zero_grad()
        loss(twin, batch).backward()
        torch_adam.step()
    v = torch.cat([torch_adam.state[p]["exp_avg_sq"].reshape(-1) for p in twin.parameters()])
    D = (v / (1 - 0.999**5)).sqrt() + 1e-8
    H = hessian(game, batch)
    torch.testing.assert_close(preconditioned(H, optimizer).dense(), H.dense() / torch.outer(D.sqrt(), D.sqrt()))
    G = gauss_newton(model, lambda f, b: torch.nn.functional.cross_entropy(f, b[1]), batch)
    torch.testing.assert_close(preconditioned(G, optimizer).dense(), G.dense() / torch.outer(D.sqrt(), D.sqrt()))


def test_at_rest_it_is_the_update_without_momentum():
    """At the equilibrium with moments that hardly move, I - h D^-1 J is the update operator's block of parameters."""
    game = cases.scalar_quadratic(0.7, 1.4)
    base = RMSProp(alpha=1 - 1e-12)
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-3, base=base)
    optimizer.step(None)
    game.load_vector(torch.zeros(2, dtype=F64))
    U = restrict(update_operator(optimizer, None), ["x", "y"]).dense()
    P = preconditioned(jacobian(game, None), optimizer).dense()
    torch.testing.assert_close(U, torch.eye(2, dtype=F64) - 1e-3 * P, rtol=1e-5, atol=1e-12)


def test_bases_without_second_moments_change_nothing():
    game = cases.tanh_gan()
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="momentum")
    J = jacobian(game, cases.gan_batch())
    torch.testing.assert_close(preconditioned(J, optimizer).dense(), J.dense())


def test_complex_adam():
    game, fields = cases.tanh_gan(), []
    optimizer = gt.trainers.make("complex_momentum", game, lr=1e-3, base=Adam())
    for k in range(2):
        fields.append(game.field(cases.gan_batch(seed=k)))
        optimizer.step(cases.gan_batch(seed=k))
    J = jacobian(game, cases.gan_batch())
    D = by_hand("adam", torch.stack(fields))
    torch.testing.assert_close(preconditioned(J, optimizer).dense(), J.dense() / D[:, None])


def test_mistakes_get_a_sentence():
    game = cases.tanh_gan()
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    J = jacobian(game, cases.gan_batch())
    with pytest.raises(GantoolsError, match="take a step first"):
        preconditioned(J, optimizer)
    optimizer.step(cases.gan_batch())
    with pytest.raises(GantoolsError, match="precondition first, then restrict"):
        preconditioned(restrict(J, "generator.0.*"), optimizer)
    with pytest.raises(GantoolsError, match="contains its optimizer's second moments already"):
        preconditioned(update_operator(optimizer, cases.gan_batch()), optimizer)
