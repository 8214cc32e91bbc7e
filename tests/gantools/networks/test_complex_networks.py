"""Complex, unitary and residual networks: the paper's sizes, plain native forms, analysis, training, compiling."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gantools as gt
from gantools.cli import main
from gantools.errors import GantoolsError
from gantools.networks import NETWORKS, ComplexMLP, ComplexResNet, ResNet
from gantools.networks.dcgan import ComplexDcgan
from gantools.networks.resnet import ComplexResnet
from gantools.nn import ComplexBatchNorm, ComplexConv2d, LearnedImaginary, UnitaryLinear
from gantools.nn.complex.layers import as_complex
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.training_loop import prepare
from tests.draws import seeded
from tests.quick import few

F64 = torch.float64
IMAGE = (1, 4, 4)


def count(module):
    return sum(p.numel() for p in module.parameters())


# Deep Complex Networks -----------------------------------------------------------------------------------------------


def paper_count(filters, blocks, is_complex):
    """Count the parameters of the CIFAR-10 network by hand: kernels without biases, norms, the real head."""
    size, norm = (2, 5) if is_complex else (1, 2)
    stem = 2 * (2 * 3 + 3 * 3 + 3) if is_complex else 0  # twice batch norm, 1x1 convolution with bias
    total = stem + size * 27 * filters + norm * filters
    for stage, channels in enumerate((filters, 2 * filters, 4 * filters)):
        total += (blocks - (stage > 0)) * 2 * (size * 9 * channels**2 + norm * channels)
        if stage < 2:
            total += 2 * (size * 9 * channels**2 + norm * channels) + size * channels**2
    return total + size * 4 * filters * 10 + 10


@pytest.mark.parametrize(("filters", "blocks"), few([(12, 16), (10, 23), (11, 19)], 1))
def test_the_complex_networks_of_the_paper_have_1_7_million_parameters(filters, blocks):
    n = count(ComplexResNet(filters=filters, blocks=blocks, init="variance", rng=seeded()))
    assert n == paper_count(filters, blocks, True)
    assert n == pytest.approx(1.7e6, rel=0.02)


@pytest.mark.parametrize(("filters", "blocks"), [(18, 14), (14, 23), (16, 18)])
def test_their_real_counterparts_have_as_many(filters, blocks):
    n = count(ResNet(filters=filters, blocks=blocks, rng=seeded()))
    assert n == paper_count(filters, blocks, False)
    assert n == pytest.approx(1.7e6, rel=0.05)


def whiten(z, layer):
    """Normalise with the running statistics of a complex batch norm, by native square roots of matrices."""
    rr, ri, ii = layer.running_covariance.unbind(-1)
    v = torch.stack([torch.stack([rr, ri], -1), torch.stack([ri, ii], -1)], -2) + layer.eps * torch.eye(2, dtype=F64)
    values, vectors = torch.linalg.eigh(v)
    root = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    g = layer.weight
    gamma = torch.stack([torch.stack([g[:, 0], g[:, 1]], -1), torch.stack([g[:, 1], g[:, 2]], -1)], -2)
    x = torch.view_as_real(z - as_complex(layer.running_mean)[:, None, None])
    return (
        torch.view_as_complex(torch.einsum("cij,nchwj->nchwi", gamma @ root, x).contiguous())
        + as_complex(layer.bias)[:, None, None]
    )


def test_the_complex_resnet_is_the_papers_in_native_complex_operations():
    """Stem, two blocks, a change of stage by concatenation, one block, another change; in evaluation mode."""
    net = ComplexResNet(2, 3, filters=3, blocks=2, activation="crelu", rng=seeded()).double()
    images = torch.randn(5, 2, 8, 8, generator=seeded(), dtype=F64)
    for _ in range(20):
        net(images)  # moves the running statistics
    net.eval()
    modules = [m for m in net.modules() if isinstance(m, (ComplexConv2d, ComplexBatchNorm))]
    convs = [as_complex(m.weight) for m in modules if isinstance(m, ComplexConv2d)]
    norms = [m for m in modules if isinstance(m, ComplexBatchNorm)]
    assert all(m.bias is None for m in modules if isinstance(m, ComplexConv2d))

    def act(z, norm):
        z = whiten(z, norm)
        return torch.complex(F.relu(z.real), F.relu(z.imag))

    def branch(z, stride=1):
        z = F.conv2d(act(z, norms.pop(0)), convs.pop(0), padding=1, stride=stride)
        return F.conv2d(act(z, norms.pop(0)), convs.pop(0), padding=1)

    stem = next(m for m in net.modules() if isinstance(m, LearnedImaginary))
    z = F.conv2d(torch.complex(images, stem(images).imag), convs.pop(0), padding=1)
    z = act(z, norms.pop(0))
    z = z + branch(z)
    z = z + branch(z)
    for blocks in (1, 1):
        halved = branch(z, stride=2)
        z = torch.cat([F.conv2d(z, convs.pop(0), stride=2), halved], 1)
        for _ in range(blocks):
            z = z + branch(z)
    assert not convs and not norms
    mean = z.mean((2, 3))
    expected = torch.cat([mean.real, mean.imag], 1) @ net.head.weight.T + net.head.bias
    assert mean.shape == (5, 12)
    torch.testing.assert_close(net(images), expected, rtol=1e-10, atol=1e-10)


def test_the_complex_mlp_in_native_complex_operations():
    net = ComplexMLP((2,), (3,), (4, 4), "crelu", rng=seeded()).double()
    x = torch.randn(6, 2, generator=seeded(), dtype=F64)
    first, second, head = (m for m in net.modules() if isinstance(m, nn.Linear))
    z = x.to(torch.complex128)
    for layer in (first, second):
        z = z @ as_complex(layer.weight).T + as_complex(layer.bias)
        z = torch.complex(F.relu(z.real), F.relu(z.imag))
    expected = torch.cat([z.real, z.imag], 1) @ head.weight.T + head.bias
    torch.testing.assert_close(net(x), expected)


# In the registry -----------------------------------------------------------------------------------------------------

SMALL = {"width": 1, "blocks": 1, "depth": 2}  # and 4 units a layer where they are not channels


def small(name):
    """Return the network at its smallest, whatever else is registered in time."""
    known = {field.name for field in dataclasses.fields(NETWORKS[name])}
    sizes = SMALL if name.endswith(("dcgan", "resnet")) else {**SMALL, "width": 4}
    return NETWORKS[name](**{key: value for key, value in sizes.items() if key in known})


TINY = {name: small(name) for name in NETWORKS}
VARIANTS = {
    **TINY,
    "complex_dcgan, batch norm": ComplexDcgan(width=1, norm="batch", imaginary="learned"),
    "complex_resnet, batch norm": ComplexResnet(width=1, blocks=1, norm="batch", imaginary="learned"),
    "complex_mlp, learned": NETWORKS["complex_mlp"](depth=1, width=4, imaginary="learned"),
}


def smooth(name):
    return "cardioid" if name.startswith(("complex", "unitary")) else "silu"


def tiny_game(network, activation, regularizers=(), size=6):
    generator, discriminator = network.build(IMAGE, activation, 3, seeded())
    game = gt.gan(generator.double(), discriminator.double(), regularizers=regularizers)
    # Away from the start, where biases are zero and unitary matrices have their first value.
    w = game.vector()
    game.load_vector(w + 0.1 * torch.randn(len(w), generator=seeded(2), dtype=F64))
    batch = {
        "real": torch.rand(size, *IMAGE, generator=seeded(1), dtype=F64) * 2 - 1,
        "latent": torch.randn(size, 3, generator=seeded(3), dtype=F64),
    }
    return game, batch


def central_difference(function, h=1e-4):
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


DEEPEST = "complex_resnet, batch norm"
BUT_THE_DEEPEST = [pytest.param(name, marks=pytest.mark.slow) if name == DEEPEST else name for name in VARIANTS]


@pytest.mark.parametrize("name", BUT_THE_DEEPEST)
@pytest.mark.slow
def test_jacobian_products_agree_with_finite_differences(name):
    game, batch = tiny_game(VARIANTS[name], smooth(name))
    jacobian, w, buffers = gt.analysis.jacobian(game, batch), game.vector(), game.buffers()
    u, v = torch.randn(2, len(w), generator=seeded(5), dtype=F64)
    u /= u.norm()
    product = jacobian @ u
    difference = central_difference(lambda t: game.field_at(w + t * u, buffers, batch).vector)
    torch.testing.assert_close(product, difference, rtol=1e-5, atol=1e-7 * float(product.norm()))
    torch.testing.assert_close((jacobian.T @ v) @ u, v @ product, rtol=1e-9, atol=1e-11)


# A dense matrix of the residual ones takes as many products as it has columns: up to a minute on a busy core.
DENSE = [name for name in VARIANTS if name != DEEPEST]


@pytest.mark.slow
@pytest.mark.parametrize("name", DENSE)
def test_products_and_leading_eigenvalues_agree_with_the_dense_matrix(name):
    game, batch = tiny_game(VARIANTS[name], smooth(name))
    jacobian = gt.analysis.jacobian(game, batch)
    dense = jacobian.dense()
    u = torch.randn(len(dense), generator=seeded(5), dtype=F64)
    torch.testing.assert_close(jacobian @ u, dense @ u, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(jacobian.T @ u, dense.T @ u, rtol=1e-8, atol=1e-10)
    found = gt.analysis.eigenvalues(jacobian, k=4, which="LM", tol=1e-8)
    every = np.linalg.eigvals(dense.numpy())
    every = every[np.argsort(-abs(every))]
    assert found.converged.all()
    values = np.asarray(found.values)
    for value in values:
        assert abs(every - value).min() < 1e-6 * abs(every[0])
    assert sorted(abs(values), reverse=True) == pytest.approx(abs(every[: len(values)]), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["complex_mlp", "unitary_mlp", "complex_dcgan", pytest.param("complex_resnet", marks=pytest.mark.slow)]
)
def test_hessian_index_and_update_operator_run(name):
    game, batch = tiny_game(TINY[name], "modrelu")
    hessian = gt.analysis.hessian(game, batch, player="discriminator")
    index = gt.analysis.index(hessian)
    assert index.negative + index.zero + index.positive == pytest.approx(1)
    optimizer = gt.trainers.make("consensus", game, lr=1e-3, gamma=0.1, base="sgd")
    operator = gt.analysis.update_operator(optimizer, batch)
    u = torch.randn(operator.shape[0], generator=seeded(), dtype=F64)
    jacobian = gt.analysis.jacobian(game, batch)
    plain = u[: jacobian.shape[0]]
    assert torch.isfinite(operator @ u).all()
    assert ((operator @ u)[: len(plain)] - plain).norm() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["complex_mlp", "complex_dcgan", "complex_resnet"])
def test_gradient_penalties_differentiate_complex_networks_twice(name):
    game, batch = tiny_game(TINY[name], "cardioid", [gt.regularizers.R1(gamma=1.0)])
    jacobian, w, buffers = gt.analysis.jacobian(game, batch), game.vector(), game.buffers()
    u = torch.randn(len(w), generator=seeded(5), dtype=F64)
    u /= u.norm()
    difference = central_difference(lambda t: game.field_at(w + t * u, buffers, batch).vector)
    torch.testing.assert_close(jacobian @ u, difference, rtol=1e-5, atol=1e-7)


def config(name, method, steps, settings, data="digits"):
    return TrainConfig(
        Choice(method, {"lr": 1e-4, "base": Choice("rmsprop"), **({"gamma": 1.0} if method == "consensus" else {})}),
        data=Choice(data),
        network=Choice(name, settings),
        batch_size=16,
        steps=steps,
        spectrum_every=0,
        sample_every=0,
        checkpoint_every=0,
        device="cpu",
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simultaneous", "consensus"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_for_200_steps(tmp_path, name, method):
    outcome = prepare(config(name, method, 200, {}), tmp_path / "run").run()
    assert outcome.step == 200
    game = gt.load(tmp_path / "run").game
    assert torch.isfinite(game.vector()).all()


@pytest.mark.parametrize("method", few(["simultaneous", "consensus"], 1))
@pytest.mark.parametrize("name", few(BUT_THE_DEEPEST, 4))
def test_every_network_takes_steps(name, method):
    game, batch = tiny_game(VARIANTS[name], "")
    start = game.vector()
    optimizer = gt.trainers.make(method, game, lr=1e-3)
    for _ in range(3):
        optimizer.step(batch)
    moved = game.vector() - start
    assert torch.isfinite(moved).all()
    for part in game.slices.values():
        assert moved[part].norm() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["complex_dcgan", pytest.param("complex_resnet", marks=pytest.mark.slow)])
def test_the_command_line_trains_complex_networks_with_a_complex_activation(tmp_path, capsys, name):
    run = str(tmp_path / "run")
    argv = ["train", "--network", name, "--activation", "modrelu", "--optimizer", "consensus", "--data", "digits"]
    small = ["--network.width", "1", "--batch-size", "8", "--steps", "2", "--device", "cpu", "--out", run]
    assert main([*argv, *small, "--sample-every", "0", "--spectrum-every", "0"]) == 0
    assert main(["spectrum", run, "--k", "2", "--batch-size", "8", "--tol", "1e-2"]) == 0
    assert "consensus for 2 steps" in capsys.readouterr().out
    assert main([*argv[:4], "relu", *argv[5:], "--dry-run"]) == 2
    assert "'relu' takes real numbers, and this layer's are complex: choose among cardioid" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["complex_mlp", "unitary_mlp"])
def test_fully_connected_networks_train_on_points(tmp_path, name):
    run = config(name, "consensus", 3, {"depth": 2, "width": 4}, "ring8")
    assert prepare(run, tmp_path / "run").run().step == 3
    assert gt.load(tmp_path / "run").sample(5).shape == (5, 2)


@pytest.mark.parametrize("name", ["complex_dcgan", "complex_resnet", "resnet"])
def test_convolutional_networks_refuse_points(name):
    with pytest.raises(GantoolsError, match=f"The {name} needs images.*divisible by 4.*--network mlp"):
        NETWORKS[name]().build((2,))


def test_no_parameter_of_a_complex_network_is_idle():
    """An imaginary bias behind a real part, say, would be an eigenvalue 0 that has nothing to do with the game."""
    for name in ("complex_mlp", "unitary_mlp", "complex_dcgan", "complex_resnet"):
        # Of smaller images the 4 x 4 kernels would see more border than image.
        generator, discriminator = TINY[name].build((1, 8, 8), "cardioid", 3, seeded())
        with torch.no_grad():
            for m in (*generator.modules(), *discriminator.modules()):
                if isinstance(m, UnitaryLinear):
                    m.weight.normal_(std=0.1, generator=seeded())
        score = discriminator(generator(torch.randn(50, 3, generator=seeded()))).square().mean()
        for player in (generator, discriminator):
            for label, p in player.named_parameters():
                (gradient,) = torch.autograd.grad(score, p, retain_graph=True)
                assert (gradient != 0).all(), (name, label)


@pytest.mark.parametrize("name", ["complex_dcgan", "complex_resnet", "resnet"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 32)])
def test_variance_preserving_weights_carry_the_signal_through(name, shape):
    generator, discriminator = NETWORKS[name](width=8).build(shape, "", 64, seeded())
    latents, images = torch.randn(8, 64, generator=seeded()), torch.randn(8, *shape, generator=seeded(1))
    with torch.no_grad():
        pixels = torch.atanh(generator(latents).clamp(-0.999999, 0.999999)).std()
        scores = discriminator(images).square().mean().sqrt()
    assert 0.2 < pixels < 5
    # A residual discriminator averages over the pixels, and noise averages out.
    assert (0.2 if name == "complex_dcgan" else 0.2 / math.sqrt(shape[1])) < scores < 5


def test_learned_imaginary_inputs_and_semi_unitary_weights_are_opt_in():
    def learned(network):
        return [any(isinstance(m, LearnedImaginary) for m in player.modules()) for player in network.build((1, 8, 8))]

    for kind in (ComplexDcgan, ComplexResnet, NETWORKS["complex_mlp"]):
        assert learned(kind()) == [False, False]
        assert learned(kind(imaginary="learned")) == [False, True]
    weights = []
    for init in ("variance", "independent"):
        generator, _ = ComplexDcgan(width=4, init=init).build((1, 8, 8), rng=seeded())
        weight = next(m.weight for m in generator.modules() if m.__class__.__name__ == "ComplexConvTranspose2d")
        weights.append(weight.detach().square().sum(-1).mean().item())
    assert weights[0] == pytest.approx(weights[1], rel=0.2)  # both 2 / (4 * 8), one drawn, one exact
    assert weights[1] == pytest.approx(2 / (4 * 8), rel=1e-5)


def test_free_weights_that_begin_unitary_make_the_same_network_as_unitary_maps_do():
    pairs = [NETWORKS[name](width=5, init=init).build((2,), "crelu", 3, seeded())
             for name, init in (("unitary_mlp", "variance"), ("complex_mlp", "unitary"))]  # fmt: skip
    z = torch.randn(4, 3, generator=seeded(1))
    for unitary, free, x in zip(*pairs, (z, z[:, :2]), strict=True):
        torch.testing.assert_close(unitary(x), free(x))
    numbers = [sum(p.numel() for player in pair for p in player.parameters()) for pair in pairs]
    assert numbers[1] - numbers[0] == 2 * 3 * 5 * 5  # of both players three maps, of n^2 and of 2 n^2 numbers


@pytest.mark.parametrize("kind", ["complex_mlp", "unitary_mlp"])
def test_complex_mlps_refuse_what_has_no_complex_layer(kind):
    with pytest.raises(GantoolsError, match=f"The {kind} needs width >= 1, depth >= 1"):
        NETWORKS[kind](depth=0).build((2,))
    with pytest.raises(GantoolsError, match="unitary ones hidden layers of one width"):
        ComplexMLP((2,), (), (3, 4), "crelu", unitary=True)
    with pytest.raises(GantoolsError, match="at least one channel"):
        ComplexResNet(filters=0)


# Compiling -----------------------------------------------------------------------------------------------------------


def compiled_agrees(backend, name):
    generator, discriminator = TINY[name].build(IMAGE, "crelu", 3, seeded())
    latents = torch.randn(4, 3, generator=seeded())

    def loss(z):
        return discriminator(generator(z)).square().mean()

    parameters = [*generator.parameters(), *discriminator.parameters()]
    expected = torch.autograd.grad(loss(latents), parameters)
    torch._dynamo.reset()
    found = torch.autograd.grad(torch.compile(loss, backend=backend, fullgraph=True)(latents), parameters)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("name", ["complex_mlp", "complex_dcgan", "complex_resnet", "unitary_mlp"])
def test_compiled_gradients_are_those_of_eager_mode(name):
    compiled_agrees("aot_eager", name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["complex_mlp", "complex_dcgan"])
def test_inductor_gradients_are_those_of_eager_mode(name):
    compiled_agrees("inductor", name)
