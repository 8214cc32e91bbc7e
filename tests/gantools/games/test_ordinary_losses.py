"""Losses that differentiate inside, recurrent networks and attention have the right Jacobian."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian
from tests import cases
from tests.game_oracles import finite_jacobian, finite_product, frozen_field, own_gradients, relative
from tests.quick import few

F64 = torch.float64


def gradient_penalty_game(penalty_of):
    g, d = cases.mlp(2, 3, 2), cases.mlp(2, 3, 1, seed=1)

    def losses(players, batch):
        fake = players.generator(batch["latent"])
        real_scores, fake_scores = players.discriminator(batch["real"]), players.discriminator(fake)
        penalty = penalty_of(players.discriminator, batch["real"], fake, batch)
        return {
            "generator": -fake_scores.mean(),
            "discriminator": fake_scores.mean() - real_scores.mean() + 10 * penalty,
        }

    return gt.Game({"generator": g, "discriminator": d}, losses)


def wgan_gp(discriminator, real, fake, batch):
    mixed = batch["mixing"] * real + (1 - batch["mixing"]) * fake
    scores = discriminator(mixed)
    (g,) = torch.autograd.grad(scores, mixed, torch.ones_like(scores), create_graph=True)
    return (g.norm(dim=1) - 1).square().mean()


def r1_in_place(discriminator, real, fake, batch):
    real.requires_grad_()
    (g,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return g.square().sum(1).mean()


@pytest.mark.parametrize("penalty", few([wgan_gp, r1_in_place], 1))
def test_losses_that_differentiate_inside_work(penalty):
    game = gradient_penalty_game(penalty)
    batch = {**cases.gan_batch(), "mixing": torch.rand(8, 1, generator=torch.Generator().manual_seed(0), dtype=F64)}
    w = game.vector()
    fresh = {key: value.clone() for key, value in batch.items()}
    losses = game.losses(game.players, fresh)
    assert relative(game.field(batch), own_gradients(losses.values(), game.players.values())) < 1e-13
    assert not batch["real"].requires_grad
    dense = finite_jacobian(frozen_field(game, batch), w)
    for method in ("reverse", "forward"):
        assert relative(jacobian(game, batch, method=method).dense(), dense) < 1e-8
    gt.trainers.Consensus(game, lr=1e-3, gamma=0.1).step(batch)
    assert game.vector().isfinite().all()


class Sequence(nn.Module):
    def __init__(self, kind, n_out):
        super().__init__()
        torch.manual_seed(n_out)
        self.kind, self.inward, self.out = kind, nn.Linear(2, 4), nn.Linear(4, n_out)
        if kind in ("LSTM", "GRU", "RNN"):
            self.core = getattr(nn, kind)(4, 4, num_layers=2, batch_first=True)
        elif kind == "mha":
            self.core = nn.MultiheadAttention(4, 2, batch_first=True)
        elif kind == "encoder":
            self.core = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True, activation="gelu")
        self.to(F64)

    def forward(self, x):
        h = self.inward(x)
        if self.kind == "mha":
            h = self.core(h, h, h, need_weights=False)[0]
        elif self.kind == "sdpa":
            h = F.scaled_dot_product_attention(h, h, h)
        elif self.kind == "encoder":
            h = self.core(h)
        else:
            h = self.core(h)[0]
        return self.out(h)


@pytest.mark.parametrize("kind", few(["LSTM", "GRU", "RNN", "mha", "sdpa", "encoder"], 2))
@pytest.mark.parametrize("training", few([True, False], 1))
def test_recurrent_nets_and_attention(kind, training):
    game = gt.gan(Sequence(kind, 2).train(training), Sequence(kind, 1).train(training))
    batch = cases.gan_batch(3, shape=(4, 2))
    batch["latent"] = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    w, function = game.vector(), frozen_field(game, batch)
    u, v = torch.randn(2, len(w), generator=torch.Generator().manual_seed(1), dtype=F64)
    finite = finite_product(function, w, u, 1e-4)
    for method in ("reverse", "forward"):
        operator = jacobian(game, batch, method=method)
        assert relative(operator @ u, finite) < 1e-8
        assert abs(v @ (operator @ u) - u @ (operator.T @ v)) < 1e-11
    for optimizer in (gt.trainers.Consensus(game, lr=1e-2, gamma=0.1), gt.trainers.Simultaneous(game, lr=1e-2)):
        optimizer.step(batch)
        assert game.vector().isfinite().all()


def test_attention_with_a_gradient_penalty_steps_first_order():
    game = gt.gan(Sequence("mha", 2), Sequence("mha", 1), regularizers=[gt.regularizers.R1(1.0)])
    batch = cases.gan_batch(3, shape=(4, 2))
    batch["latent"] = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    w, field = game.vector(), game.field(batch)
    optimizer = gt.trainers.Simultaneous(game, lr=0.1)
    optimizer.step(batch)
    assert relative(game.vector(), w - 0.1 * field) < 1e-12
    optimizer.step(batch)
