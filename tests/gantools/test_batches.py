"""What counts as one batch and as several, sizes, halves, fingerprints."""

import collections

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import gantools as gt
from gantools.analysis import hessian
from gantools.batches import (
    Parts,
    batch_size,
    each_batch,
    fingerprint,
    halves,
    is_batch,
    map_tensors,
    require_samples,
    split,
    walk,
)
from gantools.errors import GantoolsError

Pair = collections.namedtuple("Pair", "x y")
x, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)


class Graph:
    """Yields names with values, as `torch_geometric.data.Data` does."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __iter__(self):
        return iter(self.__dict__.items())


class StoredGraph:
    """Keeps its values in a store, as `torch_geometric.data.Data` really does."""

    def __init__(self, **values):
        self._store = dict(values)

    def keys(self):
        return list(self._store)

    def __getitem__(self, key):
        return self._store[key]

    def __iter__(self):
        return iter(self._store.items())


class Drawn:
    """Batches of a tensor that it holds."""

    def __init__(self, x):
        self.x = x

    def __iter__(self):
        return iter(self.x.split(2))


class Bag(collections.UserDict):
    """A mapping that torch's pytree does not know, as Hugging Face's batches are."""


LISTS = [[x, {"y": y}], [x, y, ["a.png", "b.png"]], [["a.png"], x], [x, [y, y]], Graph(x=x, y=y), StoredGraph(x=x)]


@pytest.mark.parametrize("batch", [x, {"x": x}, (x, y), [x, y], Pair(x, y), Bag(x=x), None, 3, "text", (), *LISTS])
def test_one_batch(batch):
    assert is_batch(batch)
    (only,) = each_batch(batch)
    assert only is batch


@pytest.mark.parametrize(
    "batches",
    [[(x, y), (x, y)], [[x, x], [y, y]], [{"x": x}], DataLoader(TensorDataset(x, y)), range(3), [None], Drawn(x)],
)
def test_several_batches(batches):
    assert not is_batch(batches)
    assert each_batch(batches) is batches


@pytest.mark.parametrize("once", [iter([(x, y)]), (b for b in [x]), zip([x], [y], strict=True), map(abs, [x])])
def test_one_shot_iterators_are_refused(once):
    with pytest.raises(GantoolsError, match="only once.*list of batches or a DataLoader"):
        each_batch(once)


def test_no_batches_are_refused():
    with pytest.raises(GantoolsError, match="empty"):
        each_batch([])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([{"image": x}, {"label": y}], r"the keys \['image'\] and the keys \['label'\]"),
        ([[x, x], [y]], "2 parts and 1 parts"),
        ([(x, y), {"x": x}], "2 parts and the keys"),
    ],
)
def test_a_list_of_the_parts_of_one_batch_is_refused(parts, words):
    with pytest.raises(GantoolsError, match=words + r".*tuple\(batch\)"):
        each_batch(parts)
    assert each_batch([{"x": x}, {"x": x, "mask": y}])


@pytest.mark.parametrize(
    ("batch", "size"),
    [(x, 6), ({"t": torch.tensor(1.0), "x": x}, 6), ((x[:4], y), 4), (Bag(x=x), 6), (None, 1), ({"a": {"b": [y]}}, 6)],
)
def test_size_is_the_first_dimension_of_the_first_tensor(batch, size):
    assert batch_size(batch) == size


@pytest.mark.parametrize(
    "batch",
    [{"x": x, "n": "name"}, Bag(x=x, n=3), Pair(x, y), [x, (y, None)], collections.OrderedDict(x=x)],
)
def test_map_tensors_keeps_containers_and_leaves_the_batch_alone(batch):
    mapped = map_tensors(lambda t: t + 1, batch)
    assert type(mapped) is type(batch)
    first = lambda b: b["x"] if not isinstance(b, (tuple, list)) else b[0]  # noqa: E731
    assert torch.equal(first(mapped), x + 1)
    assert first(batch) is x


@pytest.mark.parametrize("batch", [x[:0], {"x": x[:0]}, Bag(x=torch.empty(4, 0))])
def test_empty_tensors_are_refused(batch):
    with pytest.raises(GantoolsError, match="empty.*at least one sample"):
        require_samples(batch)


def test_halves_are_the_even_and_the_odd_samples():
    even, odd = halves({"x": x, "y": y})
    assert torch.equal(even["y"], torch.tensor([0, 2, 4])) and torch.equal(odd["y"], torch.tensor([1, 3, 5]))
    assert torch.equal(torch.stack([even["x"], odd["x"]], 1).reshape(6, 2), x)


def test_a_number_without_samples_belongs_to_every_part():
    batch = {"x": x, "step": torch.tensor(7)}
    assert batch_size(batch) == 6 and fingerprint(batch) != fingerprint(batch | {"step": torch.tensor(8)})
    require_samples(batch)
    for part in (*halves(batch), *split(batch, 3)):
        assert part["step"].equal(torch.tensor(7)) and len(part["x"]) in (2, 3)
    assert map_tensors(torch.neg, batch)["step"] == -7


@pytest.mark.parametrize("batch", [x[:5], x[:1], (x, y[:4]), torch.tensor(1.0), None])
def test_halves_need_an_even_number_of_samples(batch):
    with pytest.raises(GantoolsError, match="2 equal parts"):
        halves(batch)


def test_fingerprints_tell_batches_apart_and_bear_nan():
    nan = torch.tensor([float("nan"), 1.0])
    assert fingerprint((nan, y)) == fingerprint((nan.clone(), y))
    assert fingerprint((x, y)) != fingerprint((x + 1e-3, y))
    assert fingerprint(Bag(x=x)) != fingerprint(Bag(x=x[:3]))
    assert fingerprint(torch.complex(x, x)) == fingerprint(torch.complex(x, x))


def test_parts_are_one_batch():
    parts = split({"x": x, "y": y}, 3)
    assert is_batch(parts) and batch_size(parts) == 6 and len(parts) == 3
    assert isinstance(map_tensors(torch.neg, parts), Parts) and torch.equal(parts[1]["y"], torch.tensor([1, 4]))
    even, odd = halves(parts)
    assert isinstance(even, Parts) and sorted(int(i) for part in (*even, *odd) for i in part["y"]) == list(range(6))
    with pytest.raises(GantoolsError, match="4 equal parts.*multiple of 4"):
        split(x, 4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_walk_leaves_the_random_state(workers):
    loader = DataLoader(TensorDataset(x, y), batch_size=2, num_workers=workers)
    state = torch.get_rng_state()
    game = gt.minimization(torch.nn.Linear(2, 1), lambda net, batch: net(batch[0]).square().mean())
    torch.set_rng_state(state)
    assert [len(batch[0]) for batch in walk(loader)] == [2, 2, 2]
    if not workers:
        game.field(loader)
        hessian(game, loader) @ torch.ones(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_walk_over_one_batch_or_a_list_is_itself():
    assert walk(x) == (x,) and walk(batches := [(x, y)]) is batches
    shuffled = walk(DataLoader(TensorDataset(torch.arange(99.0)), batch_size=99, shuffle=True))
    first, second = (next(iter(shuffled))[0] for _ in range(2))
    assert not torch.equal(first, second)
