"""Regularizers against formulas written out by hand: terms, fields, Jacobians, draws, schedules, hooks."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.errors import GantoolsError
from gantools.regularizers import (
    R1,
    R2,
    REGULARIZERS,
    Clip,
    Dragan,
    InstanceNoise,
    Regularizer,
    SpectralNorm,
    WganGP,
    ZeroCentred,
)
from gantools.schedules import Linear
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.draws import drawn
from tests.game_oracles import finite_jacobian, period_map, relative, state_vector
from tests.quick import few

F64 = torch.float64
NORMAL = Dragan(3.0, noise="normal")


def loss_added(generator, discriminator, regularizers, batch):
    """What regularizers add to the discriminator's loss; the generator's must not change."""
    with_them, without = (gt.gan(generator, discriminator, "hinge", some) for some in (regularizers, []))
    values = [game.field_at(game.vector(), game.buffers(), batch).losses for game in (with_them, without)]
    torch.testing.assert_close(values[0]["generator"], values[1]["generator"], rtol=1e-14, atol=0)
    return values[0]["discriminator"] - values[1]["discriminator"]


# The game of `cases.tanh_gan` with every penalty in matrices ---------------------------------------------------------


def plain_field(w, batch, regularizers, loss):
    """The field, from the gradient of D(x) = h + g . tanh(E x + f) by hand; nothing of the library but settings."""
    w = w if w.requires_grad else w.detach().requires_grad_()
    shapes = [(3, 2), (3,), (2, 3), (2,), (3, 2), (3,), (1, 3), (1,)]
    sizes = [int(torch.tensor(shape).prod()) for shape in shapes]
    parts = [piece.reshape(shape) for piece, shape in zip(w.split(sizes), shapes, strict=True)]
    a, b, c, d, e, f, g, h = parts
    real, fake = batch["real"], torch.tanh(batch["latent"] @ a.T + b) @ c.T + d
    settings = {type(r): r for r in regularizers}
    if InstanceNoise in settings:
        std = settings[InstanceNoise].std
        real = real + std * batch["instance_noise.real"]
        fake = fake + std * batch["instance_noise.fake"]

    def squared_slope(x):
        hidden = torch.tanh(x @ e.T + f)
        return (((1 - hidden**2) * g) @ e).square().sum(1)

    def between(key):
        return batch[key][:, None] * real + (1 - batch[key][:, None]) * fake

    penalty = torch.zeros((), dtype=F64)
    for kind, r in settings.items():
        if kind is R1:
            penalty = penalty + r.gamma / 2 * squared_slope(real).mean()
        elif kind is R2:
            penalty = penalty + r.gamma / 2 * squared_slope(fake).mean()
        elif kind is ZeroCentred:
            penalty = penalty + r.weight * squared_slope(between("zero_centred.mix")).mean()
        elif kind is WganGP:
            over = squared_slope(between("wgan_gp.mix")).sqrt() - r.target
            penalty = penalty + r.weight * ((over.clamp(min=0) if r.one_sided else over) ** 2).mean()
        elif kind is Dragan:
            around = real + r.scale * real.flatten().std(correction=0) * batch["dragan.noise"]
            penalty = penalty + r.weight * (squared_slope(around).sqrt() - r.target).square().mean()
    scores = [(torch.tanh(x @ e.T + f) @ g.T + h) for x in (real, fake)]
    log = nn.functional.logsigmoid
    if loss == "relativistic":
        loss_g, loss_d = -log(scores[1] - scores[0]).mean(), -log(scores[0] - scores[1]).mean()
    else:
        loss_g, loss_d = -log(scores[1]).mean(), -log(scores[0]).mean() - log(-scores[1]).mean()
    grads = torch.autograd.grad(loss_g, parts[:4], create_graph=True)
    grads += torch.autograd.grad(loss_d + penalty, parts[4:], create_graph=True)
    return torch.cat([t.reshape(-1) for t in grads])


WRITTEN_OUT = {
    "r1": ([R1(3.0)], "nonsaturating"),
    "r2": ([R2(3.0)], "nonsaturating"),
    "r3gan": ([R1(1.5), R2(1.5)], "relativistic"),
    "wgan_gp": ([WganGP(2.0)], "nonsaturating"),
    "wgan_gp one-sided": ([WganGP(2.0, 0.4, one_sided=True)], "nonsaturating"),
    "zero_centred": ([ZeroCentred(1.5)], "nonsaturating"),
    "dragan": ([Dragan(3.0)], "nonsaturating"),
    "dragan normal": ([NORMAL], "nonsaturating"),
    "instance_noise": ([InstanceNoise(0.4)], "relativistic"),
    "all": ([R1(1.0), R2(2.0), WganGP(0.7), ZeroCentred(0.3), Dragan(1.1), InstanceNoise(0.3)], "nonsaturating"),
}


@pytest.mark.parametrize("case", few(WRITTEN_OUT, 3))
def test_field_and_jacobian_are_those_of_the_formulas(case):
    regularizers, loss = WRITTEN_OUT[case]
    game = cases.tanh_gan(loss, regularizers)
    batch = drawn(game, cases.gan_batch())
    w = game.vector()
    plain = cases.tanh_gan(loss).field(batch)
    expected = plain_field(w, batch, regularizers, loss).detach()
    assert relative(expected, plain) > 1e-2, "the case does not see its regularizer"
    assert relative(game.field(batch), expected) < 1e-12
    dense = finite_jacobian(lambda z: plain_field(z, batch, regularizers, loss).detach(), w)
    for method in ("reverse", "forward"):
        assert relative(jacobian(game, batch, method=method).dense(), dense) < 1e-8


# Images, labels, other forms of data ---------------------------------------------------------------------------------


class Labelled(nn.Module):
    """A discriminator whose slope depends on the label, and a generator that depends on it too."""

    def __init__(self, inner, classes, out):
        super().__init__()
        self.inner = inner
        self.table = nn.Embedding(classes, out, dtype=F64)
        nn.init.constant_(self.table.weight, 0.2)
        self.table.weight.data += torch.arange(classes * out, dtype=F64).reshape(classes, out) / 7

    def forward(self, x, label):
        return self.inner(x) * self.table(label).reshape(-1, *[1] * (self.inner(x).dim() - 1))


def images():
    torch.manual_seed(3)
    d = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1)).to(F64)
    return nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))).to(F64), d, cases.gan_batch(3, shape=(1, 4, 4))


def labelled():
    batch = cases.gan_batch(3) | {"label": torch.tensor([0, 2, 1])}
    return Labelled(cases.mlp(2, 3, 2), 3, 1), Labelled(cases.mlp(2, 3, 1, seed=1), 3, 1), batch


def one_image():
    g, d, batch = images()
    return g, d, {key: value[:1] for key, value in batch.items()}


PENALTIES = {
    "R1": (R1(2.0), lambda s: s.square()),
    "R2": (R2(2.0), lambda s: s.square()),
    "ZeroCentred": (ZeroCentred(1.0), lambda s: s.square()),
    "WganGP": (WganGP(1.0, 0.5), lambda s: (s - 0.5).square()),
    "Dragan": (Dragan(1.0), lambda s: (s - 1).square()),
}


@pytest.mark.parametrize("data", [images, labelled, one_image])
@pytest.mark.parametrize("name", PENALTIES)
def test_terms_sample_by_sample(data, name):
    g, d, batch = data()
    regularizer, of_slope = PENALTIES[name]
    batch = drawn([regularizer], batch)
    label = batch.get("label")
    labels = [()] * len(batch["real"]) if label is None else [(label[i : i + 1],) for i in range(len(label))]
    fakes = [g(batch["latent"][i : i + 1], *labels[i])[0].detach() for i in range(len(labels))]
    terms = []
    for i, real in enumerate(batch["real"]):
        if name in ("ZeroCentred", "WganGP"):
            mix = batch["zero_centred.mix" if name == "ZeroCentred" else "wgan_gp.mix"][i]
            x = mix * real + (1 - mix) * fakes[i]
        elif name == "Dragan":
            x = real + 0.5 * float(batch["real"].numpy().std()) * batch["dragan.noise"][i]
        else:
            x = fakes[i] if name == "R2" else real
        x = x[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(d(x, *labels[i]).sum(), x)
        terms.append(of_slope(slope.flatten().norm()))
    torch.testing.assert_close(loss_added(g, d, [regularizer], batch), torch.stack(terms).mean())


def test_other_numbers_of_latents_than_of_real_samples():
    batch = cases.gan_batch(6) | {"latent": cases.gan_batch(4)["latent"]}
    for regularizer in (InstanceNoise(0.3), Dragan(), R1(), R2()):
        game = cases.tanh_gan(regularizers=[regularizer])
        assert game.field(drawn(game, batch)).isfinite().all()
    for regularizer in (WganGP(), ZeroCentred()):
        game = cases.tanh_gan(regularizers=[regularizer])
        with pytest.raises(GantoolsError, match="there are 6 and 4: draw as many latents as real samples"):
            game.field(drawn(game, batch))


def test_terms_add_up():
    batch = cases.gan_batch()
    fields = [cases.tanh_gan("minimax", r).field(batch) for r in ([], [R1(1.0)], [R2(2.0)], [R1(1.0), R2(2.0)])]
    torch.testing.assert_close(fields[3] - fields[0], fields[1] + fields[2] - 2 * fields[0])


def test_the_batch_is_left_as_it_was_and_real_samples_carry_a_gradient_only_where_they_must():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = cases.mlp(2, 3, 1, seed=1)

        def forward(self, x):
            seen.append(x.requires_grad)
            return self.inner(x)

    batch = cases.gan_batch()
    for regularizers, expected in (([], False), ([R2()], False), ([R1()], True), ([InstanceNoise(), R1()], True)):
        seen.clear()
        game = gt.gan(cases.mlp(2, 3, 2), Watching(), regularizers=regularizers)
        complete = drawn(game, batch)
        game.field(complete)
        assert seen[-2:] == [expected, True]  # behind the arbiter's own evaluations
        assert not any(value.requires_grad for value in complete.values())


# Schedules -----------------------------------------------------------------------------------------------------------


SCHEDULED = {
    "R1": lambda value: R1(value),
    "R2": lambda value: R2(value),
    "WganGP": lambda value: WganGP(value),
    "ZeroCentred": lambda value: ZeroCentred(value),
    "Dragan": lambda value: Dragan(value),
    "InstanceNoise": lambda value: InstanceNoise(value),
}


@pytest.mark.parametrize("name", few(SCHEDULED, 2))
def test_a_schedule_has_its_value_at_the_step_of_the_batch(name):
    make = SCHEDULED[name]
    game = cases.tanh_gan(regularizers=[make(Linear(2.0, 0.0, 10))])
    batch = drawn(game, cases.gan_batch())
    assert game.regularizers[0].scheduled and not make(1.0).scheduled
    for step, value in ((0, 2.0), (5, 1.0), (10, 0.0), (400, 0.0)):
        now = batch | {"step": torch.tensor(step)}
        assert relative(game.field(now), cases.tanh_gan(regularizers=[make(value)]).field(batch)) < 1e-14
        if not value:
            assert relative(game.field(now), cases.tanh_gan().field(batch)) < 1e-14
    with pytest.raises(GantoolsError, match=rf'of {name} is a schedule.*add batch\["step"\] = torch.tensor\(step\)'):
        game.field(batch)
    operator = update_operator(Simultaneous(game, lr=0.1), batch | {"step": torch.tensor(5)})
    fixed = update_operator(Simultaneous(cases.tanh_gan(regularizers=[make(1.0)]), lr=0.1), batch)
    assert relative(operator.dense(), fixed.dense()) < 1e-14  # in blocks or one by one, by which was faster


# All of them ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(REGULARIZERS, 2))
@pytest.mark.parametrize("make", few([Consensus, Simultaneous], 1))
def test_every_regularizer_trains_and_its_step_is_linearised(name, make):
    regularizer = Clip(0.4) if name == "clip" else REGULARIZERS[name]()
    game = cases.tanh_gan(regularizers=[regularizer])
    optimizer = make(game, lr=5e-3, **({"gamma": 0.5} if make is Consensus else {}))
    start = game.vector()
    for step in range(4):
        info = optimizer.step(drawn(game, cases.gan_batch(seed=step), step))
        assert info.field_norm.isfinite()
    assert not torch.equal(game.vector(), start)
    batch = drawn(game, cases.gan_batch(seed=9))
    step = period_map(optimizer, [batch])

    def frozen_step(z):
        with game.frozen(follow=True):
            return step(z)

    # Clamped coordinates stand at the edge of the box, which small steps do not leave the same side of.
    expected = finite_jacobian(frozen_step, state_vector(game, optimizer), 1e-5 if name == "clip" else 1e-3)
    assert relative(update_operator(optimizer, batch).dense(), expected) < 1e-7


def test_one_of_your_own_composes_with_the_others():
    class Shrink(Regularizer):
        """Pull the scores of real samples to 0, as Progressive GAN's drift does."""

        def __call__(self, seen):
            return {"discriminator": 0.5 * seen.real_scores.square().mean()}

        def constraints(self):
            return {"discriminator": lambda w: w.clamp(min=-0.1)}

    game = cases.tanh_gan("hinge", [Shrink(), R1(1.0), Clip(0.3)])
    batch = cases.gan_batch()
    d = game.players.discriminator
    drift = torch.autograd.grad(0.5 * d(batch["real"]).square().mean(), list(d.parameters()))
    without = cases.tanh_gan("hinge", [R1(1.0)])
    added = (game.field(batch) - without.field(batch))[game.slices["discriminator"]]
    assert relative(added, torch.cat([t.flatten() for t in drift])) < 1e-12
    Simultaneous(game, lr=0.1).step(batch)
    held = game.vector()[game.slices["discriminator"]]
    assert held.min() == -0.1 and held.max() == 0.3


BAD = [
    (lambda: R1(-1.0), "gamma = -1.0 is not a weight: pass a number of at least 0"),
    (lambda: R2(float("nan")), "pass a number of at least 0"),
    (lambda: R1(Linear(1.0, -1.0)), "pass a number of at least 0"),
    (lambda: R1("much"), "pass a positive number, or a schedule"),
    (lambda: WganGP(-0.1), "weight = -0.1"),
    (lambda: WganGP(target=-1.0), "target = -1.0 is not a norm"),
    (lambda: ZeroCentred(-1.0), "weight = -1.0"),
    (lambda: Dragan(scale=-1.0), "scale = -1.0"),
    (lambda: Dragan(noise="cauchy"), "Unknown noise 'cauchy': pass 'uniform' or 'normal'"),
    (lambda: InstanceNoise(-0.1), "std = -0.1"),
    (lambda: SpectralNorm(0), "at least one power iteration"),
    (lambda: Clip(0.0), "pass a positive number"),
    (lambda: cases.tanh_gan(regularizers=[R1]), r"the class R1 cannot be used: pass instances"),
    (lambda: cases.tanh_gan(regularizers=[lambda *a: {}]), "derived from gantools.regularizers.Regularizer"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_wrong_settings(make, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        make()


def test_registry():
    published = {"r1", "r2", "wgan_gp", "zero_centred", "dragan", "instance_noise", "spectral_norm", "clip"}
    assert set(REGULARIZERS) == published and REGULARIZERS["r1"] is R1
    assert all("arXiv:" in REGULARIZERS.describe(name) for name in published)
    with pytest.raises(GantoolsError, match="Unknown regularizer 'R1'. Did you mean 'r1'"):
        REGULARIZERS["R1"]
