"""The generator of continuous depth, and what is said where torchdiffeq is missing."""

import sys

import pytest
import torch

import gantools as gt
from gantools.errors import GantoolsError
from gantools.networks import OdeMlp
from gantools.nn.integrators.ode import ODEBlock, engine
from tests.draws import seeded


def players(**settings):
    return OdeMlp(state=5, width=6, **settings).build((3,), "", 4, seeded())


def test_samples_are_the_linear_image_of_a_flow():
    generator, discriminator = players()
    latent = torch.randn(7, 4, generator=seeded(1))
    into, flow, out = generator
    assert isinstance(flow, ODEBlock)
    u, h = into(latent), 1 / 4
    for _ in range(4):  # the 3/8 rule, torchdiffeq's "rk4"
        k1 = flow.f(u)
        k2 = flow.f(u + h * k1 / 3)
        k3 = flow.f(u + h * (k2 - k1 / 3))
        k4 = flow.f(u + h * (k1 - k2 + k3))
        u = u + h * (k1 + 3 * k2 + 3 * k3 + k4) / 8
    assert torch.allclose(generator(latent), out(u), rtol=1e-5, atol=1e-6)
    assert discriminator(generator(latent)).shape == (7,)


def test_consensus_trains_it_and_refuses_the_adjoint():
    batch = {"real": torch.randn(8, 3, generator=seeded(2)), "latent": torch.randn(8, 4, generator=seeded(3))}
    optimizer = gt.trainers.make("consensus", gt.gan(*players()), lr=1e-3)
    before = optimizer.game.vector()
    optimizer.step(batch)
    assert (optimizer.game.vector() - before).abs().max() > 0
    with pytest.raises(GantoolsError, match="adjoint=False"):
        gt.trainers.make("consensus", gt.gan(*players(adjoint=True)), lr=1e-3).step(batch)
    gt.trainers.make("simultaneous", gt.gan(*players(adjoint=True)), lr=1e-3).step(batch)


def test_adaptive_solvers_are_settings_too_and_nonsense_is_refused():
    generator, _ = players(method="dopri5")
    assert generator(torch.zeros(2, 4)).shape == (2, 3)
    for settings in ({"method": "rk5"}, {"solver_steps": 0}, {"depth": -1}):
        with pytest.raises(GantoolsError):
            players(**settings)


def test_without_torchdiffeq_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    engine.cache_clear()
    try:
        with pytest.raises(GantoolsError, match=r"pip install \"gantools\[ode\]\""):
            ODEBlock(torch.nn.Identity())
    finally:
        engine.cache_clear()
