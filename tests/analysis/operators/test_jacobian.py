"""Matrix-free operators against dense autograd, finite differences and closed forms."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import gantools as gt
from gantools.analysis.operators.jacobian import hessian, jacobian, update_operator
from gantools.analysis.products import autograd as products
from gantools.errors import GantoolsError
from gantools.trainers import Simultaneous
from tests import cases
from tests.game_oracles import dense_autograd, finite_jacobian, relative, tanh_gan_field
from tests.oracles import vectors
from tests.quick import few

F64 = torch.float64
METHODS = ["reverse", "forward", "replay", "auto"]
# A recording takes a second for each shape of batch; products/test_recorded.py has some in the quick tests.
OF_SEVERAL = ["reverse", "forward", "auto", pytest.param("replay", marks=pytest.mark.slow)]


# Products ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", few(["nonsaturating", "minimax"], 1))
@pytest.mark.parametrize("method", METHODS)
def test_jacobian_against_dense_autograd_of_the_written_out_field(loss, method):
    game, batch = cases.tanh_gan(loss), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch, loss), game.vector())
    operator = jacobian(game, batch, method=method)
    assert operator.shape == (30, 30) and operator.dtype == F64 and operator.device.type == "cpu"
    assert operator.method == method or method == "auto"
    assert operator.slices == game.slices and operator.kind == "field" and not operator.symmetric
    block = vectors(30, 5)
    for u in (block[:, 0], block[:, 1:2], block, block[:, ::2], block[:, :0]):
        assert (operator @ u - dense @ u).norm() < 1e-13 * dense.norm() * max(u.norm(), 1)
        assert (operator.T @ u - dense.T @ u).norm() < 1e-13 * dense.norm() * max(u.norm(), 1)
    z = torch.complex(block[:, 0], block[:, 1])
    assert relative(operator @ z, dense.to(z.dtype) @ z) < 1e-13
    assert relative(operator.dense(), dense) < 1e-13
    assert relative(operator.dense(chunk=7), dense) < 1e-13
    assert relative(operator.T.dense(), dense.T) < 1e-13
    assert relative(operator.T.T @ block, dense @ block) < 1e-13


def test_the_oracle_agrees_with_finite_differences():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    assert relative(finite_jacobian(lambda w: tanh_gan_field(w, batch).detach(), game.vector()), dense) < 1e-10


@pytest.mark.parametrize("method", few(METHODS, 2))
def test_blocks_wider_than_one_pass(method):
    """Blocks go through in parts of 64 columns; the parts must come back in order."""
    operator = jacobian(cases.tanh_gan(), cases.gan_batch(), method=method)
    block = vectors(30, 150)
    torch.testing.assert_close(operator @ block, operator.dense() @ block)
    torch.testing.assert_close(operator.T @ block, operator.dense().T @ block)


def test_products_keep_no_graph_and_work_under_no_grad():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    u = vectors(30, 2)
    for method in METHODS:
        with torch.no_grad():
            operator = jacobian(game, batch, method=method)
            inside = operator @ u
        outside = operator @ u.clone().requires_grad_()
        assert not inside.requires_grad and not outside.requires_grad
        torch.testing.assert_close(inside, outside)


def test_an_unknown_method_is_refused():
    with pytest.raises(GantoolsError, match="Unknown method 'foward'. Did you mean 'forward'"):
        jacobian(cases.tanh_gan(), cases.gan_batch(), method="foward")


def test_batching_may_fail_and_is_then_left_alone():
    """A custom function without a batching rule: blocks go through one vector at a time."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    game = gt.minimization(cases.Point([1.0, 2.0, 3.0]), lambda m, _: (Square.apply(m.value) ** 2).sum())
    operator = jacobian(game, None)
    assert operator.method == "reverse"  # and there is no forward derivative either
    expected = torch.diag(12 * torch.tensor([1.0, 4.0, 9.0], dtype=F64))
    torch.testing.assert_close(operator.dense(), expected)


@pytest.mark.parametrize("method", METHODS)
def test_float32(method):
    game, batch = cases.tanh_gan(dtype=torch.float32), cases.gan_batch(dtype=torch.float32)
    dense = dense_autograd(
        lambda w: tanh_gan_field(w, {k: v.double() for k, v in batch.items()}), game.vector().double()
    )
    operator = jacobian(game, batch, method=method)
    assert operator.dtype == torch.float32
    assert relative(operator.dense().double(), dense) < 1e-5


# Hessians ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_hessian_of_a_model(method):
    model, loss, batch = cases.classifier()
    operator = hessian(model, loss, batch, method=method)
    assert operator.symmetric and operator.kind == "hessian" and operator.T is operator
    assert operator.slices == {"model": slice(0, 31)}

    def value(w):
        a, b, c, d = w.split([12, 4, 12, 3])
        x, y = batch
        scores = torch.tanh(x @ a.view(4, 3).T + b) @ c.view(3, 4).T + d
        return (scores.logsumexp(1) - scores[torch.arange(len(y)), y]).mean()

    w = torch.cat([p.detach().flatten() for p in model.parameters()])
    dense = torch.autograd.functional.hessian(value, w)
    assert relative(operator.dense(), dense) < 1e-13
    assert relative(jacobian(gt.minimization(model, loss), batch).dense(), dense) < 1e-13


@pytest.mark.parametrize("method", few(METHODS, 3))
def test_hessians_of_players_are_the_diagonal_blocks(method):
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    for player, part in game.slices.items():
        operator = hessian(game, batch, player=player, method=method)
        assert operator.slices == {player: slice(0, part.stop - part.start)} and operator.symmetric
        assert relative(operator.dense(), dense[part, part]) < 1e-13


def test_hessian_needs_to_know_whose():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with pytest.raises(GantoolsError, match="game of 2 players.*player= one of 'generator', 'discriminator'"):
        hessian(game, batch)
    with pytest.raises(GantoolsError, match="Unknown player 'critic'"):
        hessian(game, batch, player="critic")
    model, loss, data = cases.classifier()
    with pytest.raises(GantoolsError, match="Unknown player 'critic'"):
        hessian(model, loss, data, player="critic")
    for wrong in ((model,), (model, loss), (model, data, loss), (loss, model, data)):
        with pytest.raises(GantoolsError, match=r"Call hessian\(model, loss, batch\)"):
            hessian(*wrong)
    assert hessian(gt.minimization(model, loss), data).n == 31


def test_a_player_without_a_name_has_a_hessian_of_its_own():
    game, j = cases.nonnormal()
    renamed = gt.Game(
        {"": game.players["0"], "b": game.players["1"]},
        lambda p, b: dict(zip(p, game.losses({"0": p[""], "1": p["b"]}, b).values(), strict=True)),
    )
    torch.testing.assert_close(hessian(renamed, None, player="").dense(), j[:3, :3])


def test_softmax_has_a_null_space():
    """Adding one number to all scores changes no probability: 5 directions of the last layer are flat."""
    model, loss, batch = cases.classifier()
    dense = hessian(model, loss, batch).dense()
    flat = torch.zeros(31, 5, dtype=F64)
    for k in range(4):
        flat[16 + k : 28 : 4, k] = 1  # weight (3, 4) to the k-th hidden unit
    flat[28:, 4] = 1
    assert (dense @ flat).norm() < 1e-14 * dense.norm()
    assert (torch.linalg.eigvalsh(dense).abs() < 1e-12 * dense.norm()).sum() >= 5


# Snapshots -----------------------------------------------------------------------------------------------------------


# The update operator takes single batches and works backwards.
@pytest.mark.parametrize(
    ("kind", "method", "several"),
    few(
        [(k, m, s) for k in ("jacobian", "hessian") for m in ("reverse", "forward") for s in (False, True)]
        + [pytest.param(k, "replay", s, marks=pytest.mark.slow) for k in ("jacobian", "hessian") for s in (False, True)]
        + [("update", "reverse", False)],
        5,
    ),
)
def test_operators_are_snapshots(several, method, kind):
    game = cases.noisy_nets()
    batches = [cases.gan_batch(8), cases.gan_batch(6, seed=1)] if several else cases.gan_batch()
    optimizer = Simultaneous(game, lr=0.1, base="adam")
    optimizer.step(cases.gan_batch(seed=7))
    if kind == "jacobian":
        operator = jacobian(game, batches, method=method)
    elif kind == "hessian":
        operator = hessian(game, batches, player="generator", method=method)
    else:
        operator = update_operator(optimizer, batches)
    u = vectors(operator.n, 3)
    first, transposed = operator @ u, operator.T @ u
    for step in range(3):
        optimizer.step(cases.gan_batch(seed=step))
    game.load_vector(-game.vector())
    for module in game.players.values():
        module.eval()
        for buffer in module.buffers():
            buffer.mul_(3)
    if not several:
        batches["latent"].normal_()
    assert torch.equal(operator @ u, first) or relative(operator @ u, first) < 1e-13
    assert relative(operator.T @ u, transposed) < 1e-13
    assert relative(operator @ u[:, 0], first[:, 0]) < 1e-13
    assert not game.players.generator.training


def test_an_operator_leaves_the_modules_as_they_were():
    game, batch = cases.noisy_nets(), cases.gan_batch()
    parameters = game.parameters()
    before = [p.detach().clone() for p in parameters]
    operator = jacobian(game, batch)
    operator @ vectors(operator.n, 2)
    for p, old, live in zip(
        parameters, before, (p for m in game.players.values() for p in m.parameters()), strict=True
    ):
        assert live is p and isinstance(p, nn.Parameter) and torch.equal(p, old) and p.grad is None


# Several batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", few(OF_SEVERAL, 2))
def test_the_mean_over_ragged_batches_is_the_full_batch(method):
    model, loss, (x, y) = cases.classifier(size=11)
    full = hessian(model, loss, (x, y)).dense()
    game = gt.minimization(model, loss)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)  # 4, 4, 3
    for operator in (hessian(model, loss, loader, method=method), jacobian(game, list(loader), method=method)):
        assert relative(operator.dense(), full) < 1e-13
        assert relative(operator @ full[:, 0], full @ full[:, 0]) < 1e-13
    equal_weights = hessian(model, loss, loader, size=lambda batch: 1.0).dense()
    assert relative(equal_weights, full) > 1e-4


@pytest.mark.parametrize("method", few(OF_SEVERAL, 2))
def test_the_mean_of_jacobians_of_a_gan(method):
    game, batches = cases.tanh_gan(), [cases.gan_batch(size, seed=size) for size in (8, 8, 3)]
    expected = sum(len(b["real"]) * jacobian(game, b).dense() for b in batches) / 19
    operator = jacobian(game, batches, method=method)
    assert relative(operator.dense(), expected) < 1e-13
    assert relative(operator.T.dense(), expected.T) < 1e-13
    loader = DataLoader(DictData(), batch_size=4)
    full = {key: torch.stack([DictData()[i][key] for i in range(10)]) for key in ("real", "latent")}
    assert relative(jacobian(game, loader, method=method).dense(), jacobian(game, full).dense()) < 1e-12


class DictData(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        batch = cases.gan_batch(1, seed=i)
        return {key: value[0] for key, value in batch.items()}


def test_a_shuffled_loader_is_refused():
    model, loss, (x, y) = cases.classifier(size=12)
    shuffled = DataLoader(TensorDataset(x, y), 4, shuffle=True, generator=torch.Generator().manual_seed(0))
    with pytest.raises(GantoolsError, match="differ from one pass to the next.*shuffle=False"):
        hessian(model, loss, shuffled)


def test_iterators_and_emptiness_are_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    for batches, sentence in (
        (iter([batch]), "only once"),
        ((b for b in [batch]), "only once"),
        ([], "list of batches is empty"),
        (range(0), "no batches"),
        ({key: value[:0] for key, value in batch.items()}, "batch is empty"),
    ):
        with pytest.raises(GantoolsError, match=sentence):
            jacobian(game, batches)


def test_one_graph_at_a_time_is_alive(monkeypatch):
    game, batches = cases.tanh_gan(), [cases.gan_batch(seed=k) for k in range(6)]
    alive, most = weakref.WeakSet(), []
    original = products.ReverseProducts.__init__

    def counting(self, *args, **kwargs):
        most.append(len(alive) + 1)
        alive.add(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(products.ReverseProducts, "__init__", counting)
    gc.disable()  # a reference cycle would keep graphs until it runs
    try:
        operator = jacobian(game, batches, method="reverse")
        assert len(alive) == 0
        most.clear()
        operator @ vectors(30, 4)
        operator.T @ vectors(30, 4)
    finally:
        gc.enable()
    assert len(most) == 12 and max(most) == 1


def test_whether_batching_pays_is_learnt_from_two_blocks_over_all_batches(monkeypatch):
    calls = []
    original = products.Batching._learn
    monkeypatch.setattr(products.Batching, "_learn", lambda *args: calls.append(1) or original(*args))
    monkeypatch.setattr(products, "forward_pays", lambda *args: False)
    batches = [cases.gan_batch(seed=k) for k in range(3)]
    operator = jacobian(cases.tanh_gan(), batches)
    for _ in range(3):
        operator @ vectors(30, 5)
    assert len(calls) == 2
    # Without "auto" no clock decides, so that a run can be repeated to the last bit.
    operator = jacobian(cases.tanh_gan(), batches, method="reverse")
    expected = torch.stack([operator @ column for column in vectors(30, 40).T], 1)
    assert torch.allclose(operator @ vectors(30, 40), expected, rtol=1e-12) and len(calls) == 2


def test_forward_mode_builds_one_graph_for_all_transposed_products(monkeypatch):
    built = []
    original = products.ReverseProducts.__init__
    operator = jacobian(cases.tanh_gan(), cases.gan_batch(), method="forward")
    monkeypatch.setattr(
        products.ReverseProducts, "__init__", lambda self, *args, **kw: built.append(1) or original(self, *args, **kw)
    )
    for _ in range(3):
        operator @ vectors(30, 1)
        operator.T @ vectors(30, 1)
    assert len(built) == 1


@pytest.mark.parametrize("several", [False, True])
def test_mixed_products_agree_whichever_way_blocks_go(several, monkeypatch):
    monkeypatch.setattr(products, "forward_pays", lambda *args: True)
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    for seconds in ([1.0, 2.0], [2.0, 1.0]):
        operator = jacobian(game, [batch, batch] if several else batch)
        assert operator.method == "forward"
        with monkeypatch.context() as patch:
            clock = iter(seconds)
            patch.setattr(products.Batching, "pays", True)
            patch.setattr(products, "timed", lambda work, _, clock=clock: (work(), next(clock, 1.0)))
            assert relative(operator.dense(), dense) < 1e-13
        assert relative(operator @ dense[:, 0], dense @ dense[:, 0]) < 1e-13
        assert relative(operator.T.dense(), dense.T) < 1e-13


def test_a_forward_hessian_goes_forward(monkeypatch):
    model, loss, batch = cases.classifier()
    operator = hessian(model, loss, batch, method="forward")
    monkeypatch.setattr(products.ReverseProducts, "__init__", lambda *args, **kw: pytest.fail("built a graph"))
    operator @ vectors(31, 2)
    operator.T @ vectors(31, 2)
