"""Products recorded once and replayed, and compiled: against kept graphs, and against a compiler that lies."""

import gc
import weakref
from functools import partial

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, jacobian
from gantools.analysis.products import recorded as replay
from gantools.analysis.products.autograd import ReverseProducts
from gantools.analysis.products.batching import Batching
from gantools.errors import GantoolsError
from tests import cases
from tests.game_oracles import dense_autograd, tanh_gan_field

F64 = torch.float64


def block(n, k):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(0), dtype=F64)


def convolutional():
    source = torch.Generator().manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(12, 3)).to(F64)
    for p in model.parameters():
        p.data = 0.5 * torch.randn(p.shape, generator=source, dtype=F64)
    batch = torch.randn(6, 1, 4, 4, generator=source, dtype=F64), torch.randint(3, (6,), generator=source)
    return model, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]), batch


@pytest.mark.parametrize("maker", [cases.classifier, convolutional])
@pytest.mark.slow
def test_replay_of_a_hessian_is_the_kept_graphs(maker):
    model, loss, batch = maker()
    kept, ours = (hessian(model, loss, batch, method=method) for method in ("reverse", "replay"))
    U = block(kept.n, 90)
    torch.testing.assert_close(ours @ U, kept @ U)
    torch.testing.assert_close(ours @ U[:, 0], kept @ U[:, 0])
    assert ours.method == "replay"


@pytest.mark.slow
def test_running_statistics_stand_still_under_replay():
    model, loss, batch = convolutional()
    before = [b.clone() for b in model.buffers()]
    H = hessian(model, loss, batch, method="replay")
    first = H @ block(H.n, 5)
    torch.testing.assert_close(H @ block(H.n, 5), first, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))


def test_operations_in_place_are_recorded():
    """A cosine loss clamps and takes roots in place: what is evaluated once must not be overwritten by products."""
    x, signs = block(5, 3), torch.tensor([1.0, -1, 1, -1, 1], dtype=F64)
    of = cases.mlp(3, 2, 3), lambda m, b: nn.functional.cosine_embedding_loss(m(b), b.flip(0), signs), x
    kept, ours = (hessian(*of, method=method) for method in ("reverse", "replay"))
    for _ in range(2):
        for width in (1, 9):
            U = block(kept.n, width)
            torch.testing.assert_close(ours @ U, kept @ U)


@pytest.mark.slow
def test_compiled_products_of_every_width(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    game, batch = cases.tanh_gan(), cases.gan_batch()
    kept, ours = (jacobian(game, batch, method=method) for method in ("reverse", "compiled"))
    U = block(kept.n, 90)
    for u in (U, U[:, :5], U[:, 0]):
        torch.testing.assert_close(ours @ u, kept @ u)
        torch.testing.assert_close(ours.T @ u, kept.T @ u)


@pytest.mark.slow
def test_compiled_products_by_the_real_compiler():
    kept, ours = (hessian(*cases.classifier(), method=method) for method in ("reverse", "compiled"))
    U = block(kept.n, 5)
    torch.testing.assert_close(ours @ U[:, 0], kept @ U[:, 0])
    torch.testing.assert_close(ours @ U, kept @ U)
    model, loss, (x, y) = cases.classifier()
    ours = hessian(model, loss, [(x[:2], y[:2]), (x[2:4], y[2:4]), (x[4:], y[4:])], method="compiled")
    torch.testing.assert_close(ours @ U[:, 0], kept @ U[:, 0])


@pytest.mark.slow
def test_a_compiler_that_lies_is_found_out(monkeypatch):
    """torch has miscompiled Hessians silently before."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda *given: 1.01 * module(*given))
    with pytest.raises(GantoolsError, match="cannot be compiled here .*other products.*method='auto'"):
        hessian(*cases.classifier(), method="compiled")


def test_a_compiler_that_fails_says_so(monkeypatch):
    def broken(module, **_):
        def call(*given):
            raise RuntimeError("no compiler here\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(GantoolsError, match=r"cannot be compiled here \(no compiler here\)"):
        hessian(*cases.classifier(), method="compiled")


def test_a_detaching_loss_is_recorded():
    """Field 2 w stop(w), whose derivative is 4 w."""
    game = gt.minimization(cases.Point([1.0, 2.0]), lambda m, _: (m.value.detach() * m.value**2).sum())
    J = jacobian(game, None, method="replay", check=False)
    torch.testing.assert_close(J.dense(), torch.diag(torch.tensor([4.0, 8.0], dtype=F64)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["replay", "compiled"])
def test_batches_of_equal_shape_share_a_program(method, monkeypatch):
    """A recording for each batch, ragged last one included, with its own constants and weight, but two programs."""
    made = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: made.append(1) or module)
    monkeypatch.setattr(Batching, "pays", True)
    game, batches = cases.tanh_gan(), [cases.gan_batch(size, seed=seed) for seed, size in enumerate((6, 6, 4))]
    expected = sum(len(b["real"]) * dense_autograd(lambda w, b=b: tanh_gan_field(w, b), game.vector()) for b in batches)
    ours = jacobian(game, batches, method=method)
    assert len(made) == (2 if method == "compiled" else 0)
    U = block(30, 40)
    for u in (U, U[:, :1], U[:, 0]):
        torch.testing.assert_close(ours @ u, expected / 16 @ u)
        torch.testing.assert_close(ours.T @ u, expected.T / 16 @ u)


def test_recordings_of_many_batches_keep_no_graph():
    alive, most = weakref.WeakSet(), []

    class Watched(ReverseProducts):
        def __init__(self, *args):
            most.append(len(alive))
            super().__init__(*args)
            alive.add(self)

    point = torch.ones(3, dtype=F64)
    cubes = [partial(lambda k, w: (k + 1) * w**3, k) for k in range(5)]
    gc.disable()  # a reference cycle would keep graphs until it runs
    try:
        parts = ((1.0 + k, cube, partial(Watched, cube, point)) for k, cube in enumerate(cubes))
        products = replay.ReplayProducts(parts, point)
    finally:
        gc.enable()
    assert most == [0] * 5 and not alive
    expected = 3 * sum((1 + k) ** 2 for k in range(5)) / 15
    torch.testing.assert_close(products.product(point), expected * point)


def test_of_a_recording_that_goes_wrong_on_a_later_batch():
    """Each is checked: here only the second batch's loss leaves PyTorch."""

    def loss(m, b):
        return (m.value**2).sum() * (1.0 if len(b) == 1 else m.value[0].item())

    game, batches = gt.minimization(cases.Point([1.0, 2.0]), loss), [torch.zeros(1), torch.zeros(2)]
    with pytest.raises(GantoolsError, match="cannot be recorded"):
        jacobian(game, batches, method="replay", check=False)


def test_a_block_is_learnt_from_without_waste():
    """Every column is multiplied exactly once, whichever way it goes."""
    seen = []

    def one(row):
        seen.append(1)
        return row

    def many(rows):
        seen.append(len(rows))
        return rows

    batching = Batching()
    u = block(7, 200)
    assert torch.equal(batching.apply(one, many, u), u)
    assert sum(seen) == 200


def test_a_function_without_a_batching_rule_goes_one_by_one():
    point = torch.ones(3, dtype=F64)
    products = ReverseProducts(lambda w: w**3, point)
    products._batching["product"] = Batching()
    products._batching["product"].works = False
    torch.testing.assert_close(products.product(torch.eye(3, dtype=F64)), 3 * torch.eye(3, dtype=F64))
