"""Networks: shapes, sizes, initial weights, determinism, and both orders of derivatives."""

import math

import pytest
import torch
from torch import nn

from gantools.errors import GantoolsError
from gantools.networks import NETWORKS, Dcgan, Mlp
from gantools.nn import activation
from gantools.nn.init import variance_gain
from tests.draws import seeded


def count(module):
    return sum(p.numel() for p in module.parameters())


def weights(module, kind=(nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
    return [layer.weight for layer in module.modules() if isinstance(layer, kind)]


CASES = [
    (Mlp(), (2,)),
    (Mlp(), (1, 8, 8)),
    (Mlp(depth=0), (3,)),
    (Dcgan(width=8), (1, 8, 8)),
    (Dcgan(width=4), (3, 32, 32)),
    (Dcgan(width=4), (1, 28, 28)),
    (Dcgan(width=4), (2, 24, 16)),
    (Dcgan(width=4), (1, 4, 4)),
    (Dcgan(width=4, norm="batch"), (1, 8, 8)),
    *[(NETWORKS[name](width=3), (2,)) for name in ("complex_mlp", "unitary_mlp", "orthogonal_mlp")],
    *[(NETWORKS[name](width=2), shape)
      for name in ("resnet", "complex_dcgan", "complex_resnet") for shape in ((1, 8, 8), (3, 32, 32), (2, 24, 16))],
    (NETWORKS["complex_resnet"](width=2, norm="batch", imaginary="learned", init="independent"), (1, 8, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("network", "shape"), CASES)
def test_shapes_run_from_latent_to_sample_to_score(network, shape):
    generator, discriminator = network.build(shape, latent_size=5, rng=seeded())
    samples = generator(torch.randn(6, 5, generator=seeded()))
    assert samples.shape == (6, *shape)
    assert discriminator(samples).shape == (6,)


def test_the_default_mlp_is_that_of_the_numerics_of_gans():
    generator, discriminator = Mlp().build((2,))
    assert (count(generator), count(discriminator)) == (1122, 881)
    assert sum(isinstance(m, nn.ReLU) for m in generator.modules()) == 4
    assert sum(isinstance(m, nn.ReLU) for m in discriminator.modules()) == 4


def test_only_image_generators_end_in_tanh():
    latents = 100 * torch.randn(32, 16, generator=seeded())
    vectors, _ = Mlp().build((2,), rng=seeded())
    assert vectors(latents).abs().max() > 1
    for network in (Mlp(), Dcgan(width=4)):
        images, _ = network.build((1, 8, 8), rng=seeded())
        assert images(latents).abs().max() <= 1


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_depend_on_the_generator_alone(name):
    before = torch.get_rng_state()
    first = NETWORKS[name]().build((1, 8, 8), rng=seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    again = NETWORKS[name]().build((1, 8, 8), rng=seeded(3))
    other = NETWORKS[name]().build((1, 8, 8), rng=seeded(4))
    for one, two, three in zip(first, again, other, strict=True):
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            assert torch.equal(a, b)
        assert not torch.equal(weights(one)[0], weights(three)[0])


def test_the_two_players_do_not_start_from_the_same_numbers():
    generator, discriminator = Mlp(width=16).build((16,), latent_size=16, rng=seeded())
    assert not torch.equal(weights(generator)[0], weights(discriminator)[0])


def test_mlp_weights_are_xavier_uniform_and_biases_zero():
    _, discriminator = Mlp(depth=2, width=300).build((2,), rng=seeded())
    square = weights(discriminator)[1]
    bound = math.sqrt(6 / 600)
    assert square.abs().max() <= bound
    assert square.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert all((layer.bias == 0).all() for layer in discriminator.modules() if isinstance(layer, nn.Linear))


@pytest.mark.parametrize(
    ("name", "gain"),
    [("relu", math.sqrt(2)), ("leaky_relu", math.sqrt(2 / 1.04)), ("tanh", 1.5925374197)],
)
def test_the_variance_gain_is_that_of_the_literature(name, gain):
    """He's for ReLU and leaky ReLU; for tanh 1/sqrt(E tanh^2), integrated here by the trapezoid rule."""
    if name == "tanh":
        x = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
        density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        gain = torch.trapezoid(torch.tanh(x) ** 2 * density, x).rsqrt().item()
    assert variance_gain(activation(name)) == pytest.approx(gain, rel=1e-6)


@pytest.mark.parametrize("name", ["leaky_relu", "relu", "tanh", "esp"])
def test_dcgan_weights_carry_the_signal_to_the_last_layer_at_any_depth(name):
    """Six stages; with N(0, 0.02^2) and no normalisation the same signal all but vanishes."""
    shape, latents = (1, 256, 256), torch.randn(4, 64, generator=seeded())

    def signal(init):
        generator, discriminator = Dcgan(width=8, init=init).build(shape, name, 64, seeded())
        with torch.no_grad():
            pixels = torch.atanh(generator(latents).clamp(-0.999999, 0.999999)).std().item()
            images = torch.randn(4, *shape, generator=seeded(1))
            return pixels, discriminator(images).square().mean().sqrt().item()

    for value in signal("variance"):
        assert 0.2 < value < 5
    assert max(signal("dcgan")) < 0.01


@pytest.mark.parametrize("network", [Mlp(), Dcgan(width=8)])
def test_activations_can_be_set_for_both_or_for_each_player(network):
    kind = type(network)

    def has(module, cls):
        return any(isinstance(m, cls) for m in module.modules())

    both = network.build((1, 8, 8), "silu")
    assert all(has(player, nn.SiLU) for player in both)
    assert not any(has(player, (nn.ReLU, nn.LeakyReLU)) for player in both)
    generator, discriminator = kind(discriminator_activation="softplus(2.0)").build((1, 8, 8), "silu")
    assert has(generator, nn.SiLU)
    assert not has(generator, nn.Softplus)
    assert has(discriminator, nn.Softplus)
    assert not has(discriminator, nn.SiLU)


def test_batch_norm_is_opt_in():
    def norms(norm):
        players = Dcgan(width=4, norm=norm).build((1, 16, 16))
        return [sum(isinstance(m, nn.BatchNorm2d) for m in player.modules()) for player in players]

    assert norms("none") == [0, 0]
    assert norms("batch") == [2, 1]


@pytest.mark.parametrize("network", [Mlp(depth=2, width=5), Dcgan(width=2)])
def test_second_derivatives_match_finite_differences(network):
    shape = (1, 4, 4)
    _, discriminator = network.build(shape, "silu", rng=seeded())
    discriminator.double()
    x = torch.randn(2, *shape, generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(discriminator, (x,))


@pytest.mark.parametrize("network", [Mlp(), Dcgan(width=8)])
def test_every_parameter_receives_a_gradient_from_the_score(network):
    generator, discriminator = network.build((1, 8, 8), "silu", rng=seeded())
    score = discriminator(generator(torch.randn(16, 16, generator=seeded()))).mean()
    parameters = [*generator.parameters(), *discriminator.parameters()]
    for gradient in torch.autograd.grad(score, parameters):
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("shape", [(2,), (1, 9, 9), (3, 30, 32), (8, 8)])
def test_dcgan_refuses_what_it_cannot_size(shape):
    with pytest.raises(GantoolsError, match="divisible by 4.*--network mlp"):
        Dcgan().build(shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_below_one_and_unknown_activations_are_refused(name):
    with pytest.raises(GantoolsError, match="width >= 1"):
        NETWORKS[name](width=0).build((1, 8, 8))
    with pytest.raises(GantoolsError, match="latent size >= 1"):
        NETWORKS[name]().build((1, 8, 8), latent_size=0)
    with pytest.raises(GantoolsError, match="Unknown activation"):
        NETWORKS[name]().build((1, 8, 8), "nope")
