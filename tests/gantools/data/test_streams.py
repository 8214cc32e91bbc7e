# ruff: noqa: NPY002 - users draw from the legacy generator
"""Batches in their order: what a stopped stream goes on with, and what looking at batches leaves alone."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

from gantools.data.random_state import random_state, random_state_kept, seed_global_generators, set_random_state
from gantools.data.sources import make_source
from gantools.data.streams import GanBatches, IndexedStream, IteratedStream, OwnBatches, repeatable
from gantools.errors import GantoolsError
from gantools.regularizers import R1, Dragan, InstanceNoise, WganGP
from gantools.schedules import Linear
from tests.draws import seeded
from tests.runs import identical

CPU = torch.device("cpu")
NUMBERS = TensorDataset(torch.arange(10.0))


class Noisy(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.tensor([index + float(torch.rand(())), random.random(), np.random.rand()])


LOADERS = {
    "in order": lambda: DataLoader(NUMBERS, 3),
    "shuffled": lambda: DataLoader(NUMBERS, 3, shuffle=True),
    "own generator": lambda: DataLoader(NUMBERS, 3, shuffle=True, generator=seeded(1)),
    "own sampler": lambda: DataLoader(NUMBERS, 3, sampler=RandomSampler(NUMBERS, generator=seeded(1))),
    "with replacement": lambda: DataLoader(NUMBERS, 3, sampler=RandomSampler(NUMBERS, True, 40, seeded(1))),
    "noisy": lambda: DataLoader(Noisy(), 2, shuffle=True),
    "list": lambda: [torch.ones(2), {"x": torch.zeros(2)}, (torch.ones(1),)],
}


def draw(stream, count):
    """Take batches one by one, drawing global numbers in between as dropout does."""
    taken = []
    for _ in range(count):
        taken.append(stream.take(1))
        torch.rand(3)
    return taken


class TestIteratedStream:
    @pytest.mark.parametrize("loader", LOADERS)
    @pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 8])
    def test_goes_on_where_it_stopped(self, loader, stop):
        seed_global_generators(3)
        stream = IteratedStream(LOADERS[loader]())
        draw(stream, stop)
        saved, state = stream.state_dict(), random_state()
        expected = draw(stream, 9)
        seed_global_generators(77)
        stream = IteratedStream(LOADERS[loader]())
        draw(stream, 2)
        set_random_state(state)
        stream.load_state_dict(saved)
        assert identical(random_state(), state)
        assert identical(draw(stream, 9), expected)

    def test_every_epoch_has_an_order_of_its_own(self):
        stream = IteratedStream(LOADERS["shuffled"]())
        epochs = [torch.cat([b[0] for (b,) in draw(stream, 4)]) for _ in range(3)]
        assert all(torch.equal(e.sort()[0], torch.arange(10.0)) for e in epochs)
        assert not torch.equal(epochs[0], epochs[1])

    def test_the_state_is_plain(self, tmp_path):
        stream = IteratedStream(LOADERS["own generator"]())
        draw(stream, 2)
        torch.save(stream.state_dict(), tmp_path / "s.pt")
        assert identical(torch.load(tmp_path / "s.pt", weights_only=True), stream.state_dict())

    def test_one_batch_comes_again_and_again(self):
        batch = {"real": torch.ones(3)}
        stream = IteratedStream(batch)
        assert all(b["real"].equal(batch["real"]) for b in stream.take(3))
        stream.load_state_dict(stream.state_dict())

    def test_nothing_to_take(self):
        with pytest.raises(GantoolsError, match="iterable was empty"):
            IteratedStream(DataLoader([])).take(1)

    def test_fewer_batches_than_were_seen(self):
        stream = IteratedStream([(torch.ones(1),)] * 4)
        stream.take(3)
        short = IteratedStream([(torch.ones(1),)])
        with pytest.raises(GantoolsError, match="There are 1 batches now, and the run had seen 3"):
            short.load_state_dict(stream.state_dict())


class TestRepeatable:
    @pytest.mark.parametrize("loader", LOADERS)
    def test_every_pass_is_the_same_and_nothing_outside_moves(self, loader):
        own = LOADERS[loader]()
        batches = repeatable(own, CPU)
        before = random_state()
        first = list(batches)
        assert identical(random_state(), before)
        torch.rand(5)
        assert identical(list(batches), first) and len(batches) == len(own)

    def test_two_passes_at_once(self):
        batches = OwnBatches(LOADERS["noisy"](), CPU)
        expected = list(batches)
        pairs = list(zip(batches, batches, strict=True))
        assert identical([a for a, _ in pairs], expected) and identical([b for _, b in pairs], expected)

    def test_does_not_move_the_loaders_own_generator(self):
        loader = LOADERS["own generator"]()
        before = loader.generator.get_state()
        next(iter(repeatable(loader, CPU)))
        assert loader.generator.get_state().equal(before)

    def test_one_batch_stays_one(self):
        assert repeatable((torch.ones(2),), CPU)[0].equal(torch.ones(2))

    def test_what_is_walked_over_once_is_refused(self):
        with pytest.raises(GantoolsError, match="only once"):
            repeatable(iter([torch.ones(1)]), CPU)


class TestGanBatches:
    def batches(self, data="digits", size=64):
        return GanBatches(make_source(data), size, 5, seed=3)

    def test_number_i_is_a_pure_function_of_the_seed(self):
        a, b = self.batches(), self.batches()
        a[0], a[31]
        assert identical(a[7], b[7]) and not identical(a[7], a[8])
        assert set(a[7]) == {"real", "latent"} and a[7]["latent"].shape == (64, 5)

    def test_iterating_is_an_epoch_or_ten_batches(self):
        digits = self.batches()
        assert len(list(digits)) == len(digits) == 29  # 1797 / 64, rounded up
        assert len(list(self.batches("ring8"))) == 10
        assert identical(next(iter(digits)), digits[0])

    def test_negative_numbers_and_large_batches_are_refused(self):
        with pytest.raises(IndexError):
            self.batches()[-1]
        with pytest.raises(GantoolsError, match="at most 1797"):
            self.batches(size=1798)

    def test_stream_takes_them_in_order_and_goes_on(self):
        stream = IndexedStream(self.batches())
        first = stream.take(3)
        assert identical(first[2], self.batches()[2])
        again = IndexedStream(self.batches())
        again.load_state_dict(stream.state_dict())
        assert identical(again.take(2), (self.batches()[3], self.batches()[4]))


class TestDrawsOfRegularizers:
    def batches(self, *regularizers):
        return GanBatches(make_source("ring8"), 16, 3, seed=3, regularizers=regularizers)

    def test_are_a_pure_function_of_the_seed_and_the_number(self):
        a, b = self.batches(WganGP(), InstanceNoise()), self.batches(WganGP(), InstanceNoise())
        a[0], a[31]
        assert identical(a[7], b[7]) and not torch.equal(a[7]["wgan_gp.mix"], a[8]["wgan_gp.mix"])
        assert set(a[7]) - set(self.batches()[7]) == {"wgan_gp.mix", "instance_noise.real", "instance_noise.fake"}

    def test_do_not_depend_on_the_other_regularizers(self):
        alone, together = self.batches(WganGP())[5], self.batches(R1(), Dragan(), WganGP())[5]
        assert all(torch.equal(alone[key], together[key]) for key in alone)
        assert identical({key: alone[key] for key in ("real", "latent")}, self.batches()[5])

    def test_the_number_of_updates_comes_where_a_schedule_needs_it(self):
        batches = self.batches(R1(Linear(1.0, 0.1, 10)), WganGP())
        assert "step" not in self.batches(R1(), WganGP())[4]
        assert batches[4]["step"].equal(torch.tensor(4)) and batches.standing_at(9)[4]["step"] == 9
        assert identical({**batches[4], "step": torch.tensor(9)}, batches.standing_at(9)[4])
        stream = IndexedStream(batches)
        assert [b["step"].item() for b in stream.take(5)] == [0] * 5  # five batches for one update
        again = IndexedStream(batches)
        again.load_state_dict(stream.state_dict())
        assert [b["step"].item() for b in again.take(5)] == [1] * 5
        assert identical(again.take(5)[2], batches.numbered(12, 2))


class TestRandomState:
    def test_kept_even_after_an_error(self):
        before = random_state()
        with pytest.raises(KeyError), random_state_kept():
            torch.rand(1), random.random(), np.random.rand()
            raise KeyError
        assert identical(random_state(), before)

    def test_gauss_of_the_legacy_generators(self):
        # Both keep the second of a pair of normal numbers in hand.
        seed_global_generators(0)
        random.gauss(0, 1), np.random.randn()
        state = random_state()
        expected = random.gauss(0, 1), np.random.randn(), float(torch.randn(()))
        set_random_state(state)
        assert (random.gauss(0, 1), np.random.randn(), float(torch.randn(()))) == expected

    def test_survives_a_file(self, tmp_path):
        state = random_state()
        torch.save(state, tmp_path / "s.pt")
        loaded = torch.load(tmp_path / "s.pt", weights_only=True)
        expected = torch.rand(3)
        set_random_state(loaded)
        assert torch.rand(3).equal(expected)
