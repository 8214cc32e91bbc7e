"""Copies of functions with all that they reach."""

import functools
import itertools
import random
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler

from gantools.errors import GantoolsError
from gantools.watching.copies import Copies

COUNTS = {"calls": 0}
NET = nn.Linear(2, 2)


def helper(x):
    COUNTS["calls"] += 1
    return NET(x)


def uses_globals(x):
    return helper(x)


class Pool:
    def __init__(self):
        self.images, self.net, self.rng = [], NET, torch.Generator().manual_seed(0)

    def query(self, x):
        self.images.append(x)
        return self.images[0] + torch.rand(2, generator=self.rng)


def test_globals_are_copied_through_functions_that_a_function_calls():
    copies = Copies()
    copied = copies.of(uses_globals)
    x = torch.ones(1, 2)
    assert torch.equal(copied(x), uses_globals(x)) and COUNTS["calls"] == 1
    with torch.no_grad():
        copies.of(NET).weight.add_(1)
    assert not torch.equal(copied(x), NET(x))


def test_closures_methods_partials_and_decorated_functions_share_one_world():
    pool, images = Pool(), torch.zeros(2)

    @torch.no_grad()
    def decorated(x):
        return pool.query(x)

    copies = Copies()
    method, part, closed = copies.of(pool.query), copies.of(functools.partial(pool.query, images)), copies.of(decorated)
    method(images), part(), closed(images)
    assert not pool.images and len(copies.of(pool).images) == 3
    assert copies.of(pool).net is copies.of(NET) and copies.of(pool).net is not NET
    assert torch.equal(pool.rng.get_state(), torch.Generator().manual_seed(0).get_state())


def test_a_function_that_calls_itself_and_an_empty_cell():
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    def unset():
        return later

    copied = Copies().of(unset)
    assert Copies().of(factorial)(5) == 120
    later = 3
    assert unset() == later
    with pytest.raises(NameError):
        copied()


def test_containers_keep_their_kinds_and_what_they_share():
    Pair = namedtuple("Pair", "a b")
    t = torch.zeros(2)
    x = {
        "list": [t, t], "pair": Pair(t, 1), "deque": deque([t], maxlen=3), "default": defaultdict(list, a=[t]),
        "ordered": OrderedDict(a=t), "set": {1, 2}, "array": np.zeros(2), "frozen": frozenset({1}),
    }  # fmt: skip
    x["self"] = x
    y = Copies().of(x)
    assert y["self"] is y and [type(v) for v in y.values()] == [type(v) for v in x.values()]
    assert y["list"][0] is y["list"][1] is y["pair"].a is y["deque"][0] is y["default"]["a"][0] is y["ordered"]["a"]
    assert y["list"][0] is not t and y["deque"].maxlen == 3 and y["default"]["new"] == []
    y["array"][:] = 1
    assert not x["array"].any()


def test_an_optimizer_holds_the_copied_parameters_and_a_scheduler_the_copied_optimizer():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    net(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    copies = Copies(grads=True)
    twin, twins = copies.of(net), copies.of(optimizer)
    assert [id(p) for p in twin.parameters()] == [id(p) for p in twins.param_groups[0]["params"]]
    assert torch.equal(twin[0].weight.grad, net[0].weight.grad)
    before = [p.detach().clone() for p in net.parameters()]
    twins.step(), copies.of(scheduler).step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert optimizer.param_groups[0]["lr"] == 1e-3 and twins.param_groups[0]["lr"] == 5e-4
    optimizer.step()
    for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_dtype_is_that_of_all_floating_copies():
    x = {"net": nn.BatchNorm1d(2), "labels": torch.zeros(2, dtype=torch.long), "noise": torch.zeros(2)}
    y = Copies(torch.float64).of(x)
    assert y["noise"].dtype == y["net"].weight.dtype == y["net"].running_mean.dtype == torch.float64
    assert y["labels"].dtype == torch.long and x["net"].weight.dtype == torch.float32


def test_tensors_with_a_graph_and_old_spectral_norm_are_copied():
    net = nn.utils.spectral_norm(nn.Linear(3, 2))
    x = torch.ones(1, 3)
    y = net(x)
    twin, z = (copies := Copies()).of(net), copies.of(y)
    assert torch.equal(z, y) and z.grad_fn is None
    before = net.weight_u.clone()
    twin(x)
    assert torch.equal(net.weight_u, before)


def test_random_generators_go_on_from_their_state():
    rngs = [random.Random(1), np.random.default_rng(1), torch.Generator().manual_seed(1)]
    copies = Copies()
    twins = [copies.of(rng) for rng in rngs]
    assert twins[0].random() == rngs[0].random() and twins[1].random() == rngs[1].random()
    assert torch.equal(torch.rand(2, generator=twins[2]), torch.rand(2, generator=rngs[2]))
    rewinders = copies.rewinders()
    drawn = [twins[0].random(), twins[1].random()]
    for rewind in rewinders:
        rewind()
    assert len(rewinders) == 3 and drawn == [twins[0].random(), twins[1].random()]


def test_an_iterator_that_can_be_copied_is_and_others_refuse_to_go_on():
    numbers = iter([1, 2, 3])
    next(numbers)
    copies = Copies()
    assert next(copies.of(numbers)) == 2 == next(numbers)
    lines = (i for i in range(3))
    with pytest.raises(GantoolsError, match="iterator"):
        next(Copies().of(copies.of(lines)))
    with pytest.raises(GantoolsError, match="iterator"):
        copies.of(lines.send)(None)
    assert next(lines) == 0


DATA = [torch.full((2,), float(i)) for i in range(12)]


def loader(**options):
    return DataLoader(torch.arange(12.0), batch_size=2, **options)


ITERATORS = {
    "a cycle": lambda: itertools.cycle(DATA[:3]),
    "a cycle of a map": lambda: itertools.cycle(map(torch.neg, DATA[:3])),
    "a map": lambda: map(lambda x: x + 1, DATA),
    "a zip of one iterator": lambda: zip(*[iter(DATA)] * 2, strict=True),
    "a chain": lambda: itertools.chain(DATA[:3], DATA),
    "a slice of numbered ones": lambda: itertools.islice(enumerate(iter(DATA)), 1, None, 2),
    "a filter": lambda: filter(lambda x: x[0] % 2 == 0, iter(DATA)),
    "a call": lambda: iter(iter(DATA).__next__, None),
    "a cycle of a loader": lambda: itertools.cycle(loader()),
    "a zip of loaders": lambda: zip(loader(), loader(), strict=True),
    "a tee": lambda: itertools.tee(iter(DATA))[0],
}


@pytest.mark.parametrize("kind", ITERATORS)
def test_an_iterator_over_others_goes_on_as_if_no_copy_had_drawn(kind):
    alone, watched = ITERATORS[kind](), ITERATORS[kind]()
    expected = [str(next(alone)) for _ in range(5)]
    found = [str(next(watched)) for _ in range(2)]
    copies = Copies()
    copy = copies.of([watched])[0]
    for twin in (Copies().of(copy), copy):
        try:
            drawn = [str(next(twin)) for _ in range(3)]
        except GantoolsError as error:
            assert "draws from an iterator" in str(error) and ("loader" in kind or "tee" in kind)
        else:
            assert drawn == expected[2:] and "loader" not in kind
    assert found + [str(next(watched)) for _ in range(3)] == expected


def test_methods_of_built_in_objects_are_those_of_the_copies():
    kept, rng = [], np.random.default_rng(0)
    methods = {"append": kept.append, "draw": rng.normal, "relu": torch.relu, "global": random.random, "len": len}
    copies = Copies()
    twins = copies.of(methods)
    twins["append"](1)
    assert not kept and copies.of(kept) == [1] and twins["draw"]() == rng.normal()
    assert all(twins[name] is methods[name] for name in ("relu", "global", "len")) and not copies.shared


@pytest.mark.parametrize("kind", ["a loader", "a weighted sampler"])
def test_a_loader_with_a_generator_of_its_own_is_not_moved(kind):
    rng = torch.Generator().manual_seed(1)
    sampler = WeightedRandomSampler([1.0] * 12, 12, generator=rng) if kind != "a loader" else None
    loaded = loader(shuffle=sampler is None, generator=rng, sampler=sampler)
    state = rng.get_state()
    twin = Copies().of(loaded)
    drawn = [x.tolist() for x in twin]
    assert torch.equal(rng.get_state(), state) and twin.dataset is loaded.dataset and len(twin) == 6
    assert drawn == [x.tolist() for x in loaded] != [x.tolist() for x in loaded]


def test_a_file_that_is_written_to_is_mute(tmp_path):
    with open(tmp_path / "log.txt", "w") as file:
        print("a look", file=Copies().of(file))
        file.write("a step")
    assert (tmp_path / "log.txt").read_text() == "a step"


def test_writers_and_progress_bars_are_mute_and_what_cannot_be_copied_is_named():
    from tqdm import tqdm

    class Writer:
        written = 0

        def add_scalar(self, *args):
            Writer.written += 1

    copies, lock = Copies(), __import__("threading").Lock()
    copies.of(Writer()).add_scalar("a", 1, 2)
    copies.of(tqdm(total=3, disable=True)).update(1)
    assert not Writer.written and copies.of(lock) is lock and copies.shared == ["a lock"]


def test_large_tensors_outside_modules_are_shared():
    large = torch.zeros(2**24 + 1)
    net = nn.Module()
    net.register_buffer("large", large)
    assert Copies().of([large])[0] is large and Copies().of(net).large is not large
