"""Update operators in the coordinates that balance a step: spectra, vectors and residuals against float64."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import conditions, eigenvalues, restrict, spectrum, stability, update_operator
from gantools.analysis.operators.balanced import balanced
from gantools.errors import GantoolsError
from gantools.trainers import BASES, OPTIMIZERS, Adam, Alternating, RMSProp, Simultaneous
from gantools.trainers.scales import memory_units
from tests import cases
from tests.game_oracles import match_distance
from tests.quick import few
from tests.trainers.test_every_optimizer import has_base, optimizer_of

F32, F64 = torch.float32, torch.float64
DEAR = ("competitive", "adaptive_competitive")  # each product solves a system
EVERY = [
    *[
        pytest.param(name, "adam" if has_base(name) else "sgd", marks=[pytest.mark.slow] * (name in DEAR))
        for name in OPTIMIZERS
    ],
    *[(name, base) for name in ("simultaneous", "alternating") for base in BASES if base != "adam"],
    *[("consensus", "rmsprop"), ("complex_momentum", "rmsprop"), ("past_extragradient", "rmsprop_tf1")],
]


def in_float32(batch):
    return {name: value.float() for name, value in batch.items()}


def trained(name, base, steps, dtype=F32, **settings):
    """Return an optimizer after some steps of a GAN with a dead unit, and a batch."""
    game = cases.tanh_gan(activation=nn.ReLU, dtype=dtype)
    with torch.no_grad():
        game.players.discriminator[0].bias[0] = -30.0
    optimizer = optimizer_of(name, base, game, **settings)
    batches = [cases.gan_batch(seed=k) if dtype == F64 else in_float32(cases.gan_batch(seed=k)) for k in range(3)]
    for step in range(steps):
        optimizer.step(*[batches[step % 2]] * optimizer.batches_per_step)
    return optimizer, batches[2]


def in_float64(optimizer, name, base, **settings):
    """Return the same optimizer at the same state in a game built in float64."""
    twin, _ = trained(name, base, 0, F64, **settings)
    twin.load_state_dict(optimizer.state_dict())
    twin.game.load_vector(optimizer.game.vector().double())
    return twin


@pytest.mark.parametrize(("name", "base"), few(EVERY, 6))
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_float32_run_has_the_eigenvalues_of_the_same_state_in_float64(name, base, steps):
    optimizer, batch = trained(name, base, steps)
    twin = in_float64(optimizer, name, base)
    wide = {key: value.double() for key, value in batch.items()}
    expected = np.linalg.eigvals(update_operator(twin, wide).dense().numpy())
    U = update_operator(optimizer, batch)
    found = spectrum(U)
    # Eigenvalues of a defective matrix, as the zeros of memory that is overwritten, move by roots of rounding.
    top = np.sort(abs(expected))[::-1]
    assert abs(found.values.abs().max() - top[0]) < 2e-4 * top[0]
    ours, theirs = stability(found), stability(spectrum(update_operator(twin, wide)))
    assert ours.stable == theirs.stable or ours.undecided or theirs.undecided


@pytest.mark.parametrize(("name", "base"), few(EVERY, 7))
def test_every_memory_has_a_unit_and_its_scale_balances_the_step(name, base):
    optimizer, batch = trained(name, base, 4, F64)
    units = memory_units(optimizer, optimizer.state)
    declared = {**optimizer.memory_units}
    for rule in optimizer.rules.values():
        declared |= getattr(rule, "units", {})
    assert {key.rpartition(":")[2] for key in units} <= set(declared)
    U = update_operator(optimizer, batch)
    B = balanced(U)
    user, even = U.dense().numpy(), B.dense().numpy()
    assert match_distance(np.linalg.eigvals(even), np.linalg.eigvals(user)) < 1e-4 * np.linalg.norm(even)
    # As LAPACK would balance it, to within a factor.
    rows, columns = np.linalg.norm(even, axis=1), np.linalg.norm(even, axis=0)
    assert np.linalg.norm(even) < 100 * len(even) ** 0.5 and rows.max() < 1e3 and columns.max() < 1e3
    u = torch.randn(U.n, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    even_T = torch.from_numpy(even).T
    torch.testing.assert_close(balanced(U.T) @ u, even_T @ u, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(B.T @ u, even_T @ u, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("base", ["adam", "rmsprop", "rmsprop_tf1"])
def test_vectors_and_shares_are_in_the_users_coordinates(base):
    optimizer, batch = trained("simultaneous", base, 5)
    U = update_operator(optimizer, batch)
    dense, scales = U.dense().to(torch.complex128), U.scales.double()
    for s in (eigenvalues(U, 3, tol=1e-9), spectrum(U, vectors=True)):
        for value, residual, x in zip(s.values[:3], s.residuals[:3], s.vectors.T[:3], strict=False):
            x = x.to(torch.complex128)
            assert abs(x.norm() - 1) < 1e-6
            even = x / scales
            off = (dense @ x - value * x) / scales
            assert off.norm() <= (residual + 1e-7 * s.scale) * even.norm()
    s = eigenvalues(U, 3, tol=1e-9)
    found = conditions(U, s)
    for value, y, number in zip(s.values, found.left.T, found.numbers, strict=True):
        y = y.to(torch.complex128)
        off = (y.conj() @ dense - value * y.conj()) * scales
        assert off.norm() < 1e-6 * (y * scales).norm()
        assert 1 <= number < 1e6


def test_products_stay_those_of_the_users_coordinates_and_parts_keep_their_scales():
    optimizer, batch = trained("alternating", "adam", 3)
    U = update_operator(optimizer, batch)
    assert U.dtype == F64 and optimizer.game.dtype == F32
    part = restrict(U, ["generator", "generator:*"])
    where = torch.cat([torch.arange(U.n)[U.slices[name]] for name in U.slices if name.startswith("generator")])
    assert torch.equal(part.scales, U.scales[where.sort().values])
    assert torch.equal((2.0 * U - U).scales, U.scales) and torch.equal(U.T.scales, 1 / U.scales)
    expected = np.linalg.eigvals(part.dense().numpy())
    assert match_distance(spectrum(part).values.numpy(), expected) < 1e-6


def test_plain_steps_of_one_rate_need_no_scales_and_stay_in_their_dtype():
    optimizer, batch = trained("simultaneous", "sgd", 2)
    U = update_operator(optimizer, batch)
    assert U.scales is None and U.dtype == F32
    assert update_operator(optimizer, batch, dtype=F64).dtype == F64
    assert update_operator(trained("simultaneous", "adam", 2)[0], batch, dtype=F32).dtype == F32
    with pytest.raises(GantoolsError, match="cannot be computed in torch.float16"):
        update_operator(optimizer, batch, dtype=torch.float16)


def test_a_loss_that_knows_one_precision_keeps_it():
    model, weight = nn.Linear(3, 1), torch.tensor([[1.0, 2.0]])  # float32, whatever the parameters are in
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    game = gt.minimization(model, lambda model, x: (torch.cat([model(x), model(x) ** 2], 1) @ weight.T).square().mean())
    optimizer = Simultaneous(game, lr=1e-2, base="adam")
    for _ in range(20):
        optimizer.step(batch)
    U = update_operator(optimizer, batch)
    assert U.dtype == F32 and U.scales is not None
    twin = gt.minimization(
        nn.Linear(3, 1, dtype=F64),
        lambda model, x: (torch.cat([model(x), model(x) ** 2], 1) @ weight.double().T).square().mean(),
    )
    other = Simultaneous(twin, lr=1e-2, base="adam")
    other.load_state_dict(optimizer.state_dict())
    twin.load_vector(game.vector().double())
    expected = np.linalg.eigvals(update_operator(other, batch.double()).dense().numpy())
    assert match_distance(spectrum(U).values.numpy(), expected) < 1e-3
    with pytest.raises(GantoolsError, match=r"torch\.float64"):
        update_operator(optimizer, batch, dtype=F64)


def test_second_moments_near_zero_do_not_hide_the_spectrum_nor_its_instability():
    """Two parameters, one of which has had gradients of 1e-9: sought in float32 and user coordinates, 1e9 to one."""
    scale = torch.tensor([1.0, 1e-9], dtype=F64)
    for dtype in (F32, F64):
        model = nn.Linear(2, 1, bias=False, dtype=dtype)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[0.3, -0.4]]))
        game = gt.minimization(
            model, lambda m, c: (0.5 * c * m.weight[0].square()).sum() - 0.5 * m.weight.prod() * c[1]
        )
        optimizer = Simultaneous(game, lr=0.05, base=Adam((0.0, 0.9)))
        for _ in range(3):
            optimizer.step(scale.to(dtype))
        U = update_operator(optimizer, scale.to(dtype))
        s = spectrum(U)
        assert U.dtype == F64
        expected = np.linalg.eigvals(U.dense().numpy())
        assert match_distance(s.values.numpy(), expected) < 1e-8
        assert stability(s).undecided == 0


def test_a_map_with_a_huge_eigenvalue_is_never_stable():
    """Within rounding of its scale everything would be neutral."""
    values = torch.tensor([1200.0, 1.18, 0.99, *np.linspace(0.1, 0.9, 60)], dtype=F32)
    skew = torch.triu(torch.full((63, 63), 1e5), 1) * 0 + torch.diag(values)
    skew[0, 5] = 1e9  # the norm tells nothing of the eigenvalues
    A = gt.analysis.LinearOperator(lambda u: skew @ u, 63, F32, kind="map")
    for which in ("LM", "LR"):
        judged = stability(eigenvalues(A, 3, which))
        assert not judged.stable


def test_torch_optimizers_are_balanced_too():
    for make in (
        lambda p: torch.optim.Adam(p, 1e-3, amsgrad=True),
        lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
        lambda p: torch.optim.AdamW(p, 1e-3),
        lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9),
    ):
        game, batch = cases.tanh_gan(dtype=F32, activation=nn.ReLU), in_float32(cases.gan_batch())
        optimizers = [make(player.parameters()) for player in game.players.values()]
        for _ in range(4):
            for optimizer, (player, part) in zip(optimizers, game.slices.items(), strict=True):
                gradient = game.field(batch)[part]
                own = [p for p in game.players[player].parameters()]
                for p, g in zip(own, gradient.split([p.numel() for p in own]), strict=True):
                    p.grad = g.view_as(p)
                optimizer.step()
        U = update_operator(optimizers, batch, game=game)
        even = balanced(U).dense().numpy()
        assert np.linalg.norm(even) < 100 * len(even) ** 0.5
        expected = np.linalg.eigvals(U.dense().double().numpy())
        assert abs(spectrum(U).values.abs().max() - abs(expected).max()) < 1e-3


def test_rules_of_the_users_own_without_units_work():
    class Own:
        def init(self, w):
            return {"mean": torch.zeros_like(w)}

        def update(self, direction, memory, count, lr):
            mean = 0.5 * memory["mean"] + direction
            return lr * mean, {"mean": mean}

    game, batch = cases.tanh_gan(), cases.gan_batch()
    U = update_operator(Simultaneous(game, lr=0.1, base=Own()), batch)
    V = update_operator(Simultaneous(game, lr=0.1, base=gt.trainers.Momentum(0.5)), batch)
    torch.testing.assert_close(U.scales, V.scales)
    torch.testing.assert_close(U.dense(), V.dense())

    class Wrong(Own):
        units = {"mean": "metres"}

    with pytest.raises(GantoolsError, match="has the unit 'metres'"):
        update_operator(Simultaneous(game, lr=0.1, base=Wrong()), batch)


def test_a_rate_of_zero_in_a_schedule_has_scales():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = Alternating(game, lr=gt.schedules.Linear(0.0, 0.1, 10), base=RMSProp())
    assert update_operator(optimizer, batch).scales.isfinite().all()
