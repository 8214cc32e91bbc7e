"""What regularizers draw into a batch."""

import pytest
import torch

from gantools.analysis.operators.jacobian import jacobian
from gantools.batches import halves
from gantools.errors import GantoolsError
from gantools.regularizers import R1, REGULARIZERS, Dragan, InstanceNoise, WganGP, ZeroCentred
from gantools.schedules import Linear
from gantools.trainers import Consensus
from tests import cases
from tests.draws import drawn
from tests.game_oracles import relative

F64 = torch.float64
NORMAL = Dragan(3.0, noise="normal")


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
