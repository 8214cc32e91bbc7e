"""Games replicated in two processes equal one process on the whole batch."""

import dataclasses

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import eigenvalues, index, jacobian, update_operator
from gantools.analysis.operators.jacobian import hessian
from gantools.errors import GantoolsError
from gantools.games.replicas import replicated
from gantools.trainers import OPTIMIZERS, make
from tests import cases
from tests.two_processes import half, run_in_two

F64 = torch.float64
SETTINGS = {
    "competitive": {"tolerance": 1e-13},
    "adaptive_competitive": {"tolerance": 1e-13, "eps": 0.1},
    "lookahead": {"k": 2},
}


def optimizer(name, game):
    fields = {f.name for f in dataclasses.fields(OPTIMIZERS[name])}
    base = {"base": "adam"} if "base" in fields else {}
    return make(name, game, lr=0.02, **base, **SETTINGS.get(name, {}))


def trained(name, of_process=None):
    """Return parameters and losses after five steps of a method; of one process, or of a replica with its halves."""
    game = cases.tanh_gan(regularizers=[gt.regularizers.R1(0.3)])
    if of_process is not None:
        game = replicated(game)
    method = optimizer(name, game)
    for step in range(5):
        batches = [cases.gan_batch(seed=10 * step + k) for k in range(method.batches_per_step)]
        batches = batches if of_process is None else [half(of_process, batch) for batch in batches]
        info = method.step(*batches)
    return game.vector().numpy(), {player: float(loss) for player, loss in info.losses.items()}


def every_method(rank):
    return {name: trained(name, rank) for name in OPTIMIZERS}


@pytest.mark.slow
def test_every_method_equals_one_process():
    both = run_in_two(every_method)
    for name in OPTIMIZERS:
        w, losses = trained(name)
        for found, found_losses in (one[name] for one in both):
            torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(w), rtol=0, atol=1e-11, msg=name)
            assert found_losses == pytest.approx(losses, abs=1e-11)


def operators(game, batch):
    """Return matrices and judgements that must not depend on how the batch is divided."""
    J = jacobian(game, batch)
    u = torch.linspace(-1, 1, J.n, dtype=F64)
    step = make("consensus", game, lr=0.05, gamma=0.3)
    return {
        "J": J.dense().numpy(),
        "transposed": (J.T @ u).numpy(),
        "forward": (jacobian(game, batch, method="forward") @ u).numpy(),
        "difference": (jacobian(game, batch, method="difference") @ u).numpy(),
        "hessian": hessian(game, batch, player="discriminator").dense().numpy(),
        "update": update_operator(step, batch).dense().numpy(),
        "values": eigenvalues(J, 4, which="LM").values.numpy(),
        "index": index(hessian(game, batch, player="generator")).counts,
        "field": game.field(batch).numpy(),
    }


def operators_of(rank):
    return operators(replicated(cases.tanh_gan()), half(rank, cases.gan_batch()))


def several_batches(game, batches):
    """Return the field and a product over batches of unequal sizes."""
    J = jacobian(game, batches)
    return game.field(batches).numpy(), (J @ torch.linspace(-1, 1, J.n, dtype=F64)).numpy()


def unequal(rank):
    """Take three of the first batch's four samples, or one; and half of the second batch."""
    few, many = cases.gan_batch(4), cases.gan_batch(8, seed=1)
    own = {key: x[:3] if rank == 0 else x[3:] for key, x in few.items()}
    return several_batches(replicated(cases.tanh_gan()), [own, half(rank, many)])


def mistakes(rank):
    """Return the sentences of each process where one of them goes wrong."""
    said = {}
    game = replicated(cases.tanh_gan())
    batch = half(rank, cases.gan_batch())
    with pytest.raises(GantoolsError) as error:
        jacobian(game, batch, method="replay")
    said["replay"] = str(error.value)
    other = gt.minimization(cases.mlp(2, 2 + rank, 1), lambda m, x: m(x).square().mean())
    with pytest.raises(GantoolsError) as error:
        replicated(other)
    said["different"] = str(error.value)
    model = nn.Linear(3, 1, dtype=F64)
    captured = list(model.parameters())

    def loss(m, x):
        penalty = sum((p**2).sum() for p in captured) if rank else 0.0  # in the second process alone
        return m(x).square().mean() + penalty

    game = replicated(gt.minimization(model, loss))
    with pytest.raises(GantoolsError) as error:
        make("simultaneous", game, lr=0.1).step(torch.ones(4, 3, dtype=F64))
    said["captured"] = str(error.value)
    return said


def batch_norm(rank):
    torch.manual_seed(rank)  # the first process's parameters are everybody's
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).to(F64)
    game = replicated(gt.minimization(model, lambda m, x: m(x).square().mean()))
    make("simultaneous", game, lr=0.1).step(half(rank, cases.gan_batch()["real"]))
    return game.vector().numpy(), model[1].running_mean.numpy(), int(model[1].num_batches_tracked)


def everything(rank):
    return operators_of(rank), mistakes(rank), batch_norm(rank), unequal(rank)


@pytest.mark.slow
def test_operators_mistakes_and_buffers():
    (first, said, moved, several), (second, said_there, moved_there, several_there) = run_in_two(everything)
    whole = several_batches(cases.tanh_gan(), [cases.gan_batch(4), cases.gan_batch(8, seed=1)])
    for found in (several, several_there):
        for value, truth in zip(found, whole, strict=True):
            torch.testing.assert_close(torch.as_tensor(value), torch.as_tensor(truth), rtol=0, atol=1e-12)
    expected = operators(cases.tanh_gan(), cases.gan_batch())
    for name, value in expected.items():
        if isinstance(value, dict):
            assert first[name] == second[name] == value
            continue
        close = {"rtol": 0, "atol": 1e-7 if name in ("difference", "values") else 1e-12}
        for found in (first, second):
            torch.testing.assert_close(torch.as_tensor(found[name]), torch.as_tensor(value), **close, msg=name)
    for sentences in (said, said_there):
        assert "cannot record what processes send" in sentences["replay"]
        assert "build the same in each" in sentences["different"]
    assert "captured" in said_there["captured"] or "differs" in said_there["captured"]
    assert said["captured"].startswith("Process 1: ")
    # Running statistics: the mean of both halves' is the whole batch's mean, times the momentum.
    for w, running, count in (moved, moved_there):
        torch.testing.assert_close(torch.as_tensor(w), torch.as_tensor(moved[0]))
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(F64)
        model(cases.gan_batch()["real"])
        torch.testing.assert_close(torch.as_tensor(running), model[1].running_mean)
        assert count == 1


def dies(rank):
    game = replicated(cases.tanh_gan())
    method = make("simultaneous", game, lr=0.1)
    batch = half(rank, cases.gan_batch())
    method.step(batch)
    if rank == 1:
        return "left"
    with pytest.raises(GantoolsError) as error:
        for _ in range(3):
            method.step(batch)
    return str(error.value)


@pytest.mark.slow
def test_a_process_that_ends_stops_the_others_with_a_sentence():
    there, left = run_in_two(dies)
    assert left == "left" and "connection to another process broke" in there


def test_without_a_group():
    with pytest.raises(GantoolsError, match="torchrun"):
        replicated(cases.tanh_gan())
