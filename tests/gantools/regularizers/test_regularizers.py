"""Regularizers against formulas written out by hand: terms, fields, Jacobians, draws, schedules, hooks."""

import cmath
import copy

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian, update_operator
from gantools.batches import halves
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
    draw,
)
from gantools.schedules import Linear
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.game_oracles import eigenvalues, finite_jacobian, match_distance, period_map, relative, state_vector
from tests.quick import few

F64 = torch.float64
NORMAL = Dragan(3.0, noise="normal")


def drawn(regularizers, batch, seed=0):
    return draw(regularizers, batch, torch.Generator().manual_seed(seed))


def split(game, field):
    return (field[part] for part in game.slices.values())


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


@pytest.mark.parametrize("case", few(WRITTEN_OUT, 6))
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


# Closed forms on the Dirac-GAN ---------------------------------------------------------------------------------------


def both_roots(real, under_root):
    root = cmath.sqrt(under_root)
    return [real - root, real + root]


DIRAC = {
    "R1": (lambda g: [R1(g)], "minimax", lambda g: (-g / 2, g**2 / 4 - 0.25)),
    "R2": (lambda g: [R2(g)], "nonsaturating", lambda g: (-g / 2, g**2 / 4 - 0.25)),
    "R1 of WGAN": (lambda g: [R1(g)], "wasserstein", lambda g: (-g / 2, g**2 / 4 - 1)),
    "R3GAN": (lambda g: [R1(g), R2(g)], "relativistic", lambda g: (-g, g**2 - 0.25)),
    "zero-centred": (lambda g: [ZeroCentred(g)], "minimax", lambda g: (-g, g**2 - 0.25)),
    # For any symmetric noise of this variance: at 0 its first and second moments alone count. f'' = -1/4.
    "instance noise": (lambda g: [InstanceNoise(g)], "minimax", lambda g: (-(g**2) / 4, g**4 / 16 - 0.25)),
}


@pytest.mark.parametrize("case", DIRAC)
@pytest.mark.parametrize("weight", [0.2, 0.7, 1.3, 3.0])
def test_dirac_gan_eigenvalues(case, weight):
    make, loss, expected = DIRAC[case]
    two_points = torch.tensor([[1.0], [-1.0]], dtype=F64)
    batch = {
        **cases.DIRAC_BATCH,
        "zero_centred.mix": torch.tensor([0.3, 0.8], dtype=F64),
        "instance_noise.real": two_points,
        "instance_noise.fake": two_points,
    }
    found = -eigenvalues(jacobian(cases.dirac(loss, regularizers=make(weight)), batch))  # Mescheder's v' = -J
    assert match_distance(found, both_roots(*expected(weight))) < 1e-9


@pytest.mark.parametrize("gamma", [0.0, 0.7, 10.0])
def test_r1_on_the_dirac_gan_is_half_gamma_psi_squared(gamma):
    plain = cases.dirac("minimax", 0.3, -0.8).field(cases.DIRAC_BATCH)
    for regularizer in (R1(gamma), R2(gamma)):
        field = cases.dirac("minimax", 0.3, -0.8, [regularizer]).field(cases.DIRAC_BATCH)
        torch.testing.assert_close(field - plain, torch.tensor([0.0, gamma * -0.8], dtype=F64))


def distances(regularizer, steps=500, lr=0.1):
    game = cases.dirac("nonsaturating", 1.0, 1.0, [regularizer])
    batch, optimizer, norms = drawn(game, cases.DIRAC_BATCH), Simultaneous(game, lr=lr), []
    for _ in range(steps):
        optimizer.step(batch)
        norms.append(game.vector().norm().item())
    return norms


@pytest.mark.slow
def test_wgan_gp_does_not_converge_on_the_dirac_gan_and_r1_does():
    assert min(distances(WganGP(0.7))[-100:]) > 0.3
    assert max(distances(R1(0.7))[-100:]) < 1e-3


# Where a gradient vanishes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regularizer", [WganGP(), WganGP(one_sided=True), Dragan(), ZeroCentred(), R1(), R2()])
@pytest.mark.parametrize("dtype", few([torch.float32, F64], 1))
def test_nothing_is_nan_where_the_gradient_is_zero(regularizer, dtype):
    """Bug 10 of public code: the root of the sum of squares has no derivative at 0."""
    game = cases.tanh_gan("wasserstein", [regularizer], dtype=dtype)
    batch = drawn(game, cases.gan_batch(dtype=dtype))
    with torch.no_grad():
        game.players.discriminator[-1].weight.zero_()  # so that no score depends on its sample
    plain = gt.gan(*game.players.values(), "wasserstein")
    torch.testing.assert_close(game.field(batch), plain.field(batch))
    for method in ("reverse", "forward"):
        assert jacobian(game, batch, method=method).dense().isfinite().all()
    optimizer = Consensus(game, lr=1e-3)
    optimizer.step(batch)
    assert game.vector().isfinite().all()


@pytest.mark.parametrize("psi", [1e-25, -1e-30, 3e-40, 1e19])
def test_the_norm_has_its_derivatives_beyond_the_range_of_squares(psi):
    """In float32 the squares of these, or the powers of the squares in the derivatives, are 0 or infinite."""
    game = cases.dirac("wasserstein", 0.0, psi, [WganGP(0.5)])
    game.module.float()
    game = gt.gan(*game.players.values(), "wasserstein", [WganGP(0.5)])
    batch = drawn(game, {key: value.float() for key, value in cases.DIRAC_BATCH.items()})
    sign, size = (1 if psi > 0 else -1), abs(psi)
    expected = torch.tensor([-psi, sign * (size - 1)])  # the penalty is (|psi| - 1)^2 / 2
    torch.testing.assert_close(game.field(batch), expected)
    # Its entries cancel at the scale 1/psi of curvature, in each way of differentiating differently.
    assert jacobian(game, batch, method="reverse").dense().isfinite().all()


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_batch_of_one_sample(name):
    regularizer = REGULARIZERS[name]()
    game = cases.tanh_gan("hinge", [regularizer])
    batch = drawn(game, cases.gan_batch(1))
    assert game.field(batch).isfinite().all() and jacobian(game, batch).dense().isfinite().all()


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


# What is drawn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGULARIZERS)
def test_draws_come_from_the_generator_alone_one_row_a_sample(name):
    game, batch = cases.tanh_gan(regularizers=[REGULARIZERS[name]()]), cases.gan_batch(6)
    before = torch.get_rng_state()
    first, again, other = drawn(game, batch), drawn(game.regularizers, batch), drawn(game, batch, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    new = set(first) - set(batch)
    assert all(key.startswith(f"{name}.") for key in new)
    for key in new:
        assert torch.equal(first[key], again[key]) and not torch.equal(first[key], other[key])
        assert len(first[key]) == 6 and first[key].dtype == F64
    even, odd = halves(first)
    fields = [game.field(part) for part in (even, odd)]
    linear_in_samples = name != "dragan"  # it takes the deviation of the batch
    if linear_in_samples:
        torch.testing.assert_close((fields[0] + fields[1]) / 2, game.field(first))


def test_laws_of_what_is_drawn():
    batch = {"real": torch.zeros(4000, 5), "latent": torch.zeros(4000, 2)}
    complete = drawn([WganGP(), InstanceNoise(), Dragan()], batch)
    mix, noise = complete["wgan_gp.mix"], complete["instance_noise.fake"]
    assert mix.shape == (4000,) and mix.min() >= 0 and mix.max() < 1 and abs(mix.mean() - 0.5) < 0.02
    assert noise.shape == (4000, 5) and abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    assert abs((noise * complete["instance_noise.real"]).mean()) < 0.03
    theirs = complete["dragan.noise"]  # alpha u: mean 1/4, and the coordinates of a sample share alpha
    assert theirs.min() >= 0 and theirs.max() < 1 and abs(theirs.mean() - 0.25) < 0.02
    assert torch.corrcoef(theirs[:, :2].T)[0, 1] > 0.3
    normal = drawn([NORMAL], batch)["dragan.noise"]
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03


def test_what_was_not_drawn_is_asked_for():
    for regularizer, key in (
        (WganGP(), "wgan_gp.mix"),
        (ZeroCentred(), "zero_centred.mix"),
        (Dragan(), "dragan.noise"),
        (InstanceNoise(), "instance_noise.real"),
    ):
        game = cases.tanh_gan(regularizers=[regularizer])
        with pytest.raises(GantoolsError) as error:
            game.field(cases.gan_batch())
        assert f"no '{key}', the random numbers of {type(regularizer).__name__}" in str(error.value)
        assert "batch = gantools.regularizers.draw(game, batch, generator)" in str(error.value)
        with pytest.raises(GantoolsError, match="8 rows of .* for 4 samples"):
            game.field(drawn(game, cases.gan_batch(8)) | cases.gan_batch(4))
    with pytest.raises(GantoolsError, match='the key "real"'):
        drawn([R1()], {"latent": torch.zeros(2, 1)})


def test_half_batches_of_a_second_order_method_take_their_own_draws():
    game = cases.tanh_gan(regularizers=[WganGP(0.5), InstanceNoise(Linear(0.3, 0.1, 10))])
    batch = drawn(game, cases.gan_batch()) | {"step": torch.tensor(4)}
    optimizer = Consensus(game, lr=1e-2, gamma=0.5, estimator="independent")
    w, _ = optimizer.update(game.vector(), optimizer.init(game.vector()), batch)
    xi = [game.field(part) for part in halves(batch)]
    j = [jacobian(game, part).dense() for part in halves(batch)]
    direction = (xi[0] + xi[1]) / 2 + 0.5 * 0.5 * (j[0].T @ xi[1] + j[1].T @ xi[0])
    assert relative(game.vector() - w, 1e-2 * direction) < 1e-10


# Schedules -----------------------------------------------------------------------------------------------------------


SCHEDULED = {
    "R1": lambda value: R1(value),
    "R2": lambda value: R2(value),
    "WganGP": lambda value: WganGP(value),
    "ZeroCentred": lambda value: ZeroCentred(value),
    "Dragan": lambda value: Dragan(value),
    "InstanceNoise": lambda value: InstanceNoise(value),
}


@pytest.mark.parametrize("name", SCHEDULED)
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


# Spectral normalisation ----------------------------------------------------------------------------------------------


def normalised(layer):
    return torch.linalg.matrix_norm(layer.weight.detach().movedim(transposed(layer), 0).flatten(1), 2)


def transposed(layer):
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


def test_spectral_norm_makes_every_largest_singular_value_one():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Linear(2, 18), nn.Unflatten(1, (2, 3, 3)), nn.ConvTranspose2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3),
        nn.Flatten(), nn.Linear(36, 1),
    ).to(F64)  # fmt: skip
    weights = [copy.deepcopy(layer.weight.detach()) for layer in (plain[0], plain[2], plain[4], plain[6])]
    generator, before = cases.mlp(2, 3, 2), torch.get_rng_state()
    game = gt.gan(generator, plain, "hinge", [SpectralNorm()])
    assert torch.equal(torch.get_rng_state(), before)
    layers = [plain[0], plain[2], plain[4], plain[6]]
    for layer, weight in zip(layers, weights, strict=True):
        assert abs(normalised(layer) - 1) < 1e-9
        sigma = torch.linalg.matrix_norm(weight.movedim(transposed(layer), 0).flatten(1), 2)
        torch.testing.assert_close(layer.weight.detach(), weight / sigma)
    optimizer = Simultaneous(game, lr=1e-2, base="adam")
    for step in range(30):
        optimizer.step(cases.gan_batch(seed=step))
    assert all(abs(normalised(layer) - 1) < 1e-2 for layer in layers)
    assert not torch.equal(layers[0].weight.detach(), weights[0])


def test_spectral_norm_field_is_the_gradient_through_the_singular_value():
    batch = cases.gan_batch()
    game = cases.tanh_gan("hinge", [SpectralNorm()])
    plain = cases.tanh_gan("hinge").players
    g, d = plain.generator, plain.discriminator

    def score(x):
        for layer in (d[0], d[2]):
            x = nn.functional.linear(x, layer.weight / torch.linalg.svdvals(layer.weight)[0], layer.bias)
            x = torch.tanh(x) if layer is d[0] else x
        return x

    loss = torch.relu(1 - score(batch["real"])).mean() + torch.relu(1 + score(g(batch["latent"]))).mean()
    gradients = torch.autograd.grad(loss, list(d.parameters()))
    expected = dict(zip(("0.weight", "0.bias", "2.weight", "2.bias"), gradients, strict=True))
    names = [n.removeprefix("discriminator.") for n in game.named_parameters() if n.startswith("discriminator")]
    wanted = [expected[n.replace("parametrizations.weight.original", "weight")].flatten() for n in names]
    torch.testing.assert_close(game.field(batch)[game.slices["discriminator"]], torch.cat(wanted))


def test_spectral_norm_is_put_on_once_and_only_on_the_discriminator():
    g, d = cases.mlp(2, 3, 2), cases.mlp(2, 3, 1, seed=1)
    nn.utils.parametrizations.spectral_norm(d[0])
    for _ in range(2):
        game = gt.gan(g, d, regularizers=[SpectralNorm()])
    assert [len(layer.parametrizations.weight) for layer in (d[0], d[2])] == [1, 1]
    assert not any("parametrizations" in name for name in game.named_parameters() if name.startswith("generator"))
    assert game.players.discriminator is d
    again = gt.gan(g, nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 1).to(F64))), regularizers=[SpectralNorm()])
    assert not any("parametrizations" in name for name in again.named_parameters())


def test_spectral_norm_says_what_it_cannot_normalise():
    d = cases.mlp(2, 3, 1)
    nn.init.zeros_(d[2].weight)
    with pytest.raises(GantoolsError, match="layer '2' is zero.*leave spectral_norm out"):
        gt.gan(cases.mlp(2, 3, 2), d, regularizers=[SpectralNorm()])
    with pytest.raises(GantoolsError, match="no linear or convolutional layer"):
        cases.dirac("minimax", regularizers=[SpectralNorm()])


# Clipping ------------------------------------------------------------------------------------------------------------


def test_clip_holds_the_discriminator_in_its_box_under_any_method():
    for make in (lambda g: Simultaneous(g, lr=0.1, base="adam"), lambda g: Consensus(g, lr=0.1, gamma=0.1)):
        game = cases.tanh_gan("wasserstein", [Clip(0.2)])
        optimizer = make(game)
        for step in range(3):
            optimizer.step(cases.gan_batch(seed=step))
            assert all(p.abs().max() <= 0.2 for p in game.players.discriminator.parameters())
        assert any(p.abs().max() > 0.2 for p in game.players.generator.parameters())


def test_a_clamped_coordinate_is_a_row_of_zeros_of_the_update_operator():
    clipped, free = (
        Simultaneous(cases.tanh_gan("wasserstein", some), lr=0.1, base="momentum") for some in ([Clip(0.5)], [])
    )
    batch = cases.gan_batch()
    w, _ = free.update(free.game.vector(), free.state, batch)
    part = free.game.slices["discriminator"]
    outside = torch.zeros(2 * len(w), dtype=torch.bool)
    outside[part] = w[part].abs() > 0.5
    assert 0 < outside.sum() < 13
    expected = update_operator(free, batch).dense()
    expected[outside] = 0
    found = update_operator(clipped, batch).dense()
    assert relative(found, expected) < 1e-14 and not found[outside].any()


# All of them ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(REGULARIZERS, 3))
@pytest.mark.parametrize("make", [Consensus, Simultaneous])
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
