"""Products of sharded games equal the dense Jacobian of one process, for every kind of layer."""

import gc

import pytest
import torch
from processes.bench_sharded import Gathered
from torch import nn
from torch.distributed.fsdp import fully_shard

import gantools as gt
from gantools.analysis import eigenvalues, hessian, jacobian, restrict
from gantools.analysis.operators.algebra import indices
from gantools.errors import GantoolsError
from tests.analysis.sharding import layer_games
from tests.two_processes import run_in_two

F64 = torch.float64
SEVEN = ("perceptron", "layer norm", "convolution", "transposed convolution", "group norm", "batch norm", "attention")
MORE = ("tied embedding", "recurrent", "complex")


@pytest.fixture
def alone(tmp_path):
    """Make this process a group of its own."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def parts():
    """Return a batch's samples of each process: four and two."""
    x = layer_games.batch()["x"]
    return [{"x": x[:4]}, {"x": x[4:]}]


def vectors(n):
    return torch.randn(2, n, dtype=F64, generator=torch.Generator().manual_seed(5))


def products(game, batch):
    """Return this process's ranges of J u and J^T v, by reverse and forward mode."""
    found = {}
    for method in ("reverse", "forward"):
        J = jacobian(game, batch, method=method, check=False)
        u, v = (J.space.own(x) for x in vectors(J.n))
        found[method] = (J @ u).numpy(), (J.T @ v).numpy()
    return found


def every_layer(rank):
    return {name: products(gt.sharded(layer_games.game(name)), parts()[rank]) for name in (*SEVEN, *MORE)}


def assert_exact(name, both):
    J = layer_games.dense(name, parts())
    u, v = vectors(len(J))
    size = float(J.norm())
    assert float((J - J.T).norm()) > 0.01 * size  # so that J and its transpose are told apart
    for method in both[0]:
        for index, truth in enumerate((J @ u, J.T @ v)):
            found = torch.cat([torch.as_tensor(one[method][index]) for one in both])
            assert float((found - truth).norm()) <= 1e-12 * size, (name, method, index)


@pytest.mark.slow
def test_both_products_are_exact_for_every_layer():
    first, second = run_in_two(every_layer)
    for name in (*SEVEN, *MORE):
        assert_exact(name, (first[name], second[name]))


@pytest.mark.parametrize("name", SEVEN)
def test_one_process_holds_all(name, alone):
    game = gt.sharded(layer_games.game(name))
    J = jacobian(game, layer_games.batch())
    truth = layer_games.dense(name, [layer_games.batch()])
    torch.testing.assert_close(J.dense(), truth, rtol=0, atol=1e-12 * float(truth.norm()))
    assert "this process holds 0 to" in str(J)


def blocks(rank):
    """Return, of one game, one player's Hessian and other parts: products, eigenvalues, what is known of them."""
    game = gt.sharded(layer_games.game("perceptron"))
    batch = parts()[rank]
    H, J = hessian(game, batch, player="other"), jacobian(game, batch)
    own = H.space.own(vectors(H.n)[0])
    found = [H.symmetric, H.slices, H.space.processes, (H @ own).numpy(), eigenvalues(H, 3).values.numpy()]
    for part in ("*.bias", slice(3, 90, 7), torch.tensor([2, -1, 70]), "one"):
        block = restrict(J, part)
        u, v = (block.space.own(x) for x in vectors(block.n))
        found += [block.symmetric, (block @ u).numpy(), (block.T @ v).numpy()]
    return found


@pytest.mark.slow
def test_blocks_of_players_and_of_any_entries():
    first, second = run_in_two(blocks)
    J, plain = layer_games.dense("perceptron", parts()), jacobian(layer_games.game("perceptron"), layer_games.batch())
    half = len(J) // 2
    assert first[:3] == second[:3] == [True, {"other": slice(0, half)}, 2]
    other = J[half:, half:]
    joined = torch.cat([torch.as_tensor(x[3]) for x in (first, second)])
    torch.testing.assert_close(joined, other @ vectors(half)[0], rtol=0, atol=1e-12)
    largest = torch.linalg.eigvalsh(other)
    largest = largest[largest.abs().argsort(descending=True)][:3]
    torch.testing.assert_close(torch.as_tensor(first[4]), largest, rtol=0, atol=1e-9)
    for index, part in enumerate(("*.bias", slice(3, 90, 7), torch.tensor([2, -1, 70]), "one")):
        where = indices(plain, part)
        u, v = vectors(len(where))
        symmetric, *images = zip(*(x[5 + 3 * index : 8 + 3 * index] for x in (first, second)), strict=True)
        assert set(symmetric) == {part == "one"}
        for found, truth in zip(images, (J[where][:, where] @ u, J[where][:, where].T @ v), strict=True):
            found = torch.cat([torch.as_tensor(x) for x in found])
            torch.testing.assert_close(found, truth, rtol=0, atol=1e-12)


# FSDP2 ----------------------------------------------------------------------------------------------------------------


def divided(module):
    """Divide a module as FSDP2 is used: each layer that has parameters, then the rest."""
    for inner in list(module.children()):
        if list(inner.parameters()):
            fully_shard(inner)
    return fully_shard(module)


def deep(width=24, layers=8):
    torch.manual_seed(0)
    return nn.Sequential(*(m for _ in range(layers) for m in (nn.Linear(width, width, dtype=F64), nn.Tanh())))


def mean_square(model, x):
    return model(x).square().mean()


def across(players, x):
    one, other = players["one"](x), players["other"](x)
    return {"one": (one * other).mean() + one.square().mean(), "other": other.square().mean() - (one * other).mean()}


def fully_sharded(rank):
    torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    found = {name: products(gt.sharded(layer_games.game(name, divided)), parts()[rank]) for name in SEVEN}
    model, x = divided(deep()), torch.ones(3, 24, dtype=F64) * (rank + 1)
    model(x)  # without a backward pass: FSDP2 leaves whole parameters in the root
    H = hessian(gt.sharded(gt.minimization(model, mean_square)), x)
    with Gathered() as peak:
        H = hessian(gt.sharded(gt.minimization(model, mean_square)), x)
        image = (H @ H.space.own(vectors(H.n)[0])).numpy()
        game = gt.sharded(gt.Game({"one": divided(deep()), "other": divided(deep())}, across))
        J = jacobian(game, x, check=False)
        transposed = (J.T @ J.space.own(vectors(J.n)[1])).numpy()
        gc.collect()
        most, left = peak.most, peak.now
    model(x).square().mean().backward()  # FSDP2's own hooks are as they were
    return found, (image, transposed), most, left, model[0].weight.grad.full_tensor().numpy()


@pytest.mark.slow
def test_parameters_of_fsdp2_are_exact_and_never_whole():
    both = run_in_two(fully_sharded)
    for name in SEVEN:
        assert_exact(name, (both[0][0][name], both[1][0][name]))
    model, x = deep(), torch.cat([torch.ones(3, 24, dtype=F64), 2 * torch.ones(3, 24, dtype=F64)])
    H, J = hessian(model, mean_square, x), jacobian(gt.Game({"one": deep(), "other": deep()}, across), x)
    for index, truth in enumerate((H @ vectors(H.n)[0], J.T @ vectors(J.n)[1])):
        found = torch.cat([torch.as_tensor(one[1][index]) for one in both])
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-12 * float(truth.norm()))
    layer = 8 * (24 * 24 + 24)
    for _, _, most, left, gradient in both:
        # The weights of one layer and their part of the vector; there are eight layers, of the game sixteen.
        assert layer <= most <= 2 * layer and left == 0
        loss = mean_square(model, torch.ones(3, 24, dtype=F64)) + mean_square(model, 2 * torch.ones(3, 24, dtype=F64))
        (expected,) = torch.autograd.grad(loss / 2, model[0].weight)
        torch.testing.assert_close(torch.as_tensor(gradient), expected, rtol=1e-10, atol=1e-14)


# What is refused ------------------------------------------------------------------------------------------------------


def test_what_needs_parameters_whole_says_so(alone):
    spread = gt.minimization(divided(deep(4, 2)), mean_square)
    x = torch.ones(3, 4, dtype=F64)
    for use in (lambda: hessian(spread, x), lambda: gt.trainers.make("simultaneous", spread, lr=0.1).step(x)):
        with pytest.raises(GantoolsError, match=r"gantools\.sharded\(game\).*full_state_dict"):
            use()
    game = gt.sharded(gt.minimization(deep(4, 2), mean_square))
    with pytest.raises(GantoolsError, match="it is not trained.*replicated"):
        gt.trainers.make("simultaneous", game, lr=0.1)
    for use in (lambda: gt.analysis.stationary_point(game, x), lambda: gt.analysis.diagnose(game, [x]), game.vector):
        with pytest.raises(GantoolsError, match="A sharded game has jacobian, hessian"):
            use()
    for method in ("difference", "replay"):
        with pytest.raises(GantoolsError, match="reverse"):
            hessian(game, x, method=method)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (lambda m, x: torch.autograd.grad(m(x).sum(), list(m.parameters()))[0].sum(), "differentiates by the param"),
        (lambda m, x: torch.no_grad()(m[0].weight.mul_)(0.9).sum() + m(x).sum(), "writes into a sharded parameter"),
    ],
)
def test_losses_that_need_parameters_whole_say_so(loss, sentence, alone):
    game = gt.sharded(gt.minimization(deep(4, 2), loss))
    with pytest.raises(GantoolsError, match=sentence):
        hessian(game, torch.ones(3, 4, dtype=F64), check=False)


def test_a_wrong_derivative_is_found_by_differences(alone):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * torch.as_tensor(ctx.saved_tensors[0].detach().numpy()).cos()

    game = gt.sharded(gt.minimization(divided(deep(4, 2)), lambda m, x: Wrong.apply(m(x)).sum()))
    with pytest.raises(GantoolsError, match="off by .* of a central difference"):
        hessian(game, torch.ones(3, 4, dtype=F64))


def test_without_a_group():
    with pytest.raises(GantoolsError, match="torchrun"):
        gt.sharded(gt.minimization(deep(4, 2), mean_square))
